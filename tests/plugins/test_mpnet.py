"""MPNet in every place where MiniLM can be: its positions are relative and counted from the padding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import harness
from harness.exports.onnx import OnnxModel
from harness.task_types.masked_lm import MaskedLanguageModelling
from harness.task_types.tagging import Tagging
from harness.testing.tiny import ODD_TEXTS, CheckContext, FromLabels, tiny_examples
from harness.training.model import TorchModel
from harness_augmenters.embeddings import EmbeddingReplace
from harness_losses.attention import Attention, Relations
from harness_losses.soft import SoftTargets
from harness_losses.states import HiddenCosine, HiddenMse
from harness_students.recurrent import Lstm
from harness_students.static import Static
from harness_students.transformer import TransformerStudent
from harness_students.words import Mlp
from harness_transformers.presets import AllMpnetBaseV2
from harness_transformers.probe import LinearProbe
from harness_transformers.states import layers_of

Folder = Callable[[str], Path]
QUICK: dict[str, Any] = {"epochs": 1, "batch_size": 8}
SMALL: dict[str, Any] = QUICK | {"min_examples": 0}


@pytest.fixture
def folder(folder_of: Folder) -> Path:
    return folder_of("masked-mpnet")


def mpnet(folder: Path, **options: Any) -> AllMpnetBaseV2:
    """The preset with a tiny model in place of its own, which has other weights than the published ones."""
    options = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3, **options}
    return AllMpnetBaseV2(model=str(folder), revision="main", **options)


def fitted(folder: Path, context: CheckContext, **options: Any) -> TorchModel:
    model = mpnet(folder, **options).fit(*tiny_examples(), context)
    assert isinstance(model, TorchModel)
    return model


@pytest.mark.parametrize("pooling", ["head", "mean", "cls"])
def test_a_teacher_is_kept_and_exported(
    pooling: Any, folder: Path, context: CheckContext, tmp_path: Path
) -> None:
    model = fitted(folder, context, pooling=pooling)
    texts = [*tiny_examples()[1].texts, *ODD_TEXTS]
    expected = model.predict(texts)
    alone = np.concatenate([model.predict([text]) for text in texts])
    np.testing.assert_allclose(alone, expected, atol=1e-5)  # padding changes nothing
    (saved := tmp_path / "saved").mkdir()
    model.save(saved)
    again = mpnet(folder, pooling=pooling).load(saved, context)
    np.testing.assert_array_equal(again.predict(texts), expected)
    (exported := tmp_path / "exported").mkdir()
    model.export(exported)
    np.testing.assert_allclose(OnnxModel(exported).predict(texts), expected, rtol=1e-3, atol=1e-4)


def test_it_has_no_token_types_and_reads_a_pair_as_its_tokenizer_does(
    folder: Path, context: CheckContext
) -> None:
    model: Any = fitted(folder, context)
    assert model.module.separator is None
    encoder = model.module.encoder
    seen: list[Any] = []
    encoder.register_forward_pre_hook(lambda module, given, named: seen.append(named), with_kwargs=True)
    model.predict(["the sun is here [SEP] the rain is here"])
    assert "token_type_ids" not in seen[0]


@pytest.mark.parametrize("longest", [8, 32, 128])
def test_a_text_is_cut_at_its_positions(longest: int, folder: Path, context: CheckContext) -> None:
    model = fitted(folder, context, longest=longest)
    assert model.featuriser.longest == min(longest, 32)  # the model has 32, beside those for padding
    long = "the sun is here and " * 30
    assert np.isfinite(model.predict([long])).all()
    assert len(model.featuriser.tokens([long]).batch(np.arange(1))[0]) == min(longest, 32)


def test_bf16_is_near(folder: Path, context: CheckContext) -> None:
    texts = tiny_examples()[1].texts
    exact = fitted(folder, context).predict(texts)
    rounded = fitted(folder, replace(context, precision="bf16")).predict(texts)
    assert np.isfinite(rounded).all()
    np.testing.assert_allclose(rounded, exact, atol=0.1)


def test_its_states_are_those_of_transformers(folder: Path, context: CheckContext) -> None:
    model: Any = fitted(folder, context)
    module = model.module.eval()
    ids = torch.from_numpy(model.featuriser.tokens(["the sun is here", "rain"]).batch(np.arange(2)))
    with torch.no_grad():
        found = module.outputs(ids, ("hidden", "layers", "attention", "relations"))
        mask = (ids != module.padding).long()
        direct = module.encoder(
            input_ids=ids, attention_mask=mask, output_hidden_states=True, output_attentions=True
        )
    assert found["hidden"].shape == (2, 16)
    for ours, theirs in (("layers", direct.hidden_states), ("attention", direct.attentions)):
        assert len(found[ours]) == len(theirs)
        for one, other in zip(found[ours], theirs, strict=True):
            torch.testing.assert_close(one, other)
    assert [tuple(each.shape) for each in found["relations"]] == [(*ids.shape, 16)] * 3


@pytest.mark.parametrize(
    "loss", [SoftTargets(), HiddenCosine(), HiddenMse(), Attention(), Relations(heads=2)], ids=repr
)
def test_its_layers_are_a_student_by_any_loss(
    loss: harness.Loss, folder: Path, context: CheckContext
) -> None:
    teacher = mpnet(folder)
    lent = replace(context, teacher=fitted(folder, context))
    student = TransformerStudent(layers=1, **QUICK)
    assert student.refuses(teacher) == "" and student.aligned(teacher)
    assert loss.needs - {"labels"} <= teacher.gives
    transfer, validation = tiny_examples()
    outputs = lent.teacher.predict(transfer.texts)  # type: ignore[union-attr]
    model: Any = student.fit(replace(transfer, logits=outputs), validation, loss, lent)
    assert len(layers_of(model.module.encoder)) == 1
    assert np.isfinite(model.predict(validation.texts)).all()


@pytest.mark.parametrize("weights", ["pretrained", "random"])
def test_a_student_starts_from_it(weights: Any, folder: Path, context: CheckContext, tmp_path: Path) -> None:
    start = mpnet(folder)
    student = TransformerStudent(start=start, layers=1, weights=weights, **QUICK)
    shape = student.shape(None)
    assert shape is not None and shape.layers == 1 and student.aligned(start)
    model: Any = student.fit(*tiny_examples(), FromLabels(), context)
    assert model.module.encoder.encoder.relative_attention_bias.weight.shape == (32, 2)
    (saved := tmp_path / "saved").mkdir()
    model.save(saved)
    texts = tiny_examples()[1].texts
    np.testing.assert_array_equal(student.load(saved, context).predict(texts), model.predict(texts))


@pytest.mark.parametrize("lender", ["teacher", "pretrained"])
@pytest.mark.parametrize("student", ["lstm", "static", "mlp"])
def test_students_take_its_embeddings(student: str, lender: str, folder: Path, context: CheckContext) -> None:
    source: Any = "teacher" if lender == "teacher" else mpnet(folder)
    build: Any = {
        "lstm": lambda: Lstm(embeddings=source, **SMALL),
        "static": lambda: Static(embeddings=source, width=8, **SMALL),
        "mlp": lambda: Mlp(initial=source, width=4, vocabulary=40, **SMALL),
    }[student]
    lent = replace(context, teacher=fitted(folder, context)) if lender == "teacher" else context
    model = build().fit(*tiny_examples(), FromLabels(), lent)
    assert np.isfinite(model.predict(tiny_examples()[1].texts)).all()


def test_its_words_replace_others(folder: Path) -> None:
    texts = ["the sun is here", "the rain is here", "the sun and the rain and the wind", "wind here"] * 3
    augmenter = EmbeddingReplace(embeddings=mpnet(folder), among="model", probability=1.0, neighbours=3)
    augmenter.check()
    new = [text for _, text in augmenter(texts, np.random.default_rng(0))]
    assert len(new) == len(texts) and not set(new) & set(texts)
    assert augmenter.base() == mpnet(folder).base()


def test_it_tags_words_and_predicts_hidden_ones(folder: Path, context: CheckContext) -> None:
    for task_type in (Tagging(), MaskedLanguageModelling()):
        train, validation = tiny_examples(task_type)
        model = mpnet(folder).fit(train, validation, context)
        assert np.isfinite(np.asarray(model.parameters().total))
        assert model.parameters().total > 1000
        if isinstance(task_type, Tagging):
            assert model.predict(validation.texts).shape[1] == len(train.classes)


def test_a_linear_probe_reads_it(folder: Path, context: CheckContext) -> None:
    train, validation = tiny_examples()
    model = LinearProbe(encoder=mpnet(folder)).fit(train, validation, context)
    assert model.predict(validation.texts).shape == (len(validation), len(train.classes))
