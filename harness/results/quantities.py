"""Numbers with units, as people write them: "100k", "1ms", "2MB", "90%"."""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.api import HarnessError

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
