"""Draw words in proportion to their frequency, to replace other words of the same class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness_augmenters.blocks import blocks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def count(corpus: Sequence[str]) -> Counter[str]:
    """Return the count of each word in the corpus."""
    words: Counter[str] = Counter()
    for _, block in blocks(corpus):
        words.update("\n".join(block).split())
    return words


class Lexicon:
    """V words, each in one class; a word with several classes is listed once for each."""

    codes: list[int]  # (V,) the code of each word for `others`; -1 if its class has no other word

    def __init__(self, words: Sequence[str], counts: Sequence[int], classes: Sequence[int]) -> None:
        import numpy as np

        order = np.argsort(np.asarray(classes, dtype=np.int64), kind="stable")  # (V,)
        sizes = np.asarray(counts, dtype=np.int64)[order]
        _, first = np.unique(np.asarray(classes, dtype=np.int64)[order], return_index=True)
        totals = np.add.reduceat(sizes, first) if len(sizes) else sizes
        members = np.diff(first, append=len(sizes))
        # Each word is an interval of [0, sum of all counts), and so is each class.
        self._words = [words[i] for i in order.tolist()]
        self._counts = sizes
        self._ends = np.cumsum(sizes)
        self._class_starts = np.repeat(np.cumsum(totals) - totals, members)
        self._room = np.repeat(totals, members) - sizes  # count of the class without the word itself
        codes = np.empty(len(order), dtype=np.intp)
        codes[order] = np.arange(len(order))
        self.codes = np.where(self._room[codes] > 0, codes, -1).tolist()

    def others(self, codes: NDArray[np.intp], generator: np.random.Generator) -> list[str]:
        """Return for each code, (n,), another word of its class, drawn in proportion to its count."""
        import numpy as np

        at = self._class_starts[codes] + generator.integers(0, self._room[codes])
        # Skip the word's own interval: positions at or after its start move past its end.
        own = self._counts[codes]
        at += np.where(at >= self._ends[codes] - own, own, 0)
        return [self._words[i] for i in np.searchsorted(self._ends, at, side="right").tolist()]
