"""CSV and TSV as people have them: other delimiters, quotation marks, and rows of other widths."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.api import HarnessError
from harness.sources import delimited, read_table
from harness.sources.delimited import header_of
from harness.sources.opening import noted

Rows = list[tuple[str, str | None]]


def rows_of(path: Path, content: str) -> tuple[Rows, list[str]]:
    """The texts and labels of a file, and what its reader notes."""
    path.write_bytes(content.encode())
    with noted() as notes:
        table = read_table(path, shown=path.name).to_pydict()
    return list(zip(table["text"], table["label"], strict=True)), notes


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", "text;label\na, b;joy\nc;fear\n", "a.csv was read with semicolons between its cells"),
        ("a.csv", 'label|text\njoy|"a, b"\nfear|c\n', "vertical bars"),
        ("a.csv", "text\tlabel\na, b\tjoy\nc\tfear\n", "tabs"),
        ("a.tsv", 'text,label\n"a, b",joy\nc,fear\n', "commas"),
        ("a.csv", "sep=;\r\ntext;label\r\na, b;joy\r\nc;fear\r\n", ""),
        ("a.csv", '"sep=|"\ntext|label\na, b|joy\nc|fear\n', ""),
        ("a.csv", '\n\ntext , label\n"a, b",joy\nc, fear\n\n  \n', ""),
        ("a.csv", '\ufefftext,label\r"a, b",joy\rc,fear\r', ""),
        ("a.csv", 'text,label,,\n"a, b",joy,,\nc,fear,,\n', ""),
    ],
)
def test_dialects(name: str, content: str, told: str, tmp_path: Path) -> None:
    found, notes = rows_of(tmp_path / name, content)
    assert found == [("a, b", "joy"), ("c", "fear")]
    assert told in " ".join(notes) and bool(told) == any("between" in one for one in notes)


def test_two_delimiters_that_fit_are_not_guessed_from(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"a\.csv has no column 'text'; found: 'text;label\|text'"):
        rows_of(tmp_path / "a.csv", "text;label|text\n1\n")
    with pytest.raises(HarnessError, match="looks like JSON; give it a name"):
        rows_of(tmp_path / "a.csv", '{"text": "a", "label": "b"}\n')


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        # Doubled marks, line ends and tabs inside marks, and marks around all cells are certain.
        ('text\tlabel\n"a ""b"""\tjoy\nc\tfear\n', [('a "b"', "joy"), ("c", "fear")]),
        ('text\tlabel\n"a\nb"\tjoy\nc\tfear\n', [("a\nb", "joy"), ("c", "fear")]),
        ('text\tlabel\n"a\tb"\tjoy\n', [("a\tb", "joy")]),
        ('"text"\t"label"\n"a"\t"joy"\n', [("a", "joy")]),
        ('text\tlabel\n"a"\t"joy"\n""\t"fear"\n', [("a", "joy"), ("", "fear")]),
        # Otherwise a mark is a character.
        ('text\tlabel\n"a"\tjoy\n', [('"a"', "joy")]),
        ('text\tlabel\n"a ""b"""\tjoy\nso "c"\tfear\n', [('"a ""b"""', "joy"), ('so "c"', "fear")]),
        ('text\tlabel\n"a\tjoy\nb"\tfear\n', [('"a', "joy"), ('b"', "fear")]),
        ('text\tlabel\n5"\tjoy\n"\tfear\n', [('5"', "joy"), ('"', "fear")]),
    ],
)
def test_quotation_marks_in_tsv(content: str, expected: Rows, tmp_path: Path) -> None:
    found, notes = rows_of(tmp_path / "a.tsv", content)
    assert found == expected
    enclosed = not any(
        (text or "x")[0] == '"' or text.endswith('"') for text, _ in expected if text != 'a "b"'
    )
    assert bool(notes) == enclosed and all("as in CSV" in one for one in notes)


def test_rows_whose_meaning_is_certain(tmp_path: Path) -> None:
    content = "text,label,note\na,joy\nb,fear,,\nc,joy,,\n,fear,x,\nd,joy,y\n"
    found, notes = rows_of(tmp_path / "a.csv", content)
    assert found == [("a", "joy"), ("b", "fear"), ("c", "joy"), ("", "fear"), ("d", "joy")]
    assert notes == ["a.csv has 4 rows with more or fewer cells than its header; their columns are certain"]
    (tmp_path / "b.csv").write_text("text\nso, what\nok\n")
    assert read_table(tmp_path / "b.csv", label=None)["text"].to_pylist() == ["so, what", "ok"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "text,label\nx,y\n\na,b,c\nx,y\n1,2,3,4\n",
            "line 4 has 3 cells, expected 2 as in the header: 'a,b,c'; 1 more such rows, in line 6; put quot",
        ),
        ("text,label\n" + "a\n" * 9, "8 more such rows, in line 3, 4, 5, 6, ...; complete or"),
        ('text,label\nx,"y\nz,z\n', "mark that opens a cell in line 2 is never closed"),
        (
            'text,label\nx,y\n"oh no,joy\nfoo,bar\n"oh dear,sad\nq,r\n',
            "a quotation mark that opens a cell in line 3 is closed in the midst of a cell in line 5; write",
        ),
        ('text,label\n"' + "x" * (3 << 20) + ',y\nz,z\n', "a quotation mark that opens a cell in line 2"),
        ("text,label\n" + "x" * (3 << 20) + ",y\n", "it has a row of more than 1 MiB"),
    ],
)  # fmt: skip
def test_rows_that_could_mean_something_else(
    content: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "_BLOCK", 1 << 20)
    with pytest.raises(HarnessError) as told:
        rows_of(tmp_path / "a.csv", content)
    assert message in str(told.value)


def test_marks_within_a_line_are_read_as_before(tmp_path: Path) -> None:
    found, _ = rows_of(tmp_path / "a.csv", 'text,label\n"a\nb",joy\nsay "x",fear\n"c" d,joy\n')
    assert found == [("a\nb", "joy"), ('say "x"', "fear"), ("c d", "joy")]


def test_the_names_of_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text; joy;label\nx;1;2\n")
    assert header_of(tmp_path / "a.csv", "text", "a.csv") == ["text", "joy", "label"]
