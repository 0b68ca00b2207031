"""The script that checks a GPU: its parts that are quick run on the CPU too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).with_name("check.py")


def test_quick_parts_run_on_the_cpu(tmp_path: Path) -> None:
    parts = ("--only", "facts", "--only", "finetuning")
    command = [sys.executable, str(SCRIPT), str(tmp_path), "--rehearse", *parts]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = map(json.loads, (tmp_path / "gpu.jsonl").read_text().splitlines())
    assert first["torch"] == torch.__version__ and first["cores"] >= 1
    # 2 layers of width 64: 4 products of attention, 2 of the feed-forward layer, biases and norms
    layer = 4 * (64 * 64 + 64) + 2 * 64 * 256 + 256 + 64 + 4 * 64
    assert second["parameters_without_embeddings"] == 2 * layer
    assert (
        second["texts_per_s"] > 0 and second["operations_per_s"] > second["texts_per_s"] * 128 * 6 * 2 * layer
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "torch finds no GPU" in done.stderr
    assert not (tmp_path / "out").exists()
