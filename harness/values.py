"""Define the values that components exchange, and the errors that they may raise.

This module imports neither torch nor other modules of the harness.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray
    from torch import Tensor

Precision = Literal["fp32", "bf16"]
SPLITS = ("train", "validation", "test")
SCORE = ("score",)  # the only "class" of a regression, whose logits (N, 1) are the predicted numbers
PAIR_SEPARATOR = " [SEP] "  # between the two texts of a pair, in tasks on pairs
MASK = "[MASK]"  # stands for a hidden word in a text; a tokenizer's own mask token may have another name


class HarnessError(Exception):
    """An error that the user can fix; its message is one lower-case sentence, shown without a traceback."""


class Unavailable(HarnessError):
    """An error for something that is not available here, such as a model of the hub without a network."""


def is_fault(error: BaseException) -> bool:
    """Return whether an error is a fault, and not an interrupt; a panic of tokenizers is no Exception."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


class Unsupported(HarnessError):
    """An error for something that a component does not support, such as an export to ONNX."""


@dataclass(frozen=True)
class Component:
    """The base class of all components. Subclasses are frozen dataclasses with a docstring and a name."""

    kind: ClassVar[str] = ""
    name: ClassVar[str] = ""  # in kebab-case, as in suites
    version: ClassVar[int] = 1  # increase it if a change of the code changes results
    accelerated: ClassVar[bool] = False  # it is faster on a GPU, and gets one if there is one
    mixed_precision: ClassVar[bool] = False  # it can compute in bf16
    spreads: ClassVar[bool] = False  # it is worth, and uses, more than one core (see :attr:`Context.cores`)

    @property
    def runs_on_gpu(self) -> bool:
        """Return whether its models can run on a GPU, so that their latency is measured there too."""
        return self.accelerated

    @property
    def gpus_to_train(self) -> int:
        """Return how many GPUs of one machine its training can use at once."""
        return 1

    def check(self) -> None:
        """Raise ValueError, in one sentence, if fields contradict each other."""

    def base(self) -> str:
        """Return what it starts from besides its parameters, such as pretrained weights with their revision.

        The text is a part of the keys of its steps. A plan calls this method, so it must be fast. Raise
        Unavailable if what it starts from is not available here.
        """
        return ""

    def note(self) -> str:
        """Return what readers of its results must know about what it starts from, in a sentence; "": nothing.

        Records and tables show it, e.g. that pretrained weights were rounded.
        """
        return ""


class Masked(NamedTuple):
    """The predictions of a language model for M masked tokens."""

    rows: NDArray[np.int64]  # (M,): the index of the text with the token
    gold: NDArray[np.int64]  # (M,): the token's id
    predicted: NDArray[np.int64]  # (M,): the most probable id
    log_likelihood: NDArray[np.float32]  # (M,): of the gold token, in nats


@dataclass(frozen=True)
class Parameters:
    """The numbers of parameters of a model."""

    total: int
    trainable: int
    embedding: int


class Context(Protocol):
    """What the harness provides to a component during a step."""

    @property
    def seed(self) -> int:
        """Return the seed for every random generator that the component uses."""

    @property
    def device(self) -> str:
        """Return the torch device, such as "cpu" or "cuda:0"."""

    @property
    def threads(self) -> int:
        """Return the number of CPU threads that the component may use."""

    @property
    def cores(self) -> int:
        """Return the number of cores that are free for the component now, at least `threads`.

        It changes while other steps start and end. Results must not depend on it.
        """

    @property
    def precision(self) -> Precision:
        """Return the precision to compute in: "bf16" only for components that declare `mixed_precision`."""

    @property
    def scratch(self) -> Path:
        """Return a folder for temporary files, which is emptied after the step."""

    @property
    def teacher(self) -> Model | None:
        """Return the fitted teacher, if the student borrows from it or the loss needs it during training."""

    @property
    def prior(self) -> Model | None:
        """Return the fitted model of the recipe in the component's `prior`, such as :attr:`Teacher.prior`."""

    @property
    def tokens(self) -> Any:
        """Return the ids of the texts, a :class:`harness.featurise.stored.Stored`, or None.

        They are there if the student has a tokeniser: see :meth:`harness.api.Student.tokeniser`.
        """

    @property
    def checkpoints(self) -> Path | None:
        """Return a folder for checkpoints, or None for none. It is kept until the step is done."""

    def progress(self, done: int, total: int, **scalars: float) -> None:
        """Report progress: `done` of `total` units finished, with measured values by name."""

    def warn(self, message: str) -> None:
        """Show a message to the user; it is stored with the step's artefact."""


class Model(ABC):
    """A fitted teacher or student."""

    @abstractmethod
    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return logits or log-probabilities, of shape (N, C), in the order of the texts."""

    def decide(self, texts: Sequence[str], logits: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the class of each row, (N,), given `predict(texts)`. A tagger may decode them together."""
        return logits.argmax(axis=1)  # type: ignore[no-any-return]

    def hidden(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the input of the model's last layer for each text, (N, H), for losses that need "hidden".

        Raise Unsupported if the model has none.
        """
        raise Unsupported(f"{type(self).__name__} has no hidden states")

    def masked(self, texts: Sequence[str]) -> Masked:
        """Return a language model's predictions for masked tokens, which are the same in every call.

        Raise Unsupported if the model is not a language model.
        """
        raise Unsupported(f"{type(self).__name__} is not a language model")

    def vectors(self, words: Sequence[str], of: Literal["embeddings", "hidden"]) -> NDArray[np.float32]:
        """Return a vector for each word, (N, H): its input embedding, or its last hidden state.

        Raise Unsupported if the model has none.
        """
        raise Unsupported(f"{type(self).__name__} has no word vectors")

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write all that the component's `load` needs, as safetensors, Arrow or JSON, but not as pickle."""

    @abstractmethod
    def parameters(self) -> Parameters:
        """Count the model's parameters."""

    def export(self, folder: Path) -> None:
        """Write ``model.onnx`` and the files that turn a text into its inputs (:mod:`harness.exports.onnx`).

        Raise Unsupported if the model cannot be exported.
        """
        raise Unsupported(f"{type(self).__name__} cannot be exported to ONNX")


class Batch:
    """The inputs of a loss besides the logits of student and teacher.

    ``student`` and ``teacher`` contain, by name, the other outputs of both models that the loss needs:

    - ``hidden``: (B, H), the input of the last layer for each text, or for each word that is tagged;
    - ``layers``: a tuple of (B, L, H), the embeddings first, then each layer's output;
    - ``attention``: a tuple of (B, heads, L, L), each layer's attention probabilities;
    - ``relations``: the last layer's queries, keys and values, each (B, L, H).

    If their widths differ, the student's hidden states and layers pass through a linear map to the teacher's
    width, which is trained with the student.

    In language modelling, a row is a masked token, and its label is the token's id.
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
        self.labels = labels  # (B,): classes, -1 for no gold label; in a regression numbers, NaN for none
        self.size = size
        self.student = student or {}
        self.teacher = teacher or {}
        self.mask = mask  # (B, L): false for padding
        self.weights = weights  # (B,): weights of the rows, with mean 1 over the training labels
        self.words = words  # (texts,): in tagging, the number of words (rows) of each text, in order
        self.parts: dict[str, Tensor] = {}  # the terms of the loss by name; they are recorded for each step


def words_before(texts: Iterable[str]) -> NDArray[np.int64]:
    """Return the number of words before each text, and at the end the number of all words: (N + 1,)."""
    import numpy as np

    counts = np.fromiter(chain([0], (text.count(" ") + 1 for text in texts)), dtype=np.int64)
    return np.cumsum(counts, out=counts)


def numbers_of(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return the numbers of an Arrow column without nulls, (N,). Arrow's own method would import pandas."""
    import numpy as np

    found: NDArray[Any] = np.from_dlpack(column.combine_chunks())
    return found


def whole(text: str) -> str:
    """Return the text with lone surrogates replaced, which JSON allows but UTF-8 does not."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def seed_of_repetition(seed: int, repetition: int) -> int:
    """Return the seed of one of several equal components in another; the first has the seed of the whole."""
    if not repetition:
        return seed
    return int.from_bytes(blake2b(f"{seed}/{repetition}".encode(), digest_size=4).digest(), "big")


def digest(*parts: str) -> str:
    """Return a short hex digest of strings; a separator keeps neighbours apart."""
    joined = "\x1f".join(parts)
    return hashlib.sha256(joined.encode()).hexdigest()[:32]
