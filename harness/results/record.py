"""A Record: all that is known of one cell, as one JSON object on one line of ``records.jsonl``.

A Record *is* that JSON object, a plain dictionary of plain values whose keys are typed here. Reading
checks the types, keeps keys that this version does not know, and refuses a newer schema.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic cannot read typing's own before Python 3.12

from harness.api import HarnessError
from harness.results.provenance import Provenance
from harness.storage.files import dumps, publish

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA = 1  # raised when a field is renamed or changes its meaning, never for a new field

Status = Literal["ok", "failed", "unavailable", "incompatible"]
Role = Literal["teacher", "baseline", "distilled"]


class ComponentInfo(TypedDict):
    """Which component it was: its name, all its parameters, and where it came from."""

    name: str
    params: dict[str, Any]
    plugin: NotRequired[str | None]  # the distribution and its version
    version: NotRequired[int | None]  # the component's own


class TaskInfo(ComponentInfo):
    """The task and its data; empty or null where the data could not be had."""

    type: NotRequired[str]  # "classification", "tagging" or "language-modelling"
    headline: NotRequired[str]  # the metric that leaderboards sort by
    source: str | None  # "local", "hub" or "sample"
    origin: NotRequired[str | None]
    fingerprint: str | None
    train: NotRequired[int | None]  # rows
    validation: NotRequired[int | None]
    test: NotRequired[int | None]
    cells: NotRequired[int]  # that the suite had for this task, so that a part of them can be told from all
    # By split: how many raw texts there were, each step of cleaning changed, and were dropped and why
    cleaning: NotRequired[dict[str, dict[str, int]]]


class PriorInfo(TypedDict):
    """What the model was made on that a teacher or student started from; its parameters say how."""

    task: str
    source: str
    origin: str
    fingerprint: str


class ParameterCounts(TypedDict):
    """How many numbers the model holds."""

    total: int
    trainable: NotRequired[int | None]
    embedding: NotRequired[int | None]


class Latency(TypedDict):
    """One run of a latency step: milliseconds a call from text to label, or texts a second."""

    # "torch", "torch-graph" (of CUDA), "native", or a form of the export: "onnx", "onnx-int8", "numpy"
    backend: str
    device: str
    threads: int
    scenario: NotRequired[str]  # "single-stream", one text after the other; "offline", all at once
    batch: int  # texts in a call
    n: int  # texts asked
    p50_ms: NotRequired[float]
    p90_ms: NotRequired[float | None]  # null where n is too small for it to mean anything
    p99_ms: NotRequired[float | None]
    mean_ms: NotRequired[float | None]
    tokenising_ms: NotRequired[float]  # the median of what it takes of a call
    kernels_ms: NotRequired[float]  # the median of what a GPU's kernels take of a call of torch
    samples_per_s: NotRequired[float]  # offline


class Cost(TypedDict, total=False):
    """What making the model took."""

    train_s: float | None
    prior_s: float  # to make the model that it starts from, where it starts from one
    examples: int | None  # seen in training, repeats included
    examples_per_s: float | None
    peak_rss_bytes: int | None
    peak_gpu_bytes: int | None  # that torch had allocated; null on a CPU
    energy_j: float | None  # of the CPU packages while the step ran, whatever else did; null if not readable


class Record(TypedDict):
    """One cell. ``metrics`` are on the test split, ``validation`` the same on the validation split."""

    schema: int
    suite: str
    cell: str  # the cell's key
    status: Status
    reason: NotRequired[str | None]  # why it is not ok
    role: Role
    task: TaskInfo
    teacher: NotRequired[ComponentInfo | None]
    student: NotRequired[ComponentInfo | None]
    augmenter: NotRequired[ComponentInfo | None]
    loss: NotRequired[ComponentInfo | None]
    seed: int
    prior: NotRequired[PriorInfo | None]  # null where it started from no model that a step had made
    metrics: NotRequired[dict[str, Any]]  # numbers; beside them `per_class`, `confusion`, `hidden`
    validation: NotRequired[dict[str, Any]]
    neighbours: NotRequired[dict[str, Any]]  # of language models: kind of vector → word → its nearest words
    parameters: NotRequired[ParameterCounts | None]
    size_bytes: NotRequired[dict[str, int | None]]  # by form: "model", "onnx", "onnx-int8", "numpy"
    latency: NotRequired[list[Latency]]
    artefacts: NotRequired[dict[str, str]]  # role, mostly the kind of step → key in the store
    cost: NotRequired[Cost]
    provenance: NotRequired[Provenance]


@cache
def _adapter() -> TypeAdapter[Record]:
    from pydantic import TypeAdapter

    for part in (ComponentInfo, TaskInfo, PriorInfo, ParameterCounts, Latency, Cost, Provenance, Record):
        setattr(part, "__pydantic_config__", {"extra": "allow"})  # noqa: B010
    return TypeAdapter(Record)


def check(value: Any) -> Record:
    """The value as a Record, or a HarnessError that says what is wrong with it."""
    from pydantic import ValidationError

    schema = value.get("schema") if isinstance(value, Mapping) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise HarnessError(f"written by a newer harness (schema {schema}; this one reads up to {SCHEMA})")
    try:
        return _adapter().validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the record"
        raise HarnessError(f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None


def read(path: Path) -> list[Record]:
    """The records of a file that :func:`write` made; HarnessError names the first damaged line."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise HarnessError(f"there are no records at {path}") from None
    except OSError as error:
        raise HarnessError(f"cannot read {path}: {error.strerror}") from None
    collecting = gc.isenabled()
    gc.disable()  # a hundred new containers a line and not one cycle: half the time would go on looking
    try:
        return [
            _parse(line, f"{path}, line {i}") for i, line in enumerate(data.split(b"\n"), 1) if line.strip()
        ]
    finally:
        if collecting:
            gc.enable()


def _parse(line: bytes, where: str) -> Record:
    from pydantic_core import from_json

    try:
        try:
            value = from_json(line)  # twice as fast as json's
        except ValueError:
            value = json.loads(line)  # and json's takes the lone surrogates of odd file names
        return check(value)
    except HarnessError as error:
        raise HarnessError(f"{where}: {error}") from None
    except (ValueError, RecursionError):
        raise HarnessError(f"{where}: damaged, this is no JSON object") from None


def write(records: Iterable[Record], path: Path) -> None:
    """Replace the file by these records, one a line, all or nothing."""
    publish(path, "".join(dumps(record) + "\n" for record in records))
