"""The loss by which language models are distilled."""

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
    """The parts of DistilBERT's sum for a masked language model, its teacher in step (Sanh et al., 2019).

    Of the hidden tokens `kl` at a temperature, times its square, the cross-entropy with the tokens
    themselves (`mlm`) and the squared distance of logits (`mse`); of all tokens that are no padding, one
    minus the cosine of the last hidden states (`cosine`). A part of weight 0 is not computed.

    It differs from the authors' code in three ways. Their `kl` and `mse` are of all tokens, unless they are
    told to keep to the hidden ones. Their `cosine` is the mean over all tokens of a batch; here it is over
    each text's, then over texts. Their `mse` is summed over the vocabulary; here it is the mean over it, so
    that the same weight acts less by as many times as there are tokens to choose from.
    """

    name = "triple"
    task_types: ClassVar[frozenset[str]] = frozenset({"language-modelling"})

    temperature: Temperature = 2.0  # divides both models' logits, in `kl` alone
    kl: Weight = 5.0
    mlm: Weight = 2.0
    cosine: Weight = 1.0
    mse: Weight = 0.0

    def check(self) -> None:
        """Something is left."""
        if not (self.kl or self.mlm or self.cosine or self.mse):
            raise ValueError("the weights of triple must not all be 0")

    @property
    def parts(self) -> dict[str, tuple[float, harness.Loss]]:
        """The weight and the loss of each part that has any weight."""
        every = {
            "kl": (self.kl, SoftTargets(self.temperature)),
            "mlm": (self.mlm, CrossEntropy()),
            "cosine": (self.cosine, HiddenCosine(of="layers", map="final")),
            "mse": (self.mse, MeanSquaredError()),
        }
        return {name: part for name, part in every.items() if part[0]}

    @property
    def needs(self) -> frozenset[str]:
        """What the parts need."""
        return frozenset[str]().union(*(loss.needs for _, loss in self.parts.values()))

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Logits (R, V), (R, V), labels and layers to the weighted sum, (); `batch.parts` has its parts."""
        total: Tensor | None = None
        for name, (weight, loss) in self.parts.items():
            value = loss(student, teacher, batch)
            batch.parts[name] = value.detach()
            total = weight * value if total is None else total + weight * value
        assert total is not None
        return total
