"""Arrow files: written in chunks, read without a copy."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from harness.api import SCORE
from harness.storage import arrow
from harness.storage.arrow import Texts
from harness.task_types.classification import Classification
from harness.task_types.regression import Regression
from harness.task_types.tagging import Tagging

SCHEMA = pa.schema([("text", pa.string()), ("number", pa.int64())])


def rows(count: int) -> list[dict[str, Any]]:
    return [{"text": f"text {number} é", "number": number} for number in range(count)]


@pytest.fixture(params=[1, 3, 1000])
def texts(request: pytest.FixtureRequest) -> tuple[Texts, list[str]]:
    """Ten texts in chunks of some size, and the same as a list."""
    plain = [f"{letter} é" for letter in "abcdefghij"]
    size: int = request.param
    chunks = [pa.array(plain[at : at + size]) for at in range(0, 10, size)]
    return Texts(pa.chunked_array(chunks)), plain


def test_texts_are_like_a_list(texts: tuple[Texts, list[str]]) -> None:
    lazy, plain = texts
    assert len(lazy) == 10 and list(lazy) == plain and "c é" in lazy and lazy.index("d é") == 3
    assert [lazy[i] for i in (0, -1, 7)] == [plain[i] for i in (0, -1, 7)]
    assert lazy[np.int64(4)] == plain[4]  # type: ignore[call-overload]
    for cut in (slice(None), slice(2, 5), slice(-3, None), slice(8, 99), slice(5, 2), slice(None, None, -2)):
        assert lazy[cut] == plain[cut]
    for wrong in (10, -11):
        with pytest.raises(IndexError):
            lazy[wrong]
    assert random.Random(0).sample(lazy, 3) == random.Random(0).sample(plain, 3)


def test_rows_are_written_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "_CHUNK", 4)
    held: list[int] = []

    def lazily() -> Any:
        for row in rows(10):
            held.append(row["number"])
            yield row

    assert arrow.write(tmp_path / "x.arrow", SCHEMA, lazily()) == 10
    table = arrow.read(tmp_path / "x.arrow")
    assert table.schema == SCHEMA and table.to_pylist() == rows(10)
    assert [len(chunk) for chunk in table["text"].chunks] == [4, 4, 2]
    assert list(Texts(table["text"])) == [row["text"] for row in rows(10)]


def test_no_rows_are_a_table_too(tmp_path: Path) -> None:
    assert arrow.write(tmp_path / "x.arrow", SCHEMA, iter([])) == 0
    table = arrow.read(tmp_path / "x.arrow")
    assert table.schema == SCHEMA and table.num_rows == 0
    assert list(Texts(table["text"])) == [] and Classification().labels(table["number"], ()).tolist() == []


def test_tables_are_written_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "_CHUNK", 4)
    table = pa.Table.from_pylist(rows(10), SCHEMA)
    arrow.write_table(tmp_path / "x.arrow", table)
    read = arrow.read(tmp_path / "x.arrow")
    assert read.equals(table) and read["text"].num_chunks == 3


def test_reading_copies_nothing(tmp_path: Path) -> None:
    arrow.write_table(tmp_path / "x.arrow", pa.table({"text": ["x" * 1000] * 5000}))
    before = pa.total_allocated_bytes()
    table = arrow.read(tmp_path / "x.arrow")
    texts = Texts(table["text"])
    assert texts[4999] == "x" * 1000
    assert pa.total_allocated_bytes() - before < 1_000_000 < table.nbytes


def test_integers() -> None:
    column = pa.chunked_array([pa.array([1, -1], pa.int32()), pa.array([5], pa.int32())])
    found = Classification().labels(column, ("a",) * 6)
    assert found.tolist() == [1, -1, 5] and found.dtype == np.int64


def test_lists_of_integers_are_end_to_end() -> None:
    parts = [pa.array([[1, -1], [5]], pa.list_(pa.int32())), pa.array([[2]], pa.list_(pa.int32()))]
    found = Tagging().labels(pa.chunked_array(parts), ("a",) * 6)
    assert found.tolist() == [1, -1, 5, 2] and found.dtype == np.int64


def test_scores() -> None:
    column = pa.chunked_array([pa.array([1.5, float("nan")], pa.float32())])
    found = Regression().labels(column, SCORE)
    assert found.dtype == np.float32 and found[0] == 1.5 and np.isnan(found[1])


READ = """
import sys
from pathlib import Path
from harness.featurise.splitting import splits
from harness.storage import arrow
from harness.task_types.former import TaskType

for path in sys.argv[1:]:
    task_type = TaskType.known[Path(path).stem]()
    found = arrow.examples(arrow.read(Path(path)), ("a", "b"), task_type)
    words = [len(one.words) for one in splits(found.texts)]
    print(found.labels.tolist(), found.labels.dtype, len(found.texts), words)
print("pandas" in sys.modules)
"""


def test_labels_and_words_are_read_without_pandas(tmp_path: Path) -> None:
    """It is installed, but its import takes 0.2 s and 30 MB in each worker."""
    text, count = "a b " * 500, 40
    labels: dict[str, list[Any]] = {
        "classification": [0, 1, -1, 1] * 10,
        "regression": [0.5, float("nan")] * 20,
        "tagging": [[0, 1], []] * 20,
    }
    for name, column in labels.items():
        kind = {"classification": pa.int32(), "regression": pa.float32(), "tagging": pa.list_(pa.int32())}[
            name
        ]
        table = pa.table({"text": pa.array([text] * count), "label": pa.array(column, kind)})
        chunked = pa.concat_tables([table.slice(0, 3), table.slice(3, 0), table.slice(3)])
        arrow.write_table(tmp_path / f"{name}.arrow", chunked)
    command = [sys.executable, "-c", READ, *(str(tmp_path / f"{name}.arrow") for name in labels)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *found, pandas = done.stdout.splitlines()
    assert found == [
        f"{labels['classification']} int64 40 [2]",
        f"{labels['regression']} float32 40 [2]",
        f"{[0, 1] * 20} int64 40 [2]",
    ]
    assert pandas == "False"
