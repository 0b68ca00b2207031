"""Keep what turns texts into ids in a ``tokenizer.json``, which other programs read too.

It is the file of the library ``tokenizers``. It contains a vocabulary or a whole tokenizer, so that
``featuriser.json`` beside it needs only the rest. These functions work on the states of featurisers: JSON
values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.featurise.checks import rule_of
from harness.featurise.words import JOINERS, unpacked

FILE = "tokenizer.json"
PADDING, UNKNOWN = "[PAD]", "[UNK]"  # the names of ids 0 and 1 of a vocabulary of words

# The rule of words, as regular expressions that mean the same in Oniguruma (tokenizers) and in JavaScript.
_SPACE = "\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_LETTER = r"[\p{L}\p{N}_]"
_PARTS = {1: f"{_LETTER}+", 2: rf"{_LETTER}[\p{{L}}\p{{N}}\p{{M}}_{JOINERS}]*"}  # by rule
_OTHER = rf"\[mask\]|\[sep\]|[^\p{{L}}\p{{N}}_{_SPACE}]"
_WORDS = {rule: rf"{part}(?:['’]{part})*|{_OTHER}" for rule, part in _PARTS.items()}
_BLANK = rf"(?<![\s\S])[{_SPACE}]+(?![\s\S])"  # a text of white space only
# At the end of a word, Python and JavaScript write the Greek capital sigma as ς, but tokenizers as σ.
_CASED, _MARK = r"[\p{Lu}\p{Ll}\p{Lt}]", r"\p{Case_Ignorable}"  # a mark is, for example, an accent
_BEFORE = "|".join(_CASED + _MARK * count for count in range(9))  # looking back needs fixed lengths
_FINAL_SIGMA = rf"(?<={_BEFORE})Σ(?!{_MARK}*{_CASED})"
_PRIVATE = range(0xE000, 0xF900)  # characters that no script uses


def split(
    state: Mapping[str, Any], padding: int | None = None
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return a featuriser's state without its vocabulary, and the ``tokenizer.json`` that has it.

    `padding` is the id with which other programs pad texts; None: the featuriser's own. Return None if a
    ``tokenizer.json`` cannot give the same ids.
    """
    kind = state["type"]
    if kind == "words":
        return _of_words(state)
    if kind not in _SUBWORDS:
        return None
    tokenizer = json.loads(unpacked(state))
    number = state["padding"] if padding is None else padding
    tokenizer["padding"] = _padding(number, token_of(tokenizer, number) or PADDING)
    return {name: value for name, value in state.items() if name not in ("tokenizer", "subwords")}, tokenizer


def is_split(state: Mapping[str, Any]) -> bool:
    """Return whether the vocabulary of a saved state is in a ``tokenizer.json``."""
    kind = state.get("type")
    return (kind == "words" and "vocabulary" not in state) or (kind in _SUBWORDS and "tokenizer" not in state)


def joined(state: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole state of a featuriser. Raise ValueError if the tokenizer is of another kind."""
    if state.get("type") in _SUBWORDS:
        return {**state, "tokenizer": json.dumps(tokenizer, ensure_ascii=False)}
    model = tokenizer.get("model")
    ids = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(ids, dict) or sorted(ids.values(), key=_order) != [*range(len(ids))] or len(ids) < 2:
        raise ValueError(f"expected words with the numbers 0, 1, 2, … in {FILE}")
    return {**state, "vocabulary": sorted(ids, key=ids.__getitem__)[2:]}


def token_of(tokenizer: Mapping[str, Any], number: int) -> str | None:
    """Return the name of an id in a ``tokenizer.json``, or None."""
    for token in tokenizer.get("added_tokens") or ():
        if token["id"] == number:
            return str(token["content"])
    ids = tokenizer["model"].get("vocab", {})
    if isinstance(ids, dict):
        return next((str(name) for name, own in ids.items() if own == number), None)
    return str(ids[number][0]) if 0 <= number < len(ids) else None  # a list of pieces with their scores


_SUBWORDS = ("subwords", "word-subwords", "masked-subwords")


def _of_words(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    words: Sequence[str] = state["vocabulary"]
    most = state["characters"]
    # A longer word is cut to `most` characters before it is looked up, which tokenizers cannot do.
    if most is not None and any(len(word) >= most for word in words):
        return None
    known = {PADDING, UNKNOWN, *words}
    blank = next(chr(code) for code in _PRIVATE if chr(code) not in known)
    replaced = [
        {"type": "Replace", "pattern": {"Regex": _BLANK}, "content": blank},  # so it has one id, of unknown
        {"type": "Replace", "pattern": {"Regex": _FINAL_SIGMA}, "content": "ς"},
    ]
    tokenizer: dict[str, Any] = {
        "version": "1.0",
        "truncation": {
            "direction": "Right",
            "max_length": state["longest"],
            "strategy": "LongestFirst",
            "stride": 0,
        },
        "padding": _padding(0, PADDING),
        "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": [*replaced, {"type": "Lowercase"}]},
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": _WORDS[rule_of(state)]},
            "behavior": "Removed",
            "invert": True,
        },
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {name: number for number, name in enumerate([PADDING, UNKNOWN, *words])},
            "unk_token": UNKNOWN,
        },
    }
    return {name: value for name, value in state.items() if name != "vocabulary"}, tokenizer


def _padding(number: int, name: str) -> dict[str, Any]:
    return {
        "strategy": "BatchLongest",
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": number,
        "pad_type_id": 0,
        "pad_token": name,
    }


def _order(number: Any) -> Any:
    """Return a number for sorting; raise ValueError for anything else."""
    if type(number) is not int:
        raise ValueError(f"expected whole numbers as ids in {FILE}, got {number!r:.40}")
    return number
