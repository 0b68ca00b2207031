"""Graphs with weights of 8 bits: small, close to their originals, or a reason."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from harness.api import Unsupported
from harness.exports.onnx import export_module
from harness.exports.quantise import quantise
from harness.featurise.featuriser import Words
from harness.runtime.forms import GRAPH, INT8, Int8Model, OnnxModel
from harness_students.convolutional import Cnn

WORDS = Words([f"word{number}" for number in range(4998)], 32)
CLASSES = [f"class {number}" for number in range(6)]
TEXTS = [
    " ".join(f"word{(7 * text * place) % 5100}" for place in range(1 + text % 20)) for text in range(200)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("cnn")
    export_module(Cnn().module(WORDS.size, 6), WORDS, CLASSES, made)
    quantise(made)
    return made


def test_cnn_is_small(folder: Path) -> None:
    assert sum(p.numel() for p in Cnn().module(WORDS.size, 6).parameters()) == 83_750
    assert (folder / INT8).stat().st_size < 120_000
    assert (folder / GRAPH).stat().st_size > 4 * 83_750


def test_it_predicts_much_the_same(folder: Path) -> None:
    exact, rough = OnnxModel(folder).predict(TEXTS), Int8Model(folder).predict(TEXTS)
    spread = float(exact.std())
    assert 0 < np.abs(exact - rough).max() < 0.2 * spread
    alone = np.stack([Int8Model(folder).predict([text])[0] for text in TEXTS[:5]])
    assert np.abs(alone - exact[:5]).max() < 0.2 * spread


def test_an_answer_does_not_depend_on_the_other_texts(folder: Path) -> None:
    model = Int8Model(folder)
    together = model.predict(TEXTS)
    alone = np.concatenate([model.predict([text]) for text in TEXTS])
    assert np.array_equal(together, alone)
    assert np.array_equal(model.predict(TEXTS[::-3]), together[::-3])


def test_tables_and_products_are_of_8_bits(folder: Path) -> None:
    graph = onnx.load(folder / INT8).graph
    floats = [i for i in graph.initializer if i.data_type == onnx.TensorProto.FLOAT]
    assert sum(int(np.prod(i.dims)) for i in floats) < 1000  # biases and scales
    assert sum(node.op_type == "MatMulInteger" for node in graph.node) == 4


def test_a_graph_that_cannot_be_read_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / GRAPH).write_bytes(b"no graph")
    level = logging.root.manager.disable
    with pytest.raises(Unsupported, match="cannot quantise the graph: ") as caught:
        quantise(tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / INT8).exists() and logging.root.manager.disable == level
