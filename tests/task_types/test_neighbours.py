"""Nearest words: which are asked about, whose are nearest, and how many two models share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.api import Model, Parameters
from harness.task_types.neighbours import (
    AMONG,
    ASKED,
    Words,
    nearest,
    neighbours_of,
    scores,
    shared,
    words_of,
)


class Knows(Model):
    """A model of words whose vectors are given."""

    def __init__(self, **kinds: dict[str, list[float]]) -> None:
        self.kinds = kinds

    def vectors(self, words: Sequence[str], of: str) -> Any:
        if of not in self.kinds:
            return super().vectors(words, of)  # type: ignore[arg-type]
        return np.array([self.kinds[of][word] for word in words], dtype=np.float32)

    def predict(self, texts: Sequence[str]) -> Any:
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    def parameters(self) -> Parameters:
        raise NotImplementedError


def test_the_most_frequent_words_without_those_that_mean_little() -> None:
    found = words_of(["The cat and the DOG, the dog's own", "a cat; ox dog99 Élan", "cat_house the élan the"])
    # "dog99" and "cat_house" are split at what is no letter; "ox" and "s" are too short, "own" a stop word.
    assert found.among == ("cat", "dog", "élan", "house")
    assert found.asked == found.among


def test_there_are_not_more_words_than_are_asked_for() -> None:
    names = ["".join(chr(97 + (n // 26**k) % 26) for k in range(3)) + "x" for n in range(3000)]
    found = words_of([" ".join(names), " ".join(names[2990:])])
    assert len(found.asked) == ASKED and len(found.among) == AMONG
    assert found.among[: len(found.asked)] == found.asked
    assert set(found.asked[:10]) == set(names[2990:])  # those that stand there twice
    assert words_of(reversed([" ".join(names), " ".join(names[2990:])])) == found


def test_nearest_by_cosine_whatever_the_lengths() -> None:
    vectors = np.array([[1, 0], [100, 1], [0, 5], [-1, 0], [2, 2]], dtype=np.float32)
    # Cosines with the first: 0.99995, 0, -1, 0.707.
    assert nearest(vectors, 1).tolist() == [[1, 4, 2, 3]]
    assert nearest(vectors, 2, count=2).tolist() == [[1, 4], [0, 4]]


def test_of_equally_near_ones_those_that_stand_first() -> None:
    vectors = np.array([[1, 0], [0, 1], [3, 0], [1, 0], [0, 0]], dtype=np.float32)
    assert nearest(vectors, 1).tolist() == [[2, 3, 1, 4]]
    assert nearest(vectors[[4, 0, 1]], 1).tolist() == [[1, 2]]


def test_the_share_of_neighbours_that_two_models_have_in_common() -> None:
    one = {"cat": ["dog", "cow"], "sun": ["moon", "star"], "only": ["here", "there"]}
    assert shared(one, {"cat": ["cow", "dog"], "sun": ["star", "rain"]}) == pytest.approx(0.75)
    assert shared(one, {"other": ["x"]}) is None


def test_neighbours_of_all_kinds_that_a_model_has() -> None:
    near = {"cat": [1.0, 0.1], "dog": [1.0, 0.0], "sun": [0.0, 1.0], "sky": [0.1, 1.0]}
    far = {"cat": [1.0, 0.1], "dog": [0.0, 1.0], "sun": [1.0, 0.0], "sky": [0.1, 1.0]}
    words = Words(("cat", "sun"), tuple(near))
    teacher = neighbours_of(Knows(embeddings=near, hidden=far), words)
    assert teacher["embeddings"]["cat"] == ["dog", "sky", "sun"]
    assert teacher["hidden"]["cat"] == ["sun", "sky", "dog"]
    assert neighbours_of(Knows(hidden=near), words) == {"hidden": teacher["embeddings"]}
    assert neighbours_of(Knows(), words) == {}
    assert neighbours_of(Knows(hidden=near), Words(("cat",), ("cat",))) == {}


def test_the_metrics_are_of_the_kinds_that_both_have() -> None:
    own = {"embeddings": {"cat": ["dog", "cow"]}, "hidden": {"cat": ["dog", "cow"]}}
    found = scores(own, {"hidden": {"cat": ["cow", "sun"]}}, "_before")
    assert found == {"neighbours_hidden_before": 0.5}
    assert set(scores(own, own)) == {"neighbours_embeddings", "neighbours_hidden"}
