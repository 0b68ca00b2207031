"""A masked language model that is pretrained on the task's own texts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import harness
from harness import Ge, Gt, Interval
from harness.training.settings import Schedule, training_of
from harness_transformers.pretrained import INNER
from harness_transformers.shapes import Shape, layer_weights


@dataclass(frozen=True, kw_only=True)
class MaskedLM(harness.Teacher):
    """A small BERT (Devlin et al., 2019), pretrained from random weights on the task's own texts.

    It needs no access to the hub. It has no pooler, no token types and no next-sentence task (Liu et al.,
    2019), and its output embeddings are its input embeddings (Press & Wolf, 2017). Its lower-cased WordPiece
    vocabulary is trained on the same texts. With the defaults it has 5.9 M parameters. Small models benefit
    from such pretraining before distillation (Turc et al., 2019).
    """

    name = "masked-lm"
    accelerated: ClassVar[bool] = True
    mixed_precision: ClassVar[bool] = True
    exports: ClassVar[bool] = True
    gives: ClassVar[frozenset[str]] = INNER
    task_types: ClassVar[frozenset[str]] = frozenset({"language-modelling"})
    spreads: ClassVar[bool] = True
    micro_batches: ClassVar[int] = 2

    vocabulary: Annotated[int, Ge(256)] = 4096  # word pieces, including five special tokens
    width: Annotated[int, Gt(0)] = 256  # of the hidden states
    layers: Annotated[int, Gt(0)] = 6
    heads: Annotated[int, Gt(0)] = 4  # attention heads per layer
    feedforward: Annotated[int, Gt(0)] = 1024  # width of the feed-forward part of a layer
    longest: Annotated[int, Gt(2)] = 64  # maximum number of subwords read from a text
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # few epochs need none (Geiping & Goldstein, 2023)
    epochs: Annotated[int, Gt(0)] = 3
    batch_size: Annotated[int, Gt(0)] = 64
    learning_rate: Annotated[float, Gt(0)] = 1e-3  # peak of the schedule
    schedule: Schedule = "one-cycle"
    warmup: Annotated[float, Interval(ge=0, lt=1)] = 0.05  # fraction of the steps before the peak
    weight_decay: Annotated[float, Ge(0)] = 0.01
    epsilon: Annotated[float, Gt(0)] = 1e-6  # of AdamW
    accumulate: Annotated[int, Gt(0)] = 1  # batches per optimiser step
    patience: Annotated[int, Ge(0)] = 0  # stop after this many validations without a better score; 0: never

    @property
    def speed(self) -> harness.Speed:  # type: ignore[override]
        """Return the expected speed, which depends on the layers and their width."""
        train = 4_300 / (self.layers * (self.width / 64) ** 1.5)
        return harness.Speed(train, 4 * train)

    def shape(self) -> Shape:
        """Return the sizes of the model."""
        weights = layer_weights(self.width, self.feedforward)
        return Shape(self.layers, self.width, weights, self.vocabulary, self.longest)

    def operations(self, words: float) -> harness.Operations:
        """See :class:`harness.Teacher`."""
        return self.shape().operations(words)

    def check(self) -> None:
        """Raise ValueError if the width is not a multiple of the heads."""
        if self.width % self.heads:
            raise ValueError(f"expected a width that is a multiple of heads, {self.heads}, got {self.width}")

    def tokenizer(self) -> str:
        """Return a name that is equal for teachers with the same tokenizer, if they have the same task."""
        return f"{self.name} of {self.vocabulary}"

    def fit(
        self, train: harness.Examples, validation: harness.Examples, context: harness.Context
    ) -> harness.Model:
        """See :class:`harness.Teacher`."""
        from harness_transformers.language import pretrain

        shape = {
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.feedforward,
            "hidden_dropout_prob": self.dropout,
            "attention_probs_dropout_prob": self.dropout,
        }
        settings = training_of(self)
        return pretrain(self.vocabulary, self.longest, shape, settings, train, validation, context)

    def load(self, folder: Path, context: harness.Context) -> harness.Model:
        """See :class:`harness.Teacher`."""
        from harness_transformers.language import load

        return load(folder, context)
