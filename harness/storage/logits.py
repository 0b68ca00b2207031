"""Keep a teacher's logits in 32 or 16 bits, all of them or the largest of each row, and read them as float32.

If the k largest of a row are kept, the other classes share evenly what probability is left: they have one
logit, and the probabilities of the kept ones do not change. A row takes 4 or 2 bytes for a class or, if the k
largest are kept, 6 or 4 bytes for each, and 4 or 2 for the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

VALUES, CLASSES, REST = "logits", "logits-classes", "logits-rest"  # names of files, without .npy
_CHUNK = 65_536  # rows that are looked through together


def packed(block: NDArray[Any], dtype: DTypeLike, most: int | None = None) -> dict[str, NDArray[Any]]:
    """Return logits (R, C) as the arrays that are stored, each with R rows, by the name of its file.

    With `most`, only so many logits of each row are stored, if there are more than twice as many classes.
    """
    classes = block.shape[1]
    if most is None or classes <= 2 * most:
        return {VALUES: block.astype(dtype, copy=False)}
    largest = np.sort(np.argpartition(-block, most - 1, axis=1)[:, :most], axis=1)
    others = block.astype(np.float64)
    np.put_along_axis(others, largest, -np.inf, axis=1)
    highest = others.max(axis=1, keepdims=True)
    rest = highest + np.log(np.exp(others - highest).sum(axis=1, keepdims=True) / (classes - most))
    return {
        VALUES: np.take_along_axis(block, largest, axis=1).astype(dtype),
        CLASSES: largest.astype(np.uint16 if classes <= 1 << 16 else np.uint32),
        REST: rest.astype(dtype),
    }


class Logits(NDArrayOperatorsMixin):
    """Stored logits (R, C) that look like an array of float32; rows are read when they are asked for."""

    dtype = np.dtype(np.float32)
    ndim = 2

    def __init__(self, arrays: dict[str, NDArray[Any]], classes: int) -> None:
        self.arrays = arrays
        self.shape = len(arrays[VALUES]), classes

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        """Return the logits of some rows: an index, a slice, or an array of indices."""
        if isinstance(rows, tuple):
            return np.asarray(self)[rows]
        values = self.arrays[VALUES][rows].astype(np.float32)
        if CLASSES not in self.arrays:
            return values  # type: ignore[no-any-return]
        dense = np.repeat(self.arrays[REST][rows].astype(np.float32), self.shape[1], axis=-1)
        np.put_along_axis(dense, self.arrays[CLASSES][rows].astype(np.int64), values, axis=-1)
        return dense

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all logits, in memory."""
        return self[:].astype(dtype or self.dtype, copy=False)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """Compute with all logits, in memory."""
        plain = [np.asarray(each) if isinstance(each, Logits) else each for each in inputs]
        return getattr(ufunc, method)(*plain, **options)

    def astype(self, dtype: DTypeLike) -> NDArray[Any]:
        """Return all logits in another type, in memory."""
        return self[:].astype(dtype)

    def any(self, axis: int) -> NDArray[np.bool_]:
        """Return which rows have a logit that is not 0, (R,); `axis` must be 1."""
        if axis != 1:
            raise ValueError(f"expected axis 1, got {axis}")
        parts = [self[at : at + _CHUNK].any(axis=1) for at in range(0, len(self), _CHUNK)]
        return np.concatenate([np.zeros(0, dtype=np.bool_), *parts])
