"""Vocabularies of the words that are most informative of a text's class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import harness
from harness.featurise.featuriser import Words

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

_FREQUENT = 10  # a tenth of the vocabulary are the most frequent words, as context for the others


def telling(transfer: harness.Examples, size: int, longest: int) -> Words:
    """Return a vocabulary of at most `size` ids: the most frequent words, a tenth, and the most informative.

    The information of a word, in nats, is the gain in log-likelihood if the texts with the word have their
    own distribution of classes instead of that of all texts. For N such texts, it is N times the divergence
    of their mean distribution from that of all texts. (Dunning's log-likelihood ratio, 1993, is twice this
    plus the same for the texts without the word, which for most words is almost 0.) The distribution of a
    text is the teacher's, or its gold label. For regression, scores have two normal distributions with the
    same standard deviation instead. Raise HarnessError if there are neither logits nor labels.
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
    """Return which texts have a target, (N,), and the targets, (M, C): probabilities, or one score."""
    found = transfer.task_type.targets(transfer)
    if found is None:
        raise harness.HarnessError(
            'cannot choose words = "telling": there are neither logits nor gold labels'
        )
    return found


def _told(
    texts: NDArray[np.int64], sums: NDArray[np.float64], targets: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the information of V words, (V,), from their counts of texts and summed targets (V, C)."""
    from scipy.special import rel_entr

    means = sums / texts[:, None]
    if targets.shape[1] == 1:
        spread = max(float(targets.var()), 1e-12)
        return np.asarray(texts * (means[:, 0] - targets.mean()) ** 2 / (2 * spread))
    return np.asarray(texts * rel_entr(means, targets.mean(0)).sum(1))
