"""Results of language modelling, in the leaderboard, its intervals and the report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opening import Browser
from predicted import of_guesses
from reporting import HOSTILE, Results

from harness.api import Masked
from harness.report.columns import columns
from harness.report.html import looks
from harness.report.html import write as report
from harness.report.html.language import nearest_words
from harness.report.html.sections import sections
from harness.report.leaderboard import legend, to_csv, to_markdown
from harness.task_types.token_scores import language_modelling

TEXTS = 120
ROWS = np.repeat(np.arange(TEXTS), 3)
NEAR = {"cat": ["dog", "cow", "pig"], "sun": ["moon", "sky", "star"]}


def language(results: Results, word: str = "cat") -> Results:
    """Results as ones of language models: those with more right answers are less perplexed."""
    records: list[Any] = list(results.records)
    for number, record in enumerate(records):
        said = results.predictions[record["cell"]]
        knows = (said.predicted == said.gold).mean()
        rng = np.random.default_rng(number)
        gold = np.random.default_rng(0).integers(5, 900, len(ROWS))
        likely = np.minimum(rng.normal(6 * knows - 9, 0.5, len(ROWS)), 0).astype(np.float32)
        masked = Masked(ROWS, gold, np.where(rng.random(len(ROWS)) < knows, gold, 1), likely)
        record["task"] |= {"type": "language-modelling", "headline": "perplexity"}
        record["metrics"] = language_modelling(masked)
        record["validation"] = dict(record["metrics"])
        if record["role"] != "teacher":
            shared = {"neighbours_embeddings": 0.4, "neighbours_hidden": 0.3}
            record["metrics"] |= {"agreement": 0.6, **shared, "neighbours_hidden_before": 0.25}
        near = {word: NEAR["cat"], "sun": NEAR["sun"]}
        if record["role"] == "teacher":
            record["neighbours"] = {"hidden": near, "hidden_before": {word: ["fish"], "sun": ["moon"]}}
        else:
            record["neighbours"] = {"hidden": {word: ["cow", "rat", "ant"], "sun": ["rain", "sea", "ice"]}}
        parts = {"loss_kl": 2.0, "loss_mlm": 4.0, "loss_cosine": 0.5} if record["role"] == "distilled" else {}
        record["history"] = [
            {"done": n, "examples": 60.0 * n, "loss": 9 / n, **{part: top / n for part, top in parts.items()}}
            | ({"validation_perplexity": 50.0 / n} if n % 2 == 0 else {})
            for n in range(1, 7)
        ]
        results.predictions[record["cell"]] = of_guesses(masked, TEXTS)
    return results


@pytest.fixture
def modelled() -> Results:
    return language(Results())


def test_the_leaderboard_has_the_least_perplexed_first(modelled: Results) -> None:
    (table,) = modelled.board.tables
    assert table.headline == "perplexity" and table.note == ""
    ranks = [row.stats["perplexity"].mean for row in table.rows if row.rank is not None]
    assert ranks == sorted(ranks) and len(ranks) == 8
    assert table.rows[0].role == "teacher"
    titles = [column.title for column in columns(table)]
    assert titles[titles.index("perplexity") :][:6] == [
        "perplexity",
        "95 % interval",
        "masked accuracy, %",
        "same neighbours, embeddings, %",
        "same neighbours, hidden, %",
        "neighbours as before, hidden, %",
    ]
    assert {"gain", "kept, %", "agreement, %", "parameters", "onnx p50, ms"} < set(titles)
    assert "hidden tokens" not in titles  # which all rows have as many of
    assert "same neighbours, hidden, %" in to_markdown(modelled.board)
    assert "Of language models" in to_markdown(modelled.board) and "Of language" not in legend(
        Results().board
    )
    assert "neighbours_hidden_before" in to_csv(modelled.board)


def test_gains_and_shares_are_positive_where_perplexity_falls(modelled: Results) -> None:
    (table,) = modelled.board.tables
    alone = {
        row.labels["student"]: row.stats["perplexity"].mean for row in table.rows if row.role == "baseline"
    }
    best = next(row for row in table.rows if row.role == "distilled")
    own = best.stats["perplexity"].mean
    assert best.gain == pytest.approx(alone[best.labels["student"]] - own)
    assert best.gain is not None and best.gain > 0 and best.gain_p is not None and best.gain_p < 0.05
    assert best.gain_interval is not None and best.gain_interval[0] < best.gain < best.gain_interval[1]
    assert best.interval is not None and 1 < best.interval[0] < own < best.interval[1]
    assert best.stats["teacher_share"].mean == pytest.approx(table.rows[0].stats["perplexity"].mean / own)


def test_the_parts_of_the_loss_are_drawn_over_time(modelled: Results) -> None:
    (section,) = sections(modelled.board, modelled.records)
    found = {look.id.rpartition("-")[2]: look for look in looks.of_section(section, modelled.predictions)}
    assert list(found) == ["validation", "loss", "parts", "timing"]
    look = found["parts"]
    index = next(entry.index for entry in section.entries if entry.row.role == "distilled")
    series = look.series[index]
    assert series is not None
    # Two seeds with three parts of six points each, and a gap between any two curves.
    assert len(series["x"]) == 2 * 3 * 6 + 5 and series["x"].count(None) == 5
    assert series["x"][:6] == [60, 120, 180, 240, 300, 360]
    assert series["y"][:3] == [2.0, 1.0, pytest.approx(2 / 3, abs=1e-4)]
    assert [text for text in series["text"] if text.strip()] == ["kl", "mlm", "cosine"]
    assert series["text"][5] == "kl" and series["customdata"][7] == ["mlm", 0]
    assert look.series[0] is None  # the teacher's loss has no parts
    assert found["validation"].series[index]["y"][:3] == [25, 12.5, pytest.approx(8.3333)]  # type: ignore[index]


def test_steps_where_texts_are_not_told(modelled: Results) -> None:
    for record in modelled.records:
        for point in dict(record)["history"]:
            del point["examples"]
    (section,) = sections(modelled.board, modelled.records)
    (look,) = (one for one in looks.of_section(section, {}) if one.id.endswith("-parts"))
    series = next(one for one in look.series if one)
    assert look.head[0] == "steps" and series["x"][:3] == [1, 2, 3]


def test_nearest_words_of_the_best_student_and_its_teacher(modelled: Results) -> None:
    (section,) = sections(modelled.board, modelled.records)
    (table,) = nearest_words(section)
    assert table["title"] == "By last hidden states"
    student, teacher, before = table["head"]
    assert student.startswith("wide") and teacher == "big (teacher)" and "before" in before
    word, cells = table["rows"][0]
    assert word == "cat" and cells[0] == [("cow", True), ("rat", False), ("ant", False)]
    assert all(shared for _, shared in cells[1]) and cells[2] == [("fish", False)]


def test_words_that_are_no_words_cost_the_table_and_not_the_page(modelled: Results) -> None:
    every: list[Any] = list(modelled.records)
    wrongs: list[Any] = [None, [], {"hidden": 3}, {"hidden": {"cat": 5}}, {"hidden": {"cat": "dog"}}]
    for wrong in wrongs:
        for record in every:
            record["neighbours"] = wrong
        (section,) = sections(modelled.board, modelled.records)
        assert nearest_words(section) == []


def test_the_page_is_whole(modelled: Results, tmp_path: Path) -> None:
    report.write(modelled.board, modelled.records, modelled.predictions, tmp_path / "words")
    page = (tmp_path / "words" / "index.html").read_text(encoding="utf-8")
    assert "hidden words alone" in page and "· labels alone" not in page.partition("How to read")[0]
    assert "<b>cow</b>, rat, ant" in page and "Nearest words" in page
    assert "Training: parts of the loss" in page and "no intervals" not in page
    assert re.search(r"[\d.]+ % of the teacher", page) is None  # a share of perplexity would mislead
    assert (tmp_path / "words" / "leaderboard.tex").stat().st_size


def test_the_page_opens_with_hostile_words(tmp_path: Path, browser: Browser) -> None:
    results = language(Results(), word=HOSTILE[0])
    report.write(results.board, results.records, results.predictions, tmp_path / "words")
    page = browser.open(tmp_path / "words" / "index.html")
    assert page.locator("details.words th[scope=row]").first.text_content() == HOSTILE[0]
    drawn = page.locator("[id$=-parts] .plot .annotation-text").all_text_contents()
    assert {text for text in drawn if text.strip()} == {"kl", "mlm", "cosine"}


# -- vocabularies --------------------------------------------------------------------------------------------


def test_rows_with_other_tokens_are_told_and_tested_among_themselves() -> None:
    results = language(Results())
    for record in results.records[:7]:  # the teacher and three students, both seeds of each
        record["metrics"]["hidden"] = "others"
        found = results.predictions[record["cell"]]
        results.predictions[record["cell"]] = found._replace(scale="others")
    (table,) = results.board.tables
    assert "perplexities are on one scale only within" in table.note
    assert "hidden tokens" in [column.title for column in columns(table)]
    assert all(row.interval is not None for row in table.rows)  # each among those of its own tokens
    for row in table.rows:  # nothing is known of rows with other tokens: they may stand before it, or after
        assert row.places is not None and row.places[1] - row.places[0] >= 4
