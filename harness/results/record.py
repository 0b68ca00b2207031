"""Define, read and write records: all results of one cell, as a JSON object in ``records.jsonl``.

A record is a plain dictionary, whose keys and types are declared here. Reading checks the types, keeps
unknown keys, and raises an error for a newer schema.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NotRequired, cast

from typing_extensions import TypedDict  # pydantic cannot read typing's own before Python 3.12

from harness.api import HarnessError
from harness.results.provenance import Provenance
from harness.storage.files import contents, dumps, publish

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA = 1  # increased if a field is renamed or changes its meaning, not for a new field

Status = Literal["ok", "failed", "unavailable", "incompatible"]
Role = Literal["teacher", "baseline", "distilled"]


class ComponentInfo(TypedDict):
    """A component: its name, all its parameters, and its plugin."""

    name: str
    params: dict[str, Any]
    plugin: NotRequired[str | None]  # the distribution and its version
    version: NotRequired[int | None]  # the component's own
    base: NotRequired[str]  # what it starts from: commits or fingerprints of pretrained weights, one a line
    note: NotRequired[str]  # what readers must know about that, e.g. that the weights were rounded


class TaskInfo(ComponentInfo):
    """The task and its data; fields of data that are not available are missing or null."""

    type: NotRequired[str]  # "classification", "tagging" or "language-modelling"
    headline: NotRequired[str]  # the metric that leaderboards sort by
    source: str | None  # "local", "hub" or "sample"
    origin: NotRequired[str | None]
    fingerprint: str | None
    train: NotRequired[int | None]  # rows
    validation: NotRequired[int | None]
    test: NotRequired[int | None]
    cells: NotRequired[int]  # of the suite for this task, to see whether only a part of them ran
    # By split: the numbers of raw texts, of texts that each step of cleaning changed, and of dropped texts
    cleaning: NotRequired[dict[str, dict[str, int]]]


class PriorInfo(TypedDict):
    """The data of the model that a teacher or student started from."""

    task: str
    source: str
    origin: str
    fingerprint: str


class ParameterCounts(TypedDict):
    """The numbers of parameters of the model."""

    total: int
    trainable: NotRequired[int | None]
    embedding: NotRequired[int | None]


class Latency(TypedDict):
    """One run of a latency step: milliseconds for each call from text to label, or texts per second."""

    # "torch", "torch-graph" (a CUDA graph), "native", or a form of the export: see harness.runtime.forms
    backend: str
    device: str
    threads: int
    scenario: NotRequired[str]  # "single-stream" (one text after the other) or "offline" (all at once)
    batch: int  # texts for each call
    n: int  # measured texts
    p50_ms: NotRequired[float]
    p90_ms: NotRequired[float | None]  # null if n is too small
    p99_ms: NotRequired[float | None]
    mean_ms: NotRequired[float | None]
    tokenising_ms: NotRequired[float]  # its median part of a call
    kernels_ms: NotRequired[float]  # the median time of the GPU's kernels in a call of torch
    samples_per_s: NotRequired[float]  # only offline
    disturbed: NotRequired[float]  # the factor by which other programs seem to have slowed it, if they did


class Cost(TypedDict, total=False):
    """The cost of making the model."""

    train_s: float | None
    prior_s: float  # for the model that it starts from, if there is one
    examples: int | None  # seen in training, including repetitions
    examples_per_s: float | None
    peak_rss_bytes: int | None  # all resident pages, with those of mapped files
    peak_anonymous_bytes: int | None  # without them; null on systems other than Linux
    peak_mapped_bytes: int | None  # resident pages of mapped files and shared memory; null as above
    peak_gpu_bytes: int | None  # allocated by torch; null on a CPU
    precision: str
    precision_reason: str  # why a model was not trained in another precision
    energy_j: float | None  # of the CPU, including other processes; null if not readable


class Failure(TypedDict):
    """Why a later run could not measure a cell again."""

    status: str
    reason: str
    when: str  # ISO 8601


class Record(TypedDict):
    """All results of one cell. ``metrics`` are on the test split, ``validation`` on the validation split."""

    schema: int
    suite: str
    cell: str  # the cell's key
    status: Status
    reason: NotRequired[str | None]  # why the status is not ok
    role: Role
    task: TaskInfo
    teacher: NotRequired[ComponentInfo | None]
    student: NotRequired[ComponentInfo | None]
    augmenter: NotRequired[ComponentInfo | None]
    loss: NotRequired[ComponentInfo | None]
    seed: int
    prior: NotRequired[PriorInfo | None]  # null if it did not start from the model of another step
    metrics: NotRequired[dict[str, Any]]  # numbers, and `per_class`, `confusion`, `hidden`
    validation: NotRequired[dict[str, Any]]
    neighbours: NotRequired[dict[str, Any]]  # of language models: kind of vector → word → its nearest words
    parameters: NotRequired[ParameterCounts | None]
    size_bytes: NotRequired[dict[str, int | None]]  # by form: "model", "onnx", "numpy" …
    latency: NotRequired[list[Latency]]
    artefacts: NotRequired[dict[str, str]]  # role (usually the kind of step) → key in the store
    cost: NotRequired[Cost]
    provenance: NotRequired[Provenance]
    last_failure: NotRequired[Failure]  # the result is of an earlier run; the next success removes this


@cache
def _adapter() -> TypeAdapter[Record]:
    from pydantic import TypeAdapter

    for part in (
        ComponentInfo,
        TaskInfo,
        PriorInfo,
        ParameterCounts,
        Latency,
        Cost,
        Provenance,
        Failure,
        Record,
    ):
        setattr(part, "__pydantic_config__", {"extra": "allow"})  # noqa: B010
    return TypeAdapter(Record)


def check(value: Any) -> Record:
    """Return the value as a record. Raise HarnessError if it is not one, with the first mistake."""
    from pydantic import ValidationError

    schema = value.get("schema") if isinstance(value, Mapping) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise HarnessError(
            f"the schema is {schema}, but this version of harness reads up to {SCHEMA}; upgrade harness"
        )
    try:
        return _adapter().validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the record"
        raise HarnessError(f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None


def read(path: Path) -> list[Record]:
    """Return the records in a file. Raise HarnessError for the first damaged line."""
    try:
        data = contents(path)
    except FileNotFoundError:
        raise HarnessError(f"there are no records at {path}; run harness bench") from None
    except OSError as error:
        raise HarnessError(f"cannot read {path}: {error.strerror}") from None
    collecting = gc.isenabled()
    gc.disable()  # each line makes a hundred containers without cycles; collection would double the time
    try:
        found = (
            _parse(line, f"{path}, line {i}") for i, line in enumerate(data.split(b"\n"), 1) if line.strip()
        )
        return list(_sharing(found))
    finally:
        if collecting:
            gc.enable()


def _sharing(records: Iterable[Record]) -> Iterator[Record]:
    """Yield records that share what is equal in neighbours, such as components: half of the memory."""
    before: dict[str, Any] = {}
    for record in records:
        fields = cast("dict[str, Any]", record)
        for key, value in fields.items():
            same = isinstance(value, dict | list) and before.get(key) == value
            if same and repr(before[key]) == repr(value):  # 1, 1.0 and True are equal
                fields[key] = before[key]
        before = fields
        yield record


def _parse(line: bytes, where: str) -> Record:
    from pydantic_core import from_json

    try:
        try:
            value = from_json(line)  # twice as fast as json
        except ValueError:
            value = json.loads(line)  # json accepts lone surrogates, e.g. from file names
        return check(value)
    except HarnessError as error:
        raise HarnessError(f"{where}: {error}") from None
    except (ValueError, RecursionError):
        raise HarnessError(
            f"{where}: damaged, expected a JSON object; delete the line and run harness bench again"
        ) from None


def write(records: Iterable[Record], path: Path) -> None:
    """Replace the file with these records atomically, one on each line."""
    publish(path, (dumps(record) + "\n" for record in records))
