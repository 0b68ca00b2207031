"""What a training sees of a module on the validation set."""

from __future__ import annotations

from torch import nn

from harness.api import Context, Examples
from harness.featurise.tokens import Tokens
from harness.training.inference import Validation


def score(module: nn.Module, tokens: Tokens, examples: Examples, context: Context) -> float:
    """Return the score by which the best weights are chosen; more is better."""
    return examples.task_type.watch(Validation(module, tokens, context), examples).score
