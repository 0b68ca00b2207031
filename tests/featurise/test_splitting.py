"""Words of many texts at once: those of each text alone."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import pytest

from harness.featurise import splitting
from harness.featurise.featuriser import UNKNOWN, Featuriser, Words
from harness.featurise.splitting import splits
from harness.featurise.words import CHARACTERS, RULE, RULES, words_of
from harness_students.ngrams import HashedNgrams
from harness_teachers.word_features import WordFeatures

pytestmark = pytest.mark.usefixtures("arrays")

PIECES = [
    *("a", "B", "z9_", "é", "Σ", "σ", "ΑΣ", "İ", "ẞ", "ǅ", "日本", "ไทย", "क्षि", "٣", "²", "𝔸"),
    *("தமிழ்", "ที่นี่", "مُحَمَّد", "می\u200cخواهم", "e\u0301", "❤\ufe0f", "\u0e31", "\u200c", "👩\u200d👧"),
    *("🙂", "\u0301", "\u200d", "\ud800", "\udfff", "\ud83d", "\ude42", "\U0010ffff"),
    *("'", "’", "''", "[", "]", "[mask]", "[MASK]", "[Sep]", "[mas", "[mask", "mask]", "[[sep]]", ".", "-"),
    *(" ", "  ", "\n", "\t", "\x1c", "\x85", "\xa0", "\u2028", "\u3000", "\u200b", "\xad", "\x00"),
    *("word " * 7, "ab" * 70),
]


@pytest.fixture
def arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Split also few texts by arrays."""
    monkeypatch.setattr(splitting, "_LITTLE", 0)


def found_in(
    texts: Iterable[str], most: int | None, characters: int | None, rule: int = RULE
) -> list[list[str]]:
    found = []
    for split in splits(texts, most, characters, rule):
        assert split.counts.sum() == len(split.numbers) and split.counts.all()
        words = [split.words[number] for number in split.numbers.tolist()]
        found += [words[start:end] for start, end in pairwise(split.offsets.tolist())]
    return found


def odd_texts(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)

    def piece() -> str:
        return draw.choice(PIECES) if draw.random() < 0.9 else chr(draw.randrange(0x110000))

    return ["".join(piece() for _ in range(draw.randrange(12))) for _ in range(count)]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("most", [None, 1, 4])
@pytest.mark.parametrize("characters", [None, 1, 3, CHARACTERS])
def test_words_are_those_of_each_text_alone(most: int | None, characters: int | None, rule: int) -> None:
    for seed in range(10):
        texts = odd_texts(200, seed)
        expected = [words_of(text, most, characters, rule) for text in texts]
        assert found_in(texts, most, characters, rule) == expected


@pytest.mark.parametrize("rule", RULES)
def test_every_character_is_read_as_in_a_text_alone(rule: int) -> None:
    every = [chr(number) for number in range(0x110000)]
    chunks = ["".join(every[start : start + 257]) for start in range(0, len(every), 257)]
    between = [f"a{each}b'{each}'c" for each in every[:0x3100]]
    for texts in (chunks, between):
        expected = [words_of(text, None, CHARACTERS, rule) for text in texts]
        assert found_in(texts, None, CHARACTERS, rule) == expected


def test_long_texts_are_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["short one", "x" * 70_000, "it's " * 20_000, ""] * 12
    expected = [words_of(text, 5) for text in texts]
    assert found_in(texts, 5, CHARACTERS) == expected
    monkeypatch.setattr(splitting, "_BLOCK", 1 << 30)
    assert found_in(texts, 5, CHARACTERS) == expected


def test_a_batch_of_lines_needs_no_arrow() -> None:
    code = """
import sys
from harness.featurise.featuriser import Words
Words(["a"], 8).tokens(["a line " * 10] * 256)
Words(["a"], 8).tokens(["a line " * 10] * 2560)
assert "pyarrow" not in sys.modules
Words(["a"], 8).tokens(["\u00e9 line " * 10] * 2560)
assert "pyarrow" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("texts", [[], [""], ["", " \n"] * 40, ["one"]])
def test_texts_may_have_no_words(texts: list[str]) -> None:
    assert found_in(texts, None, CHARACTERS) == [words_of(text) for text in texts]


def flat(table: Featuriser, texts: Sequence[str]) -> list[list[int]]:
    found = table.tokens(texts)
    return [found.ids[start:end].tolist() for start, end in pairwise(found.offsets.tolist())]


def test_tables_have_the_ids_of_each_text_alone() -> None:
    texts = [text.encode("utf-8", "replace").decode() for text in odd_texts(300, 7)]
    texts += ["", " ", "long " * 100, "uncharacteristically" * 9 + " b" * 20]
    tagged = [" ".join(text.split()) or "-" for text in texts]
    for table in (
        Words.fit(texts[:200], 40, longest=6),
        HashedNgrams(1000, 1, 3, 5, 4),
        HashedNgrams(1000, 3, 2, 4, 9, None),
        HashedNgrams(97, 5, 1, 0, 9),
        WordFeatures.fit(tagged[:200], 40, affixes=9, shapes=9, letters=9, characters=6, longest=5),
    ):
        given = tagged if isinstance(table, WordFeatures) else texts
        assert flat(table, given) == table.encode(given)
        assert flat(table, given[-2:]) == table.encode(given[-2:])


def test_a_vocabulary_is_counted_as_text_by_text() -> None:
    texts = odd_texts(400, 3)
    counts: dict[str, int] = {}
    for text in texts:
        for word in words_of(text):
            counts[word] = counts.get(word, 0) + 1
    del counts["[mask]"]
    expected = sorted(counts, key=lambda word: (-counts[word], word))
    assert Words.fit(texts, 50).vocabulary == expected[:48]
    assert Words.fit(iter(texts), 10**6).vocabulary == expected


def test_only_used_words_are_listed() -> None:
    texts = ["a b c d"] * 40
    (split,) = splits(texts, 2)
    assert split.words == ["a", "b"] and split.lengths.tolist() == [2] * 40
    assert np.array_equal(split.counts, [40, 40])
    assert Words(["a"], 2).tokens(texts).ids.tolist() == [2, UNKNOWN] * 40


def test_a_featuriser_with_its_own_words_keeps_them() -> None:
    class Characters(Words):
        type = "test-characters"

        def encode(self, texts: Sequence[str]) -> list[list[int]]:
            return [[ord(character) for character in text] for text in texts]

    assert Characters([], 9).tokens(["ab"] * 40).ids.tolist() == [97, 98] * 40
    del Featuriser._known["test-characters"]
