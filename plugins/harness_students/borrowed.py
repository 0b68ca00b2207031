"""Take the subword embeddings of a transformer, pretrained or fitted, with its tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from harness import Context, HarnessError
from harness.featurise.featuriser import UNKNOWN, UNKNOWN_NAMES, Featuriser, Subwords
from harness.training.model import TorchModel

if TYPE_CHECKING:
    from harness_transformers.transformer import FineTuned


def borrow(
    who: str, source: FineTuned | str, longest: int, context: Context
) -> tuple[nn.Module, Tensor, Featuriser]:
    """Return a module, the table (V, W) of its input embeddings, and a featuriser with ids below V.

    The module is the pretrained one of `source`, or the context's teacher if `source` is "teacher". `who` is
    the name of the student; it reads at most `longest` ids of a text. Raise HarnessError if there is no such
    table.
    """
    if isinstance(source, str):
        teacher = context.teacher
        if not isinstance(teacher, TorchModel) or (table := _table(teacher.module)) is None:
            raise HarnessError(f"cannot take embeddings for student '{who}': its teacher has none")
        module, featuriser = teacher.module, teacher.featuriser
    else:
        from harness_transformers.finetuning import pretrained

        module, featuriser = pretrained(source, context)
        if (table := _table(module)) is None:
            raise HarnessError(f"cannot take embeddings for student '{who}': '{source.name}' has none")
    table = table.detach().float().cpu()[: featuriser.size].clone()
    if len(table) == featuriser.padding == featuriser.size - 1:  # padding that the transformer has not
        table = torch.cat([table, torch.zeros_like(table[:1])])
    if len(table) < featuriser.size:
        raise HarnessError(
            f"cannot take embeddings for student '{who}': there are {len(table)}, but their tokenizer has "
            f"{featuriser.size} ids"
        )
    state = featuriser.state()
    copy = type(featuriser).restore({**state, "longest": min(longest, state["longest"])})
    return module, table, copy


def unknown_of(featuriser: Featuriser) -> int:
    """Return the id of unknown words. Raise HarnessError if the tokenizer has none."""
    if not isinstance(featuriser, Subwords):
        return UNKNOWN
    name = featuriser.named(*UNKNOWN_NAMES)
    if name is None or (found := featuriser.tokenizer.token_to_id(name)) is None:
        raise HarnessError(
            "cannot drop words: the transformer's tokenizer has no id for unknown words; set word_dropout = 0"
        )
    return found


def _table(module: nn.Module) -> Tensor | None:
    encoder: Any = module if hasattr(module, "get_input_embeddings") else getattr(module, "encoder", None)
    layer = getattr(module, "embedding", None) if encoder is None else encoder.get_input_embeddings()
    return layer.weight if type(layer) is nn.Embedding else None  # a subclass may scale its rows
