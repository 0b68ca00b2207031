"""Functions on tensors that several losses use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from harness import Batch

# Types of task whose logits are rows of classes: of texts, of words, or of hidden tokens (a class per token).
OF_CLASSES = frozenset({"classification", "tagging", "language-modelling"})
OF_TEXTS = frozenset({"classification", "regression", "language-modelling"})  # inner states are available


def wide(logits: Tensor) -> Tensor:
    """Return the logits in float32 or wider, since half precision rounds small probabilities to 0."""
    return logits if logits.element_size() >= 4 else logits.float()


def present(teacher: Tensor | None) -> Tensor:
    """Return the teacher's logits in float32 or wider; raise ValueError if there are none."""
    if teacher is None:
        raise ValueError("the loss needs the teacher's logits, but the batch has none")
    return wide(teacher)


def log_probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return tempered log-probabilities over the last dimension, in float32 or wider, and finite.

    A logit of -inf, the logarithm of a probability of 0, is replaced by a very small number: 0 times that is
    0, but 0 times -inf is NaN.
    """
    return (wide(logits).clamp_min(-1e30) / temperature).log_softmax(-1)


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """Return KL(p || q) of finite log-probabilities, (B, C) and (B, C) -> (B,)."""
    return (p.exp() * (p - q)).sum(-1)


def row_mean(values: Tensor, batch: Batch) -> Tensor:
    """Return the mean, (), of values (B, ...), each row multiplied by its weight if the batch has weights.

    The sum is divided by the number of rows, not by the sum of weights. Weights have a mean of 1 over the
    training set, so a batch with many rare classes counts more than others.
    """
    if batch.weights is None:
        return values.mean()
    return (values.flatten(1).mean(1) if values.dim() > 1 else values).mul(batch.weights).mean()
