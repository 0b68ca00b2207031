"""Classify texts by the states of an encoder: a linear layer on their mean, or on the first one.

Transformers has no such class for most architectures. A copy of this file is exported with the weights, and
``from_pretrained(folder, trust_remote_code=True)`` runs it. It therefore imports nothing of the harness.
"""

from inspect import signature
from typing import Any, ClassVar

from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class PooledClassifier(PreTrainedModel):  # type: ignore[misc]
    """An encoder with a linear layer on its pooled states; the configuration's `pooling` is mean or cls."""

    base_model_prefix = "encoder"
    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [r"^(?!encoder\.|output\.)"]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.encoder = AutoModel.from_config(config)
        if getattr(self.encoder, "pooler", None) is not None:  # it would never be used
            self.encoder.pooler = None
        width = getattr(config, "word_embed_proj_dim", None) or config.hidden_size
        self.output = nn.Linear(width, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **options: Any,
    ) -> Any:
        """Return the logits (B, C) of ids (B, L); the mask (B, L) is 0 for padding, else 1."""
        given = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None and "token_type_ids" in signature(self.encoder.forward).parameters:
            given["token_type_ids"] = token_type_ids
        states = self.encoder(**given).last_hidden_state  # (B, L, W)
        if self.config.pooling == "cls":
            pooled = states[:, 0]
        elif attention_mask is None:
            pooled = states.mean(1)
        else:
            weights = attention_mask.unsqueeze(-1).to(states.dtype)
            pooled = (states * weights).sum(1) / weights.sum(1).clamp(min=1)
        return SequenceClassifierOutput(logits=self.output(pooled))
