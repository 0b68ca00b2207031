"""Find contested words, which occur with two labels about equally often.

The label of a text depends most on its most informative word. A word's information is the divergence
(Kullback & Leibler, 1951) between the labels of the training texts that contain it and the labels of all
texts. Some informative words exclude all labels but two, and leave these about equally likely. The labels of
texts with such a word are almost random. They are frequent if labels were given by a rule, or by hashtags.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import log
from typing import NamedTuple

from harness.featurise import words

_APOSTROPHE = re.compile("['’]")
_SEEN = 10  # minimum number of training texts with a word; also the weight of the prior, in texts
_BOTH, _SECOND = 0.85, 0.25  # minimum shares of its texts: with the two labels, and with the second of them
_TELLS = (
    0.5  # minimum information of a word, in nats; it is low if most texts have one of the two labels anyway
)


class Contested(NamedTuple):
    """A word, and the number of training texts with the word for each of its two labels."""

    word: str
    first: tuple[str, int]
    second: tuple[str, int]


def turned_on(train: Sequence[tuple[str, str]], texts: Sequence[str]) -> list[Contested | None]:
    """Return the contested word on which each text depends, or None; `train` has texts with labels."""
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
    # Of words with equal information, take the first in alphabetical order.
    most = (max(sorted(each & tells.keys()), key=tells.__getitem__, default="") for each in asked)
    return [contested.get(word) for word in most]


def words_of(text: str) -> set[str]:
    """Return the words of a text, in lower case and without punctuation; an apostrophe divides them."""
    parts = (part for word in words.words_of(text) for part in _APOSTROPHE.split(word))
    return {part for part in parts if part and (part[0].isalnum() or part[0] == "_")}


def _divergence(counts: Counter[str], prior: dict[str, float]) -> float:
    """Return the divergence of a word's labels from the prior, in nats."""
    total = counts.total() + _SEEN
    shares = ((counts[label] + _SEEN * share) / total / share for label, share in prior.items())
    return sum(share * prior[label] * log(share) for label, share in zip(prior, shares, strict=True))


def _contested(word: str, counts: Counter[str]) -> Contested | None:
    total, (first, second, *_) = counts.total(), (*counts.most_common(2), ("", 0))
    if first[1] + second[1] >= _BOTH * total and second[1] >= _SECOND * total:
        return Contested(word, first, second)
    return None
