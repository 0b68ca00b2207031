"""Clean raw texts in optional steps, and count the texts that each step changes."""

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
_ALONE = "\u20e3" + "".join(map(chr, range(0xFE00, 0xFE10)))  # combining marks of emoji, not of letters


@dataclass(frozen=True, kw_only=True)
class Cleaning:
    """Parameters that clean raw texts, in this order, and select which texts to keep."""

    html: bool = True  # remove HTML tags, and decode entities such as &amp;
    urls: bool = True  # remove URLs
    users: bool = True  # remove @names
    repeats: bool = True  # shorten three or more equal characters to two (sooo: soo), except digits
    punctuation: bool = False  # replace punctuation by spaces, and remove apostrophes within words
    non_alphanumerics: bool = False  # replace all but letters and digits, such as emoji, by spaces
    spaces: bool = True  # replace each run of white space by one space, and strip the ends
    shortest: Annotated[int, Ge(1)] = 3  # minimum number of words; shorter texts are dropped
    examples: Annotated[int, Ge(0)] = 0  # maximum number of training texts, chosen by hash; 0: no limit

    def cleaning(self) -> str:
        """Return a description of the cleaning; with equal data, equal descriptions mean equal texts."""
        steps = " ".join(name for name in CLEANERS if getattr(self, name)) or "nothing"
        kept = f"; {self.examples} to train on" if self.examples else ""
        return f"cleaned of {steps}; {self.shortest} words and more{kept}"

    def cleaned(self, tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
        """Return the tables with cleaned texts, without those that are empty, too short or duplicates.

        The metadata of each table has the number of texts that each step changed or dropped.
        """
        found = {split: self.clean(table) for split, table in tables.items()}
        return {**found, SPLITS[0]: self.limit(found[SPLITS[0]])}

    def clean(self, table: pa.Table) -> pa.Table:
        """Return one table with cleaned texts."""
        import pyarrow as pa

        from harness.storage import arrow

        steps = {name: clean for name, clean in CLEANERS.items() if getattr(self, name)}
        counts = Counter({"texts": table.num_rows, **dict.fromkeys((*steps, *DROPPED), 0)})
        kept: dict[str, None] = {}  # an ordered set
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
        """Return the first `examples` training texts by hash, in their original order."""
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
    """Replace all but letters, their combining marks, digits and white space by spaces."""
    text = _APOSTROPHE.sub("", text)
    return "".join(
        char if char.isspace() or (unicodedata.category(char)[0] in "LNM" and char not in _ALONE) else " "
        for char in text
    )


# In the order in which they are applied: HTML entities are decoded first, so that later steps see the result.
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
