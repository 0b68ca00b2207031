"""Graphs with 16-bit floats: half as large, nearly the same answers, and what is said without a GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from harness.api import Unsupported
from harness.exports.onnx import export_module
from harness.exports.quantise import halve
from harness.featurise.featuriser import Words
from harness.runtime.forms import FP16, GRAPH, load
from harness_students.convolutional import Cnn

WORDS = Words([f"word{number}" for number in range(4998)], 32)
TEXTS = [" ".join(f"word{(7 * text * place) % 5100}" for place in range(1 + text % 20)) for text in range(99)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("cnn")
    export_module(Cnn().module(WORDS.size, 3), WORDS, ["a", "b", "c"], made)
    halve(made)
    return made


def test_it_is_half_as_large_and_answers_nearly_the_same(folder: Path) -> None:
    assert (folder / FP16).stat().st_size < 0.55 * (folder / GRAPH).stat().st_size
    exact, half = (load(folder, form).predict(TEXTS) for form in ("onnx", "onnx-fp16"))
    assert 0 < np.abs(exact - half).max() < 0.01 * exact.std()


def test_it_does_not_answer_by_default_on_a_cpu(folder: Path) -> None:
    assert load(folder).form == "numpy-convolved"


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="there ONNX Runtime has CUDA"
)
def test_without_cuda_the_error_says_what_to_install(folder: Path) -> None:
    for form in ("auto", "onnx", "onnx-fp16"):
        with pytest.raises(
            Unsupported, match="this build of ONNX Runtime has no CUDA; install onnxruntime-gpu"
        ):
            load(folder, form, device="cuda")
    with pytest.raises(Unsupported, match="cannot run the form 'numpy-convolved' on a GPU: it is for CPUs"):
        load(folder, "numpy-convolved", device="cuda")


def test_what_cannot_be_converted_is_a_reason(tmp_path: Path) -> None:
    (tmp_path / GRAPH).write_bytes(b"no graph")
    with pytest.raises(Unsupported, match="cannot convert the graph to fp16: ") as caught:
        halve(tmp_path)
    assert "\n" not in str(caught.value) and not (tmp_path / FP16).exists()
