"""Steps that clean raw texts, each of them on or off, with a count of the texts that it changed."""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from harness.api import SPLITS
from harness_tasks.carving import place, taken

if TYPE_CHECKING:
    import pyarrow as pa

_URL = re.compile(r"(?:\b(?:https?|ftp)://|\bwww\.|\bpic\.twitter\.com/)\S+", re.IGNORECASE)
_USER = re.compile(r"(?<![\w@])@\w+")
_HTML = re.compile(r"<!--.*?-->|</?[A-Za-z][^<>]*>", re.DOTALL)
_REPEATS = re.compile(r"([^\d\s])\1{2,}")
_INVISIBLE = re.compile("(?<!\\S)[\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff]+(?!\\S)")
_APOSTROPHE = re.compile(r"(?<=\w)['\u2019](?=\w)")
_ALONE = "\u20e3" + "".join(map(chr, range(0xFE00, 0xFE10)))  # marks of emoji, not of letters


@dataclass(frozen=True, kw_only=True)
class Cleaning:
    """What is done to raw texts, in this order, and which of them stay."""

    html: bool = True  # tags go, and entities such as &amp; become what they stand for
    urls: bool = True  # addresses of pages go
    users: bool = True  # @names go
    repeats: bool = True  # a character three times and more becomes two: sooo, soo; digits are left alone
    punctuation: bool = False  # marks become spaces; apostrophes within words go
    non_alphanumerics: bool = False  # all but letters, digits and spaces become spaces: emoji, symbols
    spaces: bool = True  # any white space becomes one space, none at the ends
    shortest: Annotated[int, Ge(1)] = 3  # words; shorter texts are dropped
    examples: Annotated[int, Ge(0)] = 0  # training texts at most, whichever their hashes choose; 0: all

    def cleaning(self) -> str:
        """What is done, in words: equal words mean equal texts of equal data."""
        steps = " ".join(name for name in CLEANERS if getattr(self, name)) or "nothing"
        kept = f"; {self.examples} to train on" if self.examples else ""
        return f"cleaned of {steps}; {self.shortest} words and more{kept}"

    def cleaned(self, tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
        """The tables' texts after all steps, without those that are empty, short or there already.

        Each table tells of how many texts each step changed, and how many were dropped and why.
        """
        found = {split: self.clean(table) for split, table in tables.items()}
        return {**found, SPLITS[0]: self.limit(found[SPLITS[0]])}

    def clean(self, table: pa.Table) -> pa.Table:
        """One table's texts after all steps."""
        import pyarrow as pa

        from harness.storage import arrow

        steps = {name: clean for name, clean in CLEANERS.items() if getattr(self, name)}
        counts = Counter({"texts": table.num_rows, **dict.fromkeys((*steps, *DROPPED), 0)})
        kept: dict[str, None] = {}  # in order, each once
        for raw in table["text"].to_pylist():
            text = raw or ""
            for name, clean in steps.items():
                after = clean(text)
                counts[name] += after != text
                text = after
            if not text.strip():
                counts["empty"] += 1
            elif len(text.split()) < self.shortest:
                counts["short"] += 1
            elif text in kept:
                counts["duplicates"] += 1
            else:
                kept[text] = None
        return arrow.cleaned(pa.table({"text": pa.array(list(kept), pa.string())}), counts)

    def limit(self, train: pa.Table) -> pa.Table:
        """The training texts to use, in their order: those whose hashes are first, wherever they stand."""
        from harness.storage import arrow

        if not 0 < self.examples < train.num_rows:
            return train
        texts = train["text"].to_pylist()
        first = sorted(range(len(texts)), key=lambda row: place(texts[row], 0))[: self.examples]
        left_out = {"left_out": train.num_rows - self.examples}
        return arrow.cleaned(taken(train, first), arrow.cleaning(train) | left_out)


def _without_html(text: str) -> str:
    return html.unescape(_HTML.sub(" ", text))


def _without_punctuation(text: str) -> str:
    text = _APOSTROPHE.sub("", text)
    return "".join(" " if unicodedata.category(char)[0] == "P" else char for char in text)


def _alphanumeric(text: str) -> str:
    """Letters with their marks, digits and white space."""
    text = _APOSTROPHE.sub("", text)
    return "".join(
        char if char.isspace() or (unicodedata.category(char)[0] in "LNM" and char not in _ALONE) else " "
        for char in text
    )


# In the order in which they are applied: what an entity hides must be there for those behind it.
CLEANERS: Mapping[str, Callable[[str], str]] = {
    "html": _without_html,
    "urls": lambda text: _URL.sub("", text),
    "users": lambda text: _USER.sub("", text),
    "repeats": lambda text: _REPEATS.sub(r"\1\1", text),
    "punctuation": _without_punctuation,
    "non_alphanumerics": _alphanumeric,
    "spaces": lambda text: " ".join(_INVISIBLE.sub(" ", text).split()),
}
DROPPED = ("empty", "short", "duplicates")
