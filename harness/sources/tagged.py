"""Read tagged words (CoNLL text, JSON lines, Parquet, hub) into the columns ``tokens`` and ``tags``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness.api import HarnessError, Unavailable
from harness.sources import DatasetTask
from harness.sources.columns import need, tidy
from harness.sources.files import UNLABELLED, bare, find_splits, kind_of, read_parquet, read_table
from harness.sources.hub import hub_tables
from harness.sources.objects import json_rows
from harness.sources.opening import PACKED, note, numbered_lines, readable
from harness.task_types.bio import OUTSIDE, to_bio
from harness.task_types.tagging import Tagging
from harness.values import whole

if TYPE_CHECKING:
    import pyarrow as pa

# One word per line, with its columns; an empty line ends a sentence.
_CONLL = (".conll", ".conllu", ".bio", ".iob", ".iob2", ".txt")
CONLL = tuple(f"{name}{packed}" for name in _CONLL for packed in ("", *PACKED))
TAGGED_FORMATS = (
    *(f"{name}{packed}" for name in (".jsonl", ".json") for packed in ("", *PACKED)),
    ".parquet",
    *CONLL,
)
# Of the files in a folder of splits.
_SPLIT_FORMATS = (
    *(".jsonl.gz", ".jsonl", ".parquet"),
    *(f"{name}{packed}" for name in (".conll", ".bio", ".iob", ".txt") for packed in ("", ".gz")),
)

_TAG = re.compile(r"O|[BIESLU]-\S+")
_LOOKED_AT = 100  # sentences that show whether a file is an ordinary one
_INDEX = re.compile(r"[0-9]+")  # of a word in its sentence
_BETWEEN = re.compile(r"[0-9]+[-.][0-9]+")  # in CoNLL-U: of a line for several words, or for none

Column = int | str  # a name, or a number: 1 is the first, -1 the last


@dataclass(frozen=True)
class TaggedTask(DatasetTask):
    """A task with a tag for each word, e.g. for names; scored by F1 over whole entities.

    Tables have the columns ``tokens`` and ``tags``, lists of strings; tags are BIO, IOB1 or IOBES. Local
    files have one of TAGGED_FORMATS. A file ``unlabelled`` contains raw texts and has one of FORMATS.
    """

    task_type: ClassVar[str] = Tagging.name
    headline: ClassVar[str] = "f1"
    tokens_column: ClassVar[Column] = ""  # "": the default of `read_tagged`
    tags_column: ClassVar[Column] = ""

    def local_files(self) -> dict[str, Path]:
        """Return the local files to read, by split."""
        return find_splits(self.local_folder(), formats=_SPLIT_FORMATS)

    def read_file(self, split: str, path: Path, shown: str) -> pa.Table:
        """Return the table of one split's local file, which errors call `shown`."""
        if split == UNLABELLED:
            return read_table(path, label=None, shown=shown)
        return read_tagged(path, self.tokens_column, self.tags_column, shown)

    def _read_hub(self) -> Mapping[str, pa.Table]:
        if self.hub is None:
            raise Unavailable(f"task {self.name!r} has no data set on the hub")
        features, splits = hub_tables(self.hub)
        feature: Any = features.get(self.hub.label)
        while isinstance(feature, dict) and "names" not in feature and "feature" in feature:
            feature = feature["feature"]  # for a list: the feature of its items
        if isinstance(feature, list):  # older releases of `datasets` describe lists in this way
            feature = feature[0]
        names = feature.get("names") if isinstance(feature, dict) else None
        tables = {}
        for split, table in splits.items():
            words = table[self.hub.text].to_pylist()
            tags = table[self.hub.label].to_pylist()
            if names:
                tags = [[names[tag] for tag in row] for row in tags]
            rows = ((n, *row) for n, row in enumerate(zip(words, tags, strict=True), 1))
            tables[split] = _table(rows, f"{self.hub.id} ({self.hub.splits[split]})", "row")
        return tables


def is_tagged(path: Path, column: str = "") -> bool:
    """Return whether a file has tagged words: CoNLL text, or lists of words in `column` (or ``tokens``)."""
    suffix = bare(tagged_format_of(path) or "")
    if not path.is_file():
        return suffix in _CONLL and suffix != ".txt"
    if suffix in _CONLL:
        return True
    try:
        if suffix in (".jsonl", ".json"):
            with readable(path, str(path)):
                first = next(islice((row for _, row in json_rows(path, str(path))), 1), {})
            return isinstance(first.get(column or "tokens"), list)
        if suffix == ".parquet":
            from pyarrow import parquet

            return has_lists(parquet.read_schema(path), column or "tokens")
    except (HarnessError, ValueError, OSError):
        pass  # the error is reported when the whole file is read
    return False


def has_lists(schema: pa.Schema, column: str) -> bool:
    """Return whether a column has lists, of whichever of Arrow's types."""
    import pyarrow as pa

    place = schema.get_field_index(column)
    kind = schema.field(place).type if place >= 0 else None
    tests = ("is_list", "is_large_list", "is_fixed_size_list", "is_list_view", "is_large_list_view")
    return kind is not None and any(getattr(pa.types, test)(kind) for test in tests)


def tagged_format_of(path: Path) -> str | None:
    """Return which of TAGGED_FORMATS a file's name ends with, or None."""
    return next((suffix for suffix in TAGGED_FORMATS if path.name.lower().endswith(suffix)), None)


def read_tagged(path: Path, tokens: Column = "", tags: Column = "", shown: str = "") -> pa.Table:
    """Return a file as a table with the columns ``tokens`` and ``tags``, lists of strings.

    In CoNLL text, columns are given by number, or by name if the file has a line such as
    ``# global.columns = ID FORM ...``. By default, words are the first column and tags the last. If the first
    column numbers the words of each sentence, words are the second; if only one column has tags, it is that.
    Tabs separate the columns of a line that has tabs; in other lines, ASCII spaces do. Comments (``# ...``)
    before a sentence and ``-DOCSTART-`` lines are skipped. In other formats, columns are given by name, by
    default ``tokens`` and ``tags``. Raise HarnessError for a file that is damaged, has no sentences or lacks
    a column, for a sentence that does not have one tag for each word, and for a tag of no known scheme.
    """
    shown = shown or str(path)
    kind = kind_of(path, TAGGED_FORMATS)
    with readable(path, shown):
        if kind in _CONLL:
            return _table(_conll(path, tokens, tags, shown), shown, "line", by_word=True)
        names = [str(tokens or "tokens"), str(tags or "tags")]
        if kind == ".parquet":
            return _table(_parquet(path, names, shown), shown, "row")
        return _table(_objects(path, names, shown), shown, "line")


Sentences = Iterator[tuple[int, Any, Any]]  # (its first line or its row, words, tags) of each sentence
Lines = tuple[int, list[list[str]]]  # the first line of a sentence, and the columns of each of its words


def _conll(path: Path, tokens: Column, tags: Column, shown: str) -> Sentences:
    names: list[str] = []
    numbered = False
    if "" in (tokens, tags):
        numbered, tokens, tags = _looked_at(_sentences(path, shown, names), tokens, tags, shown)
    places: tuple[int, int] | None = None
    for start, rows in _sentences(path, shown, names):
        words: list[str] = []
        marks: list[str] = []
        for number, fields in enumerate(rows, start):
            if places is None:
                places = _place(tokens, fields, names, shown), _place(tags, fields, names, shown)
            if max(places) >= len(fields):
                some = f"{len(fields)} column{'s' * (len(fields) != 1)}"
                raise HarnessError(
                    f"{shown} line {number} has {some}; expected at least {max(places) + 1}, which tabs or "
                    "spaces separate, and an empty line after each sentence"
                )
            if numbered and _BETWEEN.fullmatch(fields[0]):
                continue
            words.append(fields[places[0]])
            marks.append(tidy(fields[places[1]]))
        yield start, words, marks


def _sentences(path: Path, shown: str, names: list[str]) -> Iterator[Lines]:
    """Yield the lines of each sentence, without comments; put the columns that a comment names in `names`."""
    rows: list[list[str]] = []
    width = 0
    number = 0
    for number, line in numbered_lines(path, shown):
        fields = line.split("\t") if "\t" in line else [field for field in line.split(" ") if field]
        if not line.strip() or "-DOCSTART-" in fields[:2]:
            if rows:
                yield number - len(rows), rows
            rows = []
        elif not rows and _is_comment(line, fields, width):
            title, _, listed = line[1:].partition("=")
            if title.strip() == "global.columns":
                names[:] = listed.split()
        else:
            width = len(fields)
            rows.append(fields)
    if rows:
        yield number + 1 - len(rows), rows


def _is_comment(line: str, fields: Sequence[str], width: int) -> bool:
    """Return whether a line before a sentence is a comment, and not a hashtag or the word "#" with a tag."""
    if not line.startswith("#"):
        return False
    tagged = bool(_TAG.fullmatch(fields[-1].strip()))
    if "\t" in line:
        return line.startswith("# ") or (fields[0] == "#" and not tagged and len(fields) != width)
    if not line.startswith("# "):
        return len(fields) == 1 or (not tagged and len(fields) != width)
    return not (tagged and len(fields) in (2, width))


def _looked_at(
    sentences: Iterator[Lines], tokens: Column, tags: Column, shown: str
) -> tuple[bool, Column, Column]:
    """Return whether the first column numbers the words, and the columns of the words and of the tags.

    Given columns stay. Usually the words are first and the tags last. Raise HarnessError if the first column
    numbers the words, and it is open which one has the tags.
    """
    first = list(islice(sentences, _LOOKED_AT))
    if not first:
        return False, tokens or 1, tags or -1
    width = len(first[0][1][0])
    numbered = tokens == "" and width > 2
    words = 0
    tagged: Counter[int] = Counter()  # words with a tag, by column; a few words look like tags, such as B-52
    named: set[int] = set()  # columns with an entity
    for part in (first, sentences):
        for _, rows in part:
            numbered = numbered and _is_numbered(rows)
            words += len(rows)
            for column in range(width):
                tagging = [tag for row in rows if _TAG.fullmatch(tag := _cell(row, column))]
                tagged[column] += len(tagging)
                named |= {column} if set(tagging) - {OUTSIDE} else set()
        likely = {column for column in range(width) if 2 * tagged[column] > words}
        if not numbered and (tags != "" or width - 1 in likely):
            return False, tokens or 1, tags or -1
    likely -= {0, 1} if numbered else {tokens - 1 if isinstance(tokens, int) else 0}
    some = sorted(likely & named or likely)
    if tags == "" and len(some) != 1:
        if not numbered:
            return False, tokens or 1, -1
        where = f"columns {' and '.join(str(column + 1) for column in some)}" if some else "no column"
        guess = (some or [2])[0] + 1
        raise HarnessError(
            f"cannot tell which column of {shown} has the tags: column 1 numbers the words, and tags such as "
            f"B-LOC are in {where}; name the columns of words and tags, e.g. tokens = 2, tags = {guess} in a "
            f"suite, or --text 2 --label {guess}"
        )
    tokens = tokens or (2 if numbered else 1)
    tags = tags or some[0] + 1
    note(f"{shown} was read with the words in column {tokens} and the tags in column {tags} of {width}")
    return numbered, tokens, tags


def _cell(row: Sequence[str], column: int) -> str:
    return row[column].strip() if column < len(row) else ""


def _is_numbered(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first column counts the words of a sentence, from 1 or 0."""
    counts = [row[0] for row in rows if not _BETWEEN.fullmatch(row[0])]
    if not all(map(_INDEX.fullmatch, counts)):
        return False
    begin = int(counts[0]) if counts else 1
    return begin in (0, 1) and [int(count) for count in counts] == list(range(begin, begin + len(counts)))


def _place(column: Column, fields: Sequence[str], names: Sequence[str], shown: str) -> int:
    """Return the index of a column in a line's fields, from 0."""
    if isinstance(column, str):
        if not names:
            raise HarnessError(
                f"{shown} does not name its columns in a line '# global.columns = ...'; "
                f"give the number of column {column!r}, from 1 to {len(fields)}"
            )
        need([column], names, shown)
        return list(names).index(column)
    place = column - 1 if column > 0 else len(fields) + column
    if not 0 <= place < len(fields):
        raise HarnessError(f"{shown} has no column {column}; expected 1 to {len(fields)}")
    return place


def _objects(path: Path, names: Sequence[str], shown: str) -> Sentences:
    for number, row in json_rows(path, shown):
        need(names, row, f"{shown} line {number}")
        yield number, row[names[0]], row[names[1]]


def _parquet(path: Path, names: Sequence[str], shown: str) -> Sentences:
    table = read_parquet(path, names, shown)
    rows = zip(table[names[0]].to_pylist(), table[names[1]].to_pylist(), strict=True)
    for number, (words, tags) in enumerate(rows, 1):
        yield number, words, tags


def _table(sentences: Sentences, shown: str, unit: str, *, by_word: bool = False) -> pa.Table:
    """Return sentences as a table; `by_word` if each word has a line, counted from the sentence's first."""
    import pyarrow as pa

    rows: tuple[list[list[str]], list[list[str]]] = [], []
    known = {OUTSIDE}
    for place, *columns in sentences:
        for name, kept, given in zip(("words", "tags"), rows, columns, strict=True):
            if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
                raise HarnessError(f"{shown} {unit} {place} needs a list of strings for its {name}")
            kept.append(list(map(whole, given)))
        words, tags = rows[0][-1], rows[1][-1]
        if len(words) != len(tags):
            raise HarnessError(
                f"{shown} {unit} {place} has {len(words)} words and {len(tags)} tags; "
                "expected a tag for each word"
            )
        for number, tag in enumerate(tags):
            if tag not in known:
                _check_tag(tag, f"{shown} {unit} {place + number}" if by_word else f"{shown} {unit} {place}")
                known.add(tag)
    if not rows[0]:
        raise HarnessError(f"{shown} has no sentences")
    kind = pa.list_(pa.string())
    return pa.table({"tokens": pa.array(rows[0], kind), "tags": pa.array(rows[1], kind)})


def _check_tag(tag: str, where: str) -> None:
    try:
        to_bio([tag])
    except HarnessError:
        capital = tag[:1].upper() + tag[1:]
        remedy = (
            "write O if it marks words outside of entities; if another column has the tags, name that one"
        )
        if _TAG.fullmatch(capital):
            remedy = f"write {capital!r}: O and the letter before a type are capitals"
        raise HarnessError(
            f"{where}: expected O, or B-, I-, E-, S-, L- or U- with a type, such as B-LOC, got {tag!r}; "
            f"{remedy}"
        ) from None


__all__ = [
    "CONLL",
    "TAGGED_FORMATS",
    "Column",
    "TaggedTask",
    "has_lists",
    "is_tagged",
    "read_tagged",
    "tagged_format_of",
]
