"""Split texts into words, and shorten long ones, so that one token never costs as much as all texts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNKNOWN = 1  # the id of unknown words
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


def words_of(text: str, most: int | None = None, characters: int | None = CHARACTERS) -> list[str]:
    """Return the first `most` lower-cased words and punctuation marks of a text, each :func:`cut`."""
    text = text.lower()
    word = _ASCII_WORD if text.isascii() else _WORD
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
