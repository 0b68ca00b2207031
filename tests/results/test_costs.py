"""What the models of some records cost."""

from __future__ import annotations

from typing import Any

from harness.results.costs import spent


def record(cell: str, role: str, cost: dict[str, float], **artefacts: str) -> Any:
    return {"cell": cell, "role": role, "cost": cost, "artefacts": artefacts}


def test_shared_work_counts_once() -> None:
    records = [
        record("a", "teacher", {"train_s": 100.0, "prior_s": 7.0}, teacher="t", prior="p"),
        record(
            "b", "distilled", {"train_s": 10.0, "labelling_s": 30.0}, student="s", targets="x", teacher="t"
        ),
        record(
            "c", "distilled", {"train_s": 11.0, "labelling_s": 30.0}, student="r", targets="x", teacher="t"
        ),
        record(
            "d", "distilled", {"train_s": 12.0, "labelling_s": 5.0}, student="q", targets="y", teacher="t"
        ),
        record("e", "baseline", {"train_s": 2.0}, student="b"),
        record("f", "baseline", {"train_s": 2.0}, student="b"),  # the same model in another table
    ]
    found = spent(records)
    assert (found.teachers_s, found.labels_s, found.students_s) == (107.0, 35.0, 35.0)
    assert found.whole_s == 177.0


def test_records_without_costs_or_artefacts() -> None:
    assert spent([]).whole_s == 0
    assert spent([record("a", "teacher", {}), record("b", "baseline", {"train_s": 3.0})]).whole_s == 3
