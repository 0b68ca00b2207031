"""A small catalog of components that do nothing, for suites that are read and never run."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Annotated, ClassVar

import pytest

import harness
from harness.catalog import Catalog, Entry
from harness.suite import reader as suite
from harness.suite.reader import Suite, SuiteError


@dataclass(frozen=True)
class Emotion(harness.Task):
    """A task."""

    name = "emotion"
    path: Path = Path()


@dataclass(frozen=True)
class Minilm(harness.Teacher):
    """A teacher."""

    name = "minilm"
    epochs: Annotated[int, harness.Gt(0)] = 3


@dataclass(frozen=True)
class Mlp(harness.Student):
    """A student."""

    name = "mlp"
    vocabulary: Annotated[int, harness.Gt(0)] = 5000
    width: Annotated[int, harness.Gt(0)] = 16
    kernels: tuple[int, ...] = (1, 2)
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Cnn(harness.Student):
    """A student."""

    name = "cnn"
    fast: bool = True


@dataclass(frozen=True)
class Nothing(harness.Augmenter):
    """No new texts."""

    name = "none"
    adds: ClassVar[bool] = False


@dataclass(frozen=True)
class Mask(harness.Augmenter):
    """Masked words."""

    name = "mask"
    copies: Annotated[int, harness.Gt(0)] = 1


@dataclass(frozen=True)
class CrossEntropy(harness.Loss):
    """Labels."""

    name = "cross-entropy"
    baseline_for: ClassVar[frozenset[str]] = frozenset({"classification"})
    smoothing: float = 0.0

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"labels"})


@dataclass(frozen=True)
class Kl(harness.Loss):
    """Logits."""

    name = "kl"
    temperature: Annotated[float, harness.Gt(0)] = 2.0


@dataclass(frozen=True)
class Weighted(harness.Loss):
    """A sum."""

    name = "weighted"
    of: Annotated[tuple[harness.Loss, ...], harness.MinLen(1)]
    weights: tuple[float, ...] = ()

    def check(self) -> None:
        if self.weights and len(self.weights) != len(self.of):
            raise ValueError(f"`weights` needs {len(self.of)} numbers, got {len(self.weights)}")


CLASSES = (Emotion, Minilm, Mlp, Cnn, Nothing, Mask, CrossEntropy, Kl, Weighted)
CATALOG = Catalog({(c.kind, c.name): Entry(c.kind, c.name, c, "test", "test", "1", "", 0) for c in CLASSES})

SMALL = """
[[task]]
use = "emotion"
[[teacher]]
use = "minilm"
[[student]]
use = "mlp"
[[loss]]
use = "kl"
"""


def parse(text: str, path: Path | None = Path("suites/small.toml")) -> Suite:
    """A suite of the small catalog."""
    return suite.parse(dedent(text), CATALOG, path)


def mistakes(text: str, path: Path | None = Path("s.toml")) -> list[str]:
    """What is said of a suite that is wrong, line by line."""
    with pytest.raises(SuiteError) as error:
        parse(text, path)
    assert pickle.loads(pickle.dumps(error.value)).problems == error.value.problems
    return str(error.value).splitlines()
