"""Raw texts to model: tweets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from harness.api import Source
from harness.sources import HubSet
from harness.sources.files import read_table
from harness_tasks.cleaning import Cleaning
from harness_tasks.derived import DerivedTask

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True)
class Tweets(Cleaning, DerivedTask):
    """English tweets without labels, whose hidden words are to be told (TweetEval: Barbieri et al., 2020).

    Local data is in the folder ``raw-tweets``: texts of the sets for emoji, irony, stance and sentiment
    (2020.findings-emnlp.148), 111,912 to train on and 4,000 each to validate and test. Those of the
    hub are its set for sentiment alone: 45,615 to train on, 2,000 to validate and 12,284 to test.
    """

    name = "tweets"
    task_type: ClassVar[str] = "language-modelling"
    headline: ClassVar[str] = "perplexity"
    folder = "raw-tweets"
    hub = HubSet(
        "cardiffnlp/tweet_eval", revision="b3a375baf0f409c77e6bc7aa35102b7b3534f8be", config="sentiment"
    )

    def recipe(self, source: Source) -> str:
        """Say how texts are cleaned, and how many there are to train on."""
        return self.cleaning()

    def derive(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
        """The texts, cleaned."""
        return self.cleaned(tables)

    def read_file(self, split: str, path: Path, shown: str) -> pa.Table:
        """The texts of one local file; a label beside them is passed over."""
        return read_table(path, text=self.text_column, label=None, shown=shown)

    def sample(self, generator: np.random.Generator) -> Mapping[str, pa.Table]:
        """Generate tweets without labels; see :mod:`harness_tasks.tweets_sample`."""
        from harness_tasks.tweets_sample import corpus

        return corpus(generator)
