"""Losses between the teacher's distribution over the classes and the student's."""

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

    Times the squared temperature, which keeps the size of the gradients alike at all temperatures.
    """

    name = "kl"
    task_types: ClassVar[frozenset[str]] = OF_CLASSES

    temperature: Temperature = 2.0  # divides both models' logits; above 1 flattens, below 1 sharpens

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Logits (B, C), (B, C) to the batch mean, ()."""
        p = log_probabilities(present(teacher), self.temperature)
        q = log_probabilities(student, self.temperature)
        return row_mean(divergence(p, q), batch) * self.temperature**2


@dataclass(frozen=True)
class SoftCrossEntropy(harness.Loss):
    """Cross-entropy with the teacher's tempered probabilities as targets (Jiao et al., 2020, TinyBERT).

    Batch mean, in nats, times the squared temperature. Its gradient is that of `kl` at the same
    temperature; its value is larger by the entropy of the teacher.
    """

    name = "soft-cross-entropy"
    task_types: ClassVar[frozenset[str]] = OF_CLASSES

    temperature: Temperature = 1.0  # divides both models' logits

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Logits (B, C), (B, C) to the batch mean, ()."""
        p = log_probabilities(present(teacher), self.temperature).exp()
        q = log_probabilities(student, self.temperature)
        return -row_mean((p * q).sum(-1), batch) * self.temperature**2


@dataclass(frozen=True)
class JensenShannon(harness.Loss):
    """Jensen-Shannon divergence of the tempered distributions (Lin, 1991), batch mean, in nats.

    Symmetric and at most log 2 a row, before the factor of the squared temperature: an over-confident
    teacher cannot dominate a batch as it can under `kl`.
    """

    name = "jensen-shannon"
    task_types: ClassVar[frozenset[str]] = OF_CLASSES

    temperature: Temperature = 1.0  # divides both models' logits

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Logits (B, C), (B, C) to the batch mean, ()."""
        p = log_probabilities(present(teacher), self.temperature)
        q = log_probabilities(student, self.temperature)
        mean = p.logaddexp(q) - math.log(2)
        return row_mean(divergence(p, mean) + divergence(q, mean), batch) * self.temperature**2 / 2


@dataclass(frozen=True)
class Decoupled(harness.Loss):
    """Decoupled knowledge distillation (Zhao et al., 2022).

    ``alpha`` KL of (target class, all others) + ``beta`` KL among the other classes; batch mean, in nats,
    times the squared temperature. `kl` is the same sum with alpha = 1 and, for each row, beta = the
    teacher's probability of the other classes: a sure teacher silences them there, and not here. The
    target is the gold label, or the teacher's most probable class where a row has none. With two classes
    the second term is 0.
    """

    name = "decoupled"
    task_types: ClassVar[frozenset[str]] = OF_CLASSES

    alpha: Weight = 1.0  # weight of the target class
    beta: Weight = 8.0  # weight of the other classes; the paper uses 1 to 10
    temperature: Temperature = 4.0  # divides both models' logits

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Logits (B, C), (B, C) and the batch's labels, if any, to the batch mean, ()."""
        import torch

        p = log_probabilities(present(teacher), self.temperature)  # (B, C)
        q = log_probabilities(student, self.temperature)
        target = p.argmax(-1)
        if batch.labels is not None:
            target = torch.where(batch.labels >= 0, batch.labels, target)
        # Taking the other classes out, rather than hiding them behind a large negative logit as the
        # paper's code does, keeps 1 - p exact when the target's probability rounds to 1.
        rest = torch.ones_like(p, dtype=torch.bool).scatter_(-1, target[:, None], False)

        def split(log: Tensor) -> tuple[Tensor, Tensor]:
            others = log[rest].view(len(log), -1)  # (B, C - 1)
            binary = torch.stack([log.gather(-1, target[:, None])[:, 0], others.logsumexp(-1)], -1)  # (B, 2)
            return binary, others.log_softmax(-1)

        (p_target, p_others), (q_target, q_others) = split(p), split(q)
        loss = self.alpha * divergence(p_target, q_target) + self.beta * divergence(p_others, q_others)
        return row_mean(loss, batch) * self.temperature**2
