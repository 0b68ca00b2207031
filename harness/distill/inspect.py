"""Check that a model can be trained on a user's file of labelled texts or tagged words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from harness import HarnessError
from harness.api import PAIR_SEPARATOR
from harness.distill import budget
from harness.run.estimates import Size
from harness.sources.files import format_of, json_rows, read_table
from harness.sources.tagged import CONLL, tagged_format_of
from harness.task_types.bio import OUTSIDE, classes_of, to_bio
from harness.wording import printable

# The minimum of labelled texts; classes with fewer texts, or types with fewer entities, are rare.
_FEWEST, _RARE = 50, 10
_LOOKED_AT = 5000  # texts that are used to recognise the language


@dataclass(frozen=True)
class Data:
    """The size and language of the data in a file, and lines about it to show to the user."""

    size: Size
    classes: int
    english: bool
    told: tuple[str, ...]


def is_tagged(path: Path, column: str | None = None) -> bool:
    """Whether a file is one of tagged words: CoNLL text, or lists of words in `column` (or ``tokens``)."""
    suffix = (tagged_format_of(path) or "").removesuffix(".gz")
    if not path.is_file():
        return suffix in CONLL and suffix != ".txt"
    if suffix in CONLL:
        return True
    try:
        if suffix == ".jsonl":
            first = next(islice((row for _, row in json_rows(path, str(path))), 1), {})
            return isinstance(first.get(column or "tokens"), list)
        if suffix == ".parquet":
            import pyarrow as pa
            from pyarrow import parquet

            schema = parquet.read_schema(path)
            place = schema.get_field_index(column or "tokens")
            return place >= 0 and bool(pa.types.is_list(schema.field(place).type))
    except (HarnessError, ValueError, OSError):
        pass  # the error is reported when the whole file is read
    return False


def look_at_texts(task: Any, unlabelled: Path | None) -> Data:
    """Inspect the data of a `file` task; raise HarnessError if no classifier can be trained on it."""
    source = task.resolve("auto")
    table = read_table(task.train, text=task.text, label=task.label)
    rows = _usable(table)  # before the split, since unsuitable data might not even be carved
    texts, labels = [text for text, _ in rows], Counter(label for _, label in rows)
    where = f"{task.train}"
    if len(texts) < _FEWEST:
        raise HarnessError(
            f"expected at least {_FEWEST} labelled texts in {where}, got {len(texts)}; add more texts"
        )
    if len(labels) < 2:
        raise HarnessError(
            f"expected at least two classes in column {task.label!r} of {where}, got only "
            f"{next(iter(labels))!r}; name another column with --label"
        )
    if len(labels) > len(texts) / 5:
        raise HarnessError(
            f"column {task.label!r} of {where} has {len(labels)} different values in {len(texts)} rows, "
            "too many for classes; name another column with --label"
        )
    if sum(PAIR_SEPARATOR in one for one in texts) > len(texts) / 2:
        raise HarnessError(
            f"cannot distil {where}: it has pairs of texts, and distill supports only single texts; "
            "write a suite instead"
        )
    words = sum(len(one.split()) for one in texts) / len(texts)
    rare = sorted(name for name, count in labels.items() if count < _RARE)
    dropped = table.num_rows - len(texts)
    common, most = labels.most_common(1)[0]
    counts = {split: len(_usable(part)) for split, part in task.read(source).items()}
    told = [
        f"{where}: {len(texts):,} texts of {words:.0f} words on average, {len(labels)} classes "
        f"(largest: {common}, {most / len(texts):.0%})",
        f"split by label, with equal texts in one split: {_divided(counts)}",
    ]
    if dropped:
        told.append(f"skipped {dropped:,} rows without a text or a label")
    if rare:
        told.append(
            f"classes with fewer than {_RARE} texts, too few to learn or measure: {', '.join(rare[:8])}"
        )
    return _data(texts, words, counts, len(labels), _pool(unlabelled, task.text), told)


def _usable(table: Any) -> list[tuple[str, str]]:
    """Return the rows that have both a text and a label, as the data step does."""
    both = zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True)
    return [(text, str(label)) for text, label in both if text and text.strip() and str(label or "").strip()]


def look_at_words(task: Any, unlabelled: Path | None) -> Data:
    """Inspect the data of a `conll-file` task; raise HarnessError if no tagger can be trained on it."""
    try:
        return _look_at_words(task, unlabelled)
    except HarnessError as error:
        # Plain texts have this ending too.
        if not task.train.name.lower().endswith((".txt", ".txt.gz")) or not task.train.is_file():
            raise
        raise HarnessError(
            f"{error}; {task.train.name} was read as CoNLL text, because its name ends in .txt: one word and "
            "its tag per line, and an empty line after each sentence; for texts with labels, use JSON lines, "
            "CSV, TSV or Parquet"
        ) from None


def _look_at_words(task: Any, unlabelled: Path | None) -> Data:
    where = f"{task.train}"
    tables = task.read(task.resolve("auto"))
    words = [tokens for table in tables.values() for tokens in table["tokens"].to_pylist()]
    tags = [row for table in tables.values() for row in table["tags"].to_pylist()]
    kinds = Counter(tag[2:] for row in tags for tag in to_bio(row) if tag.startswith("B-"))
    if len(words) < _FEWEST:
        raise HarnessError(
            f"expected at least {_FEWEST} tagged sentences in {where}, got {len(words)}; add more sentences"
        )
    if not kinds:
        raise HarnessError(
            f"cannot train a tagger on {where}: it has no entities, because all tags are '{OUTSIDE}'; "
            "add tags such as 'B-PER'"
        )
    count = sum(map(len, words))
    rare = sorted(name for name, found in kinds.items() if found < _RARE)
    rows = {split: table.num_rows for split, table in tables.items()}
    named = ", ".join(f"{name} {found:,}" for name, found in kinds.most_common(8))
    told = [
        f"{where}: {len(words):,} sentences of {count / len(words):.0f} words on average, "
        f"{kinds.total():,} entities of {len(kinds)} types ({named})",
        f"split with equal sentences in one split: {_divided(rows)}",
    ]
    if rare:
        told.append(
            f"types with fewer than {_RARE} entities, too few to learn or measure: {', '.join(rare[:8])}"
        )
    texts = [" ".join(tokens) for tokens in words[:_LOOKED_AT]]
    classes = len(classes_of([f"B-{kind}" for kind in kinds]))
    return _data(texts, count / len(words), rows, classes, _pool(unlabelled, "text"), told)


def _divided(counts: dict[str, int]) -> str:
    train, validation, test = counts["train"], counts["validation"], counts["test"]
    return f"{train:,} for training, {validation:,} for validation, {test:,} for test"


def _data(
    texts: Sequence[str],
    words: float,
    counts: dict[str, int],
    classes: int,
    pool: int,
    told: Sequence[str],
) -> Data:
    size = Size(counts["train"], counts["validation"] + counts["test"], words, pool)
    return Data(size, classes, budget.looks_english(texts[:_LOOKED_AT]), tuple(map(printable, told)))


def _pool(path: Path | None, column: str) -> int:
    """Return the number of unlabelled texts in a file; 0 without a file."""
    if path is None:
        return 0
    if not path.is_file():
        raise HarnessError(
            f"cannot read the unlabelled file {str(path)!r}: it does not exist (looked in {Path.cwd()})"
        )
    if format_of(path) is None:  # lines of text, which are checked when they are read
        with path.open("rb") as stream:
            return sum(1 for _ in stream)
    return int(read_table(path, text=column, label=None).num_rows)
