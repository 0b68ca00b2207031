"""The forms of exported models against torch in fp32, and the labels of a student in bulk, on one thread.

    python tests/benchmarks/bench_forms.py STORE [--texts 96] [--turns 3] [--record]

STORE is the store of `harness bench tests/benchmarks/forms.toml`: MiniLM, fine-tuned for one epoch on
emotion, and an `mlp`. MiniLM answers test texts in each of its forms, one after the other and in batches by
length. Each form's labels are compared with those of torch. As the machine's pace drifts, the contenders take
turns, and each figure is a median over the turns. Times are CPU times of the process, so that other programs
on the same cores disturb them less; ratios are within one run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from report import machine, record, say

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
os.environ["TOKENIZERS_PARALLELISM"] = "false"

Predict = Callable[[Sequence[str]], Any]
SINGLE = 40  # texts that are asked one by one in a turn


def test_split() -> tuple[list[str], list[str], str]:
    """The texts and labels of the test split of emotion in random order, and their source."""
    from harness_tasks.emotion import Emotion

    task = Emotion()
    source = task.resolve("auto")
    table = task.read(source)["test"]
    table = table.take(np.random.default_rng(0).permutation(len(table)))
    return table["text"].to_pylist(), table["label"].to_pylist(), source.name


def exports(store: Path) -> tuple[Path, Path]:
    """The exports of MiniLM and of the student in a store."""
    large = [path.parent for path in store.glob("export/*/model.onnx") if path.stat().st_size > 10 << 20]
    small = [path.parent for path in store.glob("export/*/averaged.npz")]
    if not large or not small:
        raise SystemExit("no exports there; run: harness bench tests/benchmarks/forms.toml --store STORE")
    return large[0], small[0]


def torch_of(store: Path, export: Path, longest_ids: int) -> Predict:
    """The fitted MiniLM in torch, fp32, in batches by length as the forms have them."""
    import sys

    import torch

    from harness.exports.weights import assemble
    from harness.featurise.featuriser import Featuriser, run_all

    torch.set_num_threads(1)
    featuriser = Featuriser.load(export)
    (model,) = {path.parent for path in store.glob("teacher/*/model/model.safetensors")}
    with tempfile.TemporaryDirectory() as folder:
        assemble(model, export, Path(folder) / "model.safetensors")
        sys.path.insert(0, str(export))
        from pooled import PooledClassifier
        from safetensors.torch import load_file
        from transformers import AutoConfig

        module = PooledClassifier(AutoConfig.from_pretrained(export)).eval()
        own = module.state_dict()
        weights = load_file(Path(folder) / "model.safetensors")
        module.load_state_dict({k: v for k, v in weights.items() if k in own and v.numel()}, strict=False)

    def run(ids: Any) -> Any:
        given = torch.from_numpy(ids)
        with torch.inference_mode():
            mask = (given != featuriser.padding).long()
            return module(input_ids=given, attention_mask=mask).logits.numpy()

    return lambda texts: run_all(featuriser.tokens(texts), run, None, longest_ids)


def cpu_s(call: Callable[[], Any]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def transformer(store: Path, export: Path, count: int, turns: int) -> dict[str, Any]:
    """Times and answers of MiniLM in torch and in each form."""
    from harness.featurise.tokens import ids_at_once
    from harness.runtime.forms import FORMS, load
    from harness.runtime.vino import AT_ONCE, installed

    texts, gold, _ = test_split()
    forms: dict[str, Predict] = {"torch": torch_of(store, export, ids_at_once("cpu"))}
    small = torch_of(store, export, AT_ONCE)  # torch has the better size of batches
    fewer: list[float] = []
    names: list[str] = []
    for form, file in FORMS.items():
        if (export / file).is_file() and form != "onnx-fp16" and (form != "openvino-int8" or installed()):
            model = load(export, form)
            names, forms[form] = list(model.classes), model.predict
    compared = texts[: 10 * count]
    right = np.array([names.index(label) for label in gold[: 10 * count]])
    found: dict[str, dict[str, Any]] = {}
    first: Any = None
    for form, predict in forms.items():
        labels = predict(compared).argmax(1)
        first = labels if first is None else first
        accuracy, equal = (round(100 * float((labels == other).mean()), 2) for other in (right, first))
        found[form] = {"accuracy": accuracy, "labels_equal": equal}
    times: dict[str, tuple[list[float], list[float]]] = {form: ([], []) for form in forms}
    for turn in range(turns):
        for form, predict in forms.items() if turn % 2 == 0 else reversed(forms.items()):
            some = [cpu_s(lambda p=predict, t=text: p([t])) for text in texts[:SINGLE]]  # type: ignore[misc]
            times[form][0].append(1e3 * statistics.median(some))
            times[form][1].append(count / cpu_s(lambda p=predict: p(texts[:count])))  # type: ignore[misc]
        fewer.append(count / cpu_s(lambda: small(texts[:count])))
    if statistics.median(fewer) > statistics.median(times["torch"][1]):
        times["torch"][1][:] = fewer
    for form, (single, many) in times.items():
        found[form] |= {"p50_ms": round(statistics.median(single), 3)}
        found[form] |= {"texts_per_s": round(statistics.median(many), 1)}
    slow = found["torch"]
    for form, row in found.items():
        row["single_ratio"] = round(slow["p50_ms"] / row["p50_ms"], 2)
        row["batch_ratio"] = round(row["texts_per_s"] / slow["texts_per_s"], 2)
        say(
            f"minilm {form:14s} single p50 {row['p50_ms']:7.2f} ms ({row['single_ratio']:.2f} x)   batches "
            f"{row['texts_per_s']:6.0f} texts/s ({row['batch_ratio']:.2f} x)   labels equal "
            f"{row['labels_equal']:.2f} %   accuracy {row['accuracy']:.2f} %"
        )
    return found


def student(export: Path, turns: int) -> dict[str, Any]:
    """Texts a second from strings to labels, of an `mlp` in NumPy, by the library's predict."""
    from harness.runtime.forms import load

    texts = test_split()[0] * 8
    model = load(export)
    seconds, cpu = [], []
    for _ in range(3 * turns):
        start = time.perf_counter()
        cpu.append(cpu_s(lambda: [model.classes[number] for number in model.decided(texts)]))
        seconds.append(time.perf_counter() - start)
    row = {
        "form": model.form,
        "texts": len(texts),
        "texts_per_s": round(len(texts) / statistics.median(seconds)),
        "texts_per_cpu_s": round(len(texts) / statistics.median(cpu)),
    }
    say(
        f"mlp {model.form}: {row['texts_per_s']:,} texts/s from string to label, "
        f"{row['texts_per_cpu_s']:,} in CPU time"
    )
    return row


def main() -> None:
    """Measure in turns, print, and record if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument(
        "--texts", type=int, default=96, help="texts of a batch; ten times as many are compared"
    )
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--record", action="store_true", help="append to results/forms.jsonl")
    arguments = parser.parse_args()
    large, small = exports(arguments.store)
    about = {"source": test_split()[2], "load": round(os.getloadavg()[0], 2), "threads": 1}
    say(f"emotion, {about['source']} data, load {about['load']}")
    told = {"mlp": student(small, arguments.turns)}
    told["minilm"] = transformer(arguments.store, large, arguments.texts, arguments.turns)
    if arguments.record:
        record("forms", {**machine(), **about, "texts": arguments.texts, "turns": arguments.turns, **told})


if __name__ == "__main__":
    main()
