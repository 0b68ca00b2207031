"""A fine-tuned classifier as it is, its outputs put into the order of a task's classes."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness import Context, HarnessError
from harness.api import SCORE
from harness_transformers.finetuning import Classifier, TransformerModel
from harness_transformers.folders import CONFIG, encoder_of, featuriser_of, read_config


class LabelledClassifier(Classifier):
    """Token ids (B, L) → logits (B, C), of a head that has its labels in an order of its own."""

    def __init__(self, encoder: nn.Module, padding: int, order: Sequence[int], separator: int | None) -> None:
        super().__init__(encoder, "head", padding, len(order), dropout=0.0, separator=separator)
        self.order: Tensor
        self.register_buffer("order", torch.tensor(order))  # (C,): where the head has each class

    def outputs(self, ids: Tensor, names: Collection[str]) -> dict[str, Any]:
        """See :class:`Classifier`."""
        found = super().outputs(ids, names)
        return found | {"logits": found["logits"].index_select(1, self.order)}


def from_folder(
    folder: Path, classes: Sequence[str], longest: int, model: str, context: Context
) -> TransformerModel:
    """The classifier in a folder. Raises HarnessError where its labels are not the task's classes.

    It reads `longest` subwords of a text; `model` is what the suite calls it.
    """
    config = read_config(folder)
    if not any(name.endswith("ForSequenceClassification") for name in config.architectures or ()):
        raise HarnessError(
            f"the model '{model}' was not fine-tuned to classify: it is a "
            f"{', '.join(config.architectures or ()) or 'bare encoder'}; use teacher 'transformer'"
        )
    order = order_of(config.id2label, classes, model)
    featuriser = featuriser_of(folder, config, longest)
    encoder = encoder_of("head", config.num_labels, folder=folder)
    return TransformerModel(
        LabelledClassifier(encoder, featuriser.padding, order, featuriser.separator),
        featuriser,
        classes,
        context,
    )


def order_of(labels: Mapping[int, str], classes: Sequence[str], model: str) -> list[int]:
    """The number of each class among a checkpoint's labels, whatever their case; a score has one label."""
    if tuple(classes) == SCORE:
        if len(labels) != 1:
            listed = ", ".join(labels.values())
            raise HarnessError(f"the model '{model}' was not fine-tuned to score: it has the labels {listed}")
        return [0]
    numbers = {label.casefold(): int(number) for number, label in labels.items()}
    if missing := [name for name in classes if name.casefold() not in numbers]:
        raise HarnessError(
            f"the model '{model}' has no label for the class '{missing[0]}'; "
            f"its labels: {', '.join(labels.values())}; the task's classes: {', '.join(classes)}"
        )
    return [numbers[name.casefold()] for name in classes]


def load(folder: Path, context: Context) -> TransformerModel:
    """Read what :meth:`TransformerModel.save` wrote."""
    from transformers import AutoConfig

    reads = json.loads((folder / "featuriser.json").read_text(encoding="utf-8"))
    labels = AutoConfig.from_pretrained(folder / CONFIG).num_labels

    def build(size: int, classes: int) -> nn.Module:
        encoder = encoder_of("head", labels, config=folder / CONFIG)
        return LabelledClassifier(encoder, reads["padding"], range(classes), reads["separator"])

    return TransformerModel.load(folder, context, build)  # type: ignore[return-value]
