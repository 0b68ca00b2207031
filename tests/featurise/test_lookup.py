"""Ids of many texts at once: those of a dictionary of words, for any text."""

from __future__ import annotations

import random
import string

import numpy as np
import pytest

from harness.featurise.featuriser import UNKNOWN, Words

LONG = "antidisestablishmentarianism"
VOCABULARY = [
    *("the", "i", "don't", "a'b", "eightltr", "nineltrss", "sixteen_letters_", "seventeen_letters"),
    *("[sep]", "!", "[", "'", "\0", "naïve", "日", LONG, LONG[:64], "abc", "abd", "b", "2024", "_"),
]


def texts(count: int, characters: str, seed: int = 0) -> list[str]:
    """Random texts of known words, cut and joined words, marks, and white space of all kinds."""
    draw = random.Random(seed)
    pieces = [*VOCABULARY, "[mask]", "[MASK]", "The", "unknown", LONG * 9, *characters]
    spaces = [" ", "  ", "\n", "\t", "", "\x1c", "\x0b", "'", "."]
    return [
        "".join(draw.choice(pieces) + draw.choice(spaces) for _ in range(draw.randrange(60)))
        for _ in range(count)
    ]


def alike(words: Words, given: list[str]) -> None:
    found, expected = words.tokens(given), words.encode(given)
    assert found.lengths.tolist() == [len(ids) for ids in expected]
    assert found.ids.tolist() == [number for ids in expected for number in ids]


@pytest.mark.parametrize("longest", [3, 24, 128])
@pytest.mark.parametrize("characters", [None, 128, 16, 6, 1])
def test_ids_of_ascii_are_those_of_one_text_after_the_other(longest: int, characters: int | None) -> None:
    given = [text for text in texts(600, string.printable + "\x00\x1d\x7f") if text.isascii()]
    assert sum(map(len, given)) > 10_000
    alike(Words(VOCABULARY, longest, characters), given)


def test_texts_in_several_scripts_keep_their_places() -> None:
    given = texts(300, "é日’\u2028 İ", seed=1)
    plain = [text.isascii() for text in given]
    assert any(plain) and not all(plain)
    alike(Words(VOCABULARY, 24), given)


def test_many_blocks_and_a_text_longer_than_one() -> None:
    given = ["the abc " * 40_000, *["don't [mask] b!"] * 30_000, "", "abd"]
    words = Words(VOCABULARY, 128)
    assert words.tokens(given).lengths.tolist() == [128, *[4] * 30_000, 1, 1]
    alike(words, given)


def test_large_and_empty_vocabularies() -> None:
    draw = np.random.default_rng(0)
    vocabulary = sorted(
        {"".join(map(chr, draw.integers(97, 123, draw.integers(1, 20)))) for _ in range(20_000)}
    )
    words = Words(vocabulary, 50)
    given = [" ".join(vocabulary[i] for i in draw.integers(0, len(vocabulary), 30)) for _ in range(200)]
    alike(words, given)
    assert not (words.tokens(given).ids == UNKNOWN).any()
    assert set(Words([], 50).tokens(given).ids.tolist()) == {UNKNOWN}
