"""Write the card of an exported model in Markdown: its use, scores, size, speed and origin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.catalog import installed_type
from harness.parameters import frozen
from harness.report.columns import DISTURBED
from harness.report.leaderboard import markdown as escape
from harness.runtime.calibration import RISKS
from harness.runtime.risk import LEVEL
from harness.steps.clock import P90_FLOOR, P99_FLOOR
from harness.task_types.base import TaskType
from harness.wording import amount, significant, size

Found = Mapping[str, Any]  # a record, which may lack any field

NONE, FEW = "—", "too few"
FORMS = {
    "onnx": "`model.onnx`: ONNX, fp32",
    "onnx-int8": "`model.int8.onnx`: ONNX, weights of 8 bits",
    "onnx-fp16": "`model.fp16.onnx`: ONNX, fp16 for GPUs",
    "openvino-int8": "`model.openvino.zip`: OpenVINO, 8 bits",
    "numpy": "`averaged.npz`: NumPy",
    "numpy-convolved": "`convolved.npz`: NumPy",
}


def text(record: Found, labels: Sequence[str]) -> str:
    """Return the card of a record's model."""
    task = record["task"]
    task_type = installed_type(task["type"]) or TaskType()
    options = {name: frozen(value) for name, value in (record.get("decision") or {}).items()}
    task_type = replace(task_type, **options)
    name = _name(record, "student") or _name(record, "teacher") or "model"
    source = {"sample": "a generated sample corpus, whose scores do not carry over to real texts"}.get(
        str(task["source"]), f"{task['source']} data"
    )
    parts = [
        f"# {escape(name)} for {escape(task['name'])}",
        _origin(record, task_type),
        _notes(record),
        _use(task_type),
        task_type.card([escape(label) for label in labels]),
        "## Scores\n\n" + _scores(record, source, task_type),
        _abstaining(record),
        "## Forms\n\n" + _forms(record),
        "## How it was made\n\n" + _made(record),
        "`record.json` has all of this and more. The data and pretrained weights that went into the model "
        "have their own licences.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _use(task_type: TaskType) -> str:
    return (
        "## Use\n\n"
        "```sh\npip install distil-harness\nharness predict . < texts.txt\n"
        "harness predict . rows.csv --text message --out answers.csv\n```\n\n"
        "```python\nfrom pathlib import Path\n\nfrom harness.runtime import load\n\n"
        f'model = load(Path("."))\nmodel.{task_type.call}({task_type.example!r})\n```\n\n'
        "It needs ONNX Runtime, NumPy and tokenizers, but neither torch nor transformers."
    ).replace("'", '"')


def _name(record: Found, kind: str) -> str:
    return str((record.get(kind) or {}).get("name", ""))


def _origin(record: Found, task_type: TaskType) -> str:
    student, teacher, loss = (escape(_name(record, kind)) for kind in ("student", "teacher", "loss"))
    counted = (record.get("parameters") or {}).get("total")
    weight = f" It has {amount(counted)} parameters." if counted else ""
    if record["role"] == "distilled":
        augmenter = escape(_name(record, "augmenter"))
        return (
            f"A `{student}` distilled from a `{teacher}`, with the loss `{loss}` and the augmenter "
            f"`{augmenter}`.{weight}"
        )
    learned = f"on {task_type.learns_from}"
    what = f"`{student}` trained {learned} alone" if student else f"`{teacher}` trained {learned}"
    return f"A {what}.{weight}"


def _notes(record: Found) -> str:
    """Return what readers must know about what its parts start from."""
    parts = (record.get(kind) or {} for kind in ("teacher", "student", "augmenter"))
    told = {f"{escape(part['name'])}: {escape(part['note'])}.": None for part in parts if part.get("note")}
    return "\n\n".join(told)


def _scores(record: Found, source: str, task_type: TaskType) -> str:
    task = record["task"]
    metrics, validation = record.get("metrics") or {}, record.get("validation") or {}
    rows = [
        [escape(task_type.metric(name).title), significant(value), _number(validation.get(name))]
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    about = (
        f"On {source}: {task.get('test') or 0:,} test texts, {task.get('validation') or 0:,} validation "
        f"texts, trained from {task.get('train') or 0:,}."
    )
    if again := (record.get("refitted") or {}).get("task"):
        about += (
            f" The model here was then trained again in the same way, on {again.get('train') or 0:,} texts. "
            "They include the texts by which these scores and thresholds were found, so neither could be "
            "measured again."
        )
    parts = [about, _table(["metric", "test", "validation"], rows), escape(task_type.legend)]
    return "\n\n".join(filter(None, parts))


def _abstaining(record: Found) -> str:
    """Return the section on answering only sure texts; empty without thresholds."""
    found: Found = (record.get("export") or {}).get("abstaining") or {}
    if not found:
        return ""
    rows = [
        [
            _percent(point["risk"]),
            significant(point["threshold"]),
            *(_percent(point.get(name)) for name in ("validation_coverage", "test_coverage", "test_error")),
        ]
        for point in found["points"]
    ]
    head = ["allowed error", "lowest score", "answered, validation", "answered, test", "error, test"]
    least = found.get("lowest_risk")
    below = (
        f"`harness predict . rows.csv --abstain {_percent(max(least or 0, RISKS[1]))}` leaves the label of "
        f"unsure texts empty. Thresholds were chosen on {found['texts']:,} validation texts. On texts of the "
        f"same kind, a threshold keeps its error with a probability of {LEVEL:.0%}. The lowest error that "
        f"can be kept is {_percent(least)}."
    )
    return "## Answer only sure texts\n\n" + "\n\n".join([*([_table(head, rows)] if rows else []), below])


def _forms(record: Found) -> str:
    forms: Mapping[str, Found] = (record.get("export") or {}).get("forms") or {}
    told = any("perplexity" in found for found in forms.values())  # for a language model
    rows, notes = [], []
    slowed = False
    for form, found in forms.items():
        what = FORMS.get(form, escape(form))
        if why := found.get("rejected"):
            notes.append(f"{what}, was rejected: {escape(str(why))}.")
            continue
        timed = {name: found[name] for name in ("p50_ms", "samples_per_s") if name in found}  # at the export
        single, offline = (_run(record, form, one) or timed for one in ("single-stream", "offline"))
        slowed = slowed or bool(single.get("disturbed"))
        rows.append(
            [
                what,
                size(found["file_bytes"]),
                size(found["size_bytes"]),
                f"{found['changed']} of {found.get('outputs', found['texts']):,}",
                *([_number(found.get("perplexity"))] if told else []),
                *(_percentile(single, name) for name in ("p50_ms", "p90_ms", "p99_ms")),
                _number(single.get("tokenising_ms")),
                _number(offline.get("samples_per_s")),
            ]
        )
    head = ["form", "file", "with vocabulary", "predictions changed", *(["perplexity"] if told else [])]
    head += ["p50, ms", "p90, ms", "p99, ms", "tokenising, ms", "texts/s"]
    machine = escape(str((record.get("provenance") or {}).get("cpu") or "an unknown CPU"))
    below = (
        f"Measured on one thread of {machine}, with test texts: p50 to p99 for one text after the other, "
        "from string to answer; texts/s for all at once. "
        f"A p90 needs {P90_FLOOR} queries, a p99 {P99_FLOOR}."
    )
    if why := (record.get("export") or {}).get("why"):
        notes.insert(
            0, f"{escape(str(why))}. This was measured when it was exported; `--form` takes another."
        )
    if slowed:
        notes.insert(0, f"{DISTURBED} Other programs used the CPUs meanwhile: the true time is shorter.")
    return "\n\n".join([_table(head, rows), below, *notes])


def _run(record: Found, backend: str, scenario: str) -> Found:
    """Return the measurement of a form on the CPU with the fewest threads; empty without one."""
    found = [
        run
        for run in record.get("latency") or []
        if run["backend"] == backend and run["device"] == "cpu" and run.get("scenario") == scenario
    ]
    return min(found, key=lambda run: run["threads"], default={})


def _percentile(run: Found, name: str) -> str:
    told = FEW if run and run.get(name) is None else _number(run.get(name))
    return f"{told} {DISTURBED}" if run.get("disturbed") else told


def _percent(value: Any) -> str:
    return f"{100 * value:.3g}%" if isinstance(value, int | float) else NONE


def _number(value: Any) -> str:
    return significant(value) if isinstance(value, int | float) else NONE


def _made(record: Found) -> str:
    lines = []
    for kind in ("task", "teacher", "student", "augmenter", "loss"):
        if part := record.get(kind):
            given = ", ".join(f"{name} = {value!r}" for name, value in part["params"].items())
            origin = f" ({part['plugin']})" if part.get("plugin") else ""
            lines.append([kind, escape(part["name"] + origin), escape(given) or NONE])
    cost, made = record.get("cost") or {}, record.get("provenance") or {}
    packages = (made.get("packages") or {}).items()
    facts = [
        ("seed", str(record["seed"])),
        ("training", f"{_number(cost.get('train_s'))} s, {cost.get('examples') or 0:,} examples"),
        ("data", f"{record['task'].get('origin')}, fingerprint {record['task']['fingerprint']}"),
        ("machine", f"{made.get('cpu')}; {', '.join(made.get('gpu') or []) or 'no GPU'}; {made.get('os')}"),
        ("finished", str(made.get("finished"))),
        ("cell", record["cell"]),
        ("commit", str(made.get("git"))),
        ("packages", ", ".join(f"{name} {version}" for name, version in packages)),
    ]
    listed = "\n".join(f"- {name}: {escape(value)}" for name, value in facts)
    return _table(["part", "is", "parameters"], lines) + "\n\n" + listed


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
