"""A vocabulary of the words that tell most of a text's class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import harness
from harness.featurise.featuriser import Words

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

_FREQUENT = 10  # every tenth word is one of the most frequent: what stands beside them hangs on those


def telling(transfer: harness.Examples, size: int, longest: int) -> Words:
    """A vocabulary of at most `size` ids: the most frequent words, a tenth, and those that tell most.

    A word tells as much as the likelihood of the texts with it rises, in nats, where they have a
    distribution of their own instead of everybody's: for N texts with it, N times the divergence of their
    mean distribution from that of all. (Dunning's log-likelihood ratio, 1993, is twice this and what it is
    for the texts without the word, which for most words is next to nothing.) The distribution of a text is
    the teacher's, or its gold label. Of a regression it is the likelihood of scores under two normal
    distributions of one deviation.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    known, targets = _targets(transfer)
    texts = [transfer.texts[row] for row in np.flatnonzero(known).tolist()]
    counter = CountVectorizer(analyzer=Words.words)
    try:
        counts: csr_matrix = counter.fit_transform(texts)  # (N, V)
    except ValueError:  # no text has a word
        return Words([], longest)
    words = counter.get_feature_names_out()  # in alphabetical order, by which ties are broken
    often = np.asarray(counts.sum(0)).ravel()
    holds = counts.sign()
    told = _told(np.asarray(holds.sum(0)).ravel(), holds.T @ targets, targets)
    count = min(size - 2, len(words))
    frequent = np.argsort(-often, kind="stable")[: count // _FREQUENT]
    rest = np.argsort(-told.round(6), kind="stable")
    chosen = np.concatenate([frequent, rest[~np.isin(rest, frequent)]])[:count]
    return Words([str(word) for word in words[chosen]], longest)


def _targets(transfer: harness.Examples) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which texts have a target (N,), and theirs (M, C): probabilities, or one score."""
    found = transfer.task_type.targets(transfer)
    if found is None:
        raise harness.HarnessError("telling words are chosen by logits or gold labels, and there are none")
    return found


def _told(
    texts: NDArray[np.int64], sums: NDArray[np.float64], targets: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What V words tell (V,), of how many texts have each (V,) and the sums of those targets (V, C)."""
    from scipy.special import rel_entr

    means = sums / texts[:, None]
    if targets.shape[1] == 1:
        spread = max(float(targets.var()), 1e-12)
        return np.asarray(texts * (means[:, 0] - targets.mean()) ** 2 / (2 * spread))
    return np.asarray(texts * rel_entr(means, targets.mean(0)).sum(1))
