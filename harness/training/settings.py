"""The hyper-parameters of training, with their defaults."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Interval

Schedule = Literal["one-cycle", "linear", "cosine", "constant"]


ClassWeights = Literal["uniform", "balanced", "square-root"]


def training_of(component: Any) -> Training:
    """Return the training settings from a component's parameters."""
    return Training(
        **{f.name: getattr(component, f.name) for f in fields(Training) if hasattr(component, f.name)}
    )


@dataclass(frozen=True, kw_only=True)
class Training:
    """The settings of a training. The fields are parameters of every torch teacher and student."""

    epochs: Annotated[int, Gt(0)] = 6
    batch_size: Annotated[int, Gt(0)] = 128
    learning_rate: Annotated[float, Gt(0)] = 5e-3  # the peak of the schedule
    schedule: Schedule = "one-cycle"
    warmup: Annotated[float, Interval(ge=0, lt=1)] = 0.1  # share of the steps before the peak
    weight_decay: Annotated[float, Ge(0)] = 0.0  # decoupled (Loshchilov & Hutter, 2019); for matrices only
    epsilon: Annotated[float, Gt(0)] = 1e-8  # of AdamW, in the denominator
    clip: Annotated[float, Gt(0)] | None = 1.0  # largest norm of the gradient
    patience: Annotated[int, Ge(0)] = 0  # validations without a better score before stopping; 0: never
    keep_best: bool = True  # return the weights of the epoch with the best validation score
    min_examples: Annotated[int, Ge(0)] = (
        0  # fewest training examples over all epochs: a small set gets more epochs
    )
    accumulate: Annotated[int, Gt(0)] = 1  # batches whose gradients are added for one step
    micro_batches: Annotated[int, Gt(0)] = 1  # parts of a batch, for the idle cores of a CPU
    gpus: Annotated[int, Gt(0)] = 1  # parts of a batch on a GPU, for several GPUs of one machine
    class_weights: ClassWeights = "uniform"  # "balanced": equal weight for every class
