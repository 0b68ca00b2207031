"""Students: their published sizes, and their numbers against references that share no code with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from harness import HarnessError
from harness.api import Examples, Parameters
from harness.catalog import load
from harness.featurise.featuriser import Words
from harness.plan.planner import build
from harness.suite.reader import parse
from harness.testing.tiny import ODD_TEXTS, CheckContext, FromLabels, FromLogits, tiny_examples
from harness.training.model import TorchModel, count_parameters
from harness_students.linear import TfidfLogreg, TfidfModel
from harness_students.modules import AveragedWords, Convolutions
from harness_students.recurrent import BiGru, BiLstm, TangBiLstm
from harness_students.words import Cnn, Mlp
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


# -- TF-IDF and logistic regression ---------------------------------------------------------------------


def corpus(classes: int, rows: int = 240) -> Examples:
    """Texts in which each class has words that it prefers."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, classes, rows)
    words = np.array([f"word{number}" for number in range(30)])
    texts = []
    for label in labels:
        liked = np.where(np.arange(30) % classes == label, 3.0, 1.0)
        texts.append(" ".join(generator.choice(words, 8, p=liked / liked.sum())))
    return Examples(texts, tuple(f"class {number}" for number in range(classes)), labels.astype(np.int64))


def reference(student: TfidfLogreg, examples: Examples, texts: Sequence[str]) -> Any:
    """A plain pipeline's decision function."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    vectorizer = TfidfVectorizer(ngram_range=(1, student.ngrams), max_features=student.vocabulary)
    pipeline = make_pipeline(
        vectorizer, LogisticRegression(C=student.strength, max_iter=1000, random_state=0)
    )
    return pipeline.fit(list(examples.texts), examples.labels).decision_function(list(texts))


@pytest.mark.parametrize(
    "student",
    [TfidfLogreg(), TfidfLogreg(ngrams=2, vocabulary=50, strength=10.0)],
    ids=["default", "bigrams"],
)
@pytest.mark.parametrize("classes", [2, 3, 6])
def test_tfidf_is_a_plain_pipeline(student: TfidfLogreg, classes: int, context: CheckContext) -> None:
    examples = corpus(classes)
    texts = [*examples.texts[:50], "", "unseen words", "word1 word1 word2"]
    model = student.fit(examples, examples, FromLabels(), context)
    found, expected = model.predict(texts), reference(student, examples, texts)
    if classes == 2:  # of which scikit-learn gives the difference
        np.testing.assert_allclose(found.sum(axis=1), 0, atol=1e-5)
        found = found[:, 1] - found[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_probabilities_of_two_classes_are_scikit_learns(context: CheckContext) -> None:
    from scipy.special import expit, softmax

    examples = corpus(2)
    model = TfidfLogreg().fit(examples, examples, FromLabels(), context)
    right = expit(reference(TfidfLogreg(), examples, examples.texts))
    np.testing.assert_allclose(softmax(model.predict(examples.texts), axis=1)[:, 1], right, rtol=1e-5)


def test_it_is_saved_as_arrays_and_a_vocabulary(context: CheckContext, tmp_path: Path) -> None:
    examples = corpus(3)
    student = TfidfLogreg(ngrams=2)
    model = student.fit(examples, examples, FromLabels(), context)
    (folder := tmp_path / "model").mkdir()
    model.save(folder)
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "model.json"}
    loaded = TfidfLogreg().load(folder, context)  # all it needs is in the folder
    texts = [*examples.texts, *ODD_TEXTS]
    assert np.array_equal(loaded.predict(texts), model.predict(texts))
    assert isinstance(loaded, TfidfModel)
    terms = len(loaded.settings["vocabulary"])
    assert loaded.parameters() == Parameters(
        total=3 * terms + 3 + terms, trainable=3 * terms + 3, embedding=0
    )


def test_rows_without_a_label_are_left_out(context: CheckContext) -> None:
    examples = corpus(3)
    assert examples.labels is not None
    hidden = examples.labels.copy()
    hidden[100:] = -1
    part = Examples(examples.texts[:100], examples.classes, examples.labels[:100])
    with_gaps = TfidfLogreg().fit(replace(examples, labels=hidden), examples, FromLabels(), context)
    alone = TfidfLogreg().fit(part, examples, FromLabels(), context)
    assert np.array_equal(with_gaps.predict(examples.texts), alone.predict(examples.texts))


@pytest.mark.parametrize("present", [[0, 2], [1, 2, 3]])
def test_a_class_that_training_lacks_is_never_predicted(present: list[int], context: CheckContext) -> None:
    examples = corpus(4)
    assert examples.labels is not None
    labels = np.where(np.isin(examples.labels, present), examples.labels, -1)
    model = TfidfLogreg().fit(replace(examples, labels=labels), examples, FromLabels(), context)
    logits = model.predict([*examples.texts, *ODD_TEXTS])
    assert logits.shape[1] == 4 and np.isfinite(logits).all()
    assert set(logits.argmax(axis=1)) <= set(present)


def test_what_it_cannot_learn_from(context: CheckContext) -> None:
    examples = corpus(2)
    with pytest.raises(HarnessError, match="'tfidf-logreg' cannot use loss 'check-logits'"):
        TfidfLogreg().fit(examples, examples, FromLogits(), context)
    with pytest.raises(HarnessError, match="there are no words to learn from") as caught:
        silent = replace(examples, texts=["! ?"] * len(examples))
        TfidfLogreg().fit(silent, examples, FromLabels(), context)
    assert "\n" not in str(caught.value)


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
