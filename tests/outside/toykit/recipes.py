"""Augmenters, and losses that say what to learn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

import harness
from toykit.journal import note


@dataclass(frozen=True)
class Plain(harness.Augmenter):
    """No new texts."""

    name = "toy-plain"

    def __call__(self, texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
        note(f"augment {self!r}")
        yield from ()


@dataclass(frozen=True)
class Shuffle(harness.Augmenter):
    """The letters of each text in another order."""

    name = "toy-shuffle"
    copies: Annotated[int, harness.Gt(0)] = 1

    def __call__(self, texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
        note(f"augment {self!r}")
        for _ in range(self.copies):
            for row, text in enumerate(texts):
                yield row, "".join(generator.permutation(list(text)))


@dataclass(frozen=True)
class Labels(harness.Loss):
    """Learn the gold labels."""

    name = "toy-labels"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"labels"})

    def targets(self, examples: harness.Examples) -> NDArray[np.float64]:
        """(N, C): how much of each class a text is."""
        assert examples.labels is not None
        return np.eye(len(examples.classes))[examples.labels]


@dataclass(frozen=True)
class Soft(harness.Loss):
    """Learn the teacher's tempered distribution."""

    name = "toy-soft"
    temperature: Annotated[float, harness.Gt(0)] = 1.0

    def targets(self, examples: harness.Examples) -> NDArray[np.float64]:
        """(N, C): how much of each class a text is."""
        assert examples.logits is not None
        scaled = np.asarray(examples.logits, dtype=np.float64) / self.temperature
        scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return scaled / scaled.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Hidden(harness.Loss):
    """Asks for what no toy has."""

    name = "toy-hidden"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"hidden"})
