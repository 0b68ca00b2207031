"""Losses on hidden states, either one state per text or the states of all tokens in each layer."""

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

    of: Literal["hidden", "layers"] = "hidden"  # one state per text, the head's input; or tokens by layer
    map: Map = "uniform"  # for "layers": the teacher's layer for each of the student's
    embeddings: bool = True  # for "layers": compare the embeddings too, unless the map is "final"
    tokens: Literal["all", "first"] = "all"  # for "layers": every token, or only the first, [CLS]

    def check(self) -> None:
        """Raise ValueError for an impossible map, or parameters that "hidden" would ignore."""
        check_map(self.map)
        if self.of == "hidden" and (self.map, self.tokens) != ("uniform", "all"):
            raise ValueError(
                f"{self.name} with of = 'hidden' takes neither map nor tokens; leave them out, "
                "or set of = 'layers'"
            )

    @property
    def needs(self) -> frozenset[str]:
        """Return that the loss needs hidden states, or layers."""
        return frozenset({self.of})

    def _mean(self, distance: Callable[[Tensor, Tensor], Tensor], batch: harness.Batch) -> Tensor:
        """Return the mean of a distance (..., H), (..., H) -> (...) over layers, tokens, then rows."""
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

    It is in [0, 2]. With ``of = "layers"`` it is averaged over tokens without padding, then over texts.
    DistilBERT uses ``of = "layers", map = "final"``.
    """

    name = "hidden-cosine"

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Return the mean, (), for the batch's hidden states or layers."""
        from torch.nn.functional import cosine_similarity

        return self._mean(lambda ours, theirs: 1 - cosine_similarity(ours, theirs, dim=-1), batch)


@dataclass(frozen=True)
class HiddenMse(_Hidden):
    """Squared distance of the two models' hidden states, mean over their width (Jiao et al., 2020, TinyBERT).

    With ``of = "layers"`` it is averaged over tokens without padding, then over texts. Patient distillation
    (Sun et al., 2019, PKD) is ``of = "layers", tokens = "first", normalise = true, embeddings = false``
    without the last layer. For a student of six layers and a teacher of twelve, it is
    ``map = [2, 4, 6, 8, 10, -1]``, or for PKD-Last ``[7, 8, 9, 10, 11, -1]``. With `normalise`, each state is
    divided by its norm first. The value is then (2 - 2 cosine) / width, so it needs a large weight.
    """

    name = "hidden-mse"

    normalise: bool = False  # divide states by their norm, to compare only directions

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Return the mean, (), for the batch's hidden states or layers."""
        from torch.nn.functional import normalize

        def distance(ours: Tensor, theirs: Tensor) -> Tensor:
            if self.normalise:
                ours, theirs = normalize(ours, dim=-1), normalize(theirs, dim=-1)
            return (ours - theirs).square().mean(-1)

        return self._mean(distance, batch)
