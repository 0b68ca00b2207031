"""Masked language models: predict hidden tokens, and return vectors of words."""

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
    """A module that predicts hidden tokens, and its featuriser, which is a :class:`MaskedSubwords`.

    The module maps ids (B, L) to logits (B, L, V), and its method ``outputs`` accepts marked ids, as
    :func:`harness.training.loop.train` requires. Its ``encoder`` has the input embeddings.
    """

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the logits for each MASK in the texts, (M, V); zeros for those that were cut off."""
        size, budget = self.featuriser.size, scoring_budget(self.context)
        return self.featuriser.predict(texts, self.marked_logits, size, budget)

    def marked_logits(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the logits (R, V) of the marked ids in (B, L); a mark adds V to an id."""
        return marked_logits(self.module, ids, self.context).cpu().numpy()

    def hidden(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Raise Unsupported: the model has no hidden state of a text as a whole."""
        return Model.hidden(self, texts)

    def masked(self, texts: Sequence[str]) -> Masked:
        """Return the predictions for hidden tokens of texts."""
        return hidden_tokens(self.module, self._tokens(texts), self.context)

    def vectors(self, words: Sequence[str], of: Literal["embeddings", "hidden"]) -> NDArray[np.float32]:
        """Return a vector for each word, (N, H): the mean over its subwords.

        The vectors are the input embeddings, or the last hidden states of the word as a text of its own.
        """
        import torch

        tokens = self._tokens(words)
        self.module.eval()
        table: NDArray[np.float32] | None = None
        with torch.inference_mode(), autocast(self.context):
            for rows in batches_by_length(tokens, scoring_budget(self.context)):
                ids = tokens.batch(rows)
                pieces = ~tokens.special[ids]
                known = pieces.any(
                    1, keepdims=True
                )  # False for a word with special tokens only, such as unknown
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
