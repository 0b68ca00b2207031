"""The task `hub`: any data set, prepared as `datasets` leaves it, with splits named or carved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from harness.api import HarnessError, Unavailable
from harness.catalog import load
from harness.parameters import ParameterErrors
from harness_tasks.hub import Hub

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A data set of one split as `datasets` keeps it."""
    folder = tmp_path / "some-one___moods" / "plain" / "0.0.0" / REVISION
    folder.mkdir(parents=True)
    features = {"mood": {"names": ["sad", "glad"], "_type": "ClassLabel"}, "tweet": {"dtype": "string"}}
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}), encoding="utf-8")
    rows = pa.table({"tweet": [f"tweet {n}" for n in range(40)], "mood": [n % 2 for n in range(40)]})
    for split in ("all", "held_out"):
        sink = str(folder / f"moods-{split}.arrow")
        with pa.OSFile(sink, "wb") as file, pa.ipc.new_stream(file, rows.schema) as writer:
            writer.write_table(rows)
    return folder


def moods(**more: Any) -> Hub:
    given = {"config": "plain", "text": "tweet", "label": "mood", "train": "all", "validation": ""}
    return Hub("some-one/moods", REVISION, **{**given, "test": "", **more})


def sizes(tables: Mapping[str, pa.Table]) -> dict[str, int]:
    return {split: table.num_rows for split, table in tables.items()}


def test_carved(prepared: Path) -> None:
    task = moods(test_share=0.2)
    task.check()
    assert task.resolve("auto") == task.resolve("hub")
    tables = task.read(task.resolve("auto"))
    assert sizes(tables) == {"train": 28, "validation": 4, "test": 8}
    assert set(tables["train"]["label"].to_pylist()) == {"sad", "glad"}
    assert len({text for table in tables.values() for text in table["text"].to_pylist()}) == 40


def test_named(prepared: Path) -> None:
    task = moods(test="held_out")
    assert sizes(task.read(task.resolve("hub"))) == {"train": 36, "test": 40, "validation": 4}


def test_other_columns_and_rows_are_other_data(prepared: Path) -> None:
    tasks = [moods(), moods(split_seed=1), moods(test_share=0.2), moods(test="held_out"), moods(text="mood")]
    assert len({task.resolve("hub").fingerprint for task in tasks}) == len(tasks)
    assert len({moods(test="held_out", test_share=share).resolve("hub") for share in (0.1, 0.5)}) == 1


def test_absent_columns_and_splits(prepared: Path) -> None:
    for task, message in (
        (moods(text="twit"), r"has no column 'twit'; found: .*did you mean 'tweet'"),
        (moods(test="test"), "has no split 'test'"),
    ):
        with pytest.raises(HarnessError, match=message):
            task.read(task.resolve("hub"))


def test_no_other_source() -> None:
    for source in ("local", "sample"):
        with pytest.raises(Unavailable, match=f"has no {source} source: it reads some-one/moods from the"):
            moods().resolve(source)
    with pytest.raises(Unavailable, match="HF_HUB_OFFLINE is set"):
        moods().resolve("auto")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"revision": "main"}, "expected revision to be the 40 hexadecimal digits of a commit, got 'main'"),
        ({"id": "../x"}, "expected id to be a data set's name"),
        ({"id": "a/b/c"}, "expected id to be a data set's name"),
        ({"config": "../x"}, "expected config to be"),
        ({"text": "label"}, "text and label are both 'label'"),
        ({"train": ""}, "expected train to be the name of a split"),
        ({"test": "*"}, "expected train, validation and test to be names of splits"),
        ({"test": "train"}, "expected different splits for train, validation and test"),
        ({"validation": "", "test": "", "test_share": 0.95}, "leaves nothing to train on"),
        ({"test_share": 1.0}, "less than 1"),
    ],
)
def test_parameters(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterErrors, match=message):
        load().build("task", {"use": "hub", "id": "a/b", "revision": REVISION, **more})


def test_a_revision_is_required() -> None:
    with pytest.raises(ParameterErrors, match="needs the parameter 'revision'"):
        load().build("task", {"use": "hub", "id": "a/b"})
