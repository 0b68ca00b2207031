"""Word-piece embeddings that students take from a pretrained or a fitted transformer, with its tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from harness import Context, HarnessError
from harness.featurise.featuriser import UNKNOWN, UNKNOWN_NAMES, Featuriser, Subwords
from harness.training.model import TorchModel

if TYPE_CHECKING:
    from harness_transformers.transformer import FineTuned


def borrow(
    who: str, source: FineTuned | str, longest: int, context: Context
) -> tuple[nn.Module, Tensor, Featuriser]:
    """A module, the table (V, W) of its input embeddings, and what turns texts into its ids below V.

    The module is the pretrained one of `source`, or that of the context's teacher for "teacher"; `who`
    borrows it, and reads `longest` ids of a text. Raises HarnessError where there is no such table.
    """
    if isinstance(source, str):
        teacher = context.teacher
        if not isinstance(teacher, TorchModel) or (table := _table(teacher.module)) is None:
            raise HarnessError(f"student '{who}' takes its teacher's embeddings, but this teacher has none")
        module, featuriser = teacher.module, teacher.featuriser
    else:
        from harness_transformers.finetuning import pretrained

        module, featuriser = pretrained(source, context)
        if (table := _table(module)) is None:
            raise HarnessError(f"student '{who}' takes the embeddings of '{source.name}', which has none")
    if len(table) < featuriser.size:
        raise HarnessError(
            f"student '{who}' takes {len(table)} embeddings, but their tokenizer has {featuriser.size} ids"
        )
    state = featuriser.state()
    copy = type(featuriser).restore({**state, "longest": min(longest, state["longest"])})
    return module, table.detach().float().cpu()[: featuriser.size].clone(), copy


def unknown_of(featuriser: Featuriser) -> int:
    """The id that stands for unknown words. Raises HarnessError where there is none."""
    if not isinstance(featuriser, Subwords):
        return UNKNOWN
    name = featuriser.named(*UNKNOWN_NAMES)
    if name is None or (found := featuriser.tokenizer.token_to_id(name)) is None:
        raise HarnessError("words cannot be dropped: the borrowed tokenizer has no piece for unknown words")
    return found


def _table(module: nn.Module) -> Tensor | None:
    encoder: Any = module if hasattr(module, "get_input_embeddings") else getattr(module, "encoder", None)
    layer = getattr(module, "embedding", None) if encoder is None else encoder.get_input_embeddings()
    return layer.weight if type(layer) is nn.Embedding else None  # one that scales its rows is more than them
