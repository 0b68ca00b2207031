"""Read and write quantities as people do ("100k", "1ms", "90%"), and word lists of choices."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from harness.values import HarnessError

# For each kind: the value of each unit, in lower case, and an example.
_UNITS: Mapping[str, tuple[Mapping[str, float], str]] = {
    "number": ({"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9}, "100k or 1.5M"),
    "size": (
        {"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20, "gib": 2**30},
        "120kB, 1MB or 1MiB",
    ),
    "time in milliseconds": (
        {"": 1, "ns": 1e-6, "us": 1e-3, "ms": 1, "s": 1e3},
        "1ms or 50us",
    ),
    "time": ({"": 1, "ms": 1e-3, "s": 1, "min": 60, "m": 60, "h": 3600}, "90s, 10min or 2h"),
    "age": ({"min": 60, "h": 3600, "d": 86_400, "w": 604_800}, "12h, 30d or 8w"),
    "score": ({"": 1, "%": 0.01}, "0.9 or 90%"),
}
_NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d[\d_]*)(?:\.\d*)?|\.\d+"  # a comma separates thousands only
_FORM = re.compile(rf"((?:{_NUMBER})(?:e[+-]?\d+)?)\s*([^\W\d_]*|%)", re.IGNORECASE | re.ASCII)
_FORM_OF_MICRO = {"\N{GREEK SMALL LETTER MU}": "u", "\N{MICRO SIGN}": "u"}


def quantity(text: str, kind: str) -> float:
    """Return the number that a text means, in bytes, milliseconds or seconds if it has a unit."""
    units, example = _UNITS[kind]
    plain = text.strip()
    for mark, letter in _FORM_OF_MICRO.items():
        plain = plain.replace(mark, letter)
    match = _FORM.fullmatch(plain)
    if match is None or match[2].lower() not in units:
        raise HarnessError(f"expected {article(kind)}, got '{text}'; write it like {example}")
    return float(match[1].replace(",", "").replace("_", "")) * units[match[2].lower()]


def article(noun: str) -> str:
    """Return the noun with its indefinite article."""
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"


def either(words: Iterable[str]) -> str:
    """Return alternatives as a text: "a, b or c"."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def nearest(word: Any, allowed: Iterable[str]) -> str:
    """Return "; did you mean 'x'?", or an empty string if no allowed word is similar."""
    folded = {name.lower().replace("_", "-"): name for name in allowed}
    if isinstance(word, str):
        for match in get_close_matches(word.lower().replace("_", "-"), folded, n=1):
            return f"; did you mean '{folded[match]}'?"
    return ""


def alike(names: Iterable[str]) -> list[str]:
    """Return a sentence for each group of labels that might be one label.

    They differ only in case, spacing, invisible characters, or the way to write a number.
    """
    groups: dict[str | float, list[str]] = {}
    for name in names:
        groups.setdefault(_folded(name), []).append(name)
    return [
        f"the labels {', '.join(map(repr, group[:5]))} look alike; if they are one label, write it in one way"
        for group in groups.values()
        if len(group) > 1
    ]


def _folded(name: str) -> str | float:
    try:
        return float(name)
    except ValueError:
        pass
    plain = unicodedata.normalize("NFKC", name).casefold().strip()
    plain = "".join(char for char in plain if unicodedata.category(char) not in ("Cf", "Cc"))
    return re.sub(r"(?<=\w)[-_\s]+(?=\w)", "", plain) or name


def choices(word: Any, allowed: Iterable[str]) -> str:
    """Return the nearest match and all allowed words, as the end of a sentence about an unknown word."""
    names = sorted(allowed)
    return f"{nearest(word, names)} (allowed: {', '.join(names) or 'none'})"


def significant(value: float) -> str:
    """Return a number with three significant digits and without an exponent."""
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.{max(0, digits)}f}"


def amount(value: float) -> str:
    """Return a number of parameters as a text: "83,750" or "22.6 M"."""
    if value < 1e6:
        return f"{value:,.0f}"
    return f"{value / 1e9:,.1f} G" if value >= 999.95e6 else f"{value / 1e6:.1f} M"


def size(value: float) -> str:
    """Return a number of bytes as a text: "388 kB"."""
    for unit in ("B", "kB", "MB"):
        if value < 999.5:
            return f"{significant(value)} {unit}"
        value /= 1000
    return f"{significant(value)} GB"


def printable(text: str) -> str:
    """Return a text with spaces for line breaks, terminal codes and marks that change its direction.

    Names come from anywhere, so everything shown to people passes through this.
    """
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


_CONTROLS = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_HIDDEN = re.compile(rf"[{_CONTROLS}\\]")
_HIDDEN_OR_SPACE = re.compile(rf"[{_CONTROLS}\\ ]")
_IN_JSON = re.compile(rf"[{_CONTROLS}]")  # JSON already escapes those below a space
_SHORT = {"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"}


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return _SHORT.get(match[0]) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def escaped(text: str) -> str:
    r"""Return a text with escapes for line breaks, tabs, terminal codes and marks that change its direction.

    They are those of Python, such as "\n", "\x1b" and "\u202e", with "\\" for a backslash: nothing is lost.
    """
    return _HIDDEN.sub(_escape, text)


def inert_json(line: str) -> str:
    """Return a line of JSON with escapes for the terminal codes that JSON allows; its value is the same."""
    return _IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", line)


def tsv(cells: Iterable[str]) -> str:
    """Return texts as a line of tab-separated values, see :func:`escaped`."""
    return "\t".join(map(escaped, cells))


def spaced(words: Iterable[str]) -> str:
    """Return texts separated by spaces; spaces in them are escaped."""
    return " ".join(_HIDDEN_OR_SPACE.sub(_escape, word) for word in words)


def duration(seconds: float) -> str:
    """Return a duration as people write it: "40 s", "10 min" or "2.5 h"."""
    if seconds < 99:
        return f"{seconds:.0f} s"
    if seconds < 99 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
