"""The values that components exchange, and the mistakes that they may report; no torch, nothing of ours."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Precision = Literal["fp32", "bf16"]
SPLITS = ("train", "validation", "test")
SCORE = ("score",)  # the one "class" of a regression: its logits (N, 1) are predicted numbers
PAIR_SEPARATOR = " [SEP] "  # between the two texts of a pair, where a task is on pairs
MASK = "[MASK]"  # in a text: a word that is hidden, whatever a tokenizer calls its own mask


class HarnessError(Exception):
    """A mistake that the user can mend: one lower-case sentence, shown without a traceback."""


class Unavailable(HarnessError):
    """Something that a component needs is absent here, such as a hub model without a network."""


class Unsupported(HarnessError):
    """A component cannot do what was asked of it, such as an export that it has no form for."""


@dataclass(frozen=True)
class Component:
    """What all kinds of component share. Subclasses are frozen dataclasses with a docstring and a name."""

    kind: ClassVar[str] = ""
    name: ClassVar[str] = ""  # kebab-case, as suites write it
    version: ClassVar[int] = 1  # raise it when results would change
    accelerated: ClassVar[bool] = False  # a GPU speeds it up, so that it gets one if there is one
    mixed_precision: ClassVar[bool] = False  # its context may ask for bf16

    @property
    def runs_on_gpu(self) -> bool:
        """Whether its models can run on a GPU, so that their latency is measured there too."""
        return self.accelerated

    def check(self) -> None:
        """Raise ValueError, in one sentence, if fields contradict each other."""

    def base(self) -> str:
        """Return what it starts from beside its parameters, such as pretrained weights with their revision.

        Part of the keys of its steps. Called while planning, so it must be quick. Raises Unavailable if that
        cannot be had here.
        """
        return ""


class Masked(NamedTuple):
    """What a language model made of M tokens that were hidden from it."""

    rows: NDArray[np.int64]  # (M,): which text each stood in
    gold: NDArray[np.int64]  # (M,): the token's id
    predicted: NDArray[np.int64]  # (M,): the likeliest id
    log_likelihood: NDArray[np.float32]  # (M,): of the gold one, in nats


@dataclass(frozen=True)
class Parameters:
    """How many numbers a model holds."""

    total: int
    trainable: int
    embedding: int


class Context(Protocol):
    """What the harness lends to a component while it works."""

    @property
    def seed(self) -> int:
        """Seeds every generator that the component uses."""

    @property
    def device(self) -> str:
        """A torch device: "cpu", "cuda:0"."""

    @property
    def threads(self) -> int:
        """How many CPU threads it may use."""

    @property
    def precision(self) -> Precision:
        """What to compute in: "bf16" only for components that declare `mixed_precision`."""

    @property
    def scratch(self) -> Path:
        """A folder that is emptied after the step."""

    @property
    def teacher(self) -> Model | None:
        """The fitted teacher, for a student that borrows from it and a loss that needs it in step."""

    @property
    def prior(self) -> Model | None:
        """The model that a component's :attr:`Component.prior` asked for, fitted."""

    @property
    def checkpoints(self) -> Path | None:
        """A folder that outlives a killed step, and goes when the step is done; None: nothing is kept."""

    def progress(self, done: int, total: int, **scalars: float) -> None:
        """Report that `done` of `total` units are behind us, with what was measured on the way."""

    def warn(self, message: str) -> None:
        """Say something that the user should read; it is kept with the step's artefact."""


class Model(ABC):
    """A fitted teacher or student."""

    @abstractmethod
    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Logits, or log-probabilities, of shape (N, C), in the order of the texts."""

    def decide(self, texts: Sequence[str], logits: NDArray[np.float32]) -> NDArray[np.int64]:
        """The class of each row, (N,), given `predict(texts)`; a tagger may search for a text's best tags."""
        return logits.argmax(axis=1)  # type: ignore[no-any-return]

    def hidden(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """What the model's last layer sees of each text, (N, H): for losses that need "hidden"."""
        raise Unsupported(f"{type(self).__name__} has no hidden states")

    def masked(self, texts: Sequence[str]) -> Masked:
        """What a language model makes of tokens that are hidden from it, the same ones every time."""
        raise Unsupported(f"{type(self).__name__} is no language model")

    def vectors(self, words: Sequence[str], of: Literal["embeddings", "hidden"]) -> NDArray[np.float32]:
        """(N, H): what a model holds of each word: its input embedding, or its last hidden state."""
        raise Unsupported(f"{type(self).__name__} has no vectors of words")

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write all that :meth:`load` of the component needs: safetensors, Arrow or JSON; no pickle."""

    @abstractmethod
    def parameters(self) -> Parameters:
        """Count the model's parameters."""

    def export(self, folder: Path) -> None:
        """Write ``model.onnx`` and what turns a text into its inputs (see :mod:`harness.exports.onnx`)."""
        raise Unsupported(f"{type(self).__name__} has no ONNX form")


class Batch:
    """What a loss may look at beside the two models' logits.

    ``student`` and ``teacher`` hold, by name, what else the loss needs of both models:

    - ``hidden``: (B, H), what the last layer sees of a text, or of each word that is tagged;
    - ``layers``: a tuple of (B, L, H), the embeddings first, then each layer's output;
    - ``attention``: a tuple of (B, heads, L, L), each layer's attention probabilities;
    - ``relations``: the last layer's queries, keys and values, each (B, L, H).

    Where widths differ, the student's hidden states and layers come through a linear map, learned along.

    Of language modelling a row is a hidden token, and its label the token's id.
    """

    __slots__ = ("labels", "mask", "parts", "size", "student", "teacher", "weights", "words")

    def __init__(
        self,
        labels: Tensor | None,
        size: int,
        student: Mapping[str, Any] | None = None,
        teacher: Mapping[str, Any] | None = None,
        mask: Tensor | None = None,
        weights: Tensor | None = None,
        words: Tensor | None = None,
    ) -> None:
        self.labels = labels  # (B,), -1 where a row has no gold label; of a regression floats, and NaN there
        self.size = size
        self.student = student or {}
        self.teacher = teacher or {}
        self.mask = mask  # (B, L), true where a token is no padding
        self.weights = weights  # (B,), of mean 1 over the training labels: how much each row counts
        self.words = words  # (texts,), of tagging: how many of the B rows, words, each text has, in order
        self.parts: dict[str, Tensor] = {}  # what a loss was made of, by name: kept as series


def words_before(texts: Iterable[str]) -> NDArray[np.int64]:
    """(N + 1,): how many words stand before each text, and at the end how many there are."""
    import numpy as np

    counts = np.fromiter((text.count(" ") + 1 for text in texts), dtype=np.int64)
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])


def whole(text: str) -> str:
    """The text with halves of surrogate pairs replaced: JSON can hold them, UTF-8 cannot."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def seed_of_repetition(seed: int, repetition: int) -> int:
    """The seed of a component that stands several times in another: its own for each but the first."""
    if not repetition:
        return seed
    return int.from_bytes(blake2b(f"{seed}/{repetition}".encode(), digest_size=4).digest(), "big")


def digest(*parts: str) -> str:
    """A short hex digest of strings, none of which can run into the next."""
    joined = "\x1f".join(parts)
    return hashlib.sha256(joined.encode()).hexdigest()[:32]
