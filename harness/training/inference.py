"""TODO."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from harness.featurise.featuriser import run_all
from harness.featurise.tokens import Tokens, ids_at_once

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
    """Return logits (R, C), or hidden states (R, H), for each row of outputs, in the order of the tokens."""
    module.eval()
    device = torch.device(context.device)

    def run(batch: NDArray[np.int64]) -> NDArray[np.float32]:
        ids = torch.from_numpy(batch).to(device)
        found = module(ids) if output == "logits" else module.outputs(ids, {output})[output]  # type: ignore[operator]
        return found.float().cpu().numpy()  # type: ignore[no-any-return]

    with autocast(context):
        return run_all(tokens, run, None, ids_at_once(context.device))


class Validation:
    """A module in training, asked about the validation set; see :class:`harness.task_types.base.Asked`.

    It is back in training mode afterwards.
    """

    def __init__(self, module: torch.nn.Module, tokens: Tokens, context: Context) -> None:
        self.module = module
        self.tokens = tokens
        self.context = context

    def logits(self) -> NDArray[np.float32]:
        """Return the logits of all rows of outputs."""
        found = predict(self.module, self.tokens, self.context)
        self.module.train()
        return found

    def masked(self, most: int) -> Masked:
        """Return what it predicts for tokens hidden in at most `most` texts, spread evenly."""
        count = len(self.tokens)
        spread = np.linspace(0, count - 1, min(count, most)).astype(np.int64)
        found = hidden_tokens(self.module, self.tokens, self.context, spread)
        self.module.train()
        return found


def hidden_tokens(
    module: torch.nn.Module, tokens: Tokens, context: Context, rows: NDArray[np.int64] | None = None
) -> Masked:
    """What a module makes of tokens hidden from it, the same ones every time; of some texts, or of all.

    In the order of the texts, and of the tokens in each.
    """
    module.eval()
    return tokens.at_hidden(
        lambda ids, gold: _told(marked_logits(module, ids, context), gold), scoring_budget(context), rows
    )


_LARGEST = 8_192  # ids of a batch; for each seventh there are as many logits as there are tokens


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
