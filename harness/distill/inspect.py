"""What a user's file of labelled texts, or of tagged words, holds: is it enough to make a model of?"""

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

_FEWEST, _RARE = 50, 10  # labelled texts at all, and of a class or entities of a type
_LOOKED_AT = 5000  # texts, for their language


@dataclass(frozen=True)
class Data:
    """What the file holds."""

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
        pass  # whoever reads all of it will say what is wrong
    return False


def look_at_texts(task: Any, unlabelled: Path | None) -> Data:
    """Of a `file` task; HarnessError where no classifier can be made of it."""
    source = task.resolve("auto")
    table = read_table(task.train, text=task.text, label=task.label)
    rows = _usable(table)  # all at once, since splits of what is no good could not even be carved
    texts, labels = [text for text, _ in rows], Counter(label for _, label in rows)
    where = f"{task.train}"
    if len(texts) < _FEWEST:
        raise HarnessError(f"{where} has {len(texts)} labelled texts; at least {_FEWEST} are needed")
    if len(labels) < 2:
        raise HarnessError(f"{where} has one class only in column {task.label!r}: {next(iter(labels))!r}")
    if len(labels) > len(texts) / 5:
        raise HarnessError(
            f"column {task.label!r} of {where} has {len(labels)} different values in {len(texts)} rows: "
            "it holds no classes; name another with --label"
        )
    if sum(PAIR_SEPARATOR in one for one in texts) > len(texts) / 2:
        raise HarnessError(f"{where} holds pairs of texts, and distill is for single texts; write a suite")
    words = sum(len(one.split()) for one in texts) / len(texts)
    rare = sorted(name for name, count in labels.items() if count < _RARE)
    dropped = table.num_rows - len(texts)
    common, most = labels.most_common(1)[0]
    counts = {split: len(_usable(part)) for split, part in task.read(source).items()}
    told = [
        f"{where}: {len(texts):,} texts of {words:.0f} words on average, {len(labels)} classes "
        f"(the largest, {common}, {most / len(texts):.0%})",
        f"split by label, equal texts kept together: {_divided(counts)}",
    ]
    if dropped:
        told.append(f"{dropped:,} rows without a text or a label are left out")
    if rare:
        told.append(f"too few to be learnt or measured, under {_RARE} texts: {', '.join(rare[:8])}")
    return _data(texts, words, counts, len(labels), _pool(unlabelled, task.text), told)


def _usable(table: Any) -> list[tuple[str, str]]:
    """The rows that have both a text and a label, as the data step keeps them."""
    both = zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True)
    return [(text, str(label)) for text, label in both if text and text.strip() and str(label or "").strip()]


def look_at_words(task: Any, unlabelled: Path | None) -> Data:
    """Of a `conll-file` task; HarnessError where no tagger can be made of it."""
    try:
        return _look_at_words(task, unlabelled)
    except HarnessError as error:
        # The one ending that plain texts have too.
        if not task.train.name.lower().endswith((".txt", ".txt.gz")) or not task.train.is_file():
            raise
        raise HarnessError(
            f"{error}; {task.train.name} was read as CoNLL text, as its name ends in .txt: each line a word "
            "and its tag, an empty line behind each sentence; texts with labels are JSON lines, CSV, TSV or "
            "Parquet"
        ) from None


def _look_at_words(task: Any, unlabelled: Path | None) -> Data:
    where = f"{task.train}"
    tables = task.read(task.resolve("auto"))
    words = [tokens for table in tables.values() for tokens in table["tokens"].to_pylist()]
    tags = [row for table in tables.values() for row in table["tags"].to_pylist()]
    kinds = Counter(tag[2:] for row in tags for tag in to_bio(row) if tag.startswith("B-"))
    if len(words) < _FEWEST:
        raise HarnessError(f"{where} has {len(words)} tagged sentences; at least {_FEWEST} are needed")
    if not kinds:
        raise HarnessError(f"{where} has no entity: all of its tags are '{OUTSIDE}'")
    count = sum(map(len, words))
    rare = sorted(name for name, found in kinds.items() if found < _RARE)
    rows = {split: table.num_rows for split, table in tables.items()}
    named = ", ".join(f"{name} {found:,}" for name, found in kinds.most_common(8))
    told = [
        f"{where}: {len(words):,} sentences of {count / len(words):.0f} words on average, "
        f"{kinds.total():,} entities of {len(kinds)} types ({named})",
        f"equal sentences kept together: {_divided(rows)}",
    ]
    if rare:
        told.append(f"too few to be learnt or measured, under {_RARE} entities: {', '.join(rare[:8])}")
    texts = [" ".join(tokens) for tokens in words[:_LOOKED_AT]]
    classes = len(classes_of([f"B-{kind}" for kind in kinds]))
    return _data(texts, count / len(words), rows, classes, _pool(unlabelled, "text"), told)


def _divided(counts: dict[str, int]) -> str:
    return (
        f"{counts['train']:,} to train on, {counts['validation']:,} to choose by, {counts['test']:,} to test"
    )


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
    """How many unlabelled texts there are."""
    if path is None:
        return 0
    if not path.is_file():
        raise HarnessError(f"the unlabelled file {str(path)!r} does not exist (looked in {Path.cwd()})")
    if format_of(path) is None:  # lines of text; what they are is checked where they are read
        with path.open("rb") as stream:
            return sum(1 for _ in stream)
    return int(read_table(path, text=column, label=None).num_rows)
