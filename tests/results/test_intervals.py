"""What predictions add to the rows of a table."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from predicted import of_logits
from test_leaderboard import column, make, part, terminal

from harness.report import leaderboard
from harness.report.leaderboard import to_csv, to_json, to_markdown
from harness.results import intervals, predictions
from harness.results.board import build, of_run
from harness.results.ranking import Row, Table
from harness.results.record import Record
from harness.results.statistics import estimate, holm, holm_pairs
from harness.task_types.base import Prediction

COUNT = 400
NAMES = ("no", "yes")


def answers(right: int, start: int = 0) -> Prediction:
    """A model that is right on `right` of the texts, from one of them on."""
    gold = np.arange(COUNT) % 2
    wrong = np.ones(COUNT, bool)
    wrong[(start + np.arange(right)) % COUNT] = False
    found = of_logits(np.eye(2)[gold ^ wrong], gold, NAMES, "yes")
    assert found is not None
    return found


def shortened(one: Prediction, count: int) -> Prediction:
    """The answers to the first texts alone."""
    parts = (part[:count] for part in (one.predicted, one.confidence, one.gold))
    return one._replace(**dict(zip(one._fields, parts, strict=False)))


def scored(role: str, right: int, seed: int = 0, start: int = 0, **fields: Any) -> tuple[Record, Prediction]:
    """A record, and the predictions behind its accuracy."""
    return make(role, right / COUNT, seed, **fields), answers(right, start)


def table_of(cells: list[tuple[Record, Prediction]]) -> Table:
    (table,) = build([record for record, _ in cells], answers_of(cells)).tables
    return table


def answers_of(cells: list[tuple[Record, Prediction]]) -> dict[str, Prediction]:
    return {record["cell"]: found for record, found in cells}


def ladder() -> list[tuple[Record, Prediction]]:
    """A teacher; two students a hair apart; a far worse one."""
    return [
        scored("teacher", 392),
        scored("distilled", 360),
        scored("distilled", 358, student=part("cnn")),
        scored("distilled", 200, student=part("tiny")),
    ]


def by_name(table: Table) -> dict[str, Row]:
    return {row.labels["student" if row.role != "teacher" else "teacher"]: row for row in table.rows}


def test_intervals_are_those_of_the_estimates() -> None:
    cells = ladder()
    table = table_of(cells)
    expected = estimate("accuracy", [[found] for _, found in cells])
    for place, row in enumerate(table.rows):
        assert row.interval == expected.interval(place)
        assert row.interval is not None and row.interval[0] < row.stats["accuracy"].mean < row.interval[1]
    assert table.note == ""


def test_rows_that_cannot_be_told_apart_share_their_places() -> None:
    rows = by_name(table_of(ladder()))
    # 392 and 360 differ on 32 texts, all of them for the teacher: p = 2 / 2³²; 360 and 358 on two.
    assert {name: row.places for name, row in rows.items()} == {
        "minilm": (1, 1),
        "mlp": (2, 3),
        "cnn": (2, 3),
        "tiny": (4, 4),
    }
    board = build([record for record, _ in ladder()], answers_of(ladder()))
    assert column(to_markdown(board), "#") == ["1", "2–3", "2–3", "4"]


def test_places_are_corrected_for_the_number_of_pairs() -> None:
    # 6 texts for one and none for the other: p = 2 / 2⁶ = 0.031, which is luck among many pairs.
    two = [scored("distilled", 306), scored("distilled", 300, student=part("cnn"))]
    assert [row.places for row in table_of(two).rows] == [(1, 1), (2, 2)]
    more = [*two, scored("distilled", 303, student=part("gru"))]
    assert [row.places for row in table_of(more).rows] == [(1, 3), (1, 3), (1, 3)]


def test_in_long_tables_only_the_best_rows_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "COMPARED", 2)
    table = table_of(ladder())
    assert [row.places for row in table.rows] == [(1, 1), (2, 2), None, None]
    assert [row.interval is None for row in table.rows] == [False, False, True, True]
    assert table.note == (
        "intervals, ranges of ranks and tests are for the best 2 of 4 rows, with the correction for all "
        "of them"
    )
    # p = 0.031 for one pair, but the table has three.
    two = [scored("distilled", 306), scored("distilled", 300, student=part("cnn"))]
    found = table_of([*two, scored("distilled", 200, student=part("gru"))])
    assert [row.places for row in found.rows] == [(1, 2), (1, 2), None]


def test_a_gain_has_an_interval_and_says_whether_it_is_luck() -> None:
    wide, narrow = part("wide"), part("narrow")
    cells = [
        *(scored("baseline", 300 + seed, seed, student=wide) for seed in range(3)),
        *(scored("distilled", 350 + seed, seed, student=wide) for seed in range(3)),
        *(scored("baseline", 300 + 4 * seed, seed, 20 * seed, student=narrow) for seed in range(3)),
        *(scored("distilled", 301 + 4 * seed, seed, 20 * seed, student=narrow) for seed in range(3)),
    ]
    rows = [row for row in table_of(cells).rows if row.role == "distilled"]
    found = [[one for _, one in cells[start : start + 3]] for start in (3, 0, 9, 6)]
    compared = estimate("accuracy", found)
    gains = [compared.compare(0, 1), compared.compare(2, 3)]
    corrected = holm([gain.p for gain in gains])
    for row, gain, p in zip(rows, gains, corrected, strict=True):
        assert row.gain == pytest.approx(gain.value)
        assert row.gain_interval == pytest.approx((gain.low, gain.high))
        assert row.gain_p == pytest.approx(p)
    assert rows[0].gain_p is not None and rows[0].gain_p < 0.05
    assert rows[1].gain_p is not None and rows[1].gain_p > 0.05
    board = build([record for record, _ in cells], answers_of(cells))
    assert column(to_markdown(board), "gain, points") == [r"+12.5 \*", "+0.2", "—", "—"]
    interval = column(to_markdown(board), "gain's 95 % interval")[0]
    low, high = (float(end) for end in interval.split(" to "))
    assert low < 12.5 < high and interval.startswith("+")


def test_what_is_better_when_lower() -> None:
    def number(role: str, off: float, **fields: Any) -> tuple[Record, Prediction]:
        gold = np.linspace(0, 1, COUNT).astype(np.float32)
        noise = np.where(np.arange(COUNT) % 3 == 0, off, -off).astype(np.float32)
        found = of_logits((gold + noise)[:, None], gold, ("score",))
        assert found is not None
        score = float(estimate("mae", [[found]]).values[0])
        return make(
            role, 0, metrics={"mae": score}, task={"headline": "mae", "type": "regression"}, **fields
        ), found

    cells = [number("baseline", 0.3), number("distilled", 0.1), number("teacher", 0.05)]
    table = table_of(cells)
    assert [(row.role, row.places) for row in table.rows] == [
        ("teacher", (1, 1)),
        ("distilled", (2, 2)),
        ("baseline", (3, 3)),
    ]
    gain = table.rows[1]
    assert gain.gain is not None and gain.gain_interval is not None
    assert gain.gain == pytest.approx(0.2, abs=1e-4)
    assert gain.gain_interval[0] <= gain.gain <= gain.gain_interval[1]


def test_without_predictions_the_table_says_what_it_lacks() -> None:
    records = [record for record, _ in ladder()]
    (table,) = build(records, {}).tables
    assert table.note == (
        "no intervals: they need predictions.parquet, which bench writes, with the predictions of these rows"
    )
    assert all(row.interval is None and row.places is None for row in table.rows)
    assert table.note in to_markdown(build(records, {}))
    assert "95 % interval" not in to_markdown(build(records, {})).partition("\n± ")[0].partition("#: ")[0]
    assert build(records).tables[0].note == ""  # where nobody looked for them
    assert column(to_markdown(build(records, {})), "#") == ["1", "2", "3", "4"]


def test_a_metric_that_predictions_do_not_tell() -> None:
    record, found = scored("baseline", 300)
    record["metrics"]["perplexity"] = 8.0
    record["task"]["headline"] = "perplexity"
    assert table_of([(record, found)]).note == "no intervals: 'perplexity' cannot be had from predictions"


def test_rows_without_predictions_may_have_any_place() -> None:
    cells = ladder()
    records = [record for record, _ in cells]
    (table,) = build(records, answers_of(cells[:2] + cells[3:])).tables
    rows = by_name(table)
    assert rows["cnn"].interval is rows["cnn"].places is None and rows["cnn"].rank == 3
    assert rows["minilm"].places == (1, 2)
    assert rows["tiny"].places == (3, 4)
    assert table.note == "1 of 4 rows have no interval: their predictions are missing"


def test_predictions_of_another_run_or_other_texts_do_not_count() -> None:
    cells = ladder()
    records = [record for record, _ in cells]
    stale = answers_of(cells) | {records[1]["cell"]: answers(100)}
    assert by_name(build(records, stale).tables[0])["mlp"].interval is None
    fewer = answers_of(cells) | {records[2]["cell"]: shortened(cells[2][1], 9)}
    assert by_name(build(records, fewer).tables[0])["cnn"].interval is None
    nothing = {record["cell"]: answers(1) for record in records}
    assert build(records, nothing).tables[0].note.startswith("no intervals: they need")


def test_a_seed_that_failed_leaves_the_others() -> None:
    cells = [scored("distilled", 300 + seed, seed) for seed in range(2)]
    failed = make("distilled", None, 2, reason="killed")
    (table,) = build([*(record for record, _ in cells), failed], answers_of(cells)).tables
    assert table.rows[0].cells == tuple(record["cell"] for record, _ in cells)
    assert table.rows[0].interval is not None


def test_forms_for_programs_have_them() -> None:
    cells = [*ladder(), scored("baseline", 300)]
    board = build([record for record, _ in cells], answers_of(cells))
    row = board.tables[0].rows[1]
    assert row.interval is not None and row.gain_interval is not None
    flat = list(csv.DictReader(io.StringIO(to_csv(board))))[1]
    assert (float(flat["interval_low"]), float(flat["interval_high"])) == row.interval
    assert (flat["place_best"], flat["place_worst"]) == ("2", "3")
    assert float(flat["gain_interval_low"]) == row.gain_interval[0]
    assert float(flat["gain_p"]) == row.gain_p
    value = json.loads(to_json(board))["tables"][0]
    assert value["note"] == ""
    assert tuple(value["rows"][1]["interval"]) == row.interval
    assert value["rows"][1]["places"] == [2, 3]
    assert value["rows"][1]["cells"] == list(row.cells)
    assert value["rows"][0]["gain_p"] is None
    shown = terminal_of(cells, 200)
    assert "2–3" in shown and "gain's 95 % interval" not in terminal_of(cells, 80).partition("not shown")[0]


def terminal_of(cells: list[tuple[Record, Prediction]], width: int) -> str:
    from rich.console import Console

    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(leaderboard.to_rich(build([r for r, _ in cells], answers_of(cells)), width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_folder_of_results_holds_what_its_tables_need(tmp_path: Path) -> None:
    cells = ladder()
    records, found = [record for record, _ in cells], answers_of(cells)
    board = leaderboard.write(records, tmp_path, found)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "leaderboard.csv",
        "leaderboard.md",
        "predictions.parquet",
        "records.jsonl",
    ]
    again = build(records, predictions.read(tmp_path))
    assert to_json(again) == to_json(board)
    assert to_markdown(again) == (tmp_path / "leaderboard.md").read_text(encoding="utf-8")


def test_a_run_shows_its_own_tables() -> None:
    mine, others = make("baseline", 0.8), make("baseline", 0.9, task={"source": "sample"})
    board = build([mine, others])
    assert [table.task["source"] for table in of_run(board, [mine]).tables] == ["local"]
    assert len(of_run(board, [mine, others]).tables) == 2
    assert of_run(board, []).tables == ()
    assert "82" not in terminal([mine], 80)


def test_pairs_of_a_table_are_corrected_together() -> None:
    cells = ladder()
    p = holm_pairs(estimate("accuracy", [[found] for _, found in cells]).p_values())
    assert p[0, 1] == pytest.approx(2 / 2**32 * 2)  # four of the six pairs are surer
