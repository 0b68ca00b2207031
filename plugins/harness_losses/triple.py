"""The triple loss for distillation of language models."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import harness
from harness_losses.labels import CrossEntropy
from harness_losses.regression import MeanSquaredError
from harness_losses.soft import SoftTargets, Temperature
from harness_losses.states import HiddenCosine

if TYPE_CHECKING:
    from torch import Tensor

Weight = Annotated[float, harness.Interval(ge=0, lt=math.inf)]


@dataclass(frozen=True, kw_only=True)
class Triple(harness.Loss):
    """DistilBERT's weighted sum of losses for masked language models (Sanh et al., 2019).

    On hidden tokens there are `kl` at a temperature, multiplied by its square; the cross-entropy with the
    tokens themselves (`mlm`); and the squared distance of logits (`mse`). On all tokens except padding there
    is one minus the cosine of the last hidden states (`cosine`). A part with weight 0 is not computed.

    Three things differ from the authors' code. Their `kl` and `mse` are on all tokens by default; here they
    are on hidden tokens only. Their `cosine` is averaged over all tokens of a batch; here it is averaged over
    the tokens of each text, then over texts. Their `mse` is summed over the vocabulary; here it is averaged,
    so multiply their weight by the size of the vocabulary to get the same effect.
    """

    name = "triple"
    task_types: ClassVar[frozenset[str]] = frozenset({"language-modelling"})

    temperature: Temperature = 2.0  # divides both models' logits, in `kl` only
    kl: Weight = 5.0  # weight of the soft targets
    mlm: Weight = 2.0  # weight of the cross-entropy with the hidden tokens
    cosine: Weight = 1.0  # weight of the cosine distance of hidden states
    mse: Weight = 0.0  # weight of the squared distance of logits; default: not used

    def check(self) -> None:
        """Raise ValueError if all weights are 0."""
        if not (self.kl or self.mlm or self.cosine or self.mse):
            raise ValueError(
                "all weights of triple are 0; set at least one of kl, mlm, cosine and mse above 0"
            )

    @property
    def parts(self) -> dict[str, tuple[float, harness.Loss]]:
        """Return the weight and the loss of each part whose weight is not 0."""
        every = {
            "kl": (self.kl, SoftTargets(self.temperature)),
            "mlm": (self.mlm, CrossEntropy()),
            "cosine": (self.cosine, HiddenCosine(of="layers", map="final")),
            "mse": (self.mse, MeanSquaredError()),
        }
        return {name: part for name, part in every.items() if part[0]}

    @property
    def needs(self) -> frozenset[str]:
        """Return what the parts need."""
        return frozenset[str]().union(*(loss.needs for _, loss in self.parts.values()))

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Return the weighted sum, (), for logits (R, V), labels and layers; set `batch.parts`."""
        total: Tensor | None = None
        for name, (weight, loss) in self.parts.items():
            value = loss(student, teacher, batch)
            batch.parts[name] = value.detach()
            total = weight * value if total is None else total + weight * value
        assert total is not None
        return total
