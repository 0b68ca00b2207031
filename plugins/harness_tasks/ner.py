"""Recognition of names in tweets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.sources import HubSet
from harness.sources.tagged import TaggedTask

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True)
class Wnut17(TaggedTask):
    """Emerging names of six types (WNUT-17: Derczynski et al., 2017, W17-4418).

    3,394 training tweets, 1,009 validation comments on videos and 1,287 test texts of several kinds. By
    design, almost no name of the test split occurs in the training split. As in the shared task,
    ``f1_surface``, which counts distinct names, is reported beside F1.
    """

    name = "wnut17"
    folder = "ner/wnut17"
    hub = HubSet(  # the commit is the hub's automatic conversion of the data set to Parquet
        "leondz/wnut_17",
        revision="1ac0b6d18c8a1a1d1606b24bef78b8af2f92d2d9",
        text="tokens",
        label="ner_tags",
    )

    def sample(self, generator: np.random.Generator) -> Mapping[str, pa.Table]:
        """Generate tweets with names of the same six types; see :mod:`harness_tasks.ner_sample`."""
        from harness_tasks.ner_sample import WNUT17, corpus

        return corpus(WNUT17, generator)


@dataclass(frozen=True)
class Btc(TaggedTask):
    """People, places and organisations in tweets (Broad Twitter Corpus: Derczynski et al., 2016, C16-1111).

    6,338 training, 1,000 validation and 2,000 test tweets. Tags are as published: a mention in two words,
    "@ name", is tagged B-PER B-PER, so that each of the two words counts as an entity.
    """

    name = "btc"
    folder = "ner/btc"
    hub = HubSet(  # the hub's automatic conversion to Parquet, which has different splits
        "GateNLP/broad_twitter_corpus",
        revision="20dedb45cd2d6e45b8f41d5e18a0aea0d240d570",
        text="tokens",
        label="ner_tags",
    )

    def sample(self, generator: np.random.Generator) -> Mapping[str, pa.Table]:
        """Generate tweets with names of the same three types; see :mod:`harness_tasks.ner_sample`."""
        from harness_tasks.ner_sample import BTC, corpus

        return corpus(BTC, generator)


@dataclass(frozen=True)
class Wnut16(TaggedTask):
    """Names of ten types in tweets (WNUT-16: Strauss et al., 2016, W16-3919; Ritter et al., 2011, D11-1141).

    2,394 training, 1,000 validation and 3,850 test tweets. All training tweets and most validation tweets
    are also in the training split of WNUT-17, so do not evaluate here a model that was trained there.
    """

    name = "wnut16"
    folder = "ner/wnut16"

    def sample(self, generator: np.random.Generator) -> Mapping[str, pa.Table]:
        """Generate tweets with names of the same ten types; see :mod:`harness_tasks.ner_sample`."""
        from harness_tasks.ner_sample import WNUT16, corpus

        return corpus(WNUT16, generator)
