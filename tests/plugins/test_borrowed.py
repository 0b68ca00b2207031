"""Students over a transformer's word pieces: its table, its tokenizer, and what is saved of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from harness import HarnessError, catalog
from harness.api import Parameters
from harness.exports.onnx import OnnxModel
from harness.parameters import ParameterErrors
from harness.testing.tiny import ODD_TEXTS, CheckContext, FromLabels, FromLogits, tiny_examples
from harness.training.model import TorchModel, count_parameters
from harness_students.convolutional import Cnn
from harness_students.recurrence import RecurrentClassifier, Shape
from harness_students.recurrent import BiLstm, Gru, Lstm
from harness_students.tfidf import TfidfSvm
from harness_students.words import Mlp
from harness_teachers.pupil import Pupil
from harness_transformers.transformer import Transformer

FolderOf = Callable[[str], Path]
TEXTS = [*tiny_examples()[1].texts, *ODD_TEXTS]


@pytest.fixture(params=["bert", "roberta"])
def pretrained(request: Any, folder_of: FolderOf) -> Transformer:
    return Transformer(model=str(folder_of(request.param)), longest=20, epochs=1, pooling="mean")


@pytest.fixture
def bert(folder_of: FolderOf) -> Transformer:
    return Transformer(model=str(folder_of("bert")), longest=20, epochs=1)


def table_of(source: Transformer) -> Any:
    weights = load_file(Path(source.model) / "model.safetensors")
    return next(value for name, value in weights.items() if name.endswith("word_embeddings.weight"))


def fit(student: Any, context: CheckContext, loss: Any = None) -> Any:
    train, validation = tiny_examples()
    return student.fit(train, validation, loss or FromLogits(), context)


# -- embeddings -----------------------------------------------------------------------------------------


def test_frozen_embeddings_are_the_pretrained_ones(pretrained: Transformer, context: CheckContext) -> None:
    table = table_of(pretrained)
    model = fit(Lstm(embeddings=pretrained, hidden=5, min_examples=0, epochs=2), context)
    np.testing.assert_array_equal(model.module.embedding.weight.numpy(force=True), table)
    rest = 4 * 5 * (16 + 5 + 2) + 3 * (5 + 1)  # gates with two biases, and the classifier
    assert model.parameters() == Parameters(table.size + rest, rest, table.size)
    own = pretrained.fit(*tiny_examples(), context)
    assert isinstance(own, TorchModel) and model.featuriser.encode(TEXTS) == own.featuriser.encode(TEXTS)
    assert model.module.padding == own.featuriser.padding


def test_others_are_tuned(bert: Transformer, context: CheckContext) -> None:
    student = Lstm(embeddings=bert, freeze=False, hidden=5, min_examples=0, epochs=2)
    model = fit(student, context)
    weights = model.module.embedding.weight.numpy(force=True)
    moved = np.abs(weights - table_of(bert)).max(axis=1) > 0
    seen = {number for ids in model.featuriser.encode(list(tiny_examples()[0].texts)) for number in ids}
    assert set(np.flatnonzero(moved)) == seen
    assert model.parameters().trainable == model.parameters().total


def test_they_are_those_of_the_fitted_teacher(pretrained: Transformer, context: CheckContext) -> None:
    train, validation = tiny_examples()
    teacher = pretrained.fit(train, validation, context)
    assert isinstance(teacher, TorchModel)
    student = Gru(embeddings="teacher", min_examples=0, longest=9)
    assert student.borrows and not Gru().borrows and not Gru(embeddings=pretrained).borrows
    model: Any = fit(student, replace(context, teacher=teacher))
    tuned: Any = teacher.module
    assert torch.equal(model.module.embedding.weight, tuned.encoder.get_input_embeddings().weight)
    assert not np.array_equal(model.module.embedding.weight.numpy(force=True), table_of(pretrained))
    ids = teacher.featuriser.encode(["sun " * 30])[0]
    assert len(ids) == 20 and len(model.featuriser.encode(["sun " * 30])[0]) == 9
    assert teacher.featuriser.encode(["sun " * 30])[0] == ids  # its tokenizer was not cut for the student


def test_a_recurrent_teacher_lends_its_words(context: CheckContext) -> None:
    train, validation = tiny_examples()
    teacher: Any = Pupil(student=BiLstm(min_examples=0)).fit(train, validation, context)
    model = fit(
        Lstm(embeddings="teacher", min_examples=0, word_dropout=0.5), replace(context, teacher=teacher)
    )
    assert torch.equal(model.module.embedding.weight, teacher.module.embedding.weight)
    assert model.module.unknown == 1


@pytest.mark.parametrize("projection", [0, 6])
def test_it_is_loaded_without_its_source(
    projection: int, pretrained: Transformer, context: CheckContext, tmp_path: Path
) -> None:
    student = BiLstm(
        embeddings="teacher", projection=projection, feedforward=7, word_dropout=0.2, min_examples=0
    )
    teacher = pretrained.fit(*tiny_examples(), context)
    model = fit(student, replace(context, teacher=teacher))
    (folder := tmp_path / "model").mkdir()
    model.save(folder)
    loaded = student.load(folder, context)  # without a teacher
    np.testing.assert_array_equal(loaded.predict(TEXTS), model.predict(TEXTS))
    assert loaded.parameters() == model.parameters()
    assert json.loads((folder / "model.json").read_text())["shape"]["width"] == (projection or 16)
    (exported := tmp_path / "onnx").mkdir()
    loaded.export(exported)
    np.testing.assert_allclose(OnnxModel(exported).predict(TEXTS), model.predict(TEXTS), rtol=1e-4, atol=1e-5)


def test_folding_keeps_the_logits() -> None:
    torch.manual_seed(0)
    shape = Shape(9, 16, 5, 1, 3, "lstm", True, "max", 1.0, projection=4, feedforward=3)
    module = RecurrentClassifier(shape).eval()
    module.embedding.requires_grad_(False)
    ids = torch.tensor([[2, 3, 4, 5], [6, 1, 0, 0]])
    before, counted = module(ids), count_parameters(module)
    module.fold()
    torch.testing.assert_close(module(ids), before)
    after = count_parameters(module)
    assert after == Parameters(counted.total - 16 * 4 - 9 * 16 + 9 * 4, counted.trainable - 16 * 4, 9 * 4)


def test_a_relu_layer_follows_pooling() -> None:
    torch.manual_seed(0)
    module = RecurrentClassifier(Shape(9, 4, 5, 1, 3, "gru", False, "mean", 1.0, feedforward=6)).eval()
    gru: Any = module.layers[0][0]  # type: ignore[index]
    between, output = module.feedforward, module.output
    assert isinstance(between, nn.Linear)
    for ids in ([2, 3, 4, 5], [6, 1]):
        with torch.no_grad():
            found = module(torch.tensor([ids + [0] * (5 - len(ids))])).numpy()[0]
            mean = gru(module.embedding(torch.tensor([ids])))[0].mean(1).numpy()[0]
        hidden = np.maximum(between.weight.numpy(force=True) @ mean + between.bias.numpy(force=True), 0)
        expected = output.weight.numpy(force=True) @ hidden + output.bias.numpy(force=True)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_they_learn_from_frozen_embeddings(bert: Transformer, context: CheckContext) -> None:
    _, validation = tiny_examples()
    student = BiLstm(embeddings=bert, projection=8, feedforward=8, batch_size=8, min_examples=1500)
    model = fit(student, context, FromLabels())
    assert validation.labels is not None
    assert (model.predict(validation.texts).argmax(1) == validation.labels).all()


# -- mistakes -------------------------------------------------------------------------------------------


def test_what_a_suite_may_write(bert: Transformer) -> None:
    installed = catalog.load()

    def build(value: Any, **others: Any) -> Any:
        return installed.build("student", {"use": "gru", "embeddings": value, **others})

    table = {"use": "transformer", "model": bert.model, "longest": 20}
    assert build(table).embeddings == Transformer(model=bert.model, longest=20)
    assert build(table).base() == bert.base() and build("own").base() == ""
    with pytest.raises(ParameterErrors) as caught:
        build("teachr")
    assert str(caught.value) == (
        "parameter 'embeddings' of student 'gru' must be 'own' or 'teacher' or a teacher of the type "
        "FineTuned written { use = \"...\" }, got 'teachr'; did you mean 'teacher'?"
    )
    with pytest.raises(ParameterErrors, match="'longst' of teacher 'minilm' is unknown; did you mean"):
        build({"use": "minilm", "longst": 3})
    with pytest.raises(ParameterErrors, match="of the type FineTuned"):
        build({"use": "precomputed", "file": "answers.jsonl"})
    with pytest.raises(HarnessError, match='cannot use projection 4 with embeddings = "own"'):
        build("own", projection=4)
    with pytest.raises(HarnessError, match='cannot use words "telling" with a transformer'):
        build(table, words="telling")


def test_a_teacher_has_nobody_to_borrow_from() -> None:
    with pytest.raises(HarnessError, match="cannot use student 'gru' as a teacher: it takes parts"):
        catalog.load().build(
            "teacher", {"use": "student", "student": {"use": "gru", "embeddings": "teacher"}}
        )


@pytest.mark.parametrize("teacher", [None, "model"])
def test_a_teacher_without_embeddings(teacher: Any, context: CheckContext) -> None:
    if teacher is not None:
        teacher = TfidfSvm().fit(*tiny_examples(), FromLabels(), context)
    with pytest.raises(HarnessError, match="cannot take embeddings for student 'gru': its teacher has none"):
        fit(Gru(embeddings="teacher"), replace(context, teacher=teacher))


# -- convolutions, components and first vectors ----------------------------------------------------------


def test_convolutions_read_subwords(pretrained: Transformer, context: CheckContext) -> None:
    """Padding is that of the tokenizer, and the folded projection keeps every logit."""
    student = Cnn(embeddings=pretrained, projection=4, filters=3, min_examples=0, epochs=1)
    module: Any = student.module(30, 2, width=6, padding=1, projection=4)
    ids = torch.tensor([[5, 6, 7, 1, 1], [8, 9, 5, 6, 2]])
    before = module.eval()(ids).detach()
    np.testing.assert_allclose(module(ids[:1, :3]).detach(), before[:1], atol=1e-6)
    module.fold()
    np.testing.assert_allclose(module(ids).detach(), before, atol=1e-5)
    model = fit(student, context)
    assert model.module.embedding.weight.shape == (model.featuriser.size, 4)
    assert model.module.padding == model.featuriser.padding


def test_components_are_those_of_the_words_in_use(bert: Transformer, context: CheckContext) -> None:
    """All components keep every distance up to the scale; fewer keep those of frequent words best."""
    from harness.featurise.featuriser import Featuriser
    from harness_students.averages import reduced
    from harness_students.borrowed import borrow

    train, _ = tiny_examples()
    _, table, featuriser = borrow("check", bert, 20, context)
    assert isinstance(featuriser, Featuriser)
    whole = reduced(table, featuriser, table.shape[1], train, context)
    scale = torch.cdist(whole[:50], whole[:50]).sum() / torch.cdist(table[:50], table[:50]).sum()
    np.testing.assert_allclose(
        torch.cdist(whole, whole), scale * torch.cdist(table, table), rtol=1e-3, atol=1e-3
    )
    few = reduced(table, featuriser, 5, train, context)
    kept = few / few.std() @ torch.linalg.lstsq(few / few.std(), whole).solution
    used = sorted({number for ids in featuriser.encode(list(train.texts)) for number in ids})
    lost = (whole - kept).norm(dim=1) / whole.norm(dim=1)
    assert lost[used].mean() < lost.mean()
    with pytest.raises(
        HarnessError, match=r"expected at most \d+ components, the width of the embeddings, got 999"
    ):
        reduced(table, featuriser, 999, train, context)


def test_words_start_from_states_of_a_teacher(bert: Transformer, context: CheckContext) -> None:
    from scipy.stats import spearmanr

    train, validation = tiny_examples()
    teacher = bert.fit(train, validation, context)
    assert isinstance(teacher, TorchModel)
    student = Mlp(initial="teacher", width=4, vocabulary=30, min_examples=0)
    featuriser: Any = student.featuriser(train)
    module: Any = student.module(featuriser.size, 2)
    student.begin(module, featuriser, train, replace(context, teacher=teacher))
    vectors = module.embedding.weight[2:].detach()
    states = torch.from_numpy(teacher.hidden(featuriser.vocabulary))
    apart, expected = torch.pdist(vectors), torch.pdist(states)
    assert spearmanr(apart, expected).statistic > 0.7  # four components keep most of the distances
    assert student.borrows and not student.refuses(bert)
    svm = Pupil(student=TfidfSvm())
    assert student.refuses(svm).startswith(
        "student 'mlp' starts from states of its teacher, but teacher 'stu"
    )


def test_first_vectors_and_components_have_rules(bert: Transformer) -> None:
    for given, says in (
        ({"components": 4}, "cannot use components 4"),
        ({"embeddings": "teacher", "initial": "teacher"}, "cannot use `initial` with a transformer's"),
    ):
        with pytest.raises(ParameterErrors, match=says):
            catalog.load().build("student", {"use": "cnn", **given})
