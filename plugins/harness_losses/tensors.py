"""What the losses share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from harness import Batch

# What goes row by row is the same for texts, for words, and for hidden tokens, whose classes are the tokens.
OF_CLASSES = frozenset({"classification", "tagging", "language-modelling"})
OF_TEXTS = frozenset({"classification", "regression", "language-modelling"})  # what looks inside the models


def wide(logits: Tensor) -> Tensor:
    """The logits in float32 at least: half precision loses the small probabilities that losses live on."""
    return logits if logits.element_size() >= 4 else logits.float()


def present(teacher: Tensor | None) -> Tensor:
    """The teacher's logits, widened; ValueError where there are none."""
    if teacher is None:
        raise ValueError("this loss needs the teacher's logits")
    return wide(teacher)


def log_probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Tempered log-probabilities over the last dimension, in float32 at least, and finite.

    Logits of -inf, the logarithm of a black box's probability 0, become very small ones: 0 times them
    is 0, where 0 times -inf is NaN.
    """
    return (wide(logits).clamp_min(-1e30) / temperature).log_softmax(-1)


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) of finite log-probabilities, (B, C) and (B, C) -> (B,)."""
    return (p.exp() * (p - q)).sum(-1)


def row_mean(values: Tensor, batch: Batch) -> Tensor:
    """(B, ...) to the mean, (), each row times its weight where rows have any.

    The sum is over the number of rows, not of weights: those have a mean of 1 over the training set, and a
    batch of rare classes alone is to count for more than others.
    """
    if batch.weights is None:
        return values.mean()
    return (values.flatten(1).mean(1) if values.dim() > 1 else values).mul(batch.weights).mean()
