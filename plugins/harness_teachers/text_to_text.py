"""Fine-tune T5 as a classifier, and load the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from harness import Context, Examples, HarnessError
from harness.api import PAIR_SEPARATOR
from harness.featurise.featuriser import Featuriser, Subwords
from harness.featurise.words import CHARACTERS
from harness.training.loop import train
from harness_transformers.finetuning import Classifier
from harness_transformers.folders import CONFIG, Configured, check_loaded, featuriser_of, name_of, read_config
from harness_transformers.gold import GoldLabels
from harness_transformers.inspection import loading
from harness_transformers.padding import attended, check_module, filler_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from harness.training.settings import Training

_CLASSES = {"t5": "T5", "mt5": "MT5"}  # a configuration's model type → first part of the names of its classes


class PrefixedSubwords(Subwords):
    """Subwords of texts with a prefix, and another before the second text of a pair."""

    type = "prefixed-subwords"

    def __init__(
        self,
        tokenizer: Tokenizer,
        longest: int,
        padding: int,
        prefix: str,
        second: str,
        characters: int | None = CHARACTERS,
    ) -> None:
        super().__init__(tokenizer, longest, padding, characters)
        self.prefix = prefix
        self.second = second

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """See :class:`harness.featurise.featuriser.Featuriser`."""
        if self.second:
            texts = [text.replace(PAIR_SEPARATOR, f" {self.second}", 1) for text in texts]
        return super().encode([self.prefix + text for text in texts])

    def label(self, name: str) -> list[int]:
        """Return the ids of a label and of the end of text."""
        return super().encode([name])[0]

    def state(self) -> dict[str, Any]:
        """See :class:`harness.featurise.featuriser.Featuriser`."""
        return {**super().state(), "prefix": self.prefix, "second": self.second}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> PrefixedSubwords:
        """See :class:`harness.featurise.featuriser.Featuriser`."""
        plain = Subwords.restore(state)
        before = state["prefix"], state["second"]
        return cls(plain.tokenizer, plain.longest, plain.padding, *before, plain.characters)


class LabelTokens(nn.Module):
    """A T5 that scores labels: token ids (B, L) → the decoder's log-probability of each label, (B, C)."""

    def __init__(self, encoder: nn.Module, padding: int, labels: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.encoder = encoder  # the whole T5; the name is that of :class:`Classifier`
        self.padding = padding
        self.filler = filler_of(encoder, padding)
        config: Any = encoder.config
        # By default, T5's decoder starts with padding.
        start = getattr(config, "decoder_start_token_id", None)
        start = config.pad_token_id if start is None else start
        self.lengths = [len(label) for label in labels]
        self.told: Tensor
        self.given: Tensor
        # Concatenated, as labels have different lengths: the tokens to predict, and the tokens before them.
        self.register_buffer("told", torch.tensor([i for label in labels for i in label]), persistent=False)
        before = [i for label in labels for i in (start, *label[:-1])]
        self.register_buffer("given", torch.tensor(before), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits (B, C) of ids (B, L)."""
        model: Any = self.encoder
        read, mask = attended(ids, self.padding, self.filler)  # (B, L), (B, L)
        states = model.encoder(input_ids=read, attention_mask=mask).last_hidden_state  # (B, L, W)
        scores = []
        # `ids.shape[0]`, because an export would treat `len(ids)` as a constant.
        labels = (torch.split(ids, self.lengths) for ids in (self.told, self.given))
        for told, given in zip(*labels, strict=True):
            logits = model(
                encoder_outputs=(states,),
                attention_mask=mask,
                decoder_input_ids=given.unsqueeze(0).expand(ids.shape[0], -1),
                use_cache=False,
            ).logits  # (B, T, V)
            chosen = logits.float().log_softmax(-1).gather(2, told.expand(ids.shape[0], -1).unsqueeze(-1))
            scores.append(chosen.sum((1, 2)))
        return torch.stack(scores, 1)


@dataclass(frozen=True)
class Shape:
    """How a T5 classifies."""

    model: str  # its name in errors
    by: str  # "label-tokens" or "encoder"
    dropout: float


class T5Model(Configured):
    """A fine-tuned T5."""


def fine_tune(
    shape: Shape,
    folder: Path,
    longest: int,
    before: tuple[str, str],
    settings: Training,
    examples: Examples,
    validation: Examples,
    context: Context,
) -> T5Model:
    """Train the pretrained weights in `folder` on gold labels.

    The model reads at most `longest` subwords of a text, including the two prefixes `before`: those of each
    text and of the second text of a pair. Raise HarnessError if the folder has no T5.
    """
    config = read_config(folder)
    if config.model_type not in _CLASSES:
        raise HarnessError(
            f"expected a model of type {' or '.join(_CLASSES)}, got '{shape.model}' of type "
            f"{config.model_type}; use teacher 'transformer'"
        )
    plain = featuriser_of(folder, config, longest)
    featuriser = PrefixedSubwords(plain.tokenizer, plain.longest, plain.padding, *before)
    torch.manual_seed(context.seed)
    module = _module(shape, featuriser, examples.classes, folder, pretrained=True)
    tokens = featuriser.tokens(examples.texts, context.scratch)
    held_out = (featuriser.tokens(validation.texts), validation)
    train(module, tokens, examples, GoldLabels(examples.task_type), settings, context, held_out)
    return T5Model(module, featuriser, examples.classes, context)


def load(shape: Shape, folder: Path, context: Context) -> T5Model:
    """Load a model that :meth:`T5Model.save` wrote."""
    import json

    names = json.loads((folder / "model.json").read_text(encoding="utf-8"))["classes"]
    featuriser = Featuriser.load(folder)
    assert isinstance(featuriser, PrefixedSubwords)

    def build(size: int, classes: int) -> nn.Module:
        return _module(shape, featuriser, names, folder / CONFIG, pretrained=False)

    return T5Model.load(folder, context, build)  # type: ignore[return-value]


def _module(
    shape: Shape, featuriser: PrefixedSubwords, classes: Sequence[str], folder: Path, pretrained: bool
) -> nn.Module:
    """Return the classifier, with pretrained or random weights."""
    import transformers

    config = read_config(folder)
    config.dropout_rate = shape.dropout
    part = "EncoderModel" if shape.by == "encoder" else "ForConditionalGeneration"
    kind: Any = getattr(transformers, _CLASSES[config.model_type] + part)
    # Fused attention is hardly faster for short texts, and cannot be exported to ONNX here.
    options = {"attn_implementation": "eager"}
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if pretrained:
        with loading(f"cannot build a classifier from {folder}"):
            model, told = kind.from_pretrained(
                folder, config=config, dtype=torch.float32, output_loading_info=True, **options
            )
            check_loaded(model, told, folder)
    else:
        model = kind._from_config(config, **options)
    module: nn.Module
    if shape.by == "encoder":
        module = Classifier(model, "mean", featuriser.padding, len(classes), shape.dropout)
    else:
        module = LabelTokens(model, featuriser.padding, _labels(featuriser, classes, shape.model))
    if pretrained:
        check_module(module, featuriser, name_of(model))
    return module


def _labels(featuriser: PrefixedSubwords, classes: Sequence[str], model: str) -> list[list[int]]:
    """Return the tokens of each label. Raise HarnessError if two labels have the same tokens."""
    first: dict[tuple[int, ...], str] = {}
    for name in classes:
        ids = tuple(featuriser.label(name))
        if ids in first:
            raise HarnessError(
                f"cannot distinguish the labels '{first[ids]}' and '{name}': they have the same tokens in "
                f"model '{model}'; set by = \"encoder\""
            )
        first[ids] = name
    return [list(ids) for ids in first]
