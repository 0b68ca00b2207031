"""Words that leave two labels open: a text that turns on one is labelled as if by a coin.

A text turns on the word that tells most of its label: by the divergence (Kullback & Leibler, 1951) of the
labels of the training texts that have the word from the labels of all. Some such words rule out every label
but two, and leave these about equally likely. Labels that were given by rule, or by hashtag, have many.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import log
from typing import NamedTuple

_WORD = re.compile(r"\w+")
_SEEN = 10  # training texts that a word must be in; as many more, labelled as all are, temper what it tells
_BOTH, _SECOND = 0.85, 0.25  # of its texts: what two labels have together, and the second of them, at least
_TELLS = 0.5  # nats, at least: of labels that most texts have anyway, a word that leaves two tells nothing


class Contested(NamedTuple):
    """A word, and how many training texts that have it bear each of its two labels."""

    word: str
    first: tuple[str, int]
    second: tuple[str, int]


def turned_on(train: Sequence[tuple[str, str]], texts: Sequence[str]) -> list[Contested | None]:
    """Of each text the contested word that it turns on, if it does; `train` are texts and labels."""
    labels = Counter(label for _, label in train)
    having: dict[str, Counter[str]] = {label: Counter() for label in labels}  # texts that have each word
    for text, label in train:
        having[label].update(words_of(text))
    prior = {label: count / len(train) for label, count in labels.items()}
    tells, contested = {}, {}
    asked = [words_of(text) for text in texts]
    for word in set().union(*asked):
        counts = Counter({label: count for label, found in having.items() if (count := found[word])})
        if counts.total() >= _SEEN:
            tells[word] = _divergence(counts, prior)
            if tells[word] >= _TELLS:
                contested[word] = _contested(word, counts)
    # Of words that tell as much, the first by the alphabet.
    most = (max(sorted(words & tells.keys()), key=tells.__getitem__, default="") for words in asked)
    return [contested.get(word) for word in most]


def words_of(text: str) -> set[str]:
    """The words of a text, in lower case."""
    return set(_WORD.findall(text.lower()))


def _divergence(counts: Counter[str], prior: dict[str, float]) -> float:
    """In nats."""
    total = counts.total() + _SEEN
    shares = ((counts[label] + _SEEN * share) / total / share for label, share in prior.items())
    return sum(share * prior[label] * log(share) for label, share in zip(prior, shares, strict=True))


def _contested(word: str, counts: Counter[str]) -> Contested | None:
    total, (first, second, *_) = counts.total(), (*counts.most_common(2), ("", 0))
    if first[1] + second[1] >= _BOTH * total and second[1] >= _SECOND * total:
        return Contested(word, first, second)
    return None
