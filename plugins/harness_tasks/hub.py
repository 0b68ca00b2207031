"""Any data set of the hub."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from harness.api import Source, Unavailable
from harness.sources import HubSet
from harness_tasks.carving import Share, carve, check_parts, check_shares, shares_of
from harness_tasks.derived import DerivedTask

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Hub(DerivedTask):
    """Labelled texts of any data set on the Hugging Face hub, at one commit.

    A split that the data set lacks is named "" and carved out of its training split. Data sets that
    need code of their own to be read are refused by `datasets`.
    """

    name = "hub"
    id: str  # "owner/name"
    revision: str  # a commit's full sha, so that the data never changes
    config: str = "default"  # also called subset
    text: str = "text"  # the column that holds the text
    label: str = "label"  # the column that holds the label
    train: str = "train"  # the data set's name for the training split
    validation: str = "validation"  # "" where it has none
    test: str = "test"  # "" where it has none, or none with labels
    validation_share: Share = 0.1  # of the training split, where `validation` is ""
    test_share: Share = 0.1  # of the training split, where `test` is ""
    split_seed: Annotated[int, Ge(0)] = 0  # another seed carves other rows

    @property
    def hub(self) -> HubSet:  # type: ignore[override]
        """Where to look."""
        return HubSet(self.id, self.revision, self.config, self.text, self.label, self._splits())

    def check(self) -> None:
        """Raise ValueError for names that the hub cannot have, and for columns or splits that coincide."""
        if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", self.id):
            raise ValueError(f"id must be a data set's name such as 'nyu-mll/glue', got {self.id!r}")
        if not re.fullmatch(r"[0-9a-f]{40}", self.revision):
            raise ValueError(
                f"revision must be a commit's 40 hexadecimal digits, got {self.revision!r}; a branch or "
                "a tag moves, and results with it"
            )
        if not re.fullmatch(r"[\w-][\w.-]*", self.config):
            raise ValueError(f"config must be the name of a configuration, got {self.config!r}")
        if self.text == self.label:
            raise ValueError(f"text and label are both the column {self.text!r}")
        if not self.train:
            raise ValueError("train must name a split")
        if any(not re.fullmatch(r"\w[\w.]*", split) for split in self._splits().values()):
            raise ValueError("train, validation and test must be names of splits")
        if len(set(self._splits().values())) < len(self._splits()):
            raise ValueError("train, validation and test must be different splits")
        check_shares(shares_of(self))

    def resolve(self, source: str) -> Source:
        """The hub; there is nothing else."""
        if source in ("local", "sample"):
            raise Unavailable(f"task '{self.name}' has no {source} source: its data is {self.id} on the hub")
        return super().resolve(source)

    def recipe(self, source: Source) -> str:
        """Say which columns are read, and what is carved."""
        carved = "".join(f", {split} = {share} of train" for split, share in shares_of(self).items())
        seed = f", seed {self.split_seed}" if carved else ""
        splits = ", ".join(self._splits().values())
        return f"columns {self.text!r} and {self.label!r} of {splits}{carved}{seed}"

    def derive(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
        """The three splits."""
        if not (carved := shares_of(self)):
            return tables
        tables = {**tables, **carve(tables["train"], carved, self.split_seed)}
        check_parts(tables, self.id)
        return tables

    def _splits(self) -> dict[str, str]:
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {split: theirs for split, theirs in named.items() if theirs}
