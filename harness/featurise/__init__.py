"""Turn texts into integer ids, without torch; a model and its exported form share this code."""

from harness.featurise.featuriser import Featuriser, MarksWords, MaskedSubwords, Subwords, Words, WordSubwords
from harness.featurise.tokens import MaskedTokens, Tokens, WordTokens
from harness.featurise.words import CHARACTERS, cut, words_of

__all__ = [
    "CHARACTERS",
    "Featuriser",
    "MarksWords",
    "MaskedSubwords",
    "MaskedTokens",
    "Subwords",
    "Tokens",
    "WordSubwords",
    "WordTokens",
    "Words",
    "cut",
    "words_of",
]
