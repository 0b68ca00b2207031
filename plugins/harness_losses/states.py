"""Losses on hidden states: of a text as a whole, or token by token through the layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import harness
from harness_losses.layers import Map, check_map, pairs
from harness_losses.tensors import OF_TEXTS, row_mean, wide

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class _Hidden(harness.Loss):
    task_types: ClassVar[frozenset[str]] = OF_TEXTS

    of: Literal["hidden", "layers"] = "hidden"  # what the last layer sees of a text, or each layer's tokens
    map: Map = "uniform"  # of layers: which of the teacher's for which of the student's
    embeddings: bool = True  # of layers: compare the embeddings too, where the map is not "final"
    tokens: Literal["all", "first"] = "all"  # of layers: every token, or the first alone, which is [CLS]

    def check(self) -> None:
        """What is said of layers fits, and is said where layers are compared."""
        check_map(self.map)
        if self.of == "hidden" and (self.map, self.tokens) != ("uniform", "all"):
            raise ValueError(f"{self.name} has a map or tokens only with of = 'layers'")

    @property
    def needs(self) -> frozenset[str]:
        """Hidden states, or layers."""
        return frozenset({self.of})

    def _mean(self, distance: Callable[[Tensor, Tensor], Tensor], batch: harness.Batch) -> Tensor:
        """The mean of a distance (..., H), (..., H) -> (...) over layers, over tokens, then over rows."""
        ours, theirs = batch.student[self.of], batch.teacher[self.of]
        if self.of == "hidden":
            return row_mean(distance(wide(ours), wide(theirs)), batch)
        assert batch.mask is not None
        compared = list(pairs(len(ours) - 1, len(theirs) - 1, self.map))
        if self.embeddings and self.map != "final":
            compared.insert(0, (0, 0))
        if self.tokens == "first":
            rows = [distance(wide(ours[m][:, 0]), wide(theirs[n][:, 0])) for m, n in compared]
            return row_mean(sum(rows[1:], start=rows[0]) / len(rows), batch)
        real = batch.mask  # (B, L)
        total: Tensor | None = None
        for m, n in compared:
            found = distance(wide(ours[m]), wide(theirs[n])).masked_fill(~real, 0.0).sum(1)  # (B,)
            total = found if total is None else total + found
        assert total is not None
        return row_mean(total / (len(compared) * real.sum(1).clamp_min(1)), batch)


@dataclass(frozen=True)
class HiddenCosine(_Hidden):
    """One minus the cosine of the two models' hidden states (Sanh et al., 2019, DistilBERT).

    In [0, 2]. Of layers, the mean over tokens that are no padding, then over texts. DistilBERT's is
    ``of = "layers", map = "final"``.
    """

    name = "hidden-cosine"

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """The batch's hidden states or layers to the mean, ()."""
        from torch.nn.functional import cosine_similarity

        return self._mean(lambda ours, theirs: 1 - cosine_similarity(ours, theirs, dim=-1), batch)


@dataclass(frozen=True)
class HiddenMse(_Hidden):
    """Squared distance of the two models' hidden states, mean over their width (Jiao et al., 2020, TinyBERT).

    Of layers, the mean over tokens that are no padding, then over texts. Patient distillation (Sun et al.,
    2019, PKD) is ``of = "layers", tokens = "first", normalise = true, embeddings = false`` without the last
    layer: for six of twelve ``map = [2, 4, 6, 8, 10, -1]``, or as PKD-Last ``[7, 8, 9, 10, 11, -1]``. Then
    each state is divided by its length first, and the value is (2 - 2 cosine) / width, so that it takes a
    large weight.
    """

    name = "hidden-mse"

    normalise: bool = False  # compare directions only

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """The batch's hidden states or layers to the mean, ()."""
        from torch.nn.functional import normalize

        def distance(ours: Tensor, theirs: Tensor) -> Tensor:
            if self.normalise:
                ours, theirs = normalize(ours, dim=-1), normalize(theirs, dim=-1)
            return (ours - theirs).square().mean(-1)

        return self._mean(distance, batch)
