"""Words, and what is read of long ones and of long texts."""

from __future__ import annotations

import random
import time

import pytest

from harness.featurise.featuriser import Words
from harness.featurise.words import CHARACTERS, cut, packed, unpacked, words_of
from harness_students.ngrams import HashedNgrams
from harness_teachers.word_features import WordFeatures

LONG = "ab" * 10_000


def test_words_and_marks() -> None:
    assert words_of("It's [MASK] 2 o’clock!") == ["it's", "[mask]", "2", "o’clock", "!"]
    assert words_of("a b c", 2) == ["a", "b"]


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
