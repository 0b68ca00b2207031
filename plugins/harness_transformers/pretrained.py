"""The parameters of transformers that are fine-tuned, wherever their weights come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import harness
from harness import Ge, Gt, Interval
from harness.training.settings import ClassWeights, Schedule

Pooling = Literal["head", "mean", "cls"]
INNER = frozenset({"logits", "hidden", "layers", "attention", "relations"})  # what a transformer can show


@dataclass(frozen=True, kw_only=True)
class Pretrained(harness.Teacher):
    """What fine-tuning asks of its start: a folder of weights, or a prior, and how to go on from there."""

    epochs: Annotated[int, Gt(0)] = 3
    batch_size: Annotated[int, Gt(0)] = 32
    learning_rate: Annotated[float, Gt(0)] = 5e-5  # the peak, after which it falls linearly to zero
    schedule: Schedule = "linear"
    warmup: Annotated[float, Interval(ge=0, lt=1)] = 0.06  # share of the steps before the peak
    weight_decay: Annotated[float, Ge(0)] = 0.01
    epsilon: Annotated[float, Gt(0)] = 1e-8  # of AdamW
    accumulate: Annotated[int, Gt(0)] = 1  # batches whose gradients make one step
    class_weights: ClassWeights = "uniform"  # "balanced": every class counts alike; "square-root": half-way
    patience: Annotated[int, Ge(0)] = 0  # validations without a better score before stopping; 0: never
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.1  # before a linear layer; a "head" has its own
    longest: Annotated[int, Gt(2)] = 128  # subwords; the rest of a text is not read
    pooling: Pooling = (
        "head"  # the architecture's own classification head, or a linear layer on mean or [CLS]
    )

    def folder(self) -> Path:
        """Where the pretrained weights lie; fetched if need be. Raises Unavailable."""
        raise NotImplementedError
