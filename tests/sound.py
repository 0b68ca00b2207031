"""Components that pass every conformance check, and variants of them that break a rule."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from torch import Tensor, nn

import harness
from harness.api import Component, Context, Examples, Model, Parameters
from harness.catalog import Catalog
from harness.featurise.featuriser import Words
from harness.testing.checks import check_component
from harness.testing.tiny import FromLabels
from harness.training.model import TorchModel


def variant(base: Any, title: str, /, **attributes: Any) -> Any:
    """A component that differs from a sound one in these attributes."""
    attributes = {"__doc__": "Broken on purpose.", "__module__": __name__, **attributes}
    made = dataclass(frozen=True)(type(title, (base,), attributes))
    globals()[title] = made  # where pickle looks for it
    return made()


def broken_by(component: Component, *, catalog: Catalog | None = None) -> str:
    """What the checks say of a component that is broken, one line."""
    cls = type(component)
    setattr(sys.modules[cls.__module__], cls.__qualname__, cls)  # of several variants of a name
    with pytest.raises(AssertionError) as caught:
        check_component(component, catalog)
    message = str(caught.value)
    assert "\n" not in message
    return message


@dataclass(frozen=True)
class Sky(harness.Task):
    """Texts about the sky."""

    name = "sky"

    def resolve(self, source: str) -> harness.Source:
        return harness.Source("sample", "1", "made up")

    def read(self, source: harness.Source) -> Mapping[str, pa.Table]:
        table = pa.table({"text": ["sun", "more sun", "rain"], "label": ["dry", "dry", "wet"]})
        return dict.fromkeys(harness.api.SPLITS, table) | {"unlabelled": table.select(["text"])}


class Letters(Model):
    """Logits (N, C) from the counts of letters (N, 27)."""

    def __init__(self, weights: NDArray[np.float32]) -> None:
        self.weights = weights  # (27, C)

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return counts(texts) @ self.weights

    def save(self, folder: Path) -> None:
        (folder / "weights.json").write_text(json.dumps(self.weights.tolist()))

    def parameters(self) -> Parameters:
        return Parameters(self.weights.size, self.weights.size, 0)


def counts(texts: Sequence[str]) -> NDArray[np.float32]:
    rows = [[text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] + [1] for text in texts]
    return np.array(rows, dtype=np.float32).reshape(-1, 27) / 8


def solve(examples: Examples, context: Context) -> NDArray[np.float32]:
    targets = examples.logits
    if targets is None:
        assert examples.labels is not None
        targets = (examples.labels[:, None] == np.arange(len(examples.classes))).astype(np.float32)
    context.progress(1, 1, loss=0.0)
    return np.linalg.lstsq(counts(examples.texts), targets, rcond=1e-3)[0].astype(np.float32)


@dataclass(frozen=True)
class LetterStudent(harness.Student):
    """Least squares on letters."""

    name = "letters"
    model: ClassVar[type[Letters]] = Letters

    def fit(
        self, transfer: Examples, validation: Examples, loss: harness.Loss, context: Context
    ) -> harness.Model:
        return self.model(solve(transfer, context))

    def load(self, folder: Path, context: Context) -> harness.Model:
        return self.model(np.array(json.loads((folder / "weights.json").read_text()), dtype=np.float32))


@dataclass(frozen=True)
class LetterTeacher(harness.Teacher):
    """Least squares on letters."""

    name = "letters"
    model: ClassVar[type[Letters]] = Letters

    def fit(self, train: Examples, validation: Examples, context: Context) -> harness.Model:
        assert train.logits is None
        return self.model(solve(train, context))

    def load(self, folder: Path, context: Context) -> harness.Model:
        return self.model(np.array(json.loads((folder / "weights.json").read_text()), dtype=np.float32))


class Bag(nn.Module):
    """The mean of embeddings, one number a class."""

    def __init__(self, size: int, classes: int) -> None:
        super().__init__()
        self.table = nn.Embedding(size, classes)

    def forward(self, ids: Tensor) -> Tensor:
        known = (ids != 0).unsqueeze(-1).float()
        return (self.table(ids) * known).sum(1) / known.sum(1)


class BagModel(TorchModel):
    """For variants to derive from."""


@dataclass(frozen=True, kw_only=True)
class BagStudent(harness.TorchStudent):
    """The mean of embeddings."""

    name = "bag"
    model: ClassVar[type[TorchModel]] = BagModel

    epochs: int = 1

    def featuriser(self, transfer: Examples) -> Words:
        return Words.fit(transfer.texts, 20)

    def module(self, size: int, classes: int) -> nn.Module:
        return Bag(size, classes)

    def fit(
        self, transfer: Examples, validation: Examples, loss: harness.Loss, context: Context
    ) -> harness.Model:
        model = harness.TorchStudent.fit(self, transfer, validation, loss, context)
        model.__class__ = self.model
        return model


@dataclass(frozen=True)
class Shout(harness.Augmenter):
    """Texts in capitals, and some with a mark."""

    name = "shout"

    marks: tuple[str, ...] = ("!", "?")

    def __call__(self, texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
        for row, text in enumerate(texts):
            yield row, text.upper() + self.marks[generator.integers(len(self.marks))]


@dataclass(frozen=True)
class Squares(harness.Loss):
    """Squared differences."""

    name = "squares"

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        assert teacher is not None
        return (student - teacher).square().mean()


@dataclass(frozen=True)
class Gold(harness.Loss):
    """Cross-entropy."""

    name = "gold"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"labels"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        assert teacher is None
        return FromLabels()(student, teacher, batch)


SOUND = [Sky(), LetterTeacher(), LetterStudent(), BagStudent(), Shout(), Squares(), Gold()]


def fits(change: Callable[[Examples, Context], Any]) -> Any:
    """A `fit` that does something else first, or in place of the letters' own where that gives a model."""

    def fit(self: LetterStudent, transfer: Examples, *others: Any) -> harness.Model:
        return change(transfer, others[-1]) or LetterStudent.fit(self, transfer, *others)

    return fit
