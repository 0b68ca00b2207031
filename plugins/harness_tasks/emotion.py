"""English tweets in six emotions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.sources import DatasetTask, HubSet

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True)
class Emotion(DatasetTask):
    """Six emotions in English tweets (CARER: Saravia et al., 2018, EMNLP, D18-1404).

    16,000 training, 2,000 validation and 2,000 test tweets. Labels come from hashtags, and classes are
    unbalanced. The licence allows research and education only.
    """

    name = "emotion"
    sample_version = 3
    class_names = ("sadness", "joy", "love", "anger", "fear", "surprise")
    hub = HubSet("dair-ai/emotion", revision="cab853a1dbdf4c42c2b3ef2173804746df8825fe", config="split")

    def sample(self, generator: np.random.Generator) -> Mapping[str, pa.Table]:
        """Generate texts in the same six emotions; see :mod:`harness_tasks.emotion_sample`."""
        from harness_tasks.emotion_sample import corpus

        return corpus(generator)
