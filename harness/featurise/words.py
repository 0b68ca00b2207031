"""Split texts into words, and shorten long ones, so that one token never costs as much as all texts.

There are two rules. By the first, a word consists of letters, digits and underscores, and every other
character is a mark of its own. It tears words of many scripts, such as Devanagari, apart: their vowel signs
are no letters. By the second, marks that combine with a letter, and joiners, stay with it. Texts without
such marks, as nearly all in Latin script, have the same words by both.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNKNOWN = 1  # the id of unknown words
RULES = (1, 2)
RULE = RULES[-1]  # of new models; saved states have that of their model, and those without one the first
_IDEOGRAPHS = "\U00020000", "\U000e0000"  # no mark is between them
JOINERS = "\u200c\u200d"  # they say whether the letters around them are joined, for example in Persian
# Characters of a longer word that are read: half of them from its beginning, half from its end. An image in
# base 64 would otherwise take more time than all other texts.
CHARACTERS = 128
_LONG = 50_000  # characters of a text in which words are sought only as far as they are read
# A mask hides a word, so it is one token, and unknown. The separator of a pair is one known token.
_WORD = re.compile(r"\w++(?:['’]\w++)*+|\[mask\]|\[sep\]|[^\w\s]")
# The same for lower-cased ASCII, in two thirds of the time. Only for Unicode are \x1c to \x1f white space.
_ASCII_WORD = re.compile(r"[a-z0-9_]++(?:'[a-z0-9_]++)*+|\[mask\]|\[sep\]|[^\w\s\x1c-\x1f]", re.ASCII)


class WordIds(dict[str, int]):
    """The ids of words; all others have the id UNKNOWN."""

    def __missing__(self, word: str) -> int:
        """Return UNKNOWN."""
        return UNKNOWN


def words_of(
    text: str, most: int | None = None, characters: int | None = CHARACTERS, rule: int = RULE
) -> list[str]:
    """Return the first `most` lower-cased words and punctuation marks of a text, each :func:`cut`."""
    text = text.lower()
    word = _ASCII_WORD if text.isascii() else _word_of(text, rule)
    if most is not None and len(text) > _LONG:
        words = [found.group() for found in islice(word.finditer(text), most)]
    elif text[-1:].isalnum() and text.replace(" ", "").isalnum():  # words and spaces only
        words = text.split()[:most]
    else:
        words = word.findall(text)[:most]
    # A text that is not longer has no longer words.
    if characters is None or len(text) <= characters or len(max(words, key=len, default="")) <= characters:
        return words
    return [cut(word, characters) for word in words]


def _word_of(text: str, rule: int) -> re.Pattern[str]:
    """Return the expression for the words of a text that is not all ASCII."""
    if rule == 1:
        return _WORD
    any_mark, word = _marked()
    return word if any_mark.search(text) else _WORD


@cache
def _marked() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return an expression that finds a mark in each text with marks, and that for words with them.

    The first one may find more: a set of characters beyond U+FFFF would be searched for one by one.
    """
    near, far = ([c for c in combining() if (c <= "\uffff") == below] for below in (True, False))
    plane = [mark for mark in far if mark < _IDEOGRAPHS[0]]
    quick = f"[{''.join(near)}{plane[0]}-{plane[-1]}{_IDEOGRAPHS[1]}-\U0010ffff]"
    own = f"[{''.join(near)}{''.join(_ranges(far))}]"
    part = rf"\w(?:\w|{own})*+"
    return re.compile(quick), re.compile(rf"{part}(?:['’]{part})*+|\[mask\]|\[sep\]|[^\w\s]")


def _ranges(characters: Sequence[str]) -> Iterator[str]:
    """Yield runs of characters with consecutive numbers, as in a set of a regular expression."""
    first = 0
    for at, character in enumerate(characters, 1):
        if at == len(characters) or ord(characters[at]) != ord(character) + 1:
            yield f"{characters[first]}-{character}"
            first = at


@cache
def combining() -> list[str]:
    """Return the characters that stay with the letter before them by the second rule."""
    codes = (*range(ord(_IDEOGRAPHS[0])), *range(ord(_IDEOGRAPHS[1]), 0xE1000))
    marks = (chr(code) for code in codes if unicodedata.category(chr(code)).startswith("M"))
    return [*JOINERS, *marks]


def cut(word: str, characters: int | None = CHARACTERS) -> str:
    """Return a word without its middle, so that at most `characters` remain; None: all."""
    if characters is None or len(word) <= characters:
        return word
    half = characters // 2
    return word[: characters - half] + word[len(word) - half :]


def spaced(tokenizer: Tokenizer) -> Tokenizer:
    """Return a copy of the tokenizer that puts a space before each word.

    Byte-level vocabularies, such as RoBERTa's, have different subwords for the start and the middle of a
    word.
    """
    from tokenizers import Tokenizer

    def set_in(part: Any) -> None:
        if isinstance(part, dict):
            if part.get("type") == "ByteLevel" and "add_prefix_space" in part:
                part["add_prefix_space"] = True
            if part.get("type") == "Metaspace" and "prepend_scheme" in part:
                part["prepend_scheme"] = "always"
            for inner in part.values():
                set_in(inner)
        elif isinstance(part, list):
            for inner in part:
                set_in(inner)

    state = json.loads(tokenizer.to_str())
    set_in(state["pre_tokenizer"])
    return Tokenizer.from_str(json.dumps(state))


def packed(tokenizer: str) -> dict[str, str]:
    """Return a tokenizer, given as JSON, in a form that takes a third of the bytes, if there is one.

    The subwords of WordPiece are then in the order of their ids, with a line for each one.
    """
    state = json.loads(tokenizer)
    model = state["model"]
    vocabulary = model.get("vocab")
    if model.get("type") != "WordPiece" or not isinstance(vocabulary, dict):
        return {"tokenizer": tokenizer}
    pieces = sorted(vocabulary, key=vocabulary.__getitem__)
    joined = "\n".join(pieces)
    if joined.split("\n") != pieces or [vocabulary[piece] for piece in pieces] != [*range(len(pieces))]:
        return {"tokenizer": tokenizer}
    model["vocab"] = {}
    return {"tokenizer": json.dumps(state, ensure_ascii=False), "subwords": joined}


def unpacked(state: Mapping[str, Any]) -> str:
    """Return the tokenizer of a state as JSON, see :func:`packed`."""
    if "subwords" not in state:
        return state["tokenizer"]  # type: ignore[no-any-return]
    found = json.loads(state["tokenizer"])
    found["model"]["vocab"] = {piece: number for number, piece in enumerate(state["subwords"].split("\n"))}
    return json.dumps(found, ensure_ascii=False)
