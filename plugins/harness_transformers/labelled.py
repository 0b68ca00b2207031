"""Use a fine-tuned classifier, with its outputs in the order of a task's classes."""

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
from harness_transformers.folders import CONFIG, encoder_of, featuriser_of, name_of, read_config
from harness_transformers.padding import check_module


class LabelledClassifier(Classifier):
    """A classifier whose head has the labels in another order: token ids (B, L) → logits (B, C)."""

    def __init__(self, encoder: nn.Module, padding: int, order: Sequence[int], separator: int | None) -> None:
        super().__init__(encoder, "head", padding, len(order), dropout=0.0, separator=separator)
        self.order: Tensor
        self.register_buffer("order", torch.tensor(order))  # (C,): the head's output for each class

    def outputs(self, ids: Tensor, names: Collection[str]) -> dict[str, Any]:
        """Return the logits (B, C) in the order of the classes, and the inner states `names`."""
        found = super().outputs(ids, names)
        return found | {"logits": found["logits"].index_select(1, self.order)}


def from_folder(
    folder: Path, classes: Sequence[str], longest: int, model: str, context: Context
) -> TransformerModel:
    """Load the classifier in a folder, which reads at most `longest` subwords of a text.

    `model` is its name in errors. Raise HarnessError if its labels do not include the task's classes.
    """
    config = read_config(folder)
    if not any(name.endswith("ForSequenceClassification") for name in config.architectures or ()):
        raise HarnessError(
            f"expected a fine-tuned classifier as model '{model}', got a "
            f"{', '.join(config.architectures or ()) or 'bare encoder'}; use teacher 'transformer'"
        )
    order = order_of(config.id2label, classes, model)
    featuriser = featuriser_of(folder, config, longest)
    encoder = encoder_of("head", config.num_labels, folder=folder)
    module = LabelledClassifier(encoder, featuriser.padding, order, featuriser.separator)
    check_module(module, featuriser, name_of(encoder))
    return TransformerModel(module, featuriser, classes, context)


def order_of(labels: Mapping[int, str], classes: Sequence[str], model: str) -> list[int]:
    """Return the position of each class among a checkpoint's labels, ignoring case; a score has one label."""
    if tuple(classes) == SCORE:
        if len(labels) != 1:
            listed = ", ".join(labels.values())
            raise HarnessError(f"the model '{model}' was not fine-tuned to score: it has the labels {listed}")
        return [0]
    numbers = {label.casefold(): int(number) for number, label in labels.items()}
    if missing := [name for name in classes if name.casefold() not in numbers]:
        raise HarnessError(
            f"cannot find class '{missing[0]}' among the labels of model '{model}': "
            f"{', '.join(labels.values())}; the task's classes: {', '.join(classes)}"
        )
    return [numbers[name.casefold()] for name in classes]


def load(folder: Path, context: Context) -> TransformerModel:
    """Load a model that :meth:`TransformerModel.save` wrote."""
    from transformers import AutoConfig

    reads = json.loads((folder / "featuriser.json").read_text(encoding="utf-8"))
    labels = AutoConfig.from_pretrained(folder / CONFIG).num_labels

    def build(size: int, classes: int) -> nn.Module:
        encoder = encoder_of("head", labels, config=folder / CONFIG)
        return LabelledClassifier(encoder, reads["padding"], range(classes), reads["separator"])

    return TransformerModel.load(folder, context, build)  # type: ignore[return-value]
