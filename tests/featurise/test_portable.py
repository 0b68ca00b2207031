"""A ``tokenizer.json`` gives the ids of the featuriser, for texts in many scripts."""

from __future__ import annotations

import json
import random
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from text_samples import TEXTS, WORDS
from tokenizers import Tokenizer

from harness.exports.beside import save_beside
from harness.featurise import portable
from harness.featurise.featuriser import Featuriser, Words
from harness.featurise.words import RULE, RULES, words_of


def pair(words: list[str], longest: int = 16, rule: int = RULE) -> tuple[Words, Tokenizer]:
    """Return a featuriser, and the tokenizer that it becomes."""
    own = Words(words, longest, rule=rule)
    parts = portable.split({"type": own.type, **own.state()})
    assert parts is not None
    tokenizer = Tokenizer.from_str(json.dumps(parts[1]))
    tokenizer.no_padding()
    return own, tokenizer


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_has_the_same_ids(text: str, rule: int) -> None:
    own, tokenizer = pair(WORDS, rule=rule)
    # A text of no characters has no ids in any tokenizer of words.
    assert tokenizer.encode(text).ids == (own.encode([text])[0] if text else [])


@pytest.mark.parametrize("rule", RULES)
def test_random_texts_have_the_same_ids(rule: int) -> None:
    own, tokenizer = pair(WORDS, rule=rule)
    draw = random.Random(0)
    scripts = [
        *((0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x400), (0x400, 0x530), (0x590, 0x700)),
        *((0x900, 0x980), (0xE00, 0xE80), (0x1F00, 0x2070), (0x3000, 0x3100), (0x4E00, 0x4F00)),
        *((0xAC00, 0xAD00), (0xFE00, 0xFE10), (0x1D400, 0x1D500), (0x1F600, 0x1F650)),
    ]
    texts = []
    while len(texts) < 5000:
        drawn = [chr(draw.randrange(*draw.choice(scripts))) for _ in range(draw.randrange(1, 8))]
        known = [draw.choice([*WORDS, "Σ", "'", " ", "\n", "Ä"]) for _ in range(draw.randrange(6))]
        text = "".join(draw.sample(both := drawn + known, len(both)))
        if not any(unicodedata.category(character) == "Cn" for character in text):
            texts.append(text)
    expected = own.encode(texts)
    found = [one.ids for one in tokenizer.encode_batch(texts)]
    differing = [text for text, a, b in zip(texts, expected, found, strict=True) if a != b]
    assert not differing
    known = [word for word in WORDS if words_of(word, rule=rule) == [word]]
    assert len({number for ids in expected for number in ids}) > len(known) - 3  # most words were drawn


@pytest.mark.parametrize("rule", RULES)
def test_every_assigned_character_is_split_alike(rule: int) -> None:
    """Python's tables of characters may be older than those of tokenizers, which know more of them."""
    characters = [
        chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) not in ("Cn", "Cs")
    ]
    own, tokenizer = pair(["a", "b", "'"], rule=rule)
    texts = [f"a{character}b" for character in characters]
    expected = own.encode(texts)
    found = [one.ids for one in tokenizer.encode_batch(texts)]
    assert [text for text, a, b in zip(texts, expected, found, strict=True) if a != b] == []


def test_words_that_are_cut_have_no_tokenizer(tmp_path: Path) -> None:
    long = "x" * 128  # a longer word is cut to this one
    for words, characters, written in (
        (["a", long], 128, False),
        (["a", long], None, True),
        (["a"], 128, True),
    ):
        own = Words(words, 8, characters)
        assert (portable.split({"type": own.type, **own.state()}) is not None) == written
    save_beside(Words(["a", long], 8), ["x"], tmp_path)
    assert not list(tmp_path.glob("tokenizer*"))
    assert Featuriser.load(tmp_path).encode(["x" * 200, "a"]) == [[3], [2]]


def test_a_vocabulary_is_stored_once(tmp_path: Path) -> None:
    save_beside(own := Words(WORDS, 16), ["x"], tmp_path)
    assert "vocabulary" not in json.loads((tmp_path / "featuriser.json").read_text())
    assert Featuriser.load(tmp_path).state() == own.state()


def test_transformers_reads_a_vocabulary_of_words(tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    save_beside(own := Words(WORDS, 16), ["x"], tmp_path)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    texts = [text for text in TEXTS if text]
    assert tokenizer(texts, truncation=True)["input_ids"] == own.encode(texts)
    padded: Any = tokenizer(["sun", "rain rain"], padding=True)
    assert padded["input_ids"] == [[2, 0], [3, 3]]
    assert tokenizer.model_max_length == 16
