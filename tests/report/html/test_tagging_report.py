"""Results of tagging, in the leaderboard, its intervals and the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from predicted import of_logits
from reporting import Results

from harness.report.columns import columns
from harness.report.html import looks
from harness.report.html import write as report
from harness.report.html.sections import sections
from harness.report.leaderboard import to_csv, to_markdown
from harness.task_types.entities import tagging

CLASSES = ("O", "B-loc", "I-loc", "B-per", "I-per")
LENGTHS = np.full(60, 4)
GOLD = np.tile([3, 4, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2], 20)  # three texts, over and over


@pytest.fixture
def tagged() -> Results:
    """The usual results as ones of tagging: models with more right answers have more right tags."""
    results = Results()
    before = np.concatenate([[0], np.cumsum(LENGTHS)])
    records: list[Any] = list(results.records)
    for number, record in enumerate(records):
        said = results.predictions[record["cell"]]
        share = (said.predicted == said.gold).mean()
        rng = np.random.default_rng(number)
        tags = np.where(rng.random(240) < share, GOLD, rng.integers(0, 5, 240))
        logits = np.eye(5, dtype=np.float32)[tags]
        record["task"] |= {"type": "tagging", "headline": "f1"}
        record["metrics"] = tagging(GOLD, logits, CLASSES, before)
        record["history"] = [{"examples": 60.0 * n, "loss": 1 / n, "validation_f1": 0.5} for n in (1, 2)]
        one = of_logits(logits, GOLD, CLASSES, lengths=LENGTHS.tolist())
        assert one is not None
        results.predictions[record["cell"]] = one
    return results


def test_the_leaderboard_shows_all_scores_of_entities(tagged: Results) -> None:
    (table,) = tagged.board.tables
    titles = [column.title for column in columns(table)]
    shown = [
        title
        for title in titles
        if title in ("F1, %", "precision, %", "recall, %", "macro F1, %", "accuracy, %")
    ]
    assert shown == ["F1, %", "precision, %", "recall, %", "macro F1, %", "accuracy, %"]
    ranks = [row.stats["f1"].mean for row in table.rows if row.rank is not None]
    assert ranks == sorted(ranks, reverse=True) and len(ranks) == 8
    assert "F1, %" in to_markdown(tagged.board) and "f1_macro" in to_csv(tagged.board)


def test_rows_have_intervals_and_gains(tagged: Results) -> None:
    (table,) = tagged.board.tables
    assert table.note == ""
    for row in table.rows:
        assert row.interval is not None and row.interval[0] < row.stats["f1"].mean < row.interval[1]
    assert all(row.gain_p is not None for row in table.rows if row.role == "distilled")


def test_types_of_entities_have_their_scores(tagged: Results) -> None:
    (section,) = sections(tagged.board, tagged.records)
    found = {look.id: look for look in looks.of_section(section, tagged.predictions)}
    look = found["emotion-local-classes"]
    assert look.title == "Score by type of entity" and look.head[0] == "type" and look.head[-1] == "entities"
    series = look.series[0]
    assert series is not None and series["y"] == ["loc", "per"]
    assert [count for *_, count in series["customdata"]] == [40, 20]
    assert "emotion-local-confusion" not in found
    assert "emotion-local-validation" in found


def test_the_page_is_whole(tagged: Results, tmp_path: Path) -> None:
    report.write(tagged.board, tagged.records, tagged.predictions, tmp_path / "tags")
    page = (tmp_path / "tags" / "index.html").read_text(encoding="utf-8")
    assert "Score by type of entity" in page and "no intervals" not in page
    assert "macro F1" in page and (tmp_path / "tags" / "leaderboard.tex").stat().st_size
