from __future__ import annotations

import errno
import gc
import json
import os
import subprocess
import sys
import threading
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from harness.api import HarnessError
from harness.results import record as records
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
        "provenance": {**records.environment(), "started": "2025-01-01T00:00:00Z", "finished": None},
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
        (json.dumps(make(schema=2, status="great")).encode(), r"written by a newer harness \(schema 2"),
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


@pytest.mark.parametrize(
    ("code", "says"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "the folder is read-only"), (errno.EIO, "error")],
)
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, says: str
) -> None:
    path = tmp_path / "records.jsonl"
    records.write([make()], path)
    before = path.read_bytes()

    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(HarnessError, match=f"cannot write .*{says}"):
        records.write([], path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(HarnessError, match="the folder is read-only"):
            records.write([make()], tmp_path / "records.jsonl")
    finally:
        tmp_path.chmod(0o700)


def test_a_file_in_the_way_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(HarnessError, match="cannot write"):
        records.write([make()], tmp_path / "results" / "records.jsonl")


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path, stop = tmp_path / "records.jsonl", threading.Event()
    versions = [[make(seed=seed)] * count for seed, count in ((0, 1), (1, 40))]
    records.write(versions[0], path)

    def rewrite() -> None:
        while not stop.is_set():
            for version in versions:
                records.write(version, path)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(50):
            assert records.read(path) in versions
    finally:
        stop.set()
        writer.join()


def test_environment() -> None:
    found = records.environment()
    assert found["python"].startswith("3.")
    assert "numpy" in found["packages"] and records.DISTRIBUTION in found["packages"]
    assert found["cpu"] and "core" in found["cpu"] and found["os"]
    assert found["git"] is None or len(found["git"].removesuffix("-dirty")) == 40
    assert json.loads(json.dumps(found)) == found
    found["packages"].clear()
    assert records.environment()["packages"], "a caller's changes must not reach the next"


def test_environment_loads_nothing_heavy() -> None:
    code = (
        "import sys, harness.results.record; harness.results.record.environment();"
        "assert not {'torch', 'pandas', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_installed_copy_does_not_claim_the_commit_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    installed = tmp_path / "site-packages" / "harness" / "results" / "record.py"
    monkeypatch.setattr(records, "__file__", str(installed))
    assert records._commit() is None


CELLS = count()


def moods(source: str, score: float, student: str = "mlp", seed: int = 0, **fields: Any) -> dict[str, Any]:
    task = {"name": "moods", "params": {}, "source": source, "fingerprint": "1", "cells": 9}
    params = {"width": (8,), "of": [{"use": "mask", "share": 0.1}]}
    return {
        "cell": str(next(CELLS)),
        "status": "ok",
        "role": "baseline",
        "task": task | fields,
        "student": {"name": student, "params": params, "version": 1},
        "seed": seed,
        "metrics": {"accuracy": score},
    }


def read_again(value: Any) -> Any:
    return json.loads(json.dumps(value))


def planned(*found: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a suite that has these records' cells, with seeds 0 and 1."""
    return [read_again(record) | {"seeds": [0, 1]} for record in found]


def test_merge_keeps_what_other_sources_gave() -> None:
    real, old, new = moods("local", 0.9), moods("sample", 0.5), moods("sample", 0.6)
    assert records.merge([real, old], [new]) == ([new, real], 0, 1)


def test_merge_keeps_the_suites_rows_that_a_run_has_nothing_of() -> None:
    new = moods("local", 0.6)
    other = read_again([moods("local", 0.7, "cnn"), moods("local", 0.8, "cnn", seed=1)])
    gone = moods("local", 0.9, "lstm")  # no longer in the suite
    elsewhere = moods("local", 0.9, "cnn", fingerprint="2")  # of other data
    unknown = moods("local", 0.9, "cnn", seed=7)  # a seed that the suite does not have
    failed = moods("local", 0.9, "cnn", seed=1) | {"status": "failed"}
    # Another seed of a row that was measured anew would be of other code than the first.
    mixed = moods("local", 0.1, seed=1)
    before = [*other, gone, elsewhere, unknown, failed, mixed]
    assert records.merge(before, [new], planned(new, other[0])) == ([new, *other], 2, 3)


def test_merge_fills_in_parameters_that_came_later() -> None:
    new, old, now = moods("local", 0.6), moods("local", 0.7, "cnn"), moods("local", 0.7, "cnn", cells=12)
    now["student"]["params"] = {
        "width": [8],
        "dropout": 0.0,
        "of": [{"use": "mask", "share": 0.1, "force": 1}],
    }
    (_, found), stayed, _ = records.merge([read_again(old)], [new], planned(new, now))
    assert stayed == 1
    assert found["student"]["params"] == now["student"]["params"] and found["task"]["cells"] == 12
    assert found["metrics"] == old["metrics"]

    again = moods("local", 0.8, "cnn") | {"student": now["student"]}  # the same row, measured meanwhile
    assert records.merge([read_again(old)], [new, again], planned(new, now)) == ([new, again], 0, 0)

    swept = [now, read_again(now)]  # two rows that it could have been
    swept[1]["student"]["params"]["dropout"] = 0.5
    assert records.merge([read_again(old)], [new], planned(new, *swept)) == ([new], 0, 1)

    raised = read_again(now)
    raised["student"]["version"] = 2  # whose results are others
    assert records.merge([read_again(old)], [new], planned(new, raised)) == ([new], 0, 1)
