"""Parameters for fine-tuning a pretrained transformer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import harness
from harness import Ge, Gt, Interval
from harness.training.settings import ClassWeights, Schedule

Pooling = Literal["head", "mean", "cls"]
INNER = frozenset({"logits", "hidden", "layers", "attention", "relations"})  # outputs of a transformer


@dataclass(frozen=True, kw_only=True)
class Pretrained(harness.Teacher):
    """A pretrained transformer, from a folder of weights or a prior model, and how to fine-tune it."""

    spreads: ClassVar[bool] = True
    micro_batches: ClassVar[int] = 2

    epochs: Annotated[int, Gt(0)] = 3
    most_texts: Annotated[int, Ge(0)] = 0  # training texts to learn from at most, drawn at random; 0: all
    batch_size: Annotated[int, Gt(0)] = 32
    learning_rate: Annotated[float, Gt(0)] = 5e-5  # peak of the schedule, which then falls linearly to zero
    schedule: Schedule = "linear"
    warmup: Annotated[float, Interval(ge=0, lt=1)] = 0.06  # fraction of the steps before the peak
    weight_decay: Annotated[float, Ge(0)] = 0.01
    epsilon: Annotated[float, Gt(0)] = 1e-8  # of AdamW
    accumulate: Annotated[int, Gt(0)] = 1  # batches per optimiser step
    gpus: Annotated[int, Interval(ge=1, le=16)] = (
        1  # GPUs of one machine that share each batch; on fewer the result is the same, only later
    )
    class_weights: ClassWeights = "uniform"  # "balanced": all classes count equally; "square-root": half-way
    patience: Annotated[int, Ge(0)] = 0  # stop after this many validations without a better score; 0: never
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.1  # before the linear layer; a "head" has its own
    longest: Annotated[int, Gt(2)] = 128  # maximum number of subwords read from a text
    pooling: Pooling = "head"  # the architecture's own head; "mean", "cls": a linear layer on these states

    @property
    def gpus_to_train(self) -> int:
        """Return the number of GPUs that share a batch."""
        return self.gpus

    def folder(self) -> Path:
        """Return the folder of the weights, downloading them if necessary. Raise Unavailable without them."""
        raise NotImplementedError
