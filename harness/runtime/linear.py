"""Run exported models that are linear in the weighted counts of a text's words and n-grams, in NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.featurise.featuriser import FILE
from harness.runtime.tables import TableModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.runtime.tables import Arrays

LINEAR = "linear.npz"


class LinearModel(TableModel):
    """A linear layer on the TF-IDF of a text's ids.

    The weight of an id is its count c or, with `sublinear`, 1 + log c, times its inverse document frequency.
    The weights of a text have the Euclidean norm 1 (Salton & Buckley, 1988). The table may be in 8 bits, with
    a scale for each class.
    """

    form = "numpy-linear"
    file = LINEAR

    @staticmethod
    def unfit(arrays: Arrays, size: int) -> str:
        """See :class:`TableModel`: there are a table (V, C), and a number for each row or column."""
        shapes = {name: array.shape for name, array in arrays.items()}
        if shapes.keys() != {"table", "idf", "scale", "bias", "sublinear"} or len(shapes["table"]) != 2:
            return f"has the arrays {', '.join(sorted(shapes)) or 'none'}; expected a table, idf and bias"
        rows, width = shapes["table"]
        if rows != size:
            return f"has a table of {rows} rows, but the vocabulary in {FILE} needs {size}"
        if shapes["idf"] != (rows,) or not shapes["scale"] == shapes["bias"] == (width,):
            return f"has arrays that do not fit together: {shapes}"
        return "" if shapes["sublinear"] == (1,) else "has several values of 'sublinear'"

    def use(self, arrays: Arrays) -> None:
        """See :class:`TableModel`."""
        self.idf, self.bias = arrays["idf"].astype(np.float32), arrays["bias"].astype(np.float32)
        self.sublinear = bool(arrays["sublinear"][0])
        self.table = arrays["table"].astype(np.float32) * arrays["scale"].astype(np.float32)
        self.weigh, self.take = self.idf.take, self.table.take

    @property
    def width(self) -> int:
        """See :class:`TableModel`."""
        return len(self.bias)

    def single(self, ids: list[int]) -> NDArray[np.float32]:
        """Return the logits for one text's ids, (C,)."""
        if len(set(ids)) < len(ids):
            return self.block(np.array(ids, dtype=np.int32), np.array([0, len(ids)]))[0]  # type: ignore[no-any-return]
        weights = self.weigh(ids)
        norm = weights.dot(weights) ** 0.5
        return weights.dot(self.take(ids, 0)) / (norm or 1) + self.bias  # type: ignore[no-any-return]

    def block(self, ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
        """See :class:`TableModel`."""
        texts = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        places, counts = np.unique(texts * len(self.idf) + ids, return_counts=True)
        texts, ids = np.divmod(places, len(self.idf))
        weights = counts.astype(np.float32)
        if self.sublinear:
            weights = 1 + np.log(weights)
        weights *= self.idf[ids]
        starts = np.flatnonzero(np.diff(texts, prepend=-1))
        norms = np.sqrt(np.add.reduceat(weights**2, starts))
        weights /= np.where(norms > 0, norms, 1)[texts]
        return np.add.reduceat(weights[:, None] * self.table[ids], starts, axis=0) + self.bias
