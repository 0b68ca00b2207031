"""Masked language models: what they make of hidden tokens, and what they hold of words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from harness.featurise.tokens import MaskedTokens, batches_by_length
from harness.training.inference import autocast, hidden_tokens, marked_logits, scoring_budget
from harness.training.model import TorchModel
from harness.values import Masked, Model

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


class LanguageModel(TorchModel):
    """A module that tells hidden tokens, and its featuriser, which marks them: :class:`MaskedSubwords`.

    The module maps ids (B, L) to logits (B, L, V), and has ``outputs`` for marked ids, as
    :func:`harness.training.loop.train` asks for it. Its ``encoder`` has its input embeddings.
    """

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Logits (M, V) for each MASK in the texts, in order; zeros for those that were cut off."""
        size, budget = self.featuriser.size, scoring_budget(self.context)
        return self.featuriser.predict(texts, self.marked_logits, size, budget)

    def marked_logits(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the logits (R, V) of marked ids (B, L), each raised by the vocabulary's size."""
        return marked_logits(self.module, ids, self.context).cpu().numpy()

    def hidden(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :class:`harness.api.Model`: it has none of a text as a whole."""
        return Model.hidden(self, texts)

    def masked(self, texts: Sequence[str]) -> Masked:
        """See :class:`harness.api.Model`."""
        return hidden_tokens(self.module, self._tokens(texts), self.context)

    def vectors(self, words: Sequence[str], of: Literal["embeddings", "hidden"]) -> NDArray[np.float32]:
        """(N, H): the mean over each word's pieces, of their embeddings or, the word alone, last states."""
        import torch

        tokens = self._tokens(words)
        self.module.eval()
        table: NDArray[np.float32] | None = None
        with torch.inference_mode(), autocast(self.context):
            for rows in batches_by_length(tokens, scoring_budget(self.context)):
                ids = tokens.batch(rows)
                pieces = ~tokens.special[ids]
                known = pieces.any(1, keepdims=True)  # else there are special ones alone, such as for unknown
                pieces = np.where(known, pieces, ids != tokens.padding)
                states = self._states(torch.from_numpy(ids).to(self.context.device), of).float()  # (B, L, H)
                weights = torch.from_numpy(pieces).to(states.device).unsqueeze(-1)
                mean = (states * weights).sum(1) / weights.sum(1).clamp(min=1)
                if table is None:
                    table = np.zeros((len(tokens), mean.shape[1]), dtype=np.float32)
                table[rows] = mean.cpu().numpy()
        return table if table is not None else np.zeros((0, 0), dtype=np.float32)

    def _states(self, ids: Tensor, of: Literal["embeddings", "hidden"]) -> Tensor:
        module: Any = self.module
        if of == "embeddings":
            return module.encoder.get_input_embeddings()(ids)  # type: ignore[no-any-return]
        return module.outputs(ids, {"layers"})["layers"][-1]  # type: ignore[no-any-return]

    def _tokens(self, texts: Sequence[str]) -> MaskedTokens:
        scratch = self.context.scratch if len(texts) > 100_000 else None
        return cast(MaskedTokens, self.featuriser.tokens(texts, scratch))
