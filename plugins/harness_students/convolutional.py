"""Convolutional students, with their own vocabulary or the subwords of a transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from harness import Gt, MinLen
from harness_students.lent import OverEmbeddings

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Cnn(OverEmbeddings):
    """Convolutions over 1, 2 and 3 words with max pooling over time (Kim, 2014)."""

    name = "cnn"

    filters: Annotated[int, Gt(0)] = 32  # filters per span
    spans: Annotated[tuple[Annotated[int, Gt(0)], ...], MinLen(1)] = (1, 2, 3)  # words per filter
    scale: Annotated[float, Gt(0)] = 0.1  # standard deviation of the initial embedding

    @property
    def products(self) -> int:
        """Return the approximate number of multiplications per word after the embedding."""
        return (self.projection or self.width) * self.filters * sum(self.spans)

    def network(
        self, size: int, classes: int, width: int = 0, padding: int = 0, unknown: int = 1, projection: int = 0
    ) -> torch.nn.Module:
        """See :class:`OverEmbeddings`."""
        from harness_students.modules import Convolutions

        return Convolutions(
            size,
            width or self.width,
            self.filters,
            self.spans,
            classes,
            self.dropout,
            self.scale,
            padding=padding,
            unknown=unknown,
            projection=projection,
            word_dropout=self.word_dropout,
        )
