"""The conformance checks of what tags words: sound components pass, and broken ones fail by their rule."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from sound import Letters as TextLetters
from sound import variant

import harness
from harness.api import Context, Examples, Model, words_before
from harness.task_types.entities import entities
from harness.task_types.tagging import Tagging
from harness.testing.checks import check_augmenter, check_loss, check_student, check_task, check_teacher
from harness.testing.rules import known_types, types_of
from harness.testing.tiny import ODD_TEXTS, FromLabels, FromLogits, by_text, tiny_examples

TAGGING = Tagging()
TAGS = 5  # of the tiny examples: outside, and both tags of two types

# -- tiny examples ------------------------------------------------------------------------------------------


def test_tiny_tags_are_of_the_words_named() -> None:
    train, validation = tiny_examples(TAGGING)
    for part, texts in ((train, 20), (validation, 8)):
        before = words_before(part.texts)
        assert part.task_type == TAGGING and len(part) == texts and part.labels is not None
        assert len(part.labels) == before[-1] and not part.labels.flags.writeable
        assert all(text == " ".join(text.split()) for text in part.texts)
        words = [word for text in part.texts for word in text.split(" ")]
        known = part.labels.copy()
        known[known < 0] = 0
        found = {" ".join(words[a:b]) for a, b, _ in entities(known, part.classes, before)}
        assert found == {"Pacific", "Black Sea", "Sirius", "Alpha Centauri"}
    assert train.logits is not None and train.labels is not None
    assert train.logits.shape == (len(train.labels), TAGS)
    assert (train.labels == -1).sum() == len(train.texts[-1].split())
    assert validation.logits is None


def test_odd_texts_are_words_one_space_apart() -> None:
    odd = TAGGING.odd_texts(ODD_TEXTS)
    assert len(odd) == len(ODD_TEXTS) and all(" ".join(text.split()) == text != "" for text in odd)
    rows = np.arange(2 * words_before(odd)[-1], dtype=np.float32).reshape(-1, 2)
    parts = by_text(rows, odd, TAGGING)
    assert [len(part) for part in parts] == [len(text.split(" ")) for text in odd]
    assert np.array_equal(np.concatenate(parts), rows)
    assert [len(part) for part in by_text(rows[:3], odd[:3], known_types()["classification"])] == [1, 1, 1]


# -- tasks --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sea(harness.Task):
    """Seas."""

    name = "sea"
    task_type: ClassVar[str] = "tagging"
    headline: ClassVar[str] = "f1"
    tags: ClassVar[Sequence[str]] = ("O", "S-sea")
    tested: ClassVar[Sequence[str]] = ("O", "I-sea")
    unlabelled: ClassVar[str] = "text"

    def resolve(self, source: str) -> harness.Source:
        return harness.Source("sample", "1", "made up")

    def read(self, source: harness.Source) -> Mapping[str, pa.Table]:
        def table(tags: Sequence[str]) -> pa.Table:
            return pa.table({"tokens": [["the", "Pacific"]], "tags": [list(tags)]})

        raw = pa.table({self.unlabelled: ["more words"]})
        train, test = table(self.tags), table(self.tested)
        return {"train": train, "validation": test, "test": test, "unlabelled": raw}


def test_a_sound_task() -> None:
    check_task(Sea())


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        ({"tags": ("O",)}, "each row of table 'train' must have words, and a tag for each"),
        (
            {"tags": ("O", "sea")},
            "tags of table 'train' must be BIO, IOB1 or IOBES: expected a tag O or X-type",
        ),
        ({"tags": ("O", "O")}, "table 'train' must have at least one entity"),
        (
            {"tested": ("B-lake", "O")},
            r"table 'validation' must have only types of entities of 'train', got also \['lake'\]",
        ),
        (
            {"tags": (0, 1)},
            r"column 'tags' of table 'train' must contain lists of strings, got list.*int64",
        ),
        ({"unlabelled": "tokens"}, "table 'unlabelled' must have the column 'text'"),
    ],
)
def test_broken_tasks(broken: dict[str, Any], rule: str) -> None:
    with pytest.raises(AssertionError, match=f"^task 'sea': {rule}"):
        check_task(variant(Sea, "BrokenSea", **broken))


# -- models -------------------------------------------------------------------------------------------------


class Letters(TextLetters):
    """Logits of each word from its letters, by weights (54, C)."""

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return counts(texts) @ self.weights


def counts(texts: Sequence[str]) -> NDArray[np.float32]:
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    rows = [[*map(word.count, letters), len(word), 1] for text in texts for word in text.split(" ")]
    return np.array(rows, dtype=np.float32).reshape(-1, 54) / np.float32(8)


class PerText(Letters):
    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        before = words_before(texts)
        rows = super().predict(texts)
        return np.stack([rows[a:b].mean(0, dtype=np.float32) for a, b in pairwise(before)])


class Company(Letters):
    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return super().predict(texts) + np.float32(len(texts))


class Backwards(Letters):
    """Gives a text's words their rows in the order of the whole call."""

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return super().predict(texts)[::-1]


@dataclass(frozen=True)
class LetterTagger(harness.Student):
    """Least squares on letters."""

    name = "letter-tagger"
    task_types: ClassVar[frozenset[str]] = frozenset({"tagging"})
    model: ClassVar[type[Letters]] = Letters

    def fit(self, transfer: Examples, validation: Examples, loss: harness.Loss, context: Context) -> Model:
        assert transfer.task_type.marks == "words" and transfer.labels is not None
        targets = transfer.logits
        if targets is None:
            targets = (transfer.labels[:, None] == np.arange(len(transfer.classes))).astype(np.float32)
        weights = np.linalg.lstsq(counts(transfer.texts), targets, rcond=1e-3)[0]
        return self.model(weights.astype(np.float32))

    def load(self, folder: Path, context: Context) -> Model:
        return self.model(np.array(json.loads((folder / "weights.json").read_text()), dtype=np.float32))


@dataclass(frozen=True)
class LetterTeacher(harness.Teacher):
    """Least squares on letters."""

    name = "letter-teacher"
    task_types: ClassVar[frozenset[str]] = frozenset({"tagging"})

    def fit(self, train: Examples, validation: Examples, context: Context) -> Model:
        return LetterTagger().fit(train, validation, FromLabels(), context)

    def load(self, folder: Path, context: Context) -> Model:
        return LetterTagger().load(folder, context)


def test_sound_models() -> None:
    check_student(LetterTagger())
    check_teacher(LetterTeacher())


@pytest.mark.parametrize(
    ("model", "rule"),
    [
        (PerText, r"predict must return the shape \(\d+, 5\), got \(8, 5\) for texts of tagging"),
        (Company, "predict must not depend on a text's company"),
        (Backwards, "predict must keep the order of the texts"),
    ],
)
def test_broken_models(model: type[Letters], rule: str) -> None:
    with pytest.raises(AssertionError, match=f"^student 'letter-tagger': {rule}"):
        check_student(variant(LetterTagger, "BrokenTagger", model=model))


# -- losses and augmenters ----------------------------------------------------------------------------------


def test_what_is_for_tagging_is_checked_with_tags() -> None:
    assert types_of(LetterTagger()) == [TAGGING]
    tagging = {"task_types": frozenset({"classification", "tagging"})}
    check_loss(variant(FromLogits, "Tags", **tagging))
    with pytest.raises(AssertionError, match="it must take a batch of 8"):
        check_loss(variant(FromLogits, "FewClasses", __call__=few, **tagging))


def few(self: Any, student: Any, teacher: Any, batch: Any) -> Any:
    if student.shape[1] == TAGS:
        raise ValueError("too many classes")
    return (student - teacher).square().mean()


@dataclass(frozen=True)
class Shout(harness.Augmenter):
    """Texts in capitals."""

    name = "shout"
    task_types: ClassVar[frozenset[str]] = frozenset({"tagging"})

    def __call__(self, texts: Sequence[str], generator: np.random.Generator) -> Any:
        yield from ((row, text.upper()) for row, text in enumerate(texts))


def counted(self: Any, train: Examples, unlabelled: Sequence[str], context: Context) -> Any:
    if train.task_type.marks:
        raise ValueError("no words, please")
    return iter(())


def test_augmenters_draw_from_tagged_texts() -> None:
    check_augmenter(Shout())
    with pytest.raises(AssertionError, match=r"it must draw from unlabelled texts.* no words, please"):
        check_augmenter(variant(Shout, "Wordless", draw=counted))
