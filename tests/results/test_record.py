from __future__ import annotations

import gc
import json
import os
from pathlib import Path
from typing import Any

import pytest

from harness.api import HarnessError
from harness.results import record as records
from harness.results.provenance import environment
from harness.results.record import Record


def component(name: str, **params: Any) -> Any:
    return {"name": name, "params": params, "plugin": "distil-harness 0.1.0", "version": 1}


def make(**changes: Any) -> Record:
    scores = {"accuracy": 0.91, "f1_macro": 0.88, "agreement": 0.95, "teacher_share": 0.98}
    value: Any = {
        "schema": 1,
        "suite": "emotion",
        "cell": "0f" * 32,
        "status": "ok",
        "reason": None,
        "role": "distilled",
        "task": {
            **component("emotion"),
            "source": "local",
            "origin": "/data/emotion",
            "fingerprint": "ab" * 32,
            "train": 16000,
            "validation": 2000,
            "test": 2000,
        },
        "teacher": component("minilm", epochs=3),
        "student": component("mlp", width=16),
        "augmenter": None,
        "loss": component("kl", temperature=2.0),
        "seed": 0,
        "metrics": {
            **scores,
            "per_class": {
                name: {"precision": 0.9, "recall": 0.8, "f1": 0.85, "support": 9} for name in "abcdef"
            },
            "confusion": [[10, 2, 0, 0, 1, 4]] * 6,
        },
        "validation": scores,
        "parameters": {"total": 80102, "trainable": 80102, "embedding": 80000},
        "size_bytes": {"model": 321000, "onnx": 330000},
        "latency": [
            {
                "backend": "onnx",
                "device": "cpu",
                "threads": 1,
                "batch": 1,
                "n": 700,
                "p50_ms": 0.0093,
                "p90_ms": 0.01,
                "p99_ms": None,
                "mean_ms": 0.0095,
            }
        ],
        "cost": {"train_s": 37.1, "examples": 128000, "examples_per_s": 3450.0, "peak_rss_bytes": 5 * 10**8},
        "provenance": {**environment(), "started": "2025-01-01T00:00:00Z", "finished": None},
    }
    return value | changes  # type: ignore[no-any-return]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "records.jsonl"
    odd = make(suite='a "quoted"\nname \u2028 é 漢 \udcff', metrics={"accuracy": 1})
    records.write([make(), odd], path)
    assert records.read(path) == [make(), odd]
    assert path.read_bytes().count(b"\n") == 2
    records.write([], path)
    assert records.read(path) == []
    assert [file.name for file in path.parent.iterdir()] == ["records.jsonl"]


def test_neighbours_share_what_is_equal(tmp_path: Path) -> None:
    wide = component("mlp", width=16, deep=True)
    also = component("mlp", width=16.0, deep=1)  # equal for Python, but another text
    made = [make(student=wide), make(student=wide), make(student=also)]
    records.write(made, tmp_path / "r")
    first, second, third = records.read(tmp_path / "r")
    assert second["task"] is first["task"] and second["student"] is first["student"]
    assert third["student"] == first["student"] and third["student"] is not first["student"]
    assert third["provenance"] is first["provenance"]
    before = (tmp_path / "r").read_bytes()
    records.write([first, second, third], tmp_path / "r")
    assert (tmp_path / "r").read_bytes() == before


def test_unknown_fields_are_kept_at_every_level(tmp_path: Path) -> None:
    value: Any = make(energy={"joules": 3})
    for part in ("task", "teacher", "parameters", "cost", "provenance"):
        value[part] = {**value[part], "later": [1, {"x": None}]}
    value["latency"][0]["later"] = "x"
    records.write([value], tmp_path / "r")
    assert records.read(tmp_path / "r") == [value]


def test_only_what_says_which_cell_it_is_must_be_there(tmp_path: Path) -> None:
    needed = ("schema", "suite", "cell", "status", "role", "task", "seed")
    value: Any = {key: item for key, item in make(status="unavailable").items() if key in needed}
    value["task"] = {"name": "emotion", "params": {}, "source": None, "fingerprint": None}
    assert records.check(value) == value
    for key in needed:
        with pytest.raises(HarnessError, match=f"^{key}: field required"):
            records.check({k: v for k, v in value.items() if k != key})


def test_nan_and_infinity_become_null(tmp_path: Path) -> None:
    records.write([make(metrics={"nll": float("nan"), "list": [float("-inf"), 1.5]})], tmp_path / "r")
    json.loads((tmp_path / "r").read_text(), parse_constant=pytest.fail)
    assert records.read(tmp_path / "r")[0]["metrics"] == {"nll": None, "list": [None, 1.5]}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"schema": 1, "suite": ', "damaged"),
        (b"\xff\xfe{}", "damaged"),
        (b"[" * 100_000, "damaged"),
        (b"{}", "schema: field required"),
        (b"[1]", "the record: input should be"),
        (json.dumps(make(status="great")).encode(), "status: input should be 'ok', 'failed'"),
        (json.dumps(make(seed="one")).encode(), "seed: input should be a valid integer"),
        (json.dumps(make(latency=[{}])).encode(), "latency.0.backend: field required"),
        (
            json.dumps(make(schema=2, status="great")).encode(),
            r"the schema is 2, but this version of harness reads up to 1",
        ),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes, says: str) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(json.dumps(make()).encode() + b"\n\n" + line + b"\n")
    with pytest.raises(HarnessError, match=rf"records\.jsonl, line 3: {says}") as caught:
        records.read(path)
    assert "\n" not in str(caught.value)
    assert gc.isenabled()


def test_absent_or_unreadable(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="there are no records at"):
        records.read(tmp_path / "nowhere")
    with pytest.raises(HarnessError, match="cannot read"):
        records.read(tmp_path)


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(path := tmp_path / "records.jsonl")  # to open it would wait for ever
    with pytest.raises(HarnessError, match=r"cannot read .*records\.jsonl: not a regular file"):
        records.read(path)
