"""What tests of language models share: a tokenizer of a few words and a small BERT, random and quick."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn

from harness.featurise.featuriser import MaskedSubwords

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PHRASE = "the sun rain wind snow is here so much today i like and more no she said a again un ##known"
WORDS = PHRASE.split()
TEXTS = ["the sun is here", "so much rain today", "i like wind and more wind", "no", "", "a sun again"]


def featuriser(longest: int = 16, specials: Sequence[str] = SPECIAL) -> MaskedSubwords:
    """Word by word, between what stands for the beginning and the end; the second special is for unknown."""
    vocabulary = {name: number for number, name in enumerate([*specials, *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=specials[1]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    first, last = specials[2:4]
    tokenizer.post_processor = processors.TemplateProcessing(
        f"{first} $A {last}", f"{first} $A {last} $B {last}", special_tokens=[(first, 2), (last, 3)]
    )
    tokenizer.add_special_tokens(list(specials))
    return MaskedSubwords(tokenizer, longest, padding=0, mask=4)


class SmallBert(nn.Module):
    """A masked language model of Transformers', in the form that the harness trains."""

    def __init__(self, width: int = 16, layers: int = 2, dropout: float = 0.1, size: int = 0) -> None:
        from transformers import BertConfig, BertForMaskedLM

        super().__init__()
        self.size = size or len(SPECIAL) + len(WORDS)
        self.padding = 0
        config = BertConfig(
            vocab_size=self.size,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=2,
            intermediate_size=2 * width,
            max_position_embeddings=32,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
        self.bert: Any = BertForMaskedLM(config)

    @property
    def encoder(self) -> Any:
        return self.bert.bert

    def forward(self, ids: Tensor) -> Tensor:
        ids = ids % self.size
        return self.bert(input_ids=ids, attention_mask=(ids != 0).long()).logits  # type: ignore[no-any-return]

    def outputs(self, ids: Tensor, names: Collection[str]) -> dict[str, Any]:
        marked = ids >= self.size
        ids = ids % self.size
        asked = {"input_ids": ids, "attention_mask": (ids != 0).long(), "output_hidden_states": True}
        found = self.bert.bert(**asked)
        hidden = found.last_hidden_state[marked]
        return {"logits": self.bert.cls(hidden), "hidden": hidden, "layers": found.hidden_states}


def small_bert(seed: int, **options: Any) -> SmallBert:
    """One with random weights by a seed."""
    torch.manual_seed(seed)
    return SmallBert(**options)
