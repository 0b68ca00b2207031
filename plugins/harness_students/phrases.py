"""Featuriser of words and n-grams of words, with a vocabulary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any

from harness.featurise.checks import check_numbers, check_vocabulary, rule_of
from harness.featurise.featuriser import UNKNOWN, Featuriser
from harness.featurise.words import CHARACTERS, RULE, words_of


class Phrases(Featuriser):
    """Lower-cased words, punctuation marks and n-grams of both, as far as they are in a vocabulary.

    Others are left out: a text without any known one has the id UNKNOWN. The order of ids has no meaning.
    """

    type = "phrases"

    def __init__(self, vocabulary: Sequence[str], ngrams: int, longest: int, rule: int = RULE) -> None:
        self.vocabulary = list(vocabulary)
        self.ngrams = ngrams
        self.longest = longest
        self.rule = rule
        self.size = len(self.vocabulary) + 2
        self._ids = dict(zip(self.vocabulary, count(2), strict=False))

    @classmethod
    def fit(cls, texts: Iterable[str], most: int | None, ngrams: int, longest: int) -> Phrases:
        """Return the vocabulary of the `most` frequent n-grams of texts; None: of all."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(_phrases(text, ngrams, longest, RULE))
        del counts["[mask]"]
        ranked = sorted(sorted(counts), key=counts.__getitem__, reverse=True)
        return cls(ranked[:most], ngrams, longest)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """See :class:`Featuriser`."""
        known, limits = self._ids, (self.ngrams, self.longest, self.rule)
        return [
            [known[found] for found in _phrases(text, *limits) if found in known] or [UNKNOWN]
            for text in texts
        ]

    def state(self) -> dict[str, Any]:
        """Return the vocabulary, the limits on n-grams and texts, and the rule of words."""
        return {name: getattr(self, name) for name in ("vocabulary", "ngrams", "longest", "rule")}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Phrases:
        """Return the featuriser with a given `state`."""
        check_vocabulary(state)
        check_numbers(state, longest=1, ngrams=1)
        return cls(state["vocabulary"], state["ngrams"], state["longest"], rule_of(state))


def _phrases(text: str, ngrams: int, longest: int, rule: int) -> Iterator[str]:
    """Yield the words and n-grams of a text."""
    words = words_of(text, longest, CHARACTERS, rule)
    yield from words
    for length in range(2, ngrams + 1):
        for start in range(len(words) - length + 1):
            yield " ".join(words[start : start + length])
