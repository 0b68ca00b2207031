"""Taking layers of a transformer: which ones, and how the others are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from harness import Gt, HarnessError
from harness_students.borrower import Borrower
from harness_transformers.transformer import FineTuned

# How many, evenly spread from the first to the last; which, counted from 1; or half of them: every second
# (as DistilBERT took them), the first or the last. None given: every second of a teacher's, all of others.
Layers = Annotated[int, Gt(0)] | tuple[int, ...] | Literal["every-second", "first", "last"] | None


@dataclass(frozen=True, kw_only=True)
class Pruned(Borrower):
    """A student that takes layers of what it starts from."""

    start: Literal["teacher"] | FineTuned = "teacher"
    layers: Layers = None  # those that are kept
    weights: Literal["pretrained", "random"] = "pretrained"  # "random": the architecture alone is taken over

    def check(self) -> None:
        """Layers are counted from 1, each at most once."""
        if isinstance(self.layers, tuple):
            if not self.layers or min(self.layers) < 1:
                raise ValueError(f"layers are counted from 1, and one at least is kept, got {self.layers}")
            if len(set(self.layers)) < len(self.layers):
                raise ValueError(f"layers are kept once each, got {self.layers}")

    @property
    def lender(self) -> FineTuned | str:
        """See :class:`Borrower`."""
        return self.start


def chosen(layers: Layers, count: int, otherwise: Layers) -> list[int]:
    """The places, from 0, of the layers to keep of `count`. Raises HarnessError where there are too few."""
    layers = otherwise if layers is None else layers
    half = max(1, count // 2)
    if layers == "first":
        return list(range(half))
    if layers == "last":
        return list(range(count - half, count))
    if isinstance(layers, tuple):
        wanted, most = [place - 1 for place in layers], max(layers)
    else:
        most = half if isinstance(layers, str) else count if layers is None else layers
        # 6 of 12 are 0, 2, 4, 7, 9 and 11, which are DistilBERT's.
        wanted = [round(place * (count - 1) / max(1, most - 1)) for place in range(most)]
    if most > count:
        raise HarnessError(f"{most} layers cannot be taken of a transformer that has {count}")
    return wanted


def prune(encoder: Any, keep: Sequence[int]) -> None:
    """Leave these layers in an encoder, and tell its configuration.

    Raises HarnessError where no model of that configuration has such layers, as where ModernBERT's first,
    which lacks a part that the others have, is not among them: what was trained could not be read again.
    """
    import torch
    from torch import nn

    from harness_transformers.states import place_of_layers

    parent, name = place_of_layers(encoder)
    layers = nn.ModuleList(getattr(parent, name)[place] for place in keep)
    setattr(parent, name, layers)
    shorten(encoder.config, keep)
    with torch.device("meta"):
        parent, name = place_of_layers(type(encoder)(encoder.config))
    if getattr(parent, name).state_dict().keys() != layers.state_dict().keys():
        raise HarnessError(
            f"a model of type '{encoder.config.model_type}' cannot consist of its layers "
            f"{', '.join(str(place + 1) for place in keep)}: not all are made as those are whose places "
            "they would take"
        )


def shorten(config: Any, keep: Sequence[int]) -> None:
    """Make a configuration that of a model which has these of the layers."""
    config.num_hidden_layers = len(keep)
    if types := getattr(config, "layer_types", None):  # global or local attention, say
        config.layer_types = [types[place] for place in keep]
