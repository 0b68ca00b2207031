"""A masked language model that is pretrained here, on the task's own texts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import harness
from harness import Ge, Gt, Interval
from harness.training.settings import Schedule, training_of
from harness_transformers.pretrained import INNER


@dataclass(frozen=True, kw_only=True)
class MaskedLM(harness.Teacher):
    """BERT's encoder and head (Devlin et al., 2019), from random weights, where no hub can be reached.

    It has no pooler, no token types and no next-sentence task (Liu et al., 2019), and its output embeddings
    are those of its input (Press & Wolf, 2017). Its lower-cased WordPiece vocabulary is made of the training
    texts. With the defaults it has 5.9 M parameters. Small models gain from such pretraining before they
    are distilled (Turc et al., 2019).
    """

    name = "masked-lm"
    accelerated: ClassVar[bool] = True
    mixed_precision: ClassVar[bool] = True
    exports: ClassVar[bool] = True
    gives: ClassVar[frozenset[str]] = INNER
    task_types: ClassVar[frozenset[str]] = frozenset({"language-modelling"})

    vocabulary: Annotated[int, Ge(256)] = 4096  # word pieces, the five special ones among them
    width: Annotated[int, Gt(0)] = 256  # of the hidden states
    layers: Annotated[int, Gt(0)] = 6
    heads: Annotated[int, Gt(0)] = 4  # of attention, in each layer
    feedforward: Annotated[int, Gt(0)] = 1024  # width between the two linear maps of a layer
    longest: Annotated[int, Gt(2)] = 64  # subwords; the rest of a text is not read
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # few epochs need none (Geiping & Goldstein, 2023)
    epochs: Annotated[int, Gt(0)] = 3
    batch_size: Annotated[int, Gt(0)] = 64
    learning_rate: Annotated[float, Gt(0)] = 1e-3  # the peak of the schedule
    schedule: Schedule = "one-cycle"
    warmup: Annotated[float, Interval(ge=0, lt=1)] = 0.05  # share of the steps before the peak
    weight_decay: Annotated[float, Ge(0)] = 0.01
    epsilon: Annotated[float, Gt(0)] = 1e-6  # of AdamW
    accumulate: Annotated[int, Gt(0)] = 1  # batches whose gradients make one step
    patience: Annotated[int, Ge(0)] = 0  # validations without a better score before stopping; 0: never

    @property
    def speed(self) -> harness.Speed:  # type: ignore[override]
        """See :class:`harness.Teacher`: by its layers and their width."""
        train = 4_300 / (self.layers * (self.width / 64) ** 1.5)
        return harness.Speed(train, 4 * train)

    def check(self) -> None:
        """Heads share the width equally."""
        if self.width % self.heads:
            raise ValueError(f"the width must be a multiple of the heads, got {self.width} and {self.heads}")

    def tokenizer(self) -> str:
        """What is the same for teachers of one task that read its texts as the same tokens."""
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
