"""Check the harness on a GPU, part by part, and write what was measured; see check.sh.

    python tests/gpu/check.py FOLDER [--rehearse] [--only PART]

The parts are: `facts`, the hardware and the versions; `suite`, the emotion suite with several steps at once,
and with one; `latency`, what CUDA events and graphs measured in it; `same`, whether training twice gives the
same model, to the bit; `onnx`, ONNX Runtime with CUDA; `finetuning`, a transformer of base size at 128
subwords in bf16, as a share of the GPU's peak; and `several`, the same on all GPUs and on one. A part that
fails does not stop the others; the exit status is then 1. With --rehearse everything runs on the CPU with
small models, so that a mistake in this script shows before a GPU's time is spent.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Dense bf16 operations per second, from the vendor's data sheets, by a part of the GPU's name.
PEAKS = {"H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12, "L4": 121e12, "A10": 125e12}
LENGTH, BATCH = 128, 64
GOAL = 0.45  # of the peak
SIZES = {False: (768, 12), True: (64, 2)}  # width and layers, by whether models are small

SUITE = """
[suite]
name = "emotion-gpu"
seeds = [0, 1]

[[task]]
use = "emotion"

[[teacher]]
use = "minilm"
epochs = {epochs}

[[student]]
use = "mlp"

[[student]]
use = "bigru"
min_examples = {examples}

[[augmenter]]
use = "mix"
copies = {copies}
of = [{{ use = "mask" }}, {{ use = "replace" }}]

[[loss]]
use = "kl"

[[loss]]
use = "mse"
"""


@dataclass(frozen=True)
class Check:
    """Where and on what the parts run."""

    folder: Path
    device: str  # "cuda" or "cpu"
    small: bool

    def harness(self, *arguments: str) -> float:
        """Run the command, and return its seconds; raise RuntimeError with the end of its output."""
        clock = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "harness", *arguments], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"harness {' '.join(arguments)}: {(done.stdout + done.stderr)[-1500:]}")
        return time.perf_counter() - clock

    def bench(self, name: str, devices: str, *more: str) -> float:
        """Run the suite with a store and results of its own, and return its seconds."""
        suite = self.folder / "emotion-gpu.toml"
        sizes = {"epochs": 1, "examples": 2_000, "copies": 1}
        usual = {"epochs": 3, "examples": 100_000, "copies": 8}
        suite.write_text(SUITE.format(**(sizes if self.small else usual)))
        own = self.folder / name
        places = ("--store", str(own / "store"), "--results", str(own / "results"))
        return self.harness("bench", str(suite), "--devices", devices, *places, *more)

    def records(self, name: str) -> list[dict[str, Any]]:
        """Return the records of a run."""
        path = self.folder / name / "results" / "emotion-gpu" / "records.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]


def facts(check: Check) -> dict[str, Any]:
    """Return the hardware and the versions."""
    import onnxruntime
    import torch
    import transformers

    found = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "onnxruntime": onnxruntime.__version__,
        "providers": onnxruntime.get_available_providers(),
        "cores": len(os.sched_getaffinity(0)),
    }
    if check.device == "cuda":
        about = torch.cuda.get_device_properties(0)
        found |= {"gpu": about.name, "memory_bytes": about.total_memory, "cuda": torch.version.cuda}
    return found


def suite(check: Check) -> dict[str, Any]:
    """Run the suite with several steps at once on the device, and with one; return seconds and statuses."""
    many, one = ("cuda*4", "cuda*1") if check.device == "cuda" else ("cpu:2", "cpu:1")
    several = check.bench("several", many)
    single = check.bench("single", one)
    statuses = sorted({record["status"] for record in check.records("several")})
    scores = [_scores(check.records(name)) for name in ("several", "single")]
    if statuses != ["ok"]:
        raise RuntimeError(f"expected all cells to be ok, got {', '.join(statuses)}")
    return {
        "devices": [many, one],
        "seconds": [round(several, 1), round(single, 1)],
        "ratio": round(single / several, 2),
        "same_scores": scores[0] == scores[1],
    }


def latency(check: Check) -> dict[str, Any]:
    """Return the median times of single texts in the suite's run, by model and backend."""
    found: dict[str, Any] = {}
    for record in check.records("several"):
        learner = (record.get("student") or record["teacher"])["name"]
        for run in record.get("latency") or []:
            if run.get("scenario") == "single-stream":
                names = ("p50_ms", "kernels_ms")
                told = {name: run[name] for name in names if run.get(name) is not None}
                found.setdefault(f"{learner} {run['backend']} {run['device']}", told)
    if not found:
        raise RuntimeError("no latency was measured")
    if check.device == "cuda" and not any("kernels_ms" in told for told in found.values()):
        raise RuntimeError("no latency was measured by CUDA events")
    return found


def same(check: Check) -> dict[str, Any]:
    """Train again in a new store; return whether all scores are the same, and where they are not."""
    check.bench("again", "cuda" if check.device == "cuda" else "cpu", "--seeds", "0")
    first, second = _scores(check.records("several")), _scores(check.records("again"))
    differing = [cell for cell, metrics in second.items() if first.get(cell) != metrics]
    return {"cells": len(second), "differing": differing}


def onnx(check: Check) -> dict[str, Any]:
    """Run an exported teacher by ONNX Runtime with CUDA; return times, and how far it is from the CPU."""
    import numpy as np
    import onnxruntime

    own = check.folder / "several"
    places = ("--store", str(own / "store"), "--results", str(own / "results"))
    cell = next(record["cell"] for record in check.records("several") if record["role"] == "teacher")
    check.harness("export", cell, str(check.folder / "teacher"), *places)
    graph = check.folder / "teacher" / "onnx" / "model.onnx"
    wanted = "CUDAExecutionProvider" if check.device == "cuda" else "CPUExecutionProvider"
    if wanted not in onnxruntime.get_available_providers():
        return {"skipped": f"this ONNX Runtime has no {wanted}"}
    answers, times = {}, {}
    ids = np.random.default_rng(0).integers(1000, 20_000, (16, 32))
    for provider in dict.fromkeys((wanted, "CPUExecutionProvider")):
        session = onnxruntime.InferenceSession(graph, providers=[provider])
        given = {
            one.name: ids if one.name == "input_ids" else np.ones_like(ids) for one in session.get_inputs()
        }
        if "token_type_ids" in given:
            given["token_type_ids"] = np.zeros_like(ids)
        answers[provider] = session.run(None, given)[0]
        clock = time.perf_counter()
        for _ in range(20):
            session.run(None, given)
        times[provider] = round((time.perf_counter() - clock) / 20 * 1000, 3)
    difference = float(np.abs(answers[wanted] - answers["CPUExecutionProvider"]).max())
    return {"batch_ms": times, "difference": difference}


def finetuning(check: Check) -> dict[str, Any]:
    """Fine-tune a transformer of base size with random weights; return its share of the GPU's peak."""
    import torch

    hidden, layers = SIZES[check.small]
    texts, epochs = (64, 1) if check.small else (8_192, 2)
    seconds, parameters, _ = _fine_tuned(check, texts, epochs)
    # Forward and backward, 6 operations a weight and subword, and attention's 12 a layer, width and length.
    tokens = texts * epochs * LENGTH
    operations = tokens * (6 * parameters + 12 * layers * hidden * LENGTH)
    found = {
        "texts_per_s": round(texts * epochs / seconds, 1),
        "operations_per_s": operations / seconds,
        "seconds": round(seconds, 2),
        "parameters_without_embeddings": parameters,
    }
    if check.device == "cuda":
        name = torch.cuda.get_device_name(0)
        peak = next((value for part, value in PEAKS.items() if part in name), None)
        found |= {"peak": peak, "share": peak and round(operations / seconds / peak, 3), "goal": GOAL}
    return found


def several(check: Check) -> dict[str, Any]:
    """Fine-tune the same transformer on one GPU and on all; return the ratio, and whether it is the same."""
    import torch

    from harness.training import loop

    count = torch.cuda.device_count()
    if count < 2 and not check.small:
        return {"skipped": f"this machine has {count} GPU"}
    parts = max(2, count)
    texts, together = 64 if check.small else 8_192, loop.gpus_for
    all_s, _, all_weights = _fine_tuned(check, texts, 1, parts)
    loop.gpus_for = lambda device, wanted: [device]
    try:
        one_s, _, one_weights = _fine_tuned(check, texts, 1, parts)
    finally:
        loop.gpus_for = together
    equal = all(torch.equal(value, one_weights[name]) for name, value in all_weights.items())
    return {"gpus": count, "parts": parts, "seconds": [one_s, all_s], "ratio": one_s / all_s, "same": equal}


def _fine_tuned(check: Check, texts: int, epochs: int, gpus: int = 1) -> tuple[float, int, dict[str, Any]]:
    """Fine-tune a transformer of base size; return the seconds, the parameters of its layers, its weights."""
    import numpy as np
    import torch

    import harness_transformers.finetuning as finetuning
    from harness import Examples
    from harness.catalog import load
    from harness.testing.tiny import CheckContext

    source = check.folder / "base"
    parameters = _base_model(source, *SIZES[check.small])
    words = " ".join(["time"] * LENGTH)  # each is one subword, so that every text has LENGTH of them
    labels = np.arange(texts) % 2
    train = Examples([words] * texts, ("a", "b"), labels)
    few = Examples([words] * 8, ("a", "b"), labels[:8])
    seconds, fit = 0.0, finetuning.train

    def timed(*arguments: Any) -> None:
        nonlocal seconds
        clock = time.perf_counter()
        fit(*arguments)
        if check.device == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - clock

    finetuning.train = timed
    try:
        context: Any = CheckContext(check.folder / "scratch", 0, precision="bf16")
        context.device = "cuda:0" if check.device == "cuda" else "cpu"
        table = {"use": "transformer", "model": str(source), "epochs": epochs, "batch_size": BATCH}
        teacher: Any = load().build("teacher", {**table, "longest": LENGTH, "gpus": gpus})
        model: Any = teacher.fit(train, few, context)
    finally:
        finetuning.train = fit
    weights = {name: value.detach().cpu() for name, value in model.module.state_dict().items()}
    return seconds, parameters, weights


def _base_model(folder: Path, hidden: int, layers: int) -> int:
    """Write a BERT with random weights and MiniLM's tokenizer; return its weights without embeddings."""
    import shutil

    import torch
    from transformers import BertConfig, BertModel

    from harness_transformers.transformer import MiniLM

    torch.manual_seed(0)
    heads = max(1, hidden // 64)
    sizes = {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads}
    model = BertModel(BertConfig(**sizes, intermediate_size=4 * hidden))
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        if (MiniLM().folder() / name).is_file():
            shutil.copyfile(MiniLM().folder() / name, folder / name)
    return sum(one.numel() for one in model.encoder.parameters())


def _scores(records: list[dict[str, Any]]) -> dict[str, Any]:
    return {record["cell"]: [record.get("metrics"), record.get("validation")] for record in records}


PARTS: dict[str, Callable[[Check], dict[str, Any]]] = {
    part.__name__: part for part in (facts, finetuning, several, suite, latency, same, onnx)
}


def main() -> int:
    """Run the parts, and write a line for each to gpu.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rehearse", action="store_true", help="run on the CPU, with small models")
    parser.add_argument("--only", choices=PARTS, action="append", help="run only this part; may be repeated")
    options = parser.parse_args()
    import torch

    if not options.rehearse and not torch.cuda.is_available():
        sys.stderr.write("error: torch finds no GPU; to try this script on the CPU, give --rehearse\n")
        return 2
    options.folder.mkdir(parents=True, exist_ok=True)
    check = Check(options.folder.absolute(), "cpu" if options.rehearse else "cuda", options.rehearse)
    failed = False
    for name in options.only or PARTS:
        clock = time.perf_counter()
        try:
            found = PARTS[name](check)
        except Exception as error:
            failed = True
            found = {"failed": f"{type(error).__name__}: {error}"}
            traceback.print_exc()
        line = {"part": name, "took_s": round(time.perf_counter() - clock, 1), **found}
        with (options.folder / "gpu.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
