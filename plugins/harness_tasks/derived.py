"""Tasks whose splits are derived from what their source holds: carved, halved, balanced, renamed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.api import SPLITS, Source, Unavailable
from harness.sources import DatasetTask
from harness_tasks.carving import folded, place, taken

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class DerivedTask(DatasetTask):
    """A task that does more than read: the recipe, in words, is part of its data's fingerprint."""

    def recipe(self, source: Source) -> str:
        """What :meth:`derive` does to data of that source, or "" for nothing.

        The same words must always mean the same splits.
        """
        raise NotImplementedError

    def derive(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
        """The splits to use, from those that the source has."""
        raise NotImplementedError

    def resolve(self, source: str) -> Source:
        """The source to use, whose fingerprint covers the recipe."""
        found = super().resolve(source)
        if source == "auto" or not (recipe := self.recipe(found)):
            return found  # "auto" has come through here before, by the name that answered
        return replace(found, fingerprint=f"{found.fingerprint}; {recipe}")

    def read(self, source: Source) -> Mapping[str, pa.Table]:
        """Arrow tables with the string columns ``text`` and ``label``, by split."""
        plain = replace(source, fingerprint=source.fingerprint.partition("; ")[0])
        return self.derive(super().read(plain))

    def splits_of(self, source: Source) -> Collection[str]:
        """The splits that a source has of its own."""
        if source.name == "local":
            return self.local_files()
        if source.name == "hub":
            if self.hub is None:
                raise Unavailable(f"task {self.name!r} has no data set on the hub")
            return self.hub.splits
        return SPLITS


def renamed(tables: Mapping[str, pa.Table], names: Mapping[str, str]) -> dict[str, pa.Table]:
    """The tables with labels that `names` knows replaced."""
    import pyarrow as pa

    def one(table: pa.Table) -> pa.Table:
        if "label" not in table.column_names:
            return table
        labels = [names.get(label, label) for label in table["label"].to_pylist()]
        return table.set_column(table.column_names.index("label"), "label", pa.array(labels, pa.string()))

    return {split: one(table) for split, table in tables.items()}


def without_labels(tables: Mapping[str, pa.Table], labels: Collection[str]) -> dict[str, pa.Table]:
    """The tables without the rows of some labels."""
    kept = dict(tables)
    for split, table in tables.items():
        if "label" in table.column_names:
            found = table["label"].to_pylist()
            kept[split] = taken(table, (row for row, label in enumerate(found) if label not in labels))
    return kept


def without_shared(tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """The tables without training texts that are in validation or test, and validation texts in test.

    The test split stays whole. Texts that differ in case or spacing alone are the same.
    """
    seen: set[str] = set()
    kept = dict(tables)
    for split in reversed(SPLITS):
        texts = [folded(text) for text in tables[split]["text"].to_pylist()]
        if split != "test":
            kept[split] = taken(tables[split], (row for row, text in enumerate(texts) if text not in seen))
        seen.update(texts)
    return kept


def balanced(tables: Mapping[str, pa.Table], size: int, seed: int) -> dict[str, pa.Table]:
    """At most `size` rows a split, the same number of every class, chosen by the seed and the texts alone.

    A validation split that is too small is filled up with training rows that training did not take. A class
    with fewer rows gives what it has.
    """
    import pyarrow as pa

    classes = sorted(set(tables["train"]["label"].to_pylist()) - {None})
    share = size // len(classes)

    def rows(split: str) -> dict[str, list[int]]:
        texts, labels = (tables[split][column].to_pylist() for column in ("text", "label"))
        order = sorted(range(len(texts)), key=lambda row: place(folded(texts[row]), seed))
        return {name: [row for row in order if labels[row] == name] for name in classes}

    chosen = {split: rows(split) for split in SPLITS}
    parts = {
        split: taken(tables[split], (row for name in classes for row in chosen[split][name][:share]))
        for split in SPLITS
    }
    used = {folded(text) for part in parts.values() for text in part["text"].to_pylist()}
    texts = tables["train"]["text"].to_pylist()
    spare = []
    for name in classes:
        free = [row for row in chosen["train"][name][share:] if folded(texts[row]) not in used]
        spare += free[: max(0, share - len(chosen["validation"][name]))]
    parts["validation"] = pa.concat_tables([parts["validation"], taken(tables["train"], spare)])
    return {**tables, **parts}
