"""Classification of texts in any data set on the hub."""

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
    """Labelled texts in a data set on the Hugging Face hub, at one commit.

    If the data set lacks a split, name it "": it is then carved out of the training split. Data sets that
    need their own loading code are not supported by `datasets`.
    """

    name = "hub"
    id: str  # "owner/name"
    revision: str  # full SHA of a commit, so that the data never changes
    config: str = "default"  # name of the configuration, which the hub also calls subset
    text: str = "text"  # column with the text
    label: str = "label"  # column with the label
    train: str = "train"  # the data set's name for the training split
    validation: str = "validation"  # its name for the validation split; "": carved out of `train`
    test: str = "test"  # its name for the test split; "" (also if it has no labels): carved out of `train`
    validation_share: Share = 0.1  # share of the training rows, used if `validation` is ""
    test_share: Share = 0.1  # share of the training rows, used if `test` is ""
    split_seed: Annotated[int, Ge(0)] = 0  # seed for the choice of the carved rows

    @property
    def hub(self) -> HubSet:  # type: ignore[override]
        """Return the data set's name, commit, columns and splits."""
        return HubSet(self.id, self.revision, self.config, self.text, self.label, self._splits())

    def check(self) -> None:
        """Raise ValueError for a name that the hub cannot have, or equal columns or splits."""
        if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", self.id):
            raise ValueError(f"expected id to be a data set's name such as 'nyu-mll/glue', got {self.id!r}")
        if not re.fullmatch(r"[0-9a-f]{40}", self.revision):
            raise ValueError(
                f"expected revision to be the 40 hexadecimal digits of a commit, got {self.revision!r}; a "
                "branch or tag can move, and would change the data"
            )
        if not re.fullmatch(r"[\w-][\w.-]*", self.config):
            raise ValueError(f"expected config to be the name of a configuration, got {self.config!r}")
        if self.text == self.label:
            raise ValueError(f"text and label are both {self.text!r}; expected two different columns")
        if not self.train:
            raise ValueError("expected train to be the name of a split, got ''")
        got = ", ".join(map(repr, self._splits().values()))
        if any(not re.fullmatch(r"\w[\w.]*", split) for split in self._splits().values()):
            raise ValueError(f"expected train, validation and test to be names of splits, got {got}")
        if len(set(self._splits().values())) < len(self._splits()):
            raise ValueError(f"expected different splits for train, validation and test, got {got}")
        check_shares(shares_of(self))

    def resolve(self, source: str) -> Source:
        """Return the hub as a source; "local" and "sample" raise Unavailable."""
        if source in ("local", "sample"):
            raise Unavailable(
                f"task '{self.name}' has no {source} source: it reads {self.id} from the hub; "
                "use the source auto or hub"
            )
        return super().resolve(source)

    def recipe(self, source: Source) -> str:
        """Return a description of the columns and the carved splits."""
        carved = "".join(f", {split} = {share} of train" for split, share in shares_of(self).items())
        seed = f", seed {self.split_seed}" if carved else ""
        splits = ", ".join(self._splits().values())
        return f"columns {self.text!r} and {self.label!r} of {splits}{carved}{seed}"

    def derive(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
        """Return the three splits."""
        if not (carved := shares_of(self)):
            return tables
        tables = {**tables, **carve(tables["train"], carved, self.split_seed)}
        check_parts(tables, self.id)
        return tables

    def _splits(self) -> dict[str, str]:
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {split: theirs for split, theirs in named.items() if theirs}
