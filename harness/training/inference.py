"""TODO."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from harness.featurise.tokens import MaskedTokens, Tokens, batches_by_length, ids_at_once

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.values import Context, Masked


def autocast(context: Context) -> AbstractContextManager[Any]:
    """Compute in the precision that a context asks for."""
    import torch

    if context.precision == "fp32":
        return nullcontext()
    return torch.autocast(torch.device(context.device).type, torch.bfloat16)


@torch.inference_mode()
def predict(
    module: torch.nn.Module, tokens: Tokens, context: Context, output: str = "logits"
) -> NDArray[np.float32]:
    """Logits (N, C), or hidden states (N, H), in the order of the tokens.

    Of texts whose words are tagged, logits (T, C) for all words of all texts.
    """
    module.eval()
    device = torch.device(context.device)
    table: NDArray[np.float32] | None = None
    with autocast(context):
        for rows in batches_by_length(tokens, ids_at_once(context.device)):
            batch = tokens.batch(rows)
            ids = torch.from_numpy(batch).to(device)
            found = module(ids) if output == "logits" else module.outputs(ids, {output})[output]  # type: ignore[operator]
            block = found.float().cpu().numpy()
            if (picked := tokens.picked(batch)) is not None:
                block = block[picked]
            if table is None:
                table = np.zeros((tokens.outputs, block.shape[1]), dtype=np.float32)
            table[tokens.targets(rows)] = block
    return table if table is not None else np.empty((0, 0), dtype=np.float32)


_LARGEST = 8_192  # ids of a batch; of each seventh there are as many logits as there are tokens


def hidden_tokens(
    module: torch.nn.Module, tokens: MaskedTokens, context: Context, rows: NDArray[np.int64] | None = None
) -> Masked:
    """What a module makes of tokens hidden from it, the same ones every time; of some texts, or of all.

    In the order of the texts, and of the tokens in each.
    """
    module.eval()
    return tokens.at_hidden(
        lambda ids, gold: _told(marked_logits(module, ids, context), gold), scoring_budget(context), rows
    )


def scoring_budget(context: Context) -> int:
    """Return how many ids a language model scores at once on a context's device."""
    return min(_LARGEST, ids_at_once(context.device))


def marked_logits(module: Any, ids: NDArray[np.int64], context: Context) -> Tensor:
    """(R, V) of the marked ids."""
    import torch

    with torch.inference_mode(), autocast(context):
        found: Tensor = module.outputs(torch.from_numpy(ids).to(context.device), ())["logits"]
        return found.float()


def _told(logits: Tensor, gold: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The likeliest ids (R,), and the log-likelihoods (R,) of the gold ones."""
    import torch

    with torch.inference_mode():
        right = torch.from_numpy(gold).to(logits.device)
        likelihood = logits.gather(1, right[:, None])[:, 0] - logits.logsumexp(1)
        return logits.argmax(1).cpu().numpy(), likelihood.cpu().numpy()
