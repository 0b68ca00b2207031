"""The conformance checks of language models: sound components pass, and broken ones fail by their rule."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from sound import variant

import harness
from harness.api import MASK, Context, Examples, Masked, Model, Parameters, Unsupported
from harness.task_types.masked_lm import MaskedLanguageModelling
from harness.testing.checks import check_loss, check_task, check_teacher
from harness.testing.rules import types_of
from harness.testing.tiny import ODD_TEXTS, CheckContext, FromLogits, by_text, prior_of, tiny_examples

HIDDEN = MaskedLanguageModelling()


def rows_in(texts: Sequence[str]) -> int:
    return int(HIDDEN.rows_before(texts)[-1])


# -- tiny examples ------------------------------------------------------------------------------------------


def test_tiny_texts_have_no_labels() -> None:
    for part, usual in zip(tiny_examples(HIDDEN), tiny_examples(), strict=True):
        assert list(part.texts) == list(usual.texts)
        assert part.classes == () and part.labels is None and part.logits is None


def test_rows_are_of_masks() -> None:
    texts = ["a [MASK] b [MASK]", "none", "[MASK]"]
    assert HIDDEN.rows_before(texts).tolist() == [0, 2, 2, 3]
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    assert [part.tolist() for part in by_text(rows, texts, HIDDEN)] == [[[0, 1], [2, 3]], [], [[4, 5]]]
    assert rows_in(HIDDEN.odd_texts(ODD_TEXTS)) == 4  # else nothing would be predicted


# -- tasks --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sayings(harness.Task):
    """Sayings."""

    name = "sayings"
    task_type: ClassVar[str] = "language-modelling"
    headline: ClassVar[str] = "perplexity"
    tables: ClassVar[Mapping[str, Any]] = {}

    def resolve(self, source: str) -> harness.Source:
        return harness.Source("sample", "1", "made up")

    def read(self, source: harness.Source) -> Mapping[str, pa.Table]:
        usual = {split: {"text": ["no rain, no sun"]} for split in ("train", "validation", "test")}
        return {name: pa.table(columns) for name, columns in (usual | dict(self.tables)).items()}


def test_a_sound_task() -> None:
    check_task(Sayings())


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        ({"test": {"words": ["a"]}}, "table 'test' must have the column 'text'"),
        ({"train": {"text": [1]}}, "column 'text' of table 'train' must contain strings, got int64"),
        ({"validation": {"text": pa.array([], pa.string())}}, "table 'validation' must have rows"),
    ],
)
def test_broken_tasks(broken: dict[str, Any], rule: str) -> None:
    with pytest.raises(AssertionError, match=f"^task 'sayings': {rule}"):
        check_task(variant(Sayings, "BrokenSayings", tables=broken))


# -- models -------------------------------------------------------------------------------------------------


class Frequencies(Model):
    """Tells any hidden word by how frequent words are."""

    def __init__(self, words: Sequence[str], logs: NDArray[np.float32]) -> None:
        self.words = list(words)
        self.logs = logs  # (V,)

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.tile(self.logs, (rows_in(texts), 1))

    def masked(self, texts: Sequence[str]) -> Masked:
        """The first word of each text is hidden, where it is known."""
        firsts = [(row, text.split()[0]) for row, text in enumerate(texts) if text.split()]
        found = [(row, self.words.index(word)) for row, word in firsts if word in self.words]
        rows, gold = np.array(found, dtype=np.int64).reshape(-1, 2).T
        return Masked(rows, gold, np.full_like(gold, self.logs.argmax()), self.logs[gold])

    def vectors(self, words: Sequence[str], of: Literal["embeddings", "hidden"]) -> NDArray[np.float32]:
        return np.array([[word.count(letter) for letter in "aeiou"] for word in words], dtype=np.float32)

    def save(self, folder: Path) -> None:
        (folder / "words.json").write_text(json.dumps([self.words, self.logs.tolist()]))

    def parameters(self) -> Parameters:
        return Parameters(total=len(self.words), trainable=len(self.words), embedding=0)


@dataclass(frozen=True)
class Frequent(harness.Teacher):
    """Counts words."""

    name = "frequent"
    task_types: ClassVar[frozenset[str]] = frozenset({"language-modelling"})
    made: ClassVar[Any] = Frequencies

    def fit(self, train: Examples, validation: Examples, context: Context) -> Model:
        assert train.labels is None and train.classes == ()
        counts = Counter(word for text in (*train.texts, *validation.texts) for word in text.split())
        shares = np.array(list(counts.values()), dtype=np.float32) / counts.total()
        return self.made(list(counts), np.log(shares))  # type: ignore[no-any-return]

    def load(self, folder: Path, context: Context) -> Model:
        words, logs = json.loads((folder / "words.json").read_text())
        return self.made(words, np.array(logs, dtype=np.float32))  # type: ignore[no-any-return]


def test_a_sound_model() -> None:
    assert types_of(Frequent()) == [HIDDEN]
    check_teacher(Frequent())


class Short(Frequencies):
    """Gives one row a text."""

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.tile(self.logs, (len(texts), 1))


class Turned(Frequencies):
    """Gives rows from the last text to the first."""

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        places = np.arange(rows_in(texts), dtype=np.float32)
        return self.logs + places[:, None]


class Certain(Frequencies):
    """Is more than certain."""

    def masked(self, texts: Sequence[str]) -> Masked:
        return super().masked(texts)._replace(log_likelihood=np.ones(len(super().masked(texts).gold)))


class Fickle(Frequencies):
    """Hides other words each time."""

    times = 0

    def masked(self, texts: Sequence[str]) -> Masked:
        Fickle.times += 1
        found = super().masked(texts)
        return found._replace(gold=(found.gold + Fickle.times) % len(self.words))


class Lazy(Frequencies):
    """Hides nothing."""

    def masked(self, texts: Sequence[str]) -> Masked:
        return super().masked(texts[:1])


class Sociable(Frequencies):
    """What is hidden depends on how many texts there are."""

    def masked(self, texts: Sequence[str]) -> Masked:
        found = super().masked(texts)
        return found._replace(gold=(found.gold + len(texts)) % len(self.words))


class Uneven(Frequencies):
    """Forgets what it predicted."""

    def masked(self, texts: Sequence[str]) -> Masked:
        return super().masked(texts)._replace(predicted=np.zeros(1, dtype=np.int64))


class Wordless(Frequencies):
    """Has no vectors."""

    def vectors(self, words: Sequence[str], of: Literal["embeddings", "hidden"]) -> NDArray[np.float32]:
        if of == "hidden":
            raise Unsupported("it has no hidden states")
        return super().vectors(words, of)


class Blurred(Frequencies):
    """Gives vectors in an order of its own."""

    def vectors(self, words: Sequence[str], of: Literal["embeddings", "hidden"]) -> NDArray[np.float32]:
        return super().vectors(sorted(words), of)


@pytest.mark.parametrize(
    ("made", "rule"),
    [
        (Short, r"predict must return the shape \(0, \d+\), got \(12, \d+\) for texts of language-modelling"),
        (Turned, "predict must keep the order of the texts"),
        (Certain, "log-likelihoods of masked must be finite and at most 0"),
        (Fickle, "masked must hide the same tokens and predict the same in every call"),
        (Lazy, "masked must hide at least one token of each normal text"),
        (Sociable, "tokens that masked hides in a text must not depend on the other texts"),
        (Uneven, r"masked must return arrays of one length, got lengths \[1, \d+\]"),
        (Wordless, "vectors of 'hidden' must accept any words: Unsupported: it has no hidden states"),
        (Blurred, "vectors must keep the order of the words"),
    ],
)
def test_broken_models(made: Any, rule: str) -> None:
    with pytest.raises(AssertionError, match=f"^teacher 'frequent': {rule}"):
        check_teacher(variant(Frequent, "BrokenFrequent", made=made))


def test_what_is_no_language_model_is_told() -> None:
    class Plain(Frequencies):
        masked = Model.masked

    with pytest.raises(AssertionError, match=r"masked must accept .*Plain is not a language model"):
        check_teacher(variant(Frequent, "PlainFrequent", made=Plain))


# -- losses -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Telling(harness.Loss):
    """Cross-entropy with hidden tokens, for language models alone."""

    name = "telling"
    task_types: ClassVar[frozenset[str]] = frozenset({"language-modelling"})
    factor: ClassVar[float] = 1.0

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"labels"})

    def __call__(self, student: Any, teacher: Any, batch: Any) -> Any:
        from torch.nn.functional import cross_entropy

        assert (batch.labels >= 0).all()  # what is hidden is known
        return cross_entropy(student, batch.labels) * self.factor


def test_losses_of_language_modelling_are_checked() -> None:
    check_loss(Telling())
    with pytest.raises(AssertionError, match="its gradient must not be zero"):
        check_loss(variant(Telling, "Silent", factor=0.0))


# -- models to start from -----------------------------------------------------------------------------------


def test_a_prior_is_made_of_tiny_examples(tmp_path: Path) -> None:
    seen: list[Any] = []

    class Spy(harness.Student):
        name = "spy"

        def fit(self, transfer: Any, validation: Any, loss: Any, context: Any) -> Any:
            seen.append((len(transfer), transfer.classes, loss, context.teacher, context.prior))
            return "a student"

    def recipe(**parts: Any) -> Any:
        return variant(Frequent, "Started", prior=harness.Recipe(**parts))

    context = CheckContext(tmp_path)
    assert prior_of(Frequent(), context, tiny_examples()) is None
    model = prior_of(recipe(task=Sayings(), teacher=Frequent()), context, tiny_examples())
    assert isinstance(model, Frequencies) and model.predict([MASK]).shape[0] == 1
    loss = FromLogits()
    spied = recipe(task=Sayings(), teacher=Frequent(), student=Spy(), loss=loss)
    found = prior_of(spied, context, tiny_examples())
    ((count, classes, by, teacher, prior),) = seen
    assert found == "a student" and (count, classes, by, prior) == (30, (), loss, None)
    assert isinstance(teacher, Frequencies)
