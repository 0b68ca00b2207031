"""Numbers with units."""

from __future__ import annotations

import json

import pytest

from harness.api import HarnessError
from harness.wording import alike, escaped, inert_json, quantity, spaced, tsv

MILLI = "time in milliseconds"


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("100k", "number", 1e5),
        ("1.5M", "number", 1.5e6),
        ("80,102", "number", 80102),
        ("1e5", "number", 1e5),
        ("1,234,567.5", "number", 1234567.5),
        ("12,345kB", "size", 12_345_000),
        ("22 m", "number", 22e6),
        ("1MB", "size", 1e6),
        ("120kB", "size", 120e3),
        ("1MiB", "size", 2**20),
        ("512", "size", 512),
        ("1ms", MILLI, 1),
        ("50us", MILLI, 0.05),
        ("50 µs", MILLI, 0.05),
        ("50 \N{GREEK SMALL LETTER MU}s", MILLI, 0.05),
        ("2s", MILLI, 2000),
        (".5", MILLI, 0.5),
        ("10min", "time", 600),
        ("2h", "time", 7200),
        ("90%", "score", 0.9),
        ("0.9", "score", 0.9),
    ],
)
def test_what_people_write(text: str, kind: str, value: float) -> None:
    assert quantity(text, kind) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("1xB", "size", "expected a size, got '1xB'; write it like 120kB, 1MB or 1MiB"),
        ("", "number", "expected a number, got ''; write it like 100k or 1.5M"),
        ("-1", "number", "expected a number, got '-1'"),
        ("1ms", "size", "expected a size, got '1ms'"),
        ("1,5ms", MILLI, "expected a time in milliseconds, got '1,5ms'; write it like 1ms or 50us"),
        ("0,05ms", MILLI, "expected a time in milliseconds, got '0,05ms'"),
        ("1,2345", "number", "expected a number, got '1,2345'"),
        ("fast", MILLI, "expected a time in milliseconds, got 'fast'; write it like 1ms or 50us"),
        ("90 percent", "score", "expected a score, got '90 percent'; write it like 0.9 or 90%"),
        ("٣", "number", "expected a number, got '٣'"),
    ],
)
def test_what_they_should_not(text: str, kind: str, says: str) -> None:
    with pytest.raises(HarnessError) as error:
        quantity(text, kind)
    assert str(error.value).startswith(says)


def test_what_a_terminal_would_obey_is_escaped() -> None:
    odd = "a\tb\n\r\x1b[31m\x9b\x7f\u202e\u2028\ud83d\\"
    told = escaped(odd)
    assert told == r"a\tb\n\r\x1b[31m\x9b\x7f\u202e\u2028\ud83d\\"
    assert told.encode().decode("unicode_escape").encode("utf-16", "surrogatepass") == odd.encode(
        "utf-16", "surrogatepass"
    )
    assert escaped("plain ä 日本 👩\u200d🚀") == "plain ä 日本 👩\u200d🚀"
    assert tsv(["a\tb", "c"]) == "a\\tb\tc"
    assert spaced(["a b", "c"]) == r"a\x20b c"


def test_json_keeps_its_value() -> None:
    odd = {"a\x9b": ["\x7f\u202e", "\x1b\\", 1.5]}
    line = inert_json(json.dumps(odd, ensure_ascii=False))
    assert json.loads(line) == odd and line.isprintable()


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["joy", "Joy", "JOY ", "anger"], ["'joy', 'Joy', 'JOY '"]),
        (["a\u200bb", "ab", "a\u00a0b", "a-b", "a_b"], ["'a\\u200bb', 'ab', 'a\\xa0b', 'a-b', 'a_b'"]),
        (["1", "1.0", "01", "-1", "2"], ["'1', '1.0', '01'"]),
        (["B-loc", "I-loc", "B-LOC", "I-LOC", "O"], ["'B-loc', 'B-LOC'", "'I-loc', 'I-LOC'"]),
        (["A", "A-", "A+", "C", "C#", "C++", "-", "--", "", "\u00e9", "e"], []),
        (["\ufb01sh", "fish"], ["'\ufb01sh', 'fish'"]),
    ],
)
def test_labels_that_look_alike(names: list[str], groups: list[str]) -> None:
    ends = " look alike; if they are one label, write it in one way"
    assert alike(names) == [f"the labels {group}{ends}" for group in groups]
