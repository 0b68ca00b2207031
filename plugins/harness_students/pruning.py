"""Select layers of a transformer and remove the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from harness import Ge, Gt, HarnessError
from harness_students.borrower import Borrower
from harness_transformers.transformer import FineTuned

if TYPE_CHECKING:
    from torch import nn

# A number of layers, evenly spread from the first to the last; the layers themselves, counted from 1; or half
# of them: every second (as in DistilBERT), the first or the last. None: every second layer of a teacher, all
# layers of a pretrained model.
Layers = Annotated[int, Gt(0)] | tuple[int, ...] | Literal["every-second", "first", "last"] | None


@dataclass(frozen=True, kw_only=True)
class Pruned(Borrower):
    """A student that keeps some layers of the model that it starts from."""

    start: Literal["teacher"] | FineTuned = "teacher"
    layers: Layers = None  # the layers to keep
    # Subwords to keep, the most frequent ones of the transfer set; other words are read in smaller pieces.
    vocabulary: Annotated[int, Ge(0)] = 0  # 0: all subwords of the model
    weights: Literal["pretrained", "random"] = "pretrained"  # "random": take the architecture only

    def check(self) -> None:
        """Raise ValueError if layers are not counted from 1, or are given twice."""
        if isinstance(self.layers, tuple):
            if not self.layers or min(self.layers) < 1:
                raise ValueError(f"expected one or more layers, counted from 1, got {self.layers}")
            if len(set(self.layers)) < len(self.layers):
                raise ValueError(f"expected different layers, got {self.layers}")

    @property
    def lender(self) -> FineTuned | str:
        """See :class:`Borrower`."""
        return self.start


def chosen(layers: Layers, count: int, otherwise: Layers) -> list[int]:
    """Return the indices of the layers to keep of `count`. Raise HarnessError if there are too few."""
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
        # 6 of 12 layers are 0, 2, 4, 7, 9 and 11, as in DistilBERT.
        wanted = [round(place * (count - 1) / max(1, most - 1)) for place in range(most)]
    if most > count:
        raise HarnessError(f"expected layers up to {count}, as the transformer has no more, got {most}")
    return wanted


def prune(encoder: Any, keep: Sequence[int]) -> None:
    """Keep these layers of an encoder only, and adapt its configuration.

    Raise HarnessError if a model of that configuration would have other layers: the result could not be
    loaded. An example is ModernBERT without its first layer, which lacks a part that the others have.
    """
    import torch
    from torch import nn

    from harness_transformers.states import place_of_layers

    parent, name = place_of_layers(encoder)
    layers = nn.ModuleList(getattr(parent, name)[place] for place in keep)
    setattr(parent, name, layers)
    shorten(encoder.config, keep)
    try:
        with torch.device("meta"):
            parent, name = place_of_layers(type(encoder)(encoder.config))
        fresh: nn.ModuleList = getattr(parent, name)
        same = fresh.state_dict().keys() == layers.state_dict().keys()
    except (ValueError, IndexError, TypeError):  # the architecture allows some numbers of layers only
        same = False
    if not same:
        raise HarnessError(
            f"cannot keep the layers {', '.join(str(place + 1) for place in keep)} of a model of type "
            f"'{encoder.config.model_type}': some have other parts than the layers that they would replace"
        )
    for layer, other in zip(layers, fresh, strict=True):
        parts = dict(layer.named_modules())
        for path, part in other.named_modules():
            _renumber(parts[path], part)


def _renumber(part: nn.Module, fresh: nn.Module) -> None:
    """Give a part of a layer what depends on the layer's number, as a new model has it.

    Decoders number their layers for the cache of keys and values; GPT-2 may scale attention by the number.
    """
    for name, value in vars(fresh).items():
        if name != "training" and isinstance(value, int | float | str):
            setattr(part, name, value)


def shorten(config: Any, keep: Sequence[int]) -> None:
    """Adapt a configuration to a model that has only these layers."""
    count = config.num_hidden_layers
    for name in _BY_LAYER:
        kinds = getattr(config, name, None)
        if isinstance(kinds, list | tuple) and len(kinds) == count:
            setattr(config, name, [kinds[place] for place in keep])
    if getattr(config, "attention_types", None):  # GPT-Neo's short form of `attention_layers`
        config.attention_types = [[[kind], 1] for kind in config.attention_layers]
    config.num_hidden_layers = len(keep)


# Lists with an entry for each layer, such as global or local attention.
_BY_LAYER = (
    "layer_types",
    "attention_layers",
    "mlp_layer_types",
    "no_rope_layers",
    "layers_block_type",
    "attention_window",
)
