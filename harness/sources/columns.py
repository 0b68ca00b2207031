"""Find the wanted columns of a file, and turn their values into texts and labels."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from harness.api import HarnessError

if TYPE_CHECKING:
    import pyarrow as pa

_EXACT = 2.0**53  # below it, doubles represent every whole number
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f"  # characters without width


class NoColumn(HarnessError):
    """The error for a file without a wanted column."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the end of an error about an unknown name: "; did you mean 'x'?", or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def need(wanted: Iterable[str], found: Iterable[str], shown: str) -> None:
    """Raise NoColumn if a wanted column is missing, and HarnessError if it is there more than once."""
    found = list(found)
    for name in wanted:
        if name not in found:
            listed = ", ".join(map(repr, found[:20])) + (", ..." if len(found) > 20 else "")
            raise NoColumn(f"{shown} has no column {name!r}; found: {listed}{suggest(name, found)}")
        if found.count(name) > 1:
            raise HarnessError(f"{shown} has more than one column {name!r}; rename or remove the others")


def tidy(name: str) -> str:
    """Return a name in Unicode's form NFC, without white space and invisible characters at its ends."""
    name = name.strip()
    while name and (name[0] in _INVISIBLE or name[-1] in _INVISIBLE):
        name = name.strip(_INVISIBLE).strip()
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column without dictionary encoding."""
    import pyarrow as pa

    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _strings(column: pa.ChunkedArray, shown: str, name: str) -> pa.ChunkedArray:
    import pyarrow as pa

    try:
        return plain(column).cast(pa.string())
    except pa.ArrowException:
        raise HarnessError(
            f"{shown} has values of type {column.type} in column {name!r}; expected strings"
        ) from None


def texts_of(column: pa.ChunkedArray, shown: str, name: str) -> pa.ChunkedArray:
    """Return a column as strings; missing values become ""."""
    return _strings(column, shown, name).fill_null("")


def labels_of(column: pa.ChunkedArray, class_names: Sequence[str], shown: str, name: str) -> pa.ChunkedArray:
    """Return a column as strings; missing values become null, and class numbers become class names."""
    import pyarrow as pa
    from pyarrow import compute as pc

    column = plain(column)
    if pa.types.is_floating(column.type):  # integers with missing values, as pandas writes them
        column = column.cast(pa.float64())  # Arrow has no arithmetic for half precision
        column = pc.if_else(pc.is_nan(column), None, column)
        exact = pc.and_(pc.equal(column, pc.floor(column)), pc.less(pc.abs(column), _EXACT))
        if pc.all(exact).as_py() is not False:
            column = column.cast(pa.int64())
    if not pa.types.is_integer(column.type):
        column = _tidied(_strings(column, shown, name))
        column = pc.if_else(pc.equal(column, ""), None, column)
        numbers = pc.all(pc.match_substring_regex(column, r"^-?\d{1,9}$")).as_py()
        if class_names and numbers and not pc.any(pc.is_in(column, pa.array(class_names))).as_py():
            column = column.cast(pa.int64())
    if not class_names or not pa.types.is_integer(column.type):
        return column.cast(pa.string())
    column = pc.if_else(pc.equal(column, -1), None, column)  # how the hub marks a withheld label
    span = pc.min_max(column).as_py()
    for end in span.values():
        if end is not None and not 0 <= end < len(class_names):
            raise HarnessError(
                f"{shown} has the label {end} in column {name!r}; "
                f"expected 0 to {len(class_names) - 1} ({', '.join(class_names)})"
            )
    return pa.chunked_array([pa.array(class_names, pa.string())]).take(column)


def _tidied(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return strings as :func:`tidy` does; each different string is treated once."""
    import pyarrow as pa
    from pyarrow import compute as pc

    column = pc.utf8_trim_whitespace(column)
    if pc.all(pc.string_is_ascii(column)).as_py() is not False:
        return column
    parts = []
    for chunk in column.chunks:
        coded = chunk.dictionary_encode()
        names = [tidy(name) for name in coded.dictionary.to_pylist()]
        parts.append(pa.array(names, pa.string()).take(coded.indices))
    return pa.chunked_array(parts, pa.string())
