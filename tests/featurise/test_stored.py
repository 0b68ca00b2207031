"""Ids of texts in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.featurise.featuriser import Featuriser, Words
from harness.featurise.stored import Stored, write
from harness_teachers.word_features import WordFeatures

TEXTS, OTHERS = ["a b c", "b", "d a"], ["c c", "a"]


def made(folder: Path, featuriser: Featuriser) -> Stored:
    texts = {"transfer": TEXTS, "validation": OTHERS}
    counts = write(folder, featuriser, texts)
    assert counts == {name: len(featuriser.tokens(each).ids) for name, each in texts.items()}
    return Stored(folder, Featuriser.load(folder), TEXTS, texts)


@pytest.mark.parametrize(
    "featuriser",
    [
        Words.fit(TEXTS, 9),
        WordFeatures.fit(TEXTS, 9, affixes=3, shapes=3, letters=3, characters=4, longest=8),
    ],
)
def test_ids_are_read_as_they_were_made(featuriser: Featuriser, tmp_path: Path) -> None:
    stored = made(tmp_path, featuriser)
    for texts in (TEXTS, OTHERS):
        found, expected = stored.find(featuriser, texts), featuriser.tokens(texts)
        assert found is not None and type(found) is type(expected)
        assert np.array_equal(found.batch(np.arange(2)), expected.batch(np.arange(2)))
        assert np.array_equal(found.targets(np.arange(2)), expected.targets(np.arange(2)))


def test_ids_are_memory_mapped(tmp_path: Path) -> None:
    stored = made(tmp_path, featuriser := Words.fit(TEXTS, 9))
    found = stored.find(featuriser, TEXTS)
    assert found is not None
    assert type(found.ids) is np.ndarray and isinstance(found.ids.base, np.memmap)
    assert not found.ids.flags.writeable


def test_other_texts_and_other_featurisers_have_no_ids(tmp_path: Path) -> None:
    featuriser = Words.fit(TEXTS, 9)
    stored = made(tmp_path, featuriser)
    assert stored.find(featuriser, list(TEXTS)) is None  # perhaps in another order
    assert stored.find(Words.fit(TEXTS, 4), TEXTS) is None
    assert stored.find(Words.fit(TEXTS, 9, longest=2), TEXTS) is None


def test_a_featuriser_is_that_of_the_examples_it_was_fitted_on(tmp_path: Path) -> None:
    stored = made(tmp_path, Words.fit(TEXTS, 9))
    found = stored.featuriser(TEXTS)
    assert isinstance(found, Words) and found.vocabulary == ["a", "b", "c", "d"]
    assert stored.featuriser(list(TEXTS)) is None
