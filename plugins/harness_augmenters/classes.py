"""Find word classes in a corpus, without a model or dictionary, for any language with spaces between words.

Words of one part of speech have the same neighbours (Schütze, 1995) and similar endings (Clark, 2003). So
each word is described by its frequent neighbours and its last letters, and k-means groups the words.

The groups replace parts of speech, but are less pure. Compared with published tag dictionaries for English,
German, French and Dutch, a random word of the same group had the tag of the original word in 50 to 65 % of
cases, more with a larger corpus. A random word of the whole corpus had it in 13 %.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

SAMPLE = 5_000_000  # approximate number of words of the sample
VOCABULARY = 30_000  # maximum number of words to group, the most frequent ones
RARE = 3  # words with a lower count in the sample are not grouped
NEIGHBOURS = 400  # maximum number of words that count as neighbours, the most frequent ones
DIMENSIONS = 50  # dimensions to which neighbours, and endings, are reduced
ENDINGS = 0.3  # weight of the endings' distance; that of the neighbours' is 1

BARE = re.compile(r"(\W*)(.*?)(\W*)", re.DOTALL)  # punctuation before a word, the word, punctuation after it
_TEXT_END = ""  # counts as a neighbour


def word_classes(corpus: Sequence[str], classes: int, seed: int) -> tuple[list[str], list[int], list[int]]:
    """Return words, the count of each in a sample of the corpus, and its class.

    Words of one class are in one group and have the same punctuation attached: "good," cannot replace "bad".
    There are fewer than `classes` groups if there are too few words.
    """
    import numpy as np

    ids: dict[str, int] = {_TEXT_END: 0}
    sequence = np.fromiter(
        (ids.setdefault(word, len(ids)) for text in sample(corpus) for word in (_TEXT_END, *text.split())),
        dtype=np.int64,
    )
    words = list(ids)
    counts = np.bincount(sequence, minlength=len(words))
    bare_ids: dict[str, int] = {}
    bare_of = np.empty(len(words), dtype=np.int64)
    attached: list[tuple[str, str]] = []
    for index, word in enumerate(words):
        before, bare, behind = BARE.fullmatch(word).groups() if word else ("", "", "")  # type: ignore[union-attr]
        if not bare:  # punctuation alone is a word too
            before, bare, behind = "", word, ""
        bare_of[index] = bare_ids.setdefault(bare, len(bare_ids))
        attached.append((before, behind))
    groups = _groups(list(bare_ids), bare_of[np.append(sequence, 0)], classes, seed)[bare_of]
    kept = np.flatnonzero(groups >= 0).tolist()
    numbers: dict[tuple[int, str, str], int] = {}
    return (
        [words[i] for i in kept],
        counts[kept].tolist(),
        [numbers.setdefault((int(groups[i]), *attached[i]), len(numbers)) for i in kept],
    )


def sample(corpus: Sequence[str], size: int = SAMPLE) -> Iterator[str]:
    """Yield texts with about `size` words in total, from all parts of the corpus, or all of a smaller one."""
    first = corpus[:1000]
    words = sum(len(text.split()) for text in first) / max(len(first), 1)  # per text
    step = max(1, round(words * len(corpus) / size))
    # Take runs of 256 neighbouring texts, since lazy sequences read them together.
    for start in range(0, len(corpus), 256 * step):
        yield from corpus[start : start + 256]


def _groups(words: Sequence[str], sequence: NDArray[np.int64], classes: int, seed: int) -> NDArray[np.int64]:
    """Return the group of each word, (V,), -1 if too rare; `sequence` is the sample as indices of words."""
    import numpy as np
    from sklearn.cluster import KMeans
    from sklearn.preprocessing import normalize
    from threadpoolctl import threadpool_limits

    counts = np.bincount(sequence, minlength=len(words))
    frequent = np.argsort(-counts, kind="stable")
    frequent = frequent[(counts[frequent] >= RARE) & (frequent != sequence[0])][:VOCABULARY]
    groups = np.full(len(words), -1, dtype=np.int64)
    if len(frequent) < 4:
        return groups
    # Use one thread: a different order of sums could give different classes on another machine.
    with threadpool_limits(1):
        weights = counts[frequent].astype(np.float64)
        neighbours = normalize(_reduce(_neighbours(words, sequence, frequent), seed))
        # The neighbours of a rare word are partly chance, so they get a lower weight than its ending.
        neighbours *= (weights / (weights + 5))[:, None]
        endings = ENDINGS * _reduce(_endings([words[i] for i in frequent]), seed)
        kmeans = KMeans(min(classes, len(frequent) // 2), n_init=3, random_state=seed)
        groups[frequent] = kmeans.fit_predict(
            np.hstack([neighbours, endings]), sample_weight=np.sqrt(weights)
        )
    return groups


def _neighbours(words: Sequence[str], sequence: NDArray[np.int64], frequent: NDArray[np.int64]) -> csr_array:
    """Return the square root of the count of each left and right neighbour of each frequent word, (F, 2K)."""
    import numpy as np
    from scipy.sparse import csr_array, hstack
    from sklearn.preprocessing import normalize

    lower: dict[str, int] = {}
    column_of = np.fromiter((lower.setdefault(word.lower(), len(lower)) for word in words), dtype=np.int64)
    columns = column_of[sequence]
    best = np.argsort(-np.bincount(columns), kind="stable")[:NEIGHBOURS]
    rank = np.full(len(lower), len(best))  # all other words share one more column
    rank[best] = np.arange(len(best))
    row = np.full(len(words), -1)
    row[frequent] = np.arange(len(frequent))

    def table(words: NDArray[np.int64], neighbours: NDArray[np.int64]) -> csr_array:
        known = row[words] >= 0
        places = (row[words][known], rank[neighbours][known])
        return csr_array((np.ones(known.sum()), places), shape=(len(frequent), len(best) + 1))

    both = hstack([table(sequence[1:], columns[:-1]), table(sequence[:-1], columns[1:])])
    return normalize(both.tocsr().power(0.5))


def _endings(words: Sequence[str]) -> csr_array:
    """Return the endings of up to four letters and the shape of each word, (F, E), in rows of length 1."""
    import numpy as np
    from scipy.sparse import csr_array
    from sklearn.preprocessing import normalize

    ids: dict[str, int] = {}
    rows: list[int] = []
    columns: list[int] = []
    for row, word in enumerate(words):
        features = ["-" + word[-size:].lower() for size in (1, 2, 3, 4) if len(word) > size + 1]
        shape = {
            "capital": word[0].isupper(),
            "digit": any(map(str.isdigit, word)),
            "punctuation": not any(map(str.isalnum, word)),
            "short": len(word) <= 3,
        }
        features += [name for name, is_so in shape.items() if is_so]
        columns += [ids.setdefault(feature, len(ids)) for feature in features]
        rows += [row] * len(features)
    table = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(words), max(len(ids), 1)))
    return normalize(table[:, np.asarray(table.sum(0)).ravel() >= 5])


def _reduce(table: csr_array, seed: int) -> NDArray[np.float64]:
    """Return the rows of a table in its main `DIMENSIONS` directions, or in all if it has no more."""
    import numpy as np
    from sklearn.utils.extmath import randomized_svd

    if min(table.shape) <= DIMENSIONS:
        return np.asarray(table.toarray())
    u, s, _ = randomized_svd(table, DIMENSIONS, random_state=seed)
    return np.asarray(u * s)
