"""Language models from texts to the page: teachers of two vocabularies, and their students."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from components import Inline, plan_of

from harness import catalog
from harness.report.html import write as report
from harness.report.html.language import nearest_words
from harness.report.html.page import _cards
from harness.report.html.sections import sections
from harness.report.leaderboard import to_markdown
from harness.results import predictions
from harness.results.board import build
from harness.results.collect import collect
from harness.results.ranking import Row
from harness.results.record import check
from harness.run.runner import run
from harness.storage.files import dumps
from harness.storage.store import Store

TEXT = "ann may sun rain snow wind today here much like so in is said she"
SUITE = """
    [suite]
    name = "words"
    latency = false

    [[task]]
    use = "text-file"
    train = "{texts}"

    [[teacher]]
    use = "transformer"
    model = "{folder}"
    epochs = 2
    batch_size = 8
    learning_rate = 1e-2
    longest = 16

    [[teacher]]
    use = "masked-lm"
    vocabulary = 256
    width = 8
    layers = 2
    heads = 2
    feedforward = 8
    longest = 16
    epochs = 2
    batch_size = 8

    [[student]]
    use = "transformer"
    layers = 1
    epochs = 2
    batch_size = 8

    [[augmenter]]
    use = "none"

    [[loss]]
    use = "triple"
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, folder_of: Callable[[str], Path]) -> tuple[Any, Any, Store]:
    """Records and predictions of a run, and its store."""
    where = tmp_path_factory.mktemp("words")
    rng = np.random.default_rng(0)
    lines = {" ".join(rng.choice(TEXT.split(), size=6)) for _ in range(120)}
    (where / "texts.txt").write_text("\n".join(sorted(lines)), encoding="utf-8")
    plan = plan_of(SUITE.format(texts=where / "texts.txt", folder=folder_of("masked-bert")))
    store = Store(where / "store")
    schedule = run(plan, store, Inline(store.root), lambda event: None)
    records = list(collect(plan, schedule.outcome, store, catalog.load()))
    assert [record["status"] for record in records] == ["ok"] * 6, records
    return records, predictions.collect(plan, records, store), store


def by_teacher(rows: Any, role: str) -> dict[str, Row]:
    return {row.parts["teacher"]["name"]: row for row in rows if row.role == role}


def test_records_hold_what_language_models_are_scored_by(ran: Any) -> None:
    records, *_ = ran
    for record in records:
        assert check(record) == record
        own = record["metrics"]
        assert own["perplexity"] == pytest.approx(np.exp(own["nll"])) and own["tokens"] > 0
        assert 0 <= own["masked_accuracy"] <= 1
        pretrained = record["teacher"]["name"] == "transformer"
        due = {f"neighbours_{kind}_before" for kind in ("embeddings", "hidden")} if pretrained else set()
        if record["role"] != "teacher":
            due |= {"neighbours_embeddings", "neighbours_hidden"}
            assert 0 <= own["agreement"] <= 1
        assert {name for name in own if name.startswith("neighbours")} == due
        assert set(record["neighbours"]) >= {"embeddings", "hidden"}
        assert len(dumps(record)) < 20_000
    taught = next(record for record in records if record["role"] == "distilled")
    teacher = next(one for one in records if one["role"] == "teacher" and one["teacher"] == taught["teacher"])
    share = teacher["metrics"]["perplexity"] / taught["metrics"]["perplexity"]
    assert taught["metrics"]["teacher_share"] == pytest.approx(share)  # above 1 is better
    assert {"loss_kl", "loss_mlm", "loss_cosine"} <= set(taught["history"][-1])


def test_nothing_on_disk_is_as_large_as_logits(ran: Any) -> None:
    _, _, store = ran
    for artefact in (store.root / "evaluation").iterdir():
        assert sum(path.stat().st_size for path in artefact.rglob("*") if path.is_file()) < 50_000


def test_rows_have_intervals_and_gains_within_their_vocabulary(ran: Any) -> None:
    records, held, _ = ran
    assert len(held) == 6
    (table,) = build(records, held).tables
    assert table.headline == "perplexity" and "vocabularies differ" in table.note
    assert "no interval" not in table.note
    alone, taught = by_teacher(table.rows, "baseline"), by_teacher(table.rows, "distilled")
    for name in ("transformer", "masked-lm"):
        gain = alone[name].stats["perplexity"].mean - taught[name].stats["perplexity"].mean
        assert taught[name].gain == pytest.approx(gain)
        assert taught[name].gain_interval is not None and taught[name].interval is not None


def test_the_page_shows_words_and_parts(ran: Any, tmp_path: Path) -> None:
    records, held, _ = ran
    board = build(records, held)
    (section,) = sections(board, records)
    best = section.first("distilled")
    assert best is not None
    titles = {card["title"]: card for card in _cards(section)}
    assert titles["Teacher, perplexity"]["note"].startswith(best.row.labels["teacher"])  # of its vocabulary
    tables = nearest_words(section)
    assert [table["title"] for table in tables] == ["By input embeddings", "By last hidden states"]
    assert {word for word, _ in tables[0]["rows"]} <= set(TEXT.split())
    report.write(board, records, held, tmp_path / "words")
    page = (tmp_path / "words" / "index.html").read_text(encoding="utf-8")
    assert "Nearest words" in page and "Training: parts of the loss" in page
    assert "masked accuracy" in to_markdown(board)
