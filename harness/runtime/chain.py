"""Decode the tags of a text as one sequence, in NumPy: the last step of an exported CRF.

The graph computes the scores of each word; the scores of neighbouring tags are in a file beside it. The best
sequence is found by Viterbi's algorithm (1967), and a tag's probability is a sum over all sequences (Lafferty
et al., 2001).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.runtime.reading import numbers, object_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE = "transitions.json"


class Chain:
    """Scores of transitions between tags (C, C), from one to the next, and of the first and last tag (C,)."""

    def __init__(self, transitions: Any, start: Any, end: Any) -> None:
        self.transitions = np.asarray(transitions, dtype=np.float32)
        self.start = np.asarray(start, dtype=np.float32)
        self.end = np.asarray(end, dtype=np.float32)

    @classmethod
    def read(cls, folder: Path) -> Chain | None:
        """Return the chain of an export, or None if its tags are decided word by word.

        Raise HarnessError if the file is damaged.
        """
        if not os.path.lexists(folder / FILE):
            return None
        found = object_of(folder, FILE)
        tags = len(found["end"]) if isinstance(found.get("end"), list) else 0
        shapes = {"transitions": (tags, tags), "start": (tags,), "end": (tags,)}
        return cls(**numbers(folder, FILE, found, shapes))

    def write(self, folder: Path) -> None:
        """Write ``transitions.json`` into a folder."""
        state = {name: scores.tolist() for name, scores in vars(self).items()}
        (folder / FILE).write_text(json.dumps(state), encoding="utf-8")

    def best(self, scores: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the tags of each text's best sequence, (T,); for ties, the first sequence.

        Scores are (T, C), for the words of all texts; `counts` is the number of words of each text.
        """
        found = np.empty(len(scores), dtype=np.int64)
        for places in _of_equal_length(counts):
            found[places] = self._best(scores[places])
        return found

    def log_marginals(self, scores: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the log-probability of each tag of each word, (T, C); arguments as for :meth:`best`."""
        found = np.empty_like(scores)
        for places in _of_equal_length(counts):
            found[places] = self._log_marginals(scores[places])
        return found

    def _best(self, scores: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the best tags (B, W) for scores (B, W, C) of texts with equally many words."""
        texts, words, _ = scores.shape
        chosen = []  # the best next tag for each tag, from the last word to the first
        following: NDArray[np.float32] = self.end
        for word in range(words - 1, 0, -1):
            ahead = self.transitions + (scores[:, word] + following)[:, None]  # (B, from, to)
            chosen.append(ahead.argmax(2))
            following = ahead.max(2)
        tags = [(self.start + (scores[:, 0] + following)).argmax(1)]
        rows = np.arange(texts)
        for next_ in reversed(chosen):
            tags.append(next_[rows, tags[-1]])
        return np.stack(tags, axis=1)

    def _log_marginals(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return log-probabilities (B, W, C) for scores (B, W, C) of texts with equally many words."""
        before = [self.start + scores[:, 0]]  # log-sums over all sequences up to a word with a given tag
        behind = [np.broadcast_to(self.end, scores[:, 0].shape)]  # and over all sequences after it
        for word in range(1, scores.shape[1]):
            before.append(_log_sum(before[-1][:, :, None] + self.transitions, 1) + scores[:, word])
            ahead = scores[:, -word] + behind[-1]
            behind.append(_log_sum(self.transitions + ahead[:, None], 2))
        both = np.stack(before, axis=1) + np.stack(behind[::-1], axis=1)
        return np.asarray(both - _log_sum(both, 2)[:, :, None])


def _of_equal_length(counts: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the positions of the words, (B, W), for the texts of each length above 0."""
    firsts = np.cumsum(counts) - counts
    for count in np.unique(counts[counts > 0]):
        yield firsts[counts == count][:, None] + np.arange(count)


def _log_sum(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Return the logarithm of the sum of exponentials over an axis."""
    largest = values.max(axis, keepdims=True)
    return np.asarray(np.log(np.exp(values - largest).sum(axis)) + largest.squeeze(axis))
