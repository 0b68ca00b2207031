"""What the parts of a run cost that every run pays for: reading records, tables, metrics, sample corpora.

pytest tests/benchmarks/bench_parts.py --benchmark-only
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import catalog
from harness.api import Unavailable
from harness.report.leaderboard import build, to_csv, to_json, to_markdown, to_rich
from harness.results import record
from harness.task_types.label_scores import classification

RECORDS = Path(__file__).parents[2] / "results" / "emotion" / "records.jsonl"
SAMPLES = ("emotion", "sst2", "reviews", "imdb", "wnut17", "tweets")


def copies(count: int) -> list[dict[str, Any]]:
    """Return `count` records of the emotion suite, each with another configuration; about 42 kB each."""
    found = [json.loads(line) for line in RECORDS.read_text(encoding="utf-8").splitlines()]
    distilled = next(one for one in found if one["role"] == "distilled")
    student = distilled["student"]
    students = ({**student, "params": {**student["params"], "width": n}} for n in range(count))
    return [{**distilled, "cell": f"{n:032x}", "student": student} for n, student in enumerate(students)]


def test_reading_a_thousand_records(benchmark: Any, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in copies(1000)), encoding="utf-8")
    assert len(benchmark.pedantic(record.read, (path,), rounds=3, warmup_rounds=1)) == 1000


def test_tables_of_a_thousand_records(benchmark: Any) -> None:
    records: Any = copies(1000)

    def tables() -> list[Any]:
        board = build(records)
        return [render(board) for render in (to_markdown, to_csv, to_json, to_rich)]

    assert all(benchmark.pedantic(tables, rounds=3, warmup_rounds=1))


def test_metrics_of_two_hundred_texts(benchmark: Any) -> None:
    generator = np.random.default_rng(0)
    labels, logits = generator.integers(0, 6, 200), generator.normal(size=(200, 6))
    assert benchmark(classification, labels, logits, list("abcdef"))["accuracy"] < 0.5


@pytest.mark.parametrize("name", SAMPLES)
def test_generating_a_sample(benchmark: Any, name: str) -> None:
    task: Any = catalog.load().build("task", {"use": name})
    try:
        source = task.resolve("sample")
    except Unavailable as why:
        pytest.skip(str(why))
    assert benchmark.pedantic(task.read, (source,), rounds=3, warmup_rounds=1)["train"].num_rows
