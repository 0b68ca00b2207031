"""Write a page that runs an exported model in the browser: one file, which opens from disk without a network.

The page contains the graph, ``tokenizer.json``, and two JavaScript libraries: ONNX Runtime Web runs the
graph, and Hugging Face's tokenizers turn texts into ids.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import __version__
from harness.api import HarnessError, parameters_of
from harness.catalog import installed_type
from harness.exports.beside import TOKENIZER_CONFIG
from harness.featurise import portable
from harness.report.html.page import digest_of, embedded, policy, static, template, trusted
from harness.runtime.exported import Exported
from harness.runtime.forms import GRAPH, INT8, load, place_of
from harness.runtime.reading import object_of
from harness.sources import npm
from harness.storage.files import publish
from harness.task_types.base import TaskType
from harness.values import MASK, PAIR_SEPARATOR
from harness.wording import amount, printable, significant, size

FILE = "demo.html"
RUNTIME, WASM = "dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm"
TOKENIZERS = "dist/tokenizers.min.mjs"
PACKAGES = (
    npm.Package(
        "onnxruntime-web",
        "1.30.0",
        "MIT",
        {
            RUNTIME: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
            WASM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
        },
    ),
    npm.Package(
        "@huggingface/tokenizers",
        "0.2.0",
        "Apache-2.0",
        {TOKENIZERS: "258e46332101335ce8d95aed7745b19ac3b46d37f3e159a89cf894c2ea9b1d3a"},
    ),
)
FORMS = {"onnx": (GRAPH, "32-bit weights"), "onnx-int8": (INT8, "8-bit weights")}  # those a browser can run
LONGEST = 280  # characters of an example


def libraries(
    folder: Path | None = None, tell: Callable[[str], None] = lambda line: None
) -> dict[str, bytes]:
    """Return the files of the JavaScript libraries, see :func:`harness.sources.npm.files_of`."""
    return npm.files_of(PACKAGES, folder, tell)


def write(
    folder: Path,
    record: Mapping[str, Any],
    code: Mapping[str, bytes],
    examples: Sequence[str] = (),
    form: str | None = None,
) -> int:
    """Write ``demo.html`` into the folder of an export, and return its bytes.

    `record` is that of the model, `code` the :func:`libraries`, `examples` are texts to try. `form` is "onnx"
    or "onnx-int8"; None: the first one that the export has. Raise HarnessError if the export has no graph, or
    if a browser cannot turn texts into its ids, or its logits into answers.
    """
    form = form or next((name for name, (file, _) in FORMS.items() if _has(folder, file)), "onnx")
    if form not in FORMS:
        raise HarnessError(
            f"cannot make {FILE}: the form '{form}' runs in Python only; a browser runs {' and '.join(FORMS)}"
        )
    model = load(folder, form)
    graph = place_of(folder, FORMS[form][0])
    script = static("demo.js")
    parts = {
        "runtime": code[RUNTIME],
        "wasm": code[WASM],
        "tokenizers": code[TOKENIZERS],
        "tokenizer": (folder / portable.FILE).read_bytes() if _has(folder, portable.FILE) else b"",
        "graph": (folder / graph).read_bytes(),
    }
    given = {
        "labels": model.classes,
        "answer": _answer(model),
        "reader": _reader(model, folder),
        "examples": list(map(printable, examples)),
    }
    facts = _facts(record, model.task_type, FORMS[form][1], len(parts["graph"]) + len(parts["tokenizer"]))
    page = template("demo.html").render(
        policy=policy(digest_of(script), others="blob: 'wasm-unsafe-eval'"),
        version=__version__,
        title=f"{facts[0][1]} for {printable(str(record['task']['name']))}",
        style=trusted(static("page.css") + static("demo.css")),
        script=trusted(script),
        examples=given["examples"],
        facts=facts,
        data=trusted(embedded(given)),
        parts={name: trusted(_packed(content)) for name, content in parts.items()},
        packages=PACKAGES,
    )
    publish(folder / FILE, page)
    return (folder / FILE).stat().st_size


def _has(folder: Path, file: str) -> bool:
    return (folder / place_of(folder, file)).is_file()


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, compresslevel=6, mtime=0)).decode()


def _answer(model: Exported) -> dict[str, Any]:
    """Return how the page turns logits into an answer: the problem, as Transformers calls it, and options.

    It is "" for a model that tags words.
    """
    if not model.task_type.problem and model.task_type.marks != "words":
        raise HarnessError(
            f"cannot make {FILE}: a page for {model.task_type.name} is not supported; use harness serve"
        )
    if getattr(model, "chain", None) is not None:
        raise HarnessError(f"cannot make {FILE}: a page for a CRF is not supported; use harness serve")
    return {"problem": model.task_type.problem, **parameters_of(model.task_type)}


def _reader(model: Exported, folder: Path) -> dict[str, Any]:
    """Return how the page turns a text into ids, besides ``tokenizer.json``."""
    if not _has(folder, portable.FILE):
        raise HarnessError(
            f"cannot make {FILE}: only Python can turn texts into the ids of this model, which has no "
            f"{portable.FILE}; choose a student over words or subwords, or use harness serve"
        )
    state = model.featuriser.state()
    mask = getattr(model.featuriser, "mask_name", MASK)
    marked = model.featuriser.marks == "words"
    return {
        "config": object_of(folder, TOKENIZER_CONFIG),
        "padding": model.featuriser.padding,
        "longest": state["longest"],
        "characters": state.get("characters"),
        "words": model.featuriser.type == "words",
        "mask": [MASK, mask],
        "mark": model.featuriser.size if marked else None,  # added to the first id of each word
        "unknown": getattr(model.featuriser, "unknown", ""),
        "separator": PAIR_SEPARATOR if not marked and getattr(model.featuriser, "pairs", False) else None,
    }


def _facts(record: Mapping[str, Any], task_type: TaskType, weights: str, held: int) -> list[tuple[str, str]]:
    """Return what the card tells about the model, as titles and values; the first one is its name."""
    task, metrics = record["task"], record.get("metrics") or {}
    names = {
        kind: printable(str((record.get(kind) or {}).get("name") or ""))
        for kind in ("student", "teacher", "loss", "augmenter")
    }
    known = installed_type(task["type"]) or task_type
    shown = dict.fromkeys([task.get("headline"), *known.beside])
    scores = [f"{known.metric(name).title} {significant(metrics[name])}" for name in shown if name in metrics]
    source = "generated sample texts; the scores do not carry over to real texts"
    counted = (record.get("parameters") or {}).get("total")
    found = [
        ("Model", names["student"] or names["teacher"] or "model"),
        ("Distilled from", names["teacher"] if record["role"] == "distilled" else ""),
        ("Task", f"{printable(str(task['name']))} ({known.name})"),
        ("Data", source if task["source"] == "sample" else f"{task['source']} data"),
        (f"On {task.get('test') or 0:,} test texts", ", ".join(scores)),
        ("Parameters", amount(counted) if counted else ""),
        ("Size", f"{size(held)} with the vocabulary, {weights}"),
    ]
    return [(title, value) for title, value in found if value]
