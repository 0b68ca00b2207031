"""Raw English tweets for masked language modelling."""

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
    """Raw English tweets, for masked language modelling (TweetEval: Barbieri et al., 2020).

    The local folder ``raw-tweets`` has the texts of the sets for emoji, irony, stance and sentiment
    (2020.findings-emnlp.148): 111,912 training, 4,000 validation and 4,000 test texts. The hub has only the
    set for sentiment: 45,615 training, 2,000 validation and 12,284 test texts.
    """

    name = "tweets"
    task_type: ClassVar[str] = "language-modelling"
    headline: ClassVar[str] = "perplexity"
    folder = "raw-tweets"
    hub = HubSet(
        "cardiffnlp/tweet_eval", revision="b3a375baf0f409c77e6bc7aa35102b7b3534f8be", config="sentiment"
    )

    def recipe(self, source: Source) -> str:
        """Return a description of the cleaning and of the limit on training texts."""
        return self.cleaning()

    def derive(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
        """Return the cleaned texts."""
        return self.cleaned(tables)

    def read_file(self, split: str, path: Path, shown: str) -> pa.Table:
        """Return the texts of one local file, without its labels if it has any."""
        return read_table(path, text=self.text_column, label=None, shown=shown)

    def sample(self, generator: np.random.Generator) -> Mapping[str, pa.Table]:
        """Generate raw tweets; see :mod:`harness_tasks.tweets_sample`."""
        from harness_tasks.tweets_sample import corpus

        return corpus(generator)
