"""GoEmotions: English comments, labelled with 27 emotions or as neutral."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from harness import HarnessError, Interval, Source
from harness.sources import UNLABELLED, DatasetTask, HubSet, read_table
from harness.sources.hub import hub_tables
from harness_multilabel.files import read_labels
from harness_multilabel.task_type import MultiLabel, Rule

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_PAIRED = 0.3  # share of the sample's texts that combine two


@dataclass(frozen=True)
class GoEmotions(DatasetTask):
    """Emotions in English comments: 27, or none ("neutral") (Demszky et al., 2020).

    Comments from Reddit, with one to five labels each: 43,410 for training, 5,426 for validation and 5,427
    for test (arXiv 2005.00547, Apache-2.0). The labels are unbalanced: 77 training texts show grief, 14,219
    are neutral.
    """

    name = "go-emotions"
    task_type: ClassVar[str] = MultiLabel.name
    label_column: ClassVar[str] = "labels"
    hub = HubSet(
        "google-research-datasets/go_emotions",
        revision="add492243ff905527e67aeb8b80c082af02207c3",
        config="simplified",
        label="labels",
    )

    thresholds: Rule = "per-label"  # one for each label, one for all labels, or `threshold`
    threshold: Annotated[float, Interval(gt=0, lt=1)] = 0.5  # for thresholds = "fixed"

    @property
    def type_options(self) -> Mapping[str, Any]:
        """Return the options of the task type: `thresholds` and `threshold`."""
        return {"thresholds": self.thresholds, "threshold": self.threshold}

    def read(self, source: Source) -> Mapping[str, pa.Table]:
        """Return tables with the columns ``text`` and ``labels``."""
        return self._of_hub() if source.name == "hub" else super().read(source)

    def read_file(self, split: str, path: Path, shown: str) -> pa.Table:
        """Return a local file as a table with ``text`` and, except for unlabelled texts, ``labels``."""
        if split == UNLABELLED:
            return read_table(path, label=None, shown=shown)
        return read_labels(path, self.text_column, self.label_column, shown=shown)

    def _of_hub(self) -> dict[str, pa.Table]:
        import pyarrow as pa

        features, splits = hub_tables(self.hub)
        names = names_of(features["labels"])
        return {
            split: pa.table(
                {
                    "text": table["text"].cast(pa.string()),
                    "labels": pa.array(
                        [[names[number] for number in row] for row in table["labels"].to_pylist()],
                        pa.list_(pa.string()),
                    ),
                }
            )
            for split, table in splits.items()
        }

    def sample(self, generator: np.random.Generator) -> Mapping[str, pa.Table]:
        """Return generated texts with six emotions; some combine two texts and the labels of both."""
        import pyarrow as pa

        from harness_tasks.emotion_sample import corpus

        tables = {}
        for split, table in corpus(generator).items():
            if split == UNLABELLED:
                tables[split] = table
                continue
            texts, labels = table["text"].to_pylist(), table["label"].to_pylist()
            pairs = generator.random(len(texts)) < _PAIRED
            others = generator.permutation(len(texts))
            joined = [
                f"{text} . {texts[other]}" if pair and other != row else text
                for row, (text, pair, other) in enumerate(zip(texts, pairs, others, strict=True))
            ]
            both = [
                sorted({label, labels[other]} if pair and other != row else {label})
                for row, (label, pair, other) in enumerate(zip(labels, pairs, others, strict=True))
            ]
            tables[split] = pa.table(
                {"text": pa.array(joined, pa.string()), "labels": pa.array(both, pa.list_(pa.string()))}
            )
        return tables


def names_of(feature: Any) -> list[str]:
    """Return the names of the labels in a data set's feature; raise HarnessError if it has none."""
    inner = feature[0] if isinstance(feature, list) else feature.get("feature", feature)
    names = inner.get("names") if isinstance(inner, Mapping) else None
    if not names:
        raise HarnessError(f"expected a list of class labels, got the feature {str(feature)[:100]}")
    return list(names)
