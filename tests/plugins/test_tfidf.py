"""TF-IDF with linear classifiers, against plain pipelines of scikit-learn, and in each exported form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import HarnessError
from harness.api import Examples, Parameters, Student
from harness.featurise.words import words_of
from harness.runtime.forms import load
from harness.runtime.linear import LINEAR
from harness.task_types.classification import Classification
from harness.testing.tiny import ODD_TEXTS, CheckContext, FromLabels, FromLogits
from harness_students.phrases import Phrases
from harness_students.tfidf import TfidfLogreg, TfidfModel, TfidfSvm


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


def pipeline(student: Any) -> Any:
    """A plain pipeline with the settings of a student."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    vectorizer = TfidfVectorizer(
        tokenizer=words_of,
        token_pattern=None,
        ngram_range=(1, student.ngrams),
        max_features=student.vocabulary,
        sublinear_tf=student.sublinear,
    )
    if isinstance(student, TfidfSvm):
        return make_pipeline(vectorizer, LinearSVC(C=student.strength, random_state=0))
    return make_pipeline(vectorizer, LogisticRegression(C=student.strength, max_iter=1000))


def fitted(student: Student, examples: Examples, context: CheckContext) -> TfidfModel:
    model = student.fit(examples, examples, FromLabels(), context)
    assert isinstance(model, TfidfModel)
    return model


def halves(examples: Examples) -> tuple[Examples, Examples]:
    assert examples.labels is not None
    return (
        replace(examples, texts=examples.texts[:120], labels=examples.labels[:120]),
        replace(examples, texts=examples.texts[120:], labels=examples.labels[120:]),
    )


STUDENTS = [
    TfidfLogreg(strength=1.0),
    TfidfLogreg(ngrams=1, sublinear=False, strength=10.0),
    TfidfLogreg(ngrams=3, strength=1.0),
    TfidfSvm(strength=0.3),
]


@pytest.mark.parametrize("student", STUDENTS, ids=lambda student: f"{student.name}-{student.ngrams}")
@pytest.mark.parametrize("classes", [2, 3, 6])
def test_it_is_a_plain_pipeline(student: Any, classes: int, context: CheckContext) -> None:
    """Up to the rounding to 8 bits, which is at most half a step for each of a text's words."""
    examples = corpus(classes)
    texts = [*examples.texts[:50], "", "unseen words", "word1 word1 word2"]
    model = fitted(student, examples, context)
    found = model.predict(texts)
    plain = pipeline(student).fit(list(examples.texts), examples.labels)
    expected = plain.decision_function(texts)
    if classes == 2:  # of which scikit-learn gives the difference
        np.testing.assert_allclose(found.sum(axis=1), 0, atol=1e-5)
        found = found[:, 1] - found[:, 0]
    if isinstance(student, TfidfSvm):  # a factor makes the margins logits
        factor = (found / expected).mean()
        assert factor > 0
        expected = factor * expected
    steps = 0.5 * np.atleast_1d(model.arrays["scale"]).max() if model.arrays["table"].dtype == np.int8 else 0
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 + 8 * steps)
    assert (found.argmax(-1) == expected.argmax(-1)).mean() > 0.95


def test_the_strength_is_chosen_on_the_validation_split(context: CheckContext) -> None:
    half, rest = halves(corpus(3))

    def right(model: Any) -> float:
        return float((model.predict(rest.texts).argmax(1) == rest.labels).mean())

    each = [
        right(TfidfLogreg(strength=strength).fit(half, rest, FromLabels(), context))
        for strength in TfidfLogreg.STRENGTHS
    ]
    assert right(TfidfLogreg().fit(half, rest, FromLabels(), context)) >= max(each[:3]) - 1e-9


def test_margins_become_probabilities(context: CheckContext) -> None:
    """The factor has the largest likelihood: neither half nor twice as much is better."""
    from scipy.special import log_softmax

    half, rest = halves(corpus(3))
    logits = TfidfSvm().fit(half, rest, FromLabels(), context).predict(rest.texts)

    def likelihood(factor: float) -> float:
        return float(log_softmax(factor * logits, axis=1)[np.arange(len(rest)), rest.labels].mean())

    assert likelihood(1.0) > max(likelihood(0.5), likelihood(2.0))


@pytest.mark.parametrize("student", [TfidfLogreg(), TfidfSvm(ngrams=1)], ids=["logreg", "svm"])
@pytest.mark.parametrize("classes", [2, 5])
def test_every_form_is_the_model(student: Any, classes: int, context: CheckContext, tmp_path: Path) -> None:
    examples = corpus(classes)
    model = fitted(student, examples, context)
    model.export(tmp_path)
    manifest = '{"format": 1, "task_type": {"name": "classification", "options": {}}, "featuriser": "%s"}'
    (tmp_path / "export.json").write_text(manifest % Phrases.__module__)
    texts = [*examples.texts[:40], *ODD_TEXTS, "", "word1 word1 word1 word2 unheard"]
    expected = model.predict(texts)
    for form in ("numpy-linear", "onnx"):
        found = load(tmp_path, form)
        assert isinstance(found.task_type, Classification)
        np.testing.assert_allclose(found.predict(texts), expected, atol=1e-4)
        one = np.stack([found.single(found.featuriser.encode([text])[0]) for text in texts])
        np.testing.assert_allclose(one, expected, atol=1e-4)
    assert load(tmp_path).form == "numpy-linear"


def test_a_file_of_another_shape_is_refused(context: CheckContext, tmp_path: Path) -> None:
    model = fitted(TfidfLogreg(), corpus(2), context)
    model.export(tmp_path)
    other = {**model.arrays, "idf": model.arrays["idf"][:-1]}
    np.savez(tmp_path / LINEAR, **other)
    with pytest.raises(HarnessError, match=r"linear\.npz has arrays that do not fit together"):
        load(tmp_path, "numpy-linear")
    np.savez(tmp_path / LINEAR, table=model.arrays["table"])
    with pytest.raises(HarnessError, match="expected a table, idf and bias"):
        load(tmp_path, "numpy-linear")


def test_fewer_parameters_are_fewer_phrases(context: CheckContext) -> None:
    small = TfidfLogreg().within(1000, 3)
    assert isinstance(small, TfidfLogreg) and small.vocabulary == (1000 - 3) // 4 - 2
    assert fitted(small, corpus(3), context).parameters().total <= 1000
    assert TfidfLogreg(vocabulary=150).within(1000, 3) == TfidfLogreg(vocabulary=150)
    assert TfidfLogreg().within(300, 3) is None


@pytest.mark.parametrize("kind", [np.int8, np.float32])
def test_it_is_saved_as_arrays_and_a_vocabulary(kind: Any, context: CheckContext, tmp_path: Path) -> None:
    examples = corpus(3)
    model = fitted(TfidfLogreg(), examples, context)
    model.arrays["table"] = model.arrays["table"].astype(kind)
    (folder := tmp_path / "model").mkdir()
    model.save(folder)
    names = {path.name for path in folder.iterdir()}
    assert names == {"model.safetensors", "model.json", "featuriser.json"}
    loaded = TfidfLogreg().load(folder, context)  # all it needs is in the folder
    texts = [*examples.texts, *ODD_TEXTS]
    assert np.array_equal(loaded.predict(texts), model.predict(texts))
    terms = model.featuriser.size
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
        silent = replace(examples, texts=["  "] * len(examples))
        TfidfLogreg().fit(silent, examples, FromLabels(), context)
    assert "\n" not in str(caught.value)
    same = replace(examples, labels=np.zeros(len(examples), dtype=np.int64))
    for student in (TfidfLogreg(), TfidfSvm()):
        with pytest.raises(HarnessError, match="all texts have the same label"):
            student.fit(same, same, FromLabels(), context)
