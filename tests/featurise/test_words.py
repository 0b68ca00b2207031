"""Words, and what is read of long ones and of long texts."""

from __future__ import annotations

import random
import time
import unicodedata

import numpy as np
import pytest

from harness.featurise.featuriser import Words
from harness.featurise.words import CHARACTERS, RULE, combining, cut, packed, unpacked, words_of
from harness_students.ngrams import HashedNgrams
from harness_students.phrases import Phrases
from harness_tasks.emotion import Emotion
from harness_tasks.reviews import Reviews
from harness_teachers.word_features import WordFeatures

LONG = "ab" * 10_000


def test_words_and_marks() -> None:
    assert words_of("It's [MASK] 2 o’clock!") == ["it's", "[mask]", "2", "o’clock", "!"]
    assert words_of("a b c", 2) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("हिन्दी में नमस्ते!", ["हिन्दी", "में", "नमस्ते", "!"]),
        ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
        ("ที่นี่ กำลัง", ["ที่นี่", "กำลัง"]),
        ("مُحَمَّدٌ كِتَاب", ["مُحَمَّدٌ", "كِتَاب"]),
        ("می\u200cخواهم، نمی\u200cروم", ["می\u200cخواهم", "،", "نمی\u200cروم"]),
        ("शक्\u200dति र्\u200dय", ["शक्\u200dति", "र्\u200dय"]),
        ("שָׁלוֹם", ["שָׁלוֹם"]),
        ("မြန်မာ ខ្មែរ", ["မြန်မာ", "ខ្មែរ"]),
        ("CAFE\u0301 d'e\u0301te\u0301", ["cafe\u0301", "d'e\u0301te\u0301"]),
        ("hello-हिन्दी2 😀नमस्ते", ["hello", "-", "हिन्दी2", "😀", "नमस्ते"]),
        # What combines with no letter stays as it was.
        ("❤\ufe0f 👍🏽 👩\u200d👧", ["❤", "\ufe0f", "👍", "🏽", "👩", "\u200d", "👧"]),
        ("\u093fक '\u0301t [MASK]\u0301", ["\u093f", "क", "'", "\u0301", "t", "[mask]", "\u0301"]),
    ],
)
def test_marks_stay_with_their_letters(text: str, words: list[str]) -> None:
    assert words_of(text) == words
    assert words_of(text, 2) == words[:2]
    assert words_of("x " * 30_000 + text)[30_000:] == words  # a long text


def latin_texts() -> list[str]:
    """Return texts of the sample corpora, and all Latin letters with an apostrophe or an emoji."""
    tables = [task.sample(np.random.default_rng(0)) for task in (Emotion(), Reviews())]
    texts = [text for each in tables for table in each.values() for text in table["text"].to_pylist()]
    letters = [chr(code) for code in range(0x110000) if "LATIN" in unicodedata.name(chr(code), "")]
    between = ["", "'", "’", " ", "1", "_", "❤\ufe0f", "😀", "👩\u200d👧", "\u00ad", "…"]
    letters = [letter for letter in letters if letter != "İ" and not unicodedata.combining(letter)]
    texts += [f"a{letter}{mark}{letter}b" for letter in letters for mark in between]
    return [*texts, "Tiếng Việt: được", "Zażółć gęślą jaźń", "Istanbul'da ISPARTA", "Ωmega ñandú ǅ ŉ"]


def test_words_in_latin_script_are_those_of_the_first_rule() -> None:
    texts = latin_texts()
    assert len(texts) > 10_000
    assert [text for text in texts if words_of(text) != words_of(text, rule=1)] == []
    # But İ, whose lower case is a letter and a mark, is no longer torn apart.
    assert words_of("İstanbul") == ["i\u0307stanbul"] and len(words_of("İstanbul", rule=1)) == 3


def test_every_mark_is_known() -> None:
    marks = {char for char in map(chr, range(0x110000)) if unicodedata.category(char).startswith("M")}
    assert {*combining()} == marks | {"\u200c", "\u200d"}
    lower = [mark for mark in marks if mark.lower() == mark]
    assert [mark for mark in lower if words_of(f"ক{mark}ক") != [f"ক{mark}ক"]] == []


def test_saved_states_keep_their_rule() -> None:
    text = "हिन्दी it's"
    new, old = words_of(text), words_of(text, rule=1)
    assert new == ["हिन्दी", "it's"] and old == ["ह", "ि", "न", "्", "द", "ी", "it's"]
    featurisers = [Words(old + new[:1], 16), HashedNgrams(1000, 2, 3, 5, 16), Phrases(old + new[:1], 2, 16)]
    for featuriser in featurisers:
        kind, state = type(featuriser), featuriser.state()
        assert state["rule"] == RULE
        assert kind.restore(state).encode([text]) == featuriser.encode([text])
        without = {name: value for name, value in state.items() if name != "rule"}
        restored = kind.restore(without)  # as earlier versions saved it
        assert restored.state()["rule"] == 1
        assert len(restored.encode([text])[0]) > len(featuriser.encode([text])[0])
        assert [*restored.tokens([text] * 40).ids] == restored.encode([text])[0] * 40
        for rule in (0, 3, "2", True):
            with pytest.raises(ValueError, match="expected 1 or 2 as 'rule', got"):
                kind.restore({**state, "rule": rule})


def test_words_of_ascii_are_those_of_any_text() -> None:
    draw = random.Random(0)
    pieces = [*map(chr, range(128)), "[mask]", "[SEP]", "it's", "a'", " ", " "]
    for _ in range(3000):
        text = "".join(draw.choice(pieces) for _ in range(draw.randrange(12)))
        assert [*words_of(text), "é"] == words_of(f"{text} é")


@pytest.mark.parametrize(
    "text", ["plain  words 1 ", " ä b", "one", "a_b", "a²b ٣", "x\ty", "x\x1cy", "x\u3000y"]
)
def test_words_of_plain_texts_are_those_of_any_text(text: str) -> None:
    assert [*words_of(text), "!"] == words_of(f"{text} !")
    assert words_of(text, 1) == words_of(text)[:1]


def test_a_long_word_keeps_its_ends() -> None:
    word = "b" + "x" * 1000 + "e"
    found = cut(word)
    assert len(found) == CHARACTERS and found[0] == "b" and found[-1] == "e"
    assert cut(word, None) == word and cut("short") == "short" and cut("12345", 3) == "125"
    assert words_of(f"a {word} b") == ["a", found, "b"]
    assert words_of(f"a {word} b", None, None) == ["a", word, "b"]


def test_long_texts_are_read_as_short_ones() -> None:
    text = "one, two " * 10_000
    assert words_of(text, 5) == ["one", ",", "two", "one", ","]


@pytest.mark.parametrize(
    "old",
    [
        Words(["sun", LONG], 8, None),
        HashedNgrams(100, 2, 3, 5, 8, None),
        WordFeatures(["sun", LONG], 10, 10, 10, 12, 8, None),
    ],
)
def test_what_was_saved_before_has_no_limit(old: Words | HashedNgrams | WordFeatures) -> None:
    state = {name: value for name, value in old.state().items() if name not in ("characters", "cut_to")}
    if isinstance(old, WordFeatures):
        state["characters"] = old.characters
    texts = ["sun rain", f"the {LONG} sun", LONG.replace("b", "c")]
    restored = type(old).restore(state)
    assert restored.encode(texts) == old.encode(texts) == type(old).restore(old.state()).encode(texts)
    new = type(old).restore(
        old.state() | {("cut_to" if "cut_to" in old.state() else "characters"): CHARACTERS}
    )
    assert new.encode(texts[:1]) == old.encode(texts[:1])


def test_one_long_token_costs_little() -> None:
    found = HashedNgrams(1000, 2, 3, 5, 128)
    (ids,) = found.encode([f"one {LONG} two"])
    assert len(ids) < 3 * CHARACTERS + 50
    start = time.perf_counter()
    found.encode([" ".join(f"{LONG}{number}" for number in range(200))])
    assert time.perf_counter() - start < 2


def test_the_ids_of_a_text_have_a_limit() -> None:
    found = HashedNgrams(1000, 1, 3, 5, 10)
    words = ["x" * 100 + str(number) for number in range(10)]
    (ids,) = found.encode([" ".join(words)])
    assert len(ids) <= 10 * 61 + 10
    free = HashedNgrams(1000, 1, 3, 5, 10, None)
    ordinary = ["internationalisation " * 10, "short words in a text , as usual ."]
    assert found.encode(ordinary[1:]) == free.encode(ordinary[1:])
    assert found.encode([" ".join(["uncharacteristically"[:19]] * 10)]) == free.encode(
        [" ".join(["uncharacteristically"[:19]] * 10)]
    )


def test_subwords_are_sought_in_the_beginning_only() -> None:
    from tokenizers import Tokenizer

    from harness.featurise.featuriser import Subwords, WordSubwords
    from harness_transformers import wordpiece

    tokenizer = wordpiece.train(["the sun and the rain", "the wind"] * 3, 64).to_str()
    text = "the sun and the rain " * 20_000
    for kind in (Subwords, WordSubwords):
        new, old = (kind(Tokenizer.from_str(tokenizer), 16, 0, most) for most in (CHARACTERS, None))
        texts = [text.strip(), "the sun", "the rain [SEP] the wind"]
        assert new.encode(texts) == old.encode(texts)
        assert kind.restore(new.state()).characters == CHARACTERS
        assert kind.restore({**new.state(), "characters": None}).characters is None
    start = time.perf_counter()
    WordSubwords(Tokenizer.from_str(tokenizer), 16, 0).encode([text.strip()] * 20)
    assert time.perf_counter() - start < 2


def test_a_long_word_leaves_room_for_the_others() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    from harness.featurise.featuriser import WordSubwords

    letters = Tokenizer(models.BPE({"a": 0, "b": 1, "Ġ": 2}, []))
    letters.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    found = WordSubwords(letters, 200, 3)
    (ids,) = found.encode([f"a {LONG} b"])
    assert sum(number >= found.size for number in ids) == 3


def test_a_wordpiece_tokenizer_is_packed_and_others_stay() -> None:
    from tokenizers import Tokenizer, models

    words = {"[UNK]": 0, "sun": 1, "##ny": 2, "é": 3}
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]")).to_str()
    state = packed(tokenizer)
    assert state["subwords"] == "[UNK]\nsun\n##ny\né"
    again = Tokenizer.from_str(unpacked(state))
    assert again.to_str() == tokenizer and again.encode("sunny").ids == [1, 2]
    gaps = Tokenizer(models.WordPiece({"[UNK]": 0, "sun": 5}, unk_token="[UNK]")).to_str()
    broken = Tokenizer(models.WordPiece({"[UNK]": 0, "a\nb": 1}, unk_token="[UNK]")).to_str()
    pairs = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")])).to_str()
    for other in (gaps, broken, pairs):
        assert packed(other) == {"tokenizer": other} and unpacked({"tokenizer": other}) == other
