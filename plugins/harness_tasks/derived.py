"""Base class of the tasks that change the splits of their source: carve, halve, balance or rename them."""

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
    """A task that derives its splits by a recipe, which is part of the data's fingerprint."""

    def recipe(self, source: Source) -> str:
        """Return a description of what :meth:`derive` does to data of that source; "" if it does nothing.

        The description is part of the fingerprint, so equal descriptions must mean equal splits.
        """
        raise NotImplementedError

    def derive(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
        """Return the splits to use, made from the tables of the source."""
        raise NotImplementedError

    def resolve(self, source: str) -> Source:
        """Return the source to use; its fingerprint covers the recipe."""
        found = super().resolve(source)
        if source == "auto" or not (recipe := self.recipe(found)):
            return found  # for "auto" the recipe is there already: super() called this method by a real name
        return replace(found, fingerprint=f"{found.fingerprint}; {recipe}")

    def read(self, source: Source) -> Mapping[str, pa.Table]:
        """Return Arrow tables with the string columns ``text`` and ``label``, by split."""
        plain = replace(source, fingerprint=source.fingerprint.partition("; ")[0])
        return self.derive(super().read(plain))

    def splits_of(self, source: Source) -> Collection[str]:
        """Return the names of the splits that a source has before :meth:`derive`."""
        if source.name == "local":
            return self.local_files()
        if source.name == "hub":
            if self.hub is None:
                raise Unavailable(f"task {self.name!r} has no data set on the hub")
            return self.hub.splits
        return SPLITS


def renamed(tables: Mapping[str, pa.Table], names: Mapping[str, str]) -> dict[str, pa.Table]:
    """Return the tables with each label that is a key of `names` replaced by its value."""
    import pyarrow as pa

    def one(table: pa.Table) -> pa.Table:
        if "label" not in table.column_names:
            return table
        labels = [names.get(label, label) for label in table["label"].to_pylist()]
        return table.set_column(table.column_names.index("label"), "label", pa.array(labels, pa.string()))

    return {split: one(table) for split, table in tables.items()}


def without_labels(tables: Mapping[str, pa.Table], labels: Collection[str]) -> dict[str, pa.Table]:
    """Return the tables without the rows that have one of these labels."""
    kept = dict(tables)
    for split, table in tables.items():
        if "label" in table.column_names:
            found = table["label"].to_pylist()
            kept[split] = taken(table, (row for row, label in enumerate(found) if label not in labels))
    return kept


def without_shared(tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """Return the tables without training texts that are in validation or test, or validation texts in test.

    The test split is not changed. Texts that differ only in case or spacing count as equal.
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
    """Return at most `size` rows of each split, equally many of every class.

    The choice depends on the seed and on the texts, not on the rows. A validation split that is too small is
    filled up with training rows that are not used for training. A class with too few rows contributes all of
    them.
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
