"""Exported models predict what the models do, whatever the texts' number and length."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from weather import CLASSES, TEXTS, WORDS, check_predictions, logits_of

from harness.api import Unsupported
from harness.exports.onnx import GRAPH, LABELS, OnnxModel, export_module
from harness.featurise.featuriser import Featuriser, Words
from harness_students.modules import AveragedWords, Convolutions

pytestmark = pytest.mark.usefixtures("one_thread")


def averaged() -> nn.Module:
    return AveragedWords(WORDS.size, 4, 5, 3, 0.1, 1.0)


def convolutions() -> nn.Module:
    return Convolutions(WORDS.size, 4, 5, (1, 2, 3), 3, 0.1, 1.0)


class Transformer(nn.Module):
    """A tiny BERT with a layer on the mean of its states."""

    def __init__(self) -> None:
        from transformers import BertConfig, BertModel

        super().__init__()
        config = BertConfig(
            vocab_size=WORDS.size,
            hidden_size=8,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=64,
            initializer_range=0.5,
        )
        self.encoder = BertModel(config, add_pooling_layer=False)
        self.output = nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> Tensor:
        mask = (ids != 0).long()
        states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).float()
        return self.output((states * weights).sum(1) / weights.sum(1))  # type: ignore[no-any-return]


MAKERS: list[Any] = [averaged, convolutions, Transformer]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_parity_whatever_the_batch_and_the_length(make: Any, tmp_path: Path) -> None:
    export_module(module := make(), WORDS, CLASSES, tmp_path)
    check_predictions(OnnxModel(tmp_path), logits_of(module), rtol=1e-4)


def test_what_is_written(tmp_path: Path) -> None:
    export_module(convolutions(), WORDS, CLASSES, tmp_path)
    others = {
        *(LABELS, "featuriser.json", "export.json", "convolved.npz"),
        *("tokenizer.json", "tokenizer_config.json"),
    }
    assert {path.name for path in tmp_path.iterdir()} == {GRAPH, *others}
    assert json.loads((tmp_path / LABELS).read_text(encoding="utf-8")) == CLASSES
    assert OnnxModel(tmp_path).classes == CLASSES
    loaded = Featuriser.load(tmp_path)
    assert loaded.encode(TEXTS) == WORDS.encode(TEXTS)


def test_both_axes_are_free_and_named(tmp_path: Path) -> None:
    import onnx

    export_module(convolutions(), WORDS, CLASSES, tmp_path)
    graph = onnx.load(tmp_path / GRAPH).graph
    assert [given.name for given in graph.input] == ["input_ids"]
    assert [given.name for given in graph.output] == ["logits"]
    axes = [d.dim_param or d.dim_value for d in graph.input[0].type.tensor_type.shape.dim]
    assert axes == ["batch", "length"]
    assert not any(layer.op_type == "Dropout" for layer in graph.node)


def test_exporting_leaves_the_model_and_the_generator_alone(tmp_path: Path) -> None:
    module = averaged().train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    export_module(module, WORDS, CLASSES, tmp_path)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_the_same_model_gives_the_same_file(tmp_path: Path) -> None:
    module = averaged()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        export_module(module, WORDS, CLASSES, tmp_path / name)
    assert (tmp_path / "a" / GRAPH).read_bytes() == (tmp_path / "b" / GRAPH).read_bytes()


def test_a_vocabulary_without_words(tmp_path: Path) -> None:
    module = AveragedWords(2, 4, 0, 3, 0.0, 1.0)
    export_module(module, Words([], 8), CLASSES, tmp_path)
    assert np.isfinite(OnnxModel(tmp_path).predict(["sun", ""])).all()


class Decomposed(nn.Module):
    """Computes what ONNX has no operator for."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS.size, 3)

    def forward(self, ids: Tensor) -> Tensor:
        states = self.embedding(ids)
        return torch.linalg.svd(states.transpose(1, 2) @ states)[1]  # type: ignore[no-any-return]


class Silent(Decomposed):
    """Fails without a word."""

    def forward(self, ids: Tensor) -> Tensor:
        raise NotImplementedError


@pytest.mark.parametrize(("make", "why"), [(Decomposed, "svd"), (Silent, "NotImplementedError")])
def test_a_module_without_a_form_is_said_in_one_line(make: Any, why: str, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=f"cannot export the module to ONNX: .*{why}") as caught:
        export_module(make(), WORDS, CLASSES, tmp_path)
    assert "\n" not in str(caught.value)


def test_an_export_is_its_folder(tmp_path: Path) -> None:
    export_module(averaged(), WORDS, CLASSES, tmp_path)
    model = OnnxModel(tmp_path)
    for ask in (lambda: model.save(tmp_path), model.parameters, lambda: model.export(tmp_path)):
        with pytest.raises(Unsupported):
            ask()


def test_an_export_runs_without_torch(tmp_path: Path) -> None:
    module = averaged()
    export_module(module, WORDS, CLASSES, tmp_path)
    code = (
        "import sys, json\nfrom pathlib import Path\nfrom harness.exports.onnx import OnnxModel\n"
        "print(json.dumps(OnnxModel(Path(sys.argv[1])).predict(['sun', 'the rain']).tolist()))\n"
        "sys.exit('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
    found = np.array(json.loads(done.stdout))
    np.testing.assert_allclose(found, logits_of(module, ["sun", "the rain"]), rtol=1e-4, atol=1e-5)
