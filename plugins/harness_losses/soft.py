"""Losses between the class distributions of teacher and student."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import harness
from harness_losses.tensors import OF_CLASSES, divergence, log_probabilities, present, row_mean

if TYPE_CHECKING:
    from torch import Tensor

Temperature = Annotated[float, harness.Interval(gt=0, lt=math.inf)]
Weight = Annotated[float, harness.Interval(ge=0, lt=math.inf)]


@dataclass(frozen=True)
class SoftTargets(harness.Loss):
    """KL(teacher || student) of the tempered distributions (Hinton et al., 2015), batch mean, in nats.

    It is multiplied by the squared temperature, so that gradients are of similar size at all temperatures.
    """

    name = "kl"
    separable: ClassVar[bool] = True
    task_types: ClassVar[frozenset[str]] = OF_CLASSES
    # Most words are outside of entities; where both models are certain of that, others have no gradient.
    preferred_for: ClassVar[frozenset[str]] = frozenset({"tagging"})

    temperature: Temperature = 2.0  # divides both models' logits; above 1 flattens, below 1 sharpens

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Return the batch mean, (), for logits (B, C) of both models."""
        from harness_losses.fused import divergences

        p = log_probabilities(present(teacher), self.temperature)
        return row_mean(divergences(p, student, self.temperature), batch) * self.temperature**2


@dataclass(frozen=True)
class SoftCrossEntropy(harness.Loss):
    """Cross-entropy with the teacher's tempered probabilities as targets (Jiao et al., 2020, TinyBERT).

    It is the batch mean in nats, multiplied by the squared temperature. Its gradient is that of `kl` at the
    same temperature; its value is larger by the entropy of the teacher.
    """

    name = "soft-cross-entropy"
    separable: ClassVar[bool] = True
    task_types: ClassVar[frozenset[str]] = OF_CLASSES

    temperature: Temperature = 1.0  # divides both models' logits

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Return the batch mean, (), for logits (B, C) of both models."""
        p = log_probabilities(present(teacher), self.temperature).exp()
        q = log_probabilities(student, self.temperature)
        return -row_mean((p * q).sum(-1), batch) * self.temperature**2


@dataclass(frozen=True)
class JensenShannon(harness.Loss):
    """Jensen-Shannon divergence of the tempered distributions (Lin, 1991), batch mean, in nats.

    It is symmetric, and at most log 2 per row before it is multiplied by the squared temperature. So rows
    with an over-confident teacher cannot dominate a batch, as they can with `kl`.
    """

    name = "jensen-shannon"
    separable: ClassVar[bool] = True
    task_types: ClassVar[frozenset[str]] = OF_CLASSES

    temperature: Temperature = 1.0  # divides both models' logits

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Return the batch mean, (), for logits (B, C) of both models."""
        p = log_probabilities(present(teacher), self.temperature)
        q = log_probabilities(student, self.temperature)
        mean = p.logaddexp(q) - math.log(2)
        return row_mean(divergence(p, mean) + divergence(q, mean), batch) * self.temperature**2 / 2


@dataclass(frozen=True)
class Decoupled(harness.Loss):
    """Decoupled knowledge distillation (Zhao et al., 2022).

    The loss is ``alpha`` times the KL of (target class, all others), plus ``beta`` times the KL among the
    other classes. It is the batch mean in nats, multiplied by the squared temperature. The target is the gold
    label or, in a row without one, the teacher's most probable class. With two classes the second term is 0.

    `kl` is the same sum with alpha = 1 and, for each row, beta = the teacher's probability of the other
    classes. So a confident teacher suppresses the other classes in `kl`, but not here.
    """

    name = "decoupled"
    separable: ClassVar[bool] = True
    task_types: ClassVar[frozenset[str]] = OF_CLASSES

    alpha: Weight = 1.0  # weight of the target class
    beta: Weight = 8.0  # weight of the other classes; the paper uses 1 to 10
    temperature: Temperature = 4.0  # divides both models' logits

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Return the batch mean, (), for logits (B, C) of both models and the batch's labels, if any."""
        import torch

        p = log_probabilities(present(teacher), self.temperature)  # (B, C)
        q = log_probabilities(student, self.temperature)
        target = p.argmax(-1)
        if batch.labels is not None:
            target = torch.where(batch.labels >= 0, batch.labels, target)
        # The paper's code masks classes with a large negative logit. Selecting the others instead keeps
        # 1 - p exact if the target's probability rounds to 1.
        rest = torch.ones_like(p, dtype=torch.bool).scatter_(-1, target[:, None], False)

        def split(log: Tensor) -> tuple[Tensor, Tensor]:
            others = log[rest].view(len(log), -1)  # (B, C - 1)
            binary = torch.stack([log.gather(-1, target[:, None])[:, 0], others.logsumexp(-1)], -1)  # (B, 2)
            return binary, others.log_softmax(-1)

        (p_target, p_others), (q_target, q_others) = split(p), split(q)
        loss = self.alpha * divergence(p_target, q_target) + self.beta * divergence(p_others, q_others)
        return row_mean(loss, batch) * self.temperature**2
