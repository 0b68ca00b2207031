"""From a string to its label, one text at a time, on one thread: students beside the teacher they replace.

    python tests/benchmarks/bench_latency.py [--turns 5] [--record]

Each model goes through the harness's own export and clock, on the test texts of the emotion task (of
HARNESS_DATA, else of the hub, else of the sample corpus). Weights are random: no latency depends on them. As
the machine's pace drifts, the models take turns; each one's figures are the median over its turns. Beside
them stands what ONNX Runtime takes for a graph written by hand: Gather, ReduceMean and Gemm, with a look-up
of the words in a dictionary.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from report import machine, record, say

Ask = Callable[[str], Any]


def texts_and_classes() -> tuple[str, list[str], list[str], tuple[str, ...]]:
    """The source, the training texts, 1,000 test texts and the classes of the emotion task."""
    from harness_tasks.emotion import Emotion

    task = Emotion()
    source = task.resolve("auto")
    tables = task.read(source)
    classes = tuple(sorted(set(tables["train"]["label"].to_pylist())))
    chosen = np.random.default_rng(0).permutation(len(tables["test"]))[:1000]
    test = tables["test"]["text"].take(chosen).to_pylist()
    return source.name, tables["train"]["text"].to_pylist(), test, classes


def by_hand(train: list[str], classes: int) -> Ask:
    """Averaged words without any framework but ONNX Runtime."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    from harness.featurise.featuriser import Words

    words = Words.fit(train, 5000)
    draw = np.random.default_rng(0)
    held = {
        "table": draw.normal(size=(words.size, 16)).astype(np.float32),
        "axis": np.array([1]),
        "weight": draw.normal(size=(16, classes)).astype(np.float32),
        "bias": np.zeros(classes, np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "ids"], ["rows"]),
            helper.make_node("ReduceMean", ["rows", "axis"], ["mean"], keepdims=0),
            helper.make_node("Gemm", ["mean", "weight", "bias"], ["logits"]),
        ],
        "by-hand",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [1, "length"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, classes])],
        [numpy_helper.from_array(array, name) for name, array in held.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    known = {word: number for number, word in enumerate(words.vocabulary, 2)}.get
    split = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]").findall

    def ask(text: str) -> Any:
        ids = [known(word, 1) for word in split(text.lower())]
        return session.run(["logits"], {"ids": np.array([ids])})[0].argmax()

    return ask


def models(train: list[str], classes: tuple[str, ...], folder: Path) -> dict[str, tuple[Ask, float, int]]:
    """By name: what answers a text, seconds for one turn, and the bytes of its form."""
    import torch

    from harness.api import Examples
    from harness.exports.quantise import quantise
    from harness.runtime.forms import FORMS, load
    from harness.testing.tiny import CheckContext
    from harness.training.model import TorchModel
    from harness_students.convolutional import Cnn
    from harness_students.recurrent import BiGru
    from harness_students.words import Mlp
    from harness_transformers.transformer import MiniLM

    torch.set_num_threads(1)
    context = CheckContext(folder)
    made: dict[str, tuple[Ask, float, int]] = {"by hand onnx": (by_hand(train, len(classes)), 0.1, 0)}
    built = {}
    for student in (Mlp(), Cnn(), BiGru()):
        featuriser = student.featuriser(Examples(train, classes))
        module = student.module(featuriser.size, len(classes))
        built[student.name] = TorchModel(module, featuriser, classes, context)
    built["minilm"] = untrained(MiniLM(), classes, context)
    for name, model in built.items():
        place = folder / name
        place.mkdir()
        model.export(place)
        quantise(place)
        turn = 1.5 if name == "minilm" else 0.2
        made[f"{name} torch"] = (torch_label(model), turn, 0)
        for form, file in FORMS.items():
            if (place / file).is_file():
                made[f"{name} {form}"] = (load(place, form).label, turn, (place / file).stat().st_size)
    return made


def torch_label(model: Any) -> Ask:
    return lambda text: model.predict([text])[0].argmax()


def untrained(teacher: Any, classes: tuple[str, ...], context: Any) -> Any:
    """A fine-tuned transformer but for the fine-tuning."""
    from harness_transformers import finetuning, folders

    folder = teacher.folder()
    featuriser = folders.featuriser_of(folder, folders.read_config(folder), teacher.longest)
    encoder = folders.encoder_of(teacher.pooling, len(classes), folder=folder)
    module = finetuning.Classifier(encoder, teacher.pooling, featuriser.padding, len(classes), 0.0)
    return finetuning.TransformerModel(module, featuriser, classes, context)


def main() -> None:
    """Measure in turns, print, and record if asked to."""
    from harness.steps import clock

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--record", action="store_true", help="append to results/latency.jsonl")
    arguments = parser.parse_args()
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    source, train, test, classes = texts_and_classes()
    say(f"{len(test):,} test texts of emotion ({source} data), load {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory() as folder:
        made = models(train, classes, Path(folder))
        turns: dict[str, list[dict[str, Any]]] = {name: [] for name in made}
        for _ in range(arguments.turns):
            for name, (ask, budget, _) in made.items():
                turns[name].append(clock.single_stream(ask, test, budget))
    found: dict[str, Any] = {}
    for name, runs in turns.items():
        row: dict[str, Any] = {"n": sum(run["n"] for run in runs)}
        for each in ("p50_ms", "p90_ms", "p99_ms"):
            values = [run[each] for run in runs if run[each] is not None]
            row[each.replace("_ms", "_us")] = round(1e3 * statistics.median(values), 2) if values else None
        if made[name][2]:
            row["file_bytes"] = made[name][2]
        found[name] = row
        far = "too few" if row["p99_us"] is None else f"{row['p99_us']:,.1f}"
        say(f"{name:16s} p50 {row['p50_us']:>10,.1f} µs   p90 {row['p90_us']:>10,.1f}   p99 {far:>10s}")
    ratios = {
        form: round(found[f"minilm {form}"]["p50_us"] / found["mlp numpy"]["p50_us"])
        for form in ("torch", "onnx", "onnx-int8")
    }
    for form, ratio in ratios.items():
        say(f"mlp numpy is {ratio:,} times as fast as minilm {form}")
    if arguments.record:
        told = {"source": source, "load": round(os.getloadavg()[0], 2), "ratios": ratios, "models": found}
        record("latency", {**machine(), "threads": 1, **told})


if __name__ == "__main__":
    main()
