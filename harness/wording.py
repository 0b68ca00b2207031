"""Numbers with units, as people write them: "100k", "1ms", "2MB", "90%"."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from harness.values import HarnessError

# By kind: what each unit is worth, in lower case, and what to write like.
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
    "score": ({"": 1, "%": 0.01}, "0.9 or 90%"),
}
_NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d[\d_]*)(?:\.\d*)?|\.\d+"  # with a decimal comma it would be another
_FORM = re.compile(rf"((?:{_NUMBER})(?:e[+-]?\d+)?)\s*([^\W\d_]*|%)", re.IGNORECASE | re.ASCII)
_FORM_OF_MICRO = {"\N{GREEK SMALL LETTER MU}": "u", "\N{MICRO SIGN}": "u"}


def quantity(text: str, kind: str) -> float:
    """The number that a text means: of bytes, milliseconds, seconds, or as it stands."""
    units, example = _UNITS[kind]
    plain = text.strip()
    for mark, letter in _FORM_OF_MICRO.items():
        plain = plain.replace(mark, letter)
    match = _FORM.fullmatch(plain)
    if match is None or match[2].lower() not in units:
        raise HarnessError(f"'{text}' is no {kind}; write it like {example}")
    return float(match[1].replace(",", "").replace("_", "")) * units[match[2].lower()]


def article(noun: str) -> str:
    """The noun with its indefinite article."""
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"


def either(words: Iterable[str]) -> str:
    """Alternatives: "a, b or c"."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def nearest(word: Any, allowed: Iterable[str]) -> str:
    """ "; did you mean 'x'?", or nothing where no allowed word is near."""
    folded = {name.lower().replace("_", "-"): name for name in allowed}
    if isinstance(word, str):
        for match in get_close_matches(word.lower().replace("_", "-"), folded, n=1):
            return f"; did you mean '{folded[match]}'?"
    return ""


def choices(word: Any, allowed: Iterable[str]) -> str:
    """The nearest match and all that is allowed, to end a sentence about an unknown word."""
    names = sorted(allowed)
    return f"{nearest(word, names)} (allowed: {', '.join(names) or 'none'})"


def significant(value: float) -> str:
    """Three digits that count, and no exponent."""
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.{max(0, digits)}f}"


def amount(value: float) -> str:
    """A number of parameters."""
    if value < 1e6:
        return f"{value:,.0f}"
    return f"{value / 1e9:,.1f} G" if value >= 999.95e6 else f"{value / 1e6:.1f} M"


def size(value: float) -> str:
    """A number of bytes."""
    for unit in ("B", "kB", "MB"):
        if value < 999.5:
            return f"{significant(value)} {unit}"
        value /= 1000
    return f"{significant(value)} GB"


def printable(text: str) -> str:
    """Names come from anywhere: no line breaks, terminal controls, or marks that turn text around."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def duration(seconds: float) -> str:
    """A length of time as people say it."""
    if seconds < 99:
        return f"{seconds:.0f} s"
    if seconds < 99 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
