"""Split texts into words, and shorten long ones, so that one token never costs as much as all texts."""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Characters of a longer word that are read: half of them from its beginning, half from its end. An image in
# base 64 would otherwise take more time than all other texts.
CHARACTERS = 128
_LONG = 50_000  # characters of a text in which words are sought only as far as they are read
# A mask hides a word, so it is one token, and unknown. The separator of a pair is one known token.
_WORD = re.compile(r"\[mask\]|\[sep\]|\w+(?:['’]\w+)*|[^\w\s]")


def words_of(text: str, most: int | None = None, characters: int | None = CHARACTERS) -> list[str]:
    """Return the first `most` lower-cased words and punctuation marks of a text, each :func:`cut`."""
    text = text.lower()
    if most is not None and len(text) > _LONG:
        words = [found.group() for found in islice(_WORD.finditer(text), most)]
    else:
        words = _WORD.findall(text)[:most]
    # A text that is not longer has no longer words.
    return words if characters is None or len(text) <= characters else [cut(w, characters) for w in words]


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
