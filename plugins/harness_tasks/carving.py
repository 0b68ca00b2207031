"""Splits carved out of a table: the same rows every time, wherever they stand in it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Gt, Lt

from harness.api import HarnessError

if TYPE_CHECKING:
    import pyarrow as pa

Share = Annotated[float, Gt(0), Lt(1)]


def shares_of(task: Any) -> dict[str, float]:
    """What `validation` and `test` are to be of a task's training rows, where it names none."""
    shares = {"validation": task.validation_share, "test": task.test_share}
    return {split: share for split, share in shares.items() if not getattr(task, split)}


def check_shares(shares: Mapping[str, float]) -> None:
    """Raise ValueError where they leave nothing to train on."""
    if sum(shares.values()) >= 1:
        raise ValueError("validation_share and test_share leave nothing to train on; expected a sum below 1")


def check_parts(parts: Mapping[str, pa.Table], origin: object, rows: str = "rows") -> None:
    """Raise HarnessError where nothing was left for a split; `rows` is what the origin has too few of."""
    for split, part in parts.items():
        if part.num_rows == 0:
            raise HarnessError(f"{origin} has too few {rows} to carve a {split} split out of it")


def carve(table: pa.Table, shares: Mapping[str, float], seed: int) -> dict[str, pa.Table]:
    """Divide a table into ``train`` and parts of the given shares, by label, each text in one part only.

    Texts that differ in case or spacing alone count as one. A text's place depends on the seed and on the
    text, not on its row. Rows without a label stay in ``train``.
    """
    labels = table["label"].to_pylist()
    sizes = Counter(labels)
    parts: dict[str, list[int]] = {"train": [], **{split: [] for split in shares}}
    filled: Counter[tuple[str, str]] = Counter()
    for rows in _in_order(map(folded, table["text"].to_pylist()), seed):
        label = labels[rows[0]]
        home = "train"
        if label is not None:
            home = next(
                (s for s, share in shares.items() if filled[s, label] < round(share * sizes[label])), home
            )
        parts[home] += rows
        filled[home, label] += len(rows)
    return {split: taken(table, rows) for split, rows in parts.items()}


def carve_sentences(table: pa.Table, shares: Mapping[str, float], seed: int) -> dict[str, pa.Table]:
    """Divide a table of ``tokens`` into ``train`` and parts of the given shares, each sentence in one only.

    Sentences that differ in case alone count as one. A sentence's place depends on the seed and on its
    words, not on its row.
    """
    parts: dict[str, list[int]] = {"train": [], **{split: [] for split in shares}}
    for rows in _in_order((" ".join(words).casefold() for words in table["tokens"].to_pylist()), seed):
        short = (s for s, share in shares.items() if len(parts[s]) < round(share * table.num_rows))
        parts[next(short, "train")] += rows
    return {split: taken(table, rows) for split, rows in parts.items()}


def _in_order(texts: Iterable[str], seed: int) -> list[list[int]]:
    """The rows of each text, in the order that the seed makes of the texts."""
    groups: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        groups.setdefault(text, []).append(row)
    return [groups[text] for text in sorted(groups, key=lambda text: place(text, seed))]


def place(text: str, seed: int) -> str:
    """Where a text stands in the order that a seed makes, which splits are carved in."""
    return hashlib.sha256(f"{seed}\0{text}".encode()).hexdigest()


def folded(text: str) -> str:
    """The text without regard to case and spacing."""
    return " ".join(text.split()).casefold()


def taken(table: pa.Table, rows: Iterable[int]) -> pa.Table:
    """Some of a table's rows, in the table's order."""
    import pyarrow as pa

    return table.take(pa.array(sorted(rows), pa.int64()))
