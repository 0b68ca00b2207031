"""Students: their published sizes, and their numbers against references that share no code with them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from harness.api import Parameters
from harness.catalog import load
from harness.featurise.featuriser import Words
from harness.plan.planner import build
from harness.suite.reader import parse
from harness.testing.tiny import CheckContext, FromLabels, FromLogits, tiny_examples
from harness.training.model import TorchModel, count_parameters
from harness_students.convolutional import Cnn
from harness_students.modules import AveragedWords, Convolutions
from harness_students.recurrent import BiGru, BiLstm, TangBiLstm
from harness_students.tfidf import TfidfLogreg
from harness_students.words import Mlp
from harness_teachers.ensemble import Ensemble
from harness_teachers.pupil import Pupil
from harness_transformers.transformer import MiniLM

Ids = NDArray[np.int64]

# Padded to nine: a long text, one word, two, a text without padding, unknown words, and nothing at all.
IDS = np.array(
    [
        [2, 3, 4, 2, 5, 0, 0, 0, 0],
        [6, 0, 0, 0, 0, 0, 0, 0, 0],
        [3, 7, 0, 0, 0, 0, 0, 0, 0],
        [2, 3, 4, 5, 6, 7, 8, 9, 2],
        [1, 1, 1, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
)


def run(module: nn.Module, ids: Any) -> NDArray[np.float32]:
    with torch.no_grad():
        return np.asarray(module.eval()(torch.as_tensor(ids)))


def array(parameter: Any) -> NDArray[np.float64]:
    return np.asarray(parameter.detach(), dtype=np.float64)


# -- sizes ----------------------------------------------------------------------------------------------


def test_sizes_are_those_published() -> None:
    assert count_parameters(Mlp().module(5000, 6)) == Parameters(80_102, 80_102, 80_000)
    assert count_parameters(Cnn().module(5000, 6)) == Parameters(83_750, 83_750, 80_000)
    assert count_parameters(Cnn().module(5000, 6)).total < 100_000
    assert Mlp().vocabulary == Cnn().vocabulary == 5000 and Mlp().width == Cnn().width == 16


@pytest.mark.parametrize(
    ("student", "total"),
    [
        (Mlp(hidden=10), 80_000 + 16 * 10 + 10 + 10 * 6 + 6),
        (Mlp(width=8), 40_000 + 8 * 6 + 6),
        (Cnn(spans=(2,), filters=7), 80_000 + 32 * 7 + 7 + 7 * 6 + 6),
    ],
    ids=["mlp-hidden", "mlp-width", "cnn"],
)
def test_sizes_of_others(student: Mlp | Cnn, total: int) -> None:
    assert count_parameters(student.module(5000, 6)).total == total


@pytest.mark.parametrize("student", [Mlp(epochs=1, min_examples=0), Cnn(epochs=1, min_examples=0)])
def test_a_small_corpus_has_a_small_vocabulary(student: Mlp | Cnn, context: CheckContext) -> None:
    train, validation = tiny_examples()
    words = {word for text in train.texts for word in text.lower().split()}
    model = student.fit(train, validation, FromLabels(), context)
    assert model.parameters().embedding == 16 * (len(words) + 2)  # padding and unknown words
    few = replace(student, vocabulary=7).fit(train, validation, FromLabels(), context)
    assert few.parameters().embedding == 16 * 7


# -- averaged words -------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [0, 5])
def test_averaged_words_are_a_mean_in_numpy(hidden: int) -> None:
    torch.manual_seed(0)
    module = AveragedWords(10, 4, hidden, 3, dropout=0.5, scale=1.0)
    table = array(module.embedding.weight)
    rows = []
    for ids in IDS[:-1]:
        features = table[ids[ids > 0]].mean(axis=0)
        if module.hidden is not None:
            weighted = array(module.hidden.weight) @ features + array(module.hidden.bias)
            features = np.maximum(weighted, 0)
        rows.append(array(module.output.weight) @ features + array(module.output.bias))
    np.testing.assert_allclose(run(module, IDS)[:-1], rows, rtol=1e-5, atol=1e-6)
    assert np.isfinite(run(module, IDS)).all()  # nothing at all is no division by zero


# -- convolutions ---------------------------------------------------------------------------------------


def as_conv1d(module: Convolutions, ids: Ids) -> NDArray[np.float32]:
    """One text, without padding, through nn.Conv1d with the same weights."""
    words = module.embedding(torch.as_tensor(ids))[None].transpose(1, 2)  # (1, W, L)
    pooled = []
    for span, layer in zip(module.spans, module.layers, strict=True):
        assert isinstance(layer, nn.Linear)
        filters, width = layer.out_features, layer.in_features // span
        convolution = nn.Conv1d(width, filters, span)
        convolution.weight.data = layer.weight.view(filters, span, width).transpose(1, 2)
        convolution.bias = layer.bias
        # As many zeros behind the text as let its last word start a span.
        padded = nn.functional.pad(words, (0, span - 1))
        pooled.append(convolution(padded).relu().amax(2))
    return np.asarray(module.output(torch.cat(pooled, 1)).detach())


@pytest.mark.parametrize("spans", [(1,), (3,), (1, 2, 3), (4, 2), (9,), (12,)])
def test_convolutions_are_those_of_conv1d(spans: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    module = Convolutions(10, 4, 6, spans, 3, dropout=0.5, scale=1.0).eval()
    nn.init.normal_(module.output.bias)
    for layer in module.layers:
        assert isinstance(layer, nn.Linear)
        nn.init.normal_(layer.bias)  # biases that are large beside zeros show where padding is counted
    expected = np.concatenate([as_conv1d(module, ids[ids > 0]) for ids in IDS[:-1]])
    np.testing.assert_allclose(run(module, IDS)[:-1], expected, rtol=1e-5, atol=1e-5)
    nothing = run(module, IDS[-1:])
    np.testing.assert_allclose(nothing[0], array(module.output.bias), rtol=1e-6)


MODULES = [AveragedWords(10, 4, 3, 3, 0.2, 1.0), Convolutions(10, 4, 6, (1, 2, 3), 3, 0.2, 1.0)]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: type(module).__name__)
def test_padding_is_not_read(module: nn.Module) -> None:
    expected = run(module, IDS)
    wider = np.pad(IDS, ((0, 0), (0, 7)))
    np.testing.assert_allclose(run(module, wider), expected, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        module.embedding.weight[0] = 1e3  # type: ignore[operator, index, union-attr]
    np.testing.assert_allclose(run(module, wider), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [AveragedWords, Convolutions])
def test_initial_embeddings_have_the_scale_asked_for(make: Any) -> None:
    shape: tuple[Any, ...] = (0,) if make is AveragedWords else (4, (1,))
    module = make(5000, 16, *shape, 6, dropout=0.0, scale=0.05)
    assert module.embedding.weight.std().item() == pytest.approx(0.05, rel=0.02)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: type(module).__name__)
def test_dropout_is_for_training(module: nn.Module) -> None:
    ids = torch.as_tensor(IDS)
    module.train()
    assert not torch.equal(module(ids), module(ids))
    assert np.array_equal(run(module, IDS), run(module, IDS))


@pytest.mark.parametrize("student", [Mlp, Cnn])
@pytest.mark.parametrize("loss", [FromLabels(), FromLogits()], ids=["labels", "logits"])
def test_they_learn(student: Any, loss: Any, context: CheckContext) -> None:
    train, validation = tiny_examples()
    model = student(vocabulary=60, width=8, batch_size=8, min_examples=1500).fit(
        train, validation, loss, context
    )
    assert validation.labels is not None
    assert (model.predict(validation.texts).argmax(1) == validation.labels).all()


def test_parameters_reach_the_module_and_the_featuriser(context: CheckContext) -> None:
    train, validation = tiny_examples()
    options = {"vocabulary": 20, "longest": 5, "dropout": 0.25, "epochs": 1, "min_examples": 0}
    for student in (Mlp(width=3, hidden=6, **options), Cnn(width=3, filters=6, spans=(2, 4), **options)):  # type: ignore[arg-type]
        model: Any = student.fit(train, validation, FromLabels(), context)
        assert isinstance(model, TorchModel) and isinstance(model.featuriser, Words)
        assert model.featuriser.longest == 5 and model.featuriser.size == 20
        assert model.module.dropout.p == 0.25 and model.module.embedding.embedding_dim == 3
    assert model.module.spans == (2, 4) and model.module.output.in_features == 12


# -- where they are trained ------------------------------------------------------------------------------


def test_what_a_core_trains_as_well_is_left_to_cores() -> None:
    """Multiplications for a word by hand; any of them can run on a GPU, and is timed there."""
    assert Mlp().products == 0 and Cnn().products == 16 * 32 * (1 + 2 + 3)
    assert BiGru().products == 2 * 3 * 24 * (16 + 24)
    two = BiLstm(projection=64, hidden=96, layers=2, embeddings=MiniLM())
    assert two.products == 2 * 4 * (96 * (64 + 96) + 96 * (2 * 96 + 96))
    for small in (Mlp(), Cnn(), BiGru()):
        assert not small.accelerated and small.runs_on_gpu
    for large in (two, Cnn(width=300, filters=100), TangBiLstm()):
        assert large.accelerated and large.runs_on_gpu
    assert not TfidfLogreg().runs_on_gpu
    assert not Pupil(student=Mlp()).accelerated and Pupil(student=Mlp()).runs_on_gpu
    assert Ensemble(of=(Pupil(student=Mlp()), Pupil(student=TfidfLogreg()))).runs_on_gpu


def test_a_small_students_latency_is_measured_on_a_gpu_too() -> None:
    suite = """
    [suite]
    name = "small"
    [[task]]
    use = "emotion"
    [[teacher]]
    use = "student"
    student = { use = "tfidf-logreg" }
    [[student]]
    use = "mlp"
    [[augmenter]]
    use = "none"
    [[loss]]
    use = "kl"
    """
    plan = build(parse(suite, load()), load(), source="sample")
    steps = {(step.kind, step.gpu) for step in plan.steps.values() if "student" in step.components}
    assert steps >= {("student", False), ("evaluation", False), ("latency", True)}
    assert {kind for kind, gpu in steps if gpu} == {"latency"}
