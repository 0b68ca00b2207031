"""spaCy's text classifiers as students: against spaCy itself, which is trained and asked beside them."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from numpy.typing import NDArray
from spacy.training import Example
from spacy.util import fix_random_seed
from thinc.api import Adam, set_dropout_rate

import harness
from harness.api import Batch, Examples, Loss
from harness.task_types.classification import Classification
from harness.testing.tiny import CheckContext, FromLabels, FromLogits, tiny_examples
from harness.training.settings import training_of
from harness_losses.labels import CrossEntropy
from harness_losses.regression import MeanSquaredErrorOfProbabilities
from harness_losses.soft import SoftTargets
from harness_spacy import training
from harness_spacy.encoding import ATTRIBUTES, encode
from harness_spacy.model import TextcatModel, put, taken
from harness_spacy.textcat import SpacyTextcat
from harness_teachers.ensemble import Ensemble
from harness_teachers.pupil import Pupil

ARCHITECTURES = ("ensemble", "bow", "cnn")
TINY = SpacyTextcat(width=8, rows=20, buckets=64, epochs=2, dropout=0.0)


def shaped(architecture: Any, **others: Any) -> SpacyTextcat:
    return replace(TINY, architecture=architecture, **others)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    powers = np.exp(logits.astype(np.float64))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def fitted(student: SpacyTextcat, loss: Loss, context: CheckContext, classes: int = 3) -> TextcatModel:
    train, validation = Classification().tiny_of(classes)
    model = student.fit(train, validation, loss, context)
    assert isinstance(model, TextcatModel)
    return model


# -- against spaCy ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_trains_as_spacy_does(architecture: str, context: CheckContext) -> None:
    """The same configuration, seed and one-hot categories, through spaCy's own update."""
    train, validation = Classification().tiny_of(2)
    labelled = [row for row, label in enumerate(np.asarray(train.labels)) if label >= 0]
    texts = [train.texts[row] for row in labelled]
    labels = np.asarray(train.labels)[labelled]
    given = Examples(texts, train.classes, labels, np.where(labels[:, None] == np.arange(2), 99, -99) * 1.0)
    given = replace(given, logits=given.logits.astype(np.float32))  # type: ignore[union-attr]
    steps = 7
    student = shaped(
        architecture, epochs=steps, batch_size=64, first_batch=64, keep_best=False, weight_decay=0.02
    )
    # spaCy's gradient is that of the squared error where the softmax is a layer of its own.
    loss: Loss = MeanSquaredErrorOfProbabilities() if architecture == "bow" else FromLabels()
    model = student.fit(given, validation, loss, context)

    fix_random_seed(context.seed)
    nlp = spacy.blank("en")
    pipe: Any = nlp.add_pipe("textcat", config={"model": student.architecture_config(softmax=True)})
    cats = [{name: float(number == label) for number, name in enumerate(train.classes)} for label in labels]
    examples = [
        Example.from_dict(nlp.make_doc(text), {"cats": cat}) for text, cat in zip(texts, cats, strict=True)
    ]
    pipe.initialize(lambda: examples, nlp=nlp, labels=train.classes)
    before = np.array([list(nlp(text).cats.values()) for text in validation.texts])
    optimizer = Adam(student.learning_rate, L2=0.02, L2_is_weight_decay=True, grad_clip=1.0)
    for _ in range(steps):
        nlp.update(examples, sgd=optimizer, drop=0.0)
    after = np.array([list(nlp(text).cats.values()) for text in validation.texts])
    assert np.abs(after - before).max() > 1e-3
    assert np.abs(softmax(model.predict(validation.texts)) - after).max() < 1e-5


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_pipeline_predicts_the_same(architecture: str, context: CheckContext, tmp_path: Path) -> None:
    model = fitted(shaped(architecture, ngrams=2), FromLogits(), context)
    model.pipeline().to_disk(tmp_path / "pipeline")
    nlp = spacy.load(tmp_path / "pipeline")
    texts = ["the sun is here", "I don't like rain, or wind.", "zxqvk", "one\ntwo  three"]
    expected = softmax(model.predict(texts))
    found = [nlp(text).cats for text in texts]
    assert [tuple(cats) for cats in found] == [model.classes] * len(texts)
    assert np.allclose([list(cats.values()) for cats in found], expected, atol=1e-6)
    assert np.ptp(expected) > 1e-3


@pytest.mark.parametrize("language", ["en", "nl", "fr", "de", "it", "es", "xx"])
def test_tokens_are_those_of_spacys_documents(language: str) -> None:
    nlp = spacy.blank(language)
    texts = [
        "I don't know, can't you?",
        "",
        "C'est l'été à Paris…",
        "z.B. 3,5 %",
        " ",
        "dell'arte dell'arte",
        "I can't",
    ]
    corpus = encode(nlp, texts)
    assert len(corpus) == len(texts) and len(corpus.tokens.lengths) == len(texts)
    for text, document in zip(texts, corpus[np.arange(len(texts))], strict=True):
        doc = nlp.make_doc(text or " ")
        assert len(document) == len(doc)
        assert np.array_equal(document.to_array(["NORM", "SHAPE"]), doc.to_array(["NORM", "SHAPE"]))
        assert np.array_equal(document.to_array(["ORTH"]), doc.to_array(["ORTH"]))
        assert np.array_equal(document.to_array([*ATTRIBUTES]), doc.to_array([*ATTRIBUTES]))
    assert len(corpus.features) == len(np.unique(corpus.features, axis=0))
    cut = encode(nlp, texts, longest=2)
    assert max(cut.tokens.lengths) == 2
    assert len(encode(nlp, [])) == 0


def test_a_mask_is_one_token(context: CheckContext) -> None:
    model = TextcatModel(TINY, ("a", "b"))
    corpus = encode(model.nlp, ["so [MASK] today", "([MASK]), she said", "[mask]"])
    assert corpus.tokens.lengths.tolist() == [3, 6, 3]
    assert [token.text for token in model.pipeline()("so [MASK], is it?")] == [
        "so",
        "[MASK]",
        ",",
        "is",
        "it",
        "?",
    ]


def test_many_texts_are_encoded_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    nlp = spacy.blank("en")
    texts = [f"number {number % 7} of don't" for number in range(25)]
    whole = encode(nlp, texts)
    monkeypatch.setattr("harness_spacy.encoding._CHUNK", 4)
    pieces = encode(nlp, texts)
    for one, other in zip(whole[np.arange(25)], pieces[np.arange(25)], strict=True):
        assert np.array_equal(one.rows, other.rows)
    assert len(pieces.features) == len(whole.features) == 7 + 4


# -- losses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradient_is_that_of_finite_differences(architecture: str, context: CheckContext) -> None:
    train, _ = tiny_examples()
    loss = SoftTargets(temperature=2.0)
    # A step first, for the layers that start at zero give the ones below no gradient.
    model = fitted(shaped(architecture, learning_rate=0.05), FromLogits(), context)
    corpus = encode(model.nlp, train.texts)
    rows = np.arange(len(train))

    def value() -> float:
        return training.loss_and_gradient(loss, model.network.predict(corpus[rows]), train, rows)[0]

    set_dropout_rate(model.network, 0.0)
    logits, backpropagate = model.network.begin_update(corpus[rows])
    backpropagate(training.loss_and_gradient(loss, logits, train, rows)[1])
    checked = 0
    for layer in model.network.walk():
        for name in layer.param_names:
            array, gradient = layer.get_param(name), layer.get_grad(name)
            at = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
            kept = float(array[at])
            around = []
            for change in (1e-2, -1e-2):
                array[at] = kept + change
                around.append(value())
            array[at] = kept
            found = (around[0] - around[1]) / 2e-2
            assert found == pytest.approx(float(gradient[at]), rel=0.05, abs=2e-4), (layer.name, name)
            checked += abs(found) > 1e-3
    assert checked


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_reaches_its_teachers_logits(architecture: str, context: CheckContext) -> None:
    """Not only their differences: what is fitted are logits, before spaCy's softmax."""
    train, validation = tiny_examples()
    train = replace(train, logits=np.asarray(train.logits) + 5)
    student = shaped(architecture, epochs=60, learning_rate=0.05, rows=100, buckets=2048, keep_best=False)
    model = student.fit(train, validation, FromLogits(), context)
    assert np.abs(model.predict(train.texts) - train.logits).mean() < 0.5  # log-probabilities: over 5
    assert (model.predict(validation.texts).argmax(1) == validation.labels).mean() > 0.9


def test_rows_without_label_are_left_out(context: CheckContext) -> None:
    train, _ = tiny_examples()
    logits = np.zeros((len(train), 3), dtype=np.float32)
    last = np.arange(len(train))[-3:]
    _, gradient = training.loss_and_gradient(FromLabels(), logits[last], train, last)
    assert not gradient[-1].any() and gradient[0].any()
    right = np.eye(3)[np.asarray(train.labels)[last[0]]]
    assert np.allclose(gradient[0], (np.full(3, 1 / 3) - right) / 2)


def test_classes_count_by_their_weights(context: CheckContext) -> None:
    """Of 3 texts of one class and 1 of another, the one counts as the three."""
    labels = np.array([0, 0, 0, 1], dtype=np.int64)
    examples = Examples(["sun", "sun", "sun", "rain"], ("a", "b"), labels)
    weigh = examples.task_type.row_weights(examples, "balanced", torch.device("cpu"))
    logits, rows = np.zeros((4, 2), dtype=np.float32), np.arange(4)
    _, gradient = training.loss_and_gradient(CrossEntropy(), logits, examples, rows, weigh)
    assert np.allclose(gradient.sum(0), 0, atol=1e-6) and np.allclose(gradient[3], [0.25, -0.25])
    plain = training.loss_and_gradient(CrossEntropy(), logits, examples, rows)[1]
    assert np.allclose(plain.sum(0), [-0.25, 0.25])

    def on_average(how: Any) -> NDArray[np.float64]:
        student = shaped("bow", epochs=200, learning_rate=0.05, class_weights=how, keep_best=False)
        blank = replace(examples, texts=["the same"] * 4)
        return softmax(student.fit(blank, blank, CrossEntropy(), context).predict(["the same"]))

    assert np.allclose(on_average("uniform"), [[0.75, 0.25]], atol=0.02)
    assert np.allclose(on_average("balanced"), [[0.5, 0.5]], atol=0.02)


class _Broken(FromLogits):
    def __call__(self, student: Any, teacher: Any, batch: Batch) -> Any:
        return super().__call__(student, teacher, batch) * float("nan")


def test_loss_that_is_not_finite_is_told(context: CheckContext) -> None:
    with pytest.raises(harness.HarnessError, match="the loss is nan in epoch 1; try a learning_rate smaller"):
        fitted(TINY, _Broken(), context)


# -- training -----------------------------------------------------------------------------------------------


def test_batches_grow_and_cover_all_rows() -> None:
    seen, sizes, step = [], [], 0
    for _ in range(40):
        epoch = list(training._batches(100, 4, 9, step, np.random.default_rng(step)))
        step += len(epoch)
        assert sorted(row for _, rows in epoch for row in rows) == list(range(100))
        assert [done for done, _ in epoch] == np.cumsum([len(rows) for _, rows in epoch]).tolist()
        seen.append(epoch[0][1].tolist())
        sizes += [len(rows) for _, rows in epoch[:-1]]
    assert sizes[0] == 4 and sizes[-1] == 9 and sizes == sorted(sizes)
    assert sizes.count(4) == pytest.approx(np.log(5 / 4) / np.log(1.01), abs=2)
    assert seen[0] != seen[1]


def test_the_best_epoch_is_kept(context: CheckContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_SCORED", 1)
    train, validation = tiny_examples()
    accuracies: list[float] = []
    weights: list[dict[str, Any]] = []

    class Watching(CheckContext):
        def progress(self, done: int, total: int, **scalars: float) -> None:
            super().progress(done, total, **scalars)
            if scalars:
                accuracies.append(scalars["validation_accuracy"])
                weights.append(taken(model.network))

    # Learning what is wrong from then on: the first epochs are the best.
    wrong = replace(train, logits=-np.asarray(train.logits))
    student = shaped("bow", epochs=8, learning_rate=0.05, patience=3)
    right = fitted(shaped("bow", epochs=20, learning_rate=0.05), FromLogits(), context)
    model = TextcatModel(student, train.classes)
    put(model.network, taken(right.network))
    settings, watching = training_of(student), Watching(context.scratch)
    training.train(model, settings, 8, 0.0, wrong, validation, FromLogits(), watching)
    best = int(np.argmax(accuracies))
    assert accuracies[0] > accuracies[-1] and len(accuracies) == best + 1 + 3
    kept = taken(model.network)
    assert all(np.array_equal(kept[name], array) for name, array in weights[best].items())
    assert not all(np.array_equal(kept[name], array) for name, array in weights[-1].items())


def test_small_sets_get_more_epochs(context: CheckContext) -> None:
    short = fitted(shaped("bow", epochs=1, keep_best=False), FromLogits(), context)
    train, _ = tiny_examples()
    long = fitted(
        shaped("bow", epochs=1, keep_best=False, min_examples=5 * len(train)), FromLogits(), context
    )
    same = fitted(shaped("bow", epochs=5, keep_best=False), FromLogits(), context)
    texts = list(train.texts)
    assert np.array_equal(long.predict(texts), same.predict(texts))
    assert not np.array_equal(long.predict(texts), short.predict(texts))


def test_seed_matters(context: CheckContext) -> None:
    other = replace(context, seed=1)
    texts = ["the sun", "rain"]
    found = [fitted(TINY, FromLogits(), where).predict(texts) for where in (context, other, context)]
    assert np.array_equal(found[0], found[2]) and not np.array_equal(found[0], found[1])


# -- the component ------------------------------------------------------------------------------------------


def test_sizes() -> None:
    bow = TextcatModel(shaped("bow", buckets=1000), ("a", "b", "c")).parameters()
    assert bow == harness.Parameters(1024 * 3 + 3, 1024 * 3 + 3, 0)  # the next power of two
    cnn = TextcatModel(shaped("cnn", depth=1), ("a", "b")).parameters()
    embedding = (20 + 3 * 10) * 8
    mixed = 3 * 8 * (4 * 8) + 3 * 8 + 2 * 8  # maxout of three pieces, and its normalisation
    convolution = 3 * 8 * (3 * 8) + 3 * 8 + 2 * 8
    assert cnn == harness.Parameters(*[embedding + mixed + convolution + 8 * 2 + 2] * 2, embedding)


def test_very_long_texts_are_read(context: CheckContext) -> None:
    model = fitted(shaped("bow", longest=5), FromLogits(), context)
    text = "sun " * 300_000  # beyond the limit of spaCy's own pipelines
    assert np.array_equal(model.predict([text]), model.predict(["sun " * 5]))


def test_the_release_of_spacy_is_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TINY.base() == f"spacy {spacy.__version__}"

    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    with pytest.raises(harness.Unavailable, match=r"pip install 'distil-harness\[spacy\]'"):
        TINY.base()


def test_as_a_teacher_it_brings_the_release_along() -> None:
    teacher = Pupil(student=TINY)
    assert teacher.base() == TINY.base()
    assert Ensemble(of=(teacher, teacher)).base() == f"{TINY.base()}\n{TINY.base()}"


def test_batches_that_shrink_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a first_batch of at most batch_size, 32, got 64"):
        replace(TINY, first_batch=64).check()
