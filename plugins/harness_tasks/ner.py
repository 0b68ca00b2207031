"""Names in tweets."""

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
    """Emerging names in six types (WNUT-17: Derczynski et al., 2017, W17-4418).

    3,394 tweets to train on, 1,009 comments on videos to validate and 1,287 texts of several kinds to test,
    which hold hardly a name of the training split: that is the task. ``f1_surface``, over distinct names,
    stands beside F1 as in the shared task.
    """

    name = "wnut17"
    folder = "ner/wnut17"
    hub = HubSet(  # the hub's own conversion of "leondz/wnut_17" to Parquet
        "leondz/wnut_17",
        revision="1ac0b6d18c8a1a1d1606b24bef78b8af2f92d2d9",
        text="tokens",
        label="ner_tags",
    )

    def sample(self, generator: np.random.Generator) -> Mapping[str, pa.Table]:
        """Generate tweets with the same six types; see :mod:`harness_tasks.ner_sample`."""
        from harness_tasks.ner_sample import WNUT17, corpus

        return corpus(WNUT17, generator)


@dataclass(frozen=True)
class Btc(TaggedTask):
    """People, places and organisations in tweets (Broad Twitter Corpus: Derczynski et al., 2016, C16-1111).

    6,338 tweets to train on, 1,000 to validate and 2,000 to test. Tags are as published: a mention that is
    two words, "@ name", is tagged B-PER B-PER, so that each of the two counts as an entity.
    """

    name = "btc"
    folder = "ner/btc"
    hub = HubSet(  # the hub's own conversion to Parquet; it divides the tweets otherwise
        "GateNLP/broad_twitter_corpus",
        revision="20dedb45cd2d6e45b8f41d5e18a0aea0d240d570",
        text="tokens",
        label="ner_tags",
    )

    def sample(self, generator: np.random.Generator) -> Mapping[str, pa.Table]:
        """Generate tweets with the same three types; see :mod:`harness_tasks.ner_sample`."""
        from harness_tasks.ner_sample import BTC, corpus

        return corpus(BTC, generator)


@dataclass(frozen=True)
class Wnut16(TaggedTask):
    """Names in tweets in ten types (WNUT-16: Strauss et al., 2016, W16-3919; Ritter et al., 2011, D11-1141).

    2,394 tweets to train on, 1,000 to validate and 3,850 to test. All training tweets, and most that
    validate, stand in the training split of WNUT-17 too: never validate here what was trained there.
    """

    name = "wnut16"
    folder = "ner/wnut16"

    def sample(self, generator: np.random.Generator) -> Mapping[str, pa.Table]:
        """Generate tweets with the same ten types; see :mod:`harness_tasks.ner_sample`."""
        from harness_tasks.ner_sample import WNUT16, corpus

        return corpus(WNUT16, generator)
