"""Run exported models that are tables of words' numbers, in NumPy.

For a single short text this takes a fraction of a call of ONNX Runtime.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from harness.featurise.featuriser import FILE
from harness.runtime.exported import Exported
from harness.runtime.reading import LABELS, arrays_of, counted, refuse
from harness.task_types.base import TaskType

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.featurise.featuriser import Featuriser

    Arrays = dict[str, NDArray[np.float32]]

AVERAGED, CONVOLVED = "averaged.npz", "convolved.npz"
_BESIDE = 1 << 20  # bytes for arrays beside the table
_AT_ONCE = 1 << 18  # numbers to look up in a table at once, so that they stay in the caches


class TableModel(Exported):
    """A form that looks up a row of numbers for each word of a text."""

    file: ClassVar[str]
    table: NDArray[np.float32]  # (V, W)

    def __init__(self, folder: Path, task_type: TaskType | None = None) -> None:
        super().__init__(folder, task_type)
        largest = 4 * self.featuriser.size * max(1, len(self.classes))
        arrays = arrays_of(folder, self.file, largest + _BESIDE)
        if why := self.unfit(arrays, self.featuriser.size):
            refuse(folder, f"{self.file} {why}")
        self.padding = self.featuriser.padding
        self.use(arrays)

    @classmethod
    def of(cls, featuriser: Featuriser, classes: Sequence[str], arrays: Arrays) -> Self:
        """Return the form for a model that has not been exported; it answers to :meth:`predict` only."""
        made = cls.__new__(cls)
        made.featuriser, made.classes, made.padding = featuriser, list(classes), featuriser.padding
        made.use(arrays)
        return made

    @staticmethod
    @abstractmethod
    def unfit(arrays: Arrays, size: int) -> str:
        """Return why arrays are not those of this form, for a vocabulary of some size; "" if they are."""

    @abstractmethod
    def use(self, arrays: Arrays) -> None:
        """Take over the arrays of the file."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Return the number of outputs."""

    @abstractmethod
    def block(self, ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the logits of texts, (N, C); the ids of text i are those from `offsets[i]` on."""

    def check(self, folder: Path) -> None:
        """Also compare the number of outputs with the labels."""
        super().check(folder)
        if self.width != len(self.classes):
            labels = counted(self.classes, "label")
            refuse(folder, f"{self.file} has {self.width} outputs, but {LABELS} has {labels}")

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the logits of texts, (N, C); no padding is needed."""
        tokens = self.featuriser.tokens(texts)
        logits = np.empty((len(texts), len(self.classes)), dtype=np.float32)
        start = 0
        while start < len(texts):
            room = tokens.offsets[start] + _AT_ONCE // self.table.shape[1]
            end = max(start + 1, int(np.searchsorted(tokens.offsets, room, side="right")) - 1)
            offsets = tokens.offsets[start : end + 1]
            logits[start:end] = self.block(tokens.ids[offsets[0] : offsets[-1]], offsets - offsets[0])
            start = end
        return logits


class AveragedModel(TableModel):
    """The mean of a text's embeddings, and dense layers."""

    form = "numpy"
    file = AVERAGED

    @staticmethod
    def unfit(arrays: Arrays, size: int) -> str:
        """See :class:`TableModel`: there are a table (V, W), and dense layers."""
        shapes = {name: array.shape for name, array in arrays.items()}
        count = sum(name.startswith("bias_") for name in shapes)
        names = {"table", *(f"{kind}_{i}" for kind in ("bias", "weight") for i in range(count))}
        if not count or not names - {"weight_0"} <= shapes.keys() <= names or len(shapes["table"]) != 2:
            return f"has the arrays {', '.join(sorted(shapes)) or 'none'}; expected a table and dense layers"
        rows, width = shapes["table"]
        if rows != size:
            return f"has a table of {rows} rows, but the vocabulary in {FILE} needs {size}"
        for i in range(count):
            last = shapes[f"bias_{i}"]
            weight = shapes.get(f"weight_{i}", (width, width))
            if len(last) != 1 or weight != (width, last[0]):
                return f"has arrays that do not fit together: weight_{i} {weight}, bias_{i} {last}"
            width = last[0]
        return ""

    def use(self, arrays: Arrays) -> None:
        """See :class:`TableModel`. Rows that are outputs of the first layer get its bias, except padding."""
        self.bias = arrays["bias_0"]
        self.first = arrays.get("weight_0")  # None if it is multiplied into the table
        self.table = arrays["table"]
        if self.first is None:
            self.table = self.table + self.bias
            self.table[self.padding : self.padding + 1] = 0
        count = sum(name.startswith("bias_") for name in arrays)
        self.layers = [(arrays[f"weight_{i}"], arrays[f"bias_{i}"]) for i in range(1, count)]
        self.plain = self.first is None and not self.layers
        self.take = self.table.take

    @property
    def width(self) -> int:
        """See :class:`TableModel`."""
        return len(self.layers[-1][1] if self.layers else self.bias)

    def single(self, ids: list[int]) -> NDArray[np.float32]:
        """Return the logits for one text's ids, (C,)."""
        if self.padding in ids:
            return self.block(np.array(ids, dtype=np.int32), np.array([0, len(ids)]))[0]  # type: ignore[no-any-return]
        mean = _equal(len(ids)).dot(self.take(ids, 0))
        return mean if self.plain else self._dense(mean)

    def block(self, ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
        """See :class:`TableModel`."""
        mean: NDArray[np.float32] = np.add.reduceat(self.table.take(ids, 0), offsets[:-1], axis=0)  # (N, W)
        counts = np.add.reduceat(ids != self.padding, offsets[:-1], dtype=np.float32)
        mean /= np.maximum(counts, 1)[:, None]
        if self.first is None:
            mean[counts == 0] = self.bias
        return self._dense(mean)

    def _dense(self, found: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the outputs of the dense layers, (…, C), for means (…, W)."""
        if self.first is not None:
            found = found @ self.first + self.bias
        for weight, bias in self.layers:
            found = np.maximum(found, 0) @ weight + bias
        return found


class ConvolvedModel(TableModel):
    """Convolutions over spans of words, the maximum over time, a ReLU, and a linear layer.

    The products of each word's embedding with each part of each filter are computed when the model is loaded.
    A convolution is then a sum of rows, one row for each word of its span.
    """

    form = "numpy-convolved"
    file = CONVOLVED

    @staticmethod
    def unfit(arrays: Arrays, size: int) -> str:
        """See :class:`TableModel`: there are a table (V, W), filters, and a linear layer."""
        shapes = {name: array.shape for name, array in arrays.items()}
        count = sum(name.startswith("filters_") for name in shapes)
        names = {
            "table",
            "weight",
            "bias",
            *(f"{one}_{i}" for one in ("filters", "shift") for i in range(count)),
        }
        if not count or shapes.keys() != names or len(shapes["table"]) != 2:
            return f"has the arrays {', '.join(sorted(shapes)) or 'none'}; expected a table and filters"
        rows, width = shapes["table"]
        if rows != size:
            return f"has a table of {rows} rows, but the vocabulary in {FILE} needs {size}"
        total = 0
        for i in range(count):
            filters, shift = shapes[f"filters_{i}"], shapes[f"shift_{i}"]
            if len(filters) != 2 or not (filters[0] and width) or filters[0] % width or shift != filters[1:]:
                return f"has arrays that do not fit together: filters_{i} {filters}, shift_{i} {shift}"
            total += filters[1]
        if len(shapes["bias"]) != 1 or shapes["weight"] != (total, *shapes["bias"]):
            return f"has arrays that do not fit together: weight {shapes['weight']}, bias {shapes['bias']}"
        return ""

    def use(self, arrays: Arrays) -> None:
        """See :class:`TableModel`; the filters are sorted by their spans, so that long ones come last."""
        words = arrays["table"]
        width = words.shape[1]
        count = sum(name.startswith("filters_") for name in arrays)
        spans = [len(arrays[f"filters_{i}"]) // width for i in range(count)]
        order = sorted(range(count), key=spans.__getitem__)
        sizes = [len(arrays[f"shift_{i}"]) for i in range(count)]
        starts = np.cumsum([0, *sizes])
        outputs = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in order])
        self.weight, self.bias = arrays["weight"][outputs], arrays["bias"]
        self.features = int(starts[-1])
        parts = []
        # For each place in a span but the first: the first of the filters that reach it, and its columns.
        self.later: list[tuple[int, int, slice]] = []
        held = 0
        for place in range(max(spans)):
            reach = [i for i in order if spans[i] > place]
            parts += [words @ arrays[f"filters_{i}"][place * width : (place + 1) * width] for i in reach]
            wide = sum(sizes[i] for i in reach)
            if place:
                self.later.append((place, self.features - wide, slice(held, held + wide)))
            held += wide
        table = np.concatenate(parts, axis=1)
        table[:, : self.features] += np.concatenate([arrays[f"shift_{i}"] for i in order])
        table[self.padding : self.padding + 1] = 0
        self.table = np.concatenate([table, np.zeros_like(table[:1])])
        self.take = self.table.take

    @property
    def width(self) -> int:
        """See :class:`TableModel`."""
        return len(self.bias)

    def single(self, ids: list[int]) -> NDArray[np.float32]:
        """Return the logits for one text's ids, (C,)."""
        if self.padding in ids:  # such as a name of it within the text
            return self.block(np.array(ids, dtype=np.int32), np.array([0, len(ids)]))[0]  # type: ignore[no-any-return]
        rows = self.take(ids, 0)
        found = rows[:, : self.features]
        for place, first, columns in self.later:
            found[:-place, first:] += rows[place:, columns]
        return _largest(found, 0, initial=0).dot(self.weight) + self.bias  # type: ignore[no-any-return]

    def block(self, ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
        """See :class:`TableModel`."""
        # Rows of zeros after each text keep the spans apart.
        apart = len(self.later)
        places = np.arange(len(ids)) + apart * np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        spaced = np.full(len(ids) + apart * (len(offsets) - 1), len(self.table) - 1)
        spaced[places] = ids
        rows = self.table.take(spaced, 0)
        found = rows[:, : self.features]
        for place, first, columns in self.later:
            found[:-place, first:] += rows[place:, columns]
        found[(spaced == self.padding) | (spaced == len(self.table) - 1)] = 0
        starts = offsets[:-1] + apart * np.arange(len(offsets) - 1)
        largest = np.maximum(np.maximum.reduceat(found, starts, axis=0), 0)
        return np.asarray(largest @ self.weight + self.bias)


_largest = np.maximum.reduce


@lru_cache(1024)
def _equal(count: int) -> NDArray[np.float32]:
    """Return equal weights of some rows, whose sum is 1."""
    return np.full(count, 1 / count, dtype=np.float32)
