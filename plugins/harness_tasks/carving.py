"""Carve splits out of a table, by a choice of rows that does not depend on their order."""

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
    """Return the shares of the training rows that become `validation` and `test`, if the task has none."""
    shares = {"validation": task.validation_share, "test": task.test_share}
    return {split: share for split, share in shares.items() if not getattr(task, split)}


def check_shares(shares: Mapping[str, float]) -> None:
    """Raise ValueError if the shares leave nothing to train on."""
    if sum(shares.values()) >= 1:
        raise ValueError(
            f"validation_share and test_share sum to {sum(shares.values()):g}, which leaves nothing to train "
            "on; expected a sum below 1"
        )


def check_parts(parts: Mapping[str, pa.Table], origin: object, rows: str = "rows") -> None:
    """Raise HarnessError if a split is empty; `rows` is the word for the rows, used in the error message."""
    for split, part in parts.items():
        if part.num_rows == 0:
            raise HarnessError(
                f"cannot carve a {split} split out of {origin}: it has too few {rows}; "
                f"add {rows}, or change the shares"
            )


def carve(table: pa.Table, shares: Mapping[str, float], seed: int) -> dict[str, pa.Table]:
    """Divide a table into ``train`` and parts of the given shares, stratified by label.

    No text is in two parts; texts that differ only in case or spacing count as equal. The part of a text
    depends on the seed and on the text, not on its row. Rows without a label stay in ``train``.
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
    """Divide a table of ``tokens`` into ``train`` and parts of the given shares.

    No sentence is in two parts; sentences that differ only in case count as equal. The part of a sentence
    depends on the seed and on its words, not on its row.
    """
    parts: dict[str, list[int]] = {"train": [], **{split: [] for split in shares}}
    for rows in _in_order((" ".join(words).casefold() for words in table["tokens"].to_pylist()), seed):
        short = (s for s, share in shares.items() if len(parts[s]) < round(share * table.num_rows))
        parts[next(short, "train")] += rows
    return {split: taken(table, rows) for split, rows in parts.items()}


def _in_order(texts: Iterable[str], seed: int) -> list[list[int]]:
    """Return the rows of each text, with the texts in the order of the seed."""
    groups: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        groups.setdefault(text, []).append(row)
    return [groups[text] for text in sorted(groups, key=lambda text: place(text, seed))]


def place(text: str, seed: int) -> str:
    """Return the sort key of a text, a hash of the seed and the text; splits are carved in this order."""
    return hashlib.sha256(f"{seed}\0{text}".encode()).hexdigest()


def folded(text: str) -> str:
    """Return the text in one case, with single spaces, for comparison."""
    return " ".join(text.split()).casefold()


def taken(table: pa.Table, rows: Iterable[int]) -> pa.Table:
    """Return the given rows of a table, in the table's order."""
    import pyarrow as pa

    return table.take(pa.array(sorted(rows), pa.int64()))
