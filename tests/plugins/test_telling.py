"""Vocabularies of telling words, against likelihoods that scipy counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm, power_divergence

import harness
from harness.api import SCORE, Examples
from harness.featurise.featuriser import Words
from harness.task_types.classification import Classification
from harness.testing.tiny import CheckContext, FromLogits
from harness_students import telling as module
from harness_students.convolutional import Cnn
from harness_students.telling import telling
from harness_students.words import Mlp

TEXTS = ["the sun", "the sun sun", "the rain", "the rain [MASK]", "the wind", "the wind rain"]
LABELS = np.array([0, 0, 1, 1, 1, 0])


def examples(labels: NDArray[np.int64] | None = LABELS, **more: NDArray[np.float32]) -> Examples:
    return Examples(TEXTS, ("a", "b"), labels, **more)


def likelihood_ratio(word: str, labels: NDArray[np.int64]) -> float:
    """Half of the G statistic, by scipy."""
    of_word = labels[[word in text for text in TEXTS]]
    found = np.bincount(of_word, minlength=2)
    expected = len(of_word) * np.bincount(labels, minlength=2) / len(labels)
    return float(power_divergence(found, expected, lambda_="log-likelihood").statistic) / 2


def test_words_are_ranked_by_the_likelihood_ratio_of_gold_labels() -> None:
    words = ["rain", "sun", "the", "wind"]
    expected = sorted(words, key=lambda word: (-likelihood_ratio(word, LABELS), word))
    assert expected[0] == "sun" and expected[-2:] == ["the", "wind"]
    assert telling(examples(), 100, 9).vocabulary == expected
    assert telling(examples(), 4, 9).vocabulary == expected[:2]


def test_a_tenth_are_the_most_frequent() -> None:
    texts = [f"the w{number}" for number in range(40)]
    labels = np.array([0, 1] * 20)
    assert "the" not in telling(Examples(texts, ("a", "b"), labels), 11, 9).vocabulary
    found = telling(Examples(texts, ("a", "b"), labels), 12, 9).vocabulary
    assert found[0] == "the" and len(found) == 10


def test_a_teachers_probabilities_count_as_labels_do() -> None:
    sure = np.where(np.eye(2)[LABELS] > 0, 40.0, -40.0).astype(np.float32)
    of_labels = telling(examples(), 100, 9).vocabulary
    assert telling(examples(None, logits=sure), 100, 9).vocabulary == of_labels
    # Where the teacher is unsure of the sun but sure of wind, that is what it says.
    unsure = sure.copy()
    unsure[:2] = 0
    unsure[4:] = [40, -40]
    assert telling(examples(logits=unsure), 100, 9).vocabulary == ["wind", "rain", "sun", "the"]


def test_texts_without_a_label_say_nothing() -> None:
    labels = np.array([0, 0, 1, 1, -1, -1])
    assert set(telling(examples(labels), 100, 9).vocabulary) == {"the", "sun", "rain"}


def test_scores_by_normal_distributions() -> None:
    scores = np.array([5, 4, 1, 0, 2, math.nan], dtype=np.float32)
    known, spread, mean = scores[:5], scores[:5].std(), scores[:5].mean()

    def told(word: str) -> float:
        of_word = known[[word in text for text in TEXTS[:5]]]
        own, everybody = norm(of_word.mean(), spread), norm(mean, spread)
        return float((own.logpdf(of_word) - everybody.logpdf(of_word)).sum())

    expected = sorted(["rain", "sun", "the", "wind"], key=lambda word: (-told(word), word))
    assert telling(Examples(TEXTS, SCORE, scores), 100, 9).vocabulary == expected


def test_texts_without_words_and_without_targets() -> None:
    assert telling(Examples(["", " "], ("a", "b"), np.array([0, 1])), 9, 9).vocabulary == []
    with pytest.raises(harness.HarnessError, match="neither logits nor gold labels"):
        telling(examples(None), 9, 9)


@pytest.mark.parametrize("student", [Mlp, Cnn])
def test_students_read_telling_words(student: type[Mlp | Cnn], context: CheckContext) -> None:
    transfer, validation = Classification().tiny_of(2)
    model = student(words="telling", vocabulary=8, min_examples=0).fit(
        transfer, validation, FromLogits(), context
    )
    assert model.featuriser.state() == telling(transfer, 8, 128).state()  # type: ignore[attr-defined]
    assert model.featuriser.state() != Words.fit(transfer.texts, 8).state()  # type: ignore[attr-defined]


def test_of_many_texts_some_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_READ", 3)
    logits = np.array([[2, 0], [9, 9], [0, 2], [9, 9], [9, 9], [2, 0]], dtype=np.float32)
    found = telling(examples(logits=logits), 20, 10)
    kept = [0, 2, 5]  # the ends, and the text in the middle
    expected = telling(
        Examples([TEXTS[row] for row in kept], ("a", "b"), LABELS[kept], logits=logits[kept]), 20, 10
    )
    assert found.vocabulary == expected.vocabulary
