"""Run a torch module on texts in batches: logits, hidden states, and hidden tokens."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from harness.featurise.featuriser import run_all
from harness.featurise.tokens import Tokens, ids_at_once
from harness.training.cores import Cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.values import Context, Masked


def autocast(context: Context) -> AbstractContextManager[Any]:
    """Return a context manager that computes in the context's precision."""
    import torch

    if context.precision == "fp32":
        return nullcontext()
    return torch.autocast(torch.device(context.device).type, torch.bfloat16)


def predict(
    module: torch.nn.Module,
    tokens: Tokens,
    context: Context,
    output: str = "logits",
    alive: Callable[[], object] | None = None,
) -> NDArray[np.float32]:
    """Return logits (R, C), or hidden states (R, H), for each row of outputs, in the order of the tokens.

    `alive` is called before each batch.
    """
    module.eval()
    device = torch.device(context.device)

    def run(batch: NDArray[np.int64]) -> NDArray[np.float32]:
        if alive is not None:
            alive()
        with torch.inference_mode(), autocast(context):  # each thread has its own
            ids = torch.from_numpy(batch).to(device)
            found = module(ids) if output == "logits" else module.outputs(ids, {output})[output]  # type: ignore[operator]
            return found.float().cpu().numpy()  # type: ignore[no-any-return]

    if device.type != "cpu" or output != "logits":  # hooks read inner states, and threads would share them
        return run_all(tokens, run, None, ids_at_once(context.device))
    with closing(Cores(context)) as cores:
        return run_all(tokens, run, None, ids_at_once(context.device), cores.run)


class Validation:
    """A module in training, and the validation set; see :class:`harness.task_types.base.Asked`.

    Each method sets the module back to training mode. `alive` is called before each batch.
    """

    def __init__(
        self, module: torch.nn.Module, tokens: Tokens, context: Context, alive: Callable[[], object] = int
    ) -> None:
        self.module = module
        self.tokens = tokens
        self.context = context
        self.alive = alive

    def logits(self) -> NDArray[np.float32]:
        """Return the logits of all rows of outputs, (R, C)."""
        found = predict(self.module, self.tokens, self.context, alive=self.alive)
        self.module.train()
        return found

    def masked(self, most: int) -> Masked:
        """Return the predictions for tokens hidden in at most `most` texts, evenly spaced."""
        count = len(self.tokens)
        spread = np.linspace(0, count - 1, min(count, most)).astype(np.int64)
        found = hidden_tokens(self.module, self.tokens, self.context, spread)
        self.module.train()
        return found


def hidden_tokens(
    module: torch.nn.Module, tokens: Tokens, context: Context, rows: NDArray[np.int64] | None = None
) -> Masked:
    """Return a module's predictions for hidden tokens, which are the same in every call.

    The result is in the order of the texts, and of the tokens in each. `rows` selects some of the texts.
    """
    module.eval()
    return tokens.at_hidden(
        lambda ids, gold: _told(marked_logits(module, ids, context), gold), scoring_budget(context), rows
    )


_LARGEST = 8_192  # ids in a batch; about every seventh has a logit for each token of the vocabulary


def scoring_budget(context: Context) -> int:
    """Return how many ids a language model scores at once on a context's device."""
    return min(_LARGEST, ids_at_once(context.device))


def marked_logits(module: Any, ids: NDArray[np.int64], context: Context) -> Tensor:
    """Return the logits of the marked ids, (R, V)."""
    import torch

    with torch.inference_mode(), autocast(context):
        found: Tensor = module.outputs(torch.from_numpy(ids).to(context.device), ())["logits"]
        return found.float()


def _told(logits: Tensor, gold: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the most likely ids, (R,), and the log-likelihoods of the gold ids, (R,)."""
    import torch

    with torch.inference_mode():
        right = torch.from_numpy(gold).to(logits.device)
        likelihood = logits.gather(1, right[:, None])[:, 0] - logits.logsumexp(1)
        return logits.argmax(1).cpu().numpy(), likelihood.cpu().numpy()
