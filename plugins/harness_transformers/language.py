"""Masked language models: build them from a folder or a configuration, train them and load them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness import Context, Examples, HarnessError, Model
from harness.featurise.featuriser import Featuriser, MaskedSubwords, Subwords, WordSubwords
from harness.training.language_model import LanguageModel
from harness.training.loop import train
from harness.training.model import TorchModel
from harness.training.settings import Training, training_of
from harness_transformers import wordpiece
from harness_transformers.folders import CONFIG, Configured, featuriser_of, loaded, positions, read_config
from harness_transformers.gold import GoldLabels
from harness_transformers.padding import attended, check_size, embeddings_of, filler_of
from harness_transformers.states import Watch

if TYPE_CHECKING:
    from harness_transformers.pretrained import Pretrained


_NEVER = -1e4  # a logit; infinity would give NaN in differences of logits


class Head(nn.Module):
    """The head of a masked language model: last hidden states → logits (Devlin et al., 2019).

    A dense layer is followed by the encoder's input embeddings (Press & Wolf, 2017). The table of embeddings
    is an argument, so that it is stored and counted once.
    """

    def __init__(self, dense: nn.Module, activation: nn.Module, norm: nn.Module, bias: Tensor) -> None:
        super().__init__()
        self.dense = dense
        self.activation = activation
        self.norm = norm
        self.bias = nn.Parameter(bias)  # (V,)

    def forward(self, states: Tensor, table: Tensor) -> Tensor:
        """Return the logits (..., V) of states (..., H), with a table of embeddings (V, E)."""
        return F.linear(self.norm(self.activation(self.dense(states))), table, self.bias)


class MaskedLanguageModel(nn.Module):
    """An encoder with a head that predicts tokens: token ids (B, L) → logits (B, L, V).

    The ids to predict are marked: `size` is added to them. The module ignores the marks, except that
    :meth:`outputs` returns the logits of marked tokens only.
    """

    def __init__(self, encoder: nn.Module, head: Head, padding: int, size: int, mask: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.padding = padding
        self.filler = filler_of(encoder, padding)
        self.size = size  # V; an encoder may have more rows than its tokenizer has ids
        self.mask = mask  # the id of the mask token

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits (B, L, V) of all ids (B, L), marked or not."""
        read, mask = attended(ids % self.size, self.padding, self.filler)
        found: Any = self.encoder(input_ids=read, attention_mask=mask)
        return self._logits(found.last_hidden_state)

    def outputs(self, ids: Tensor, names: Collection[str]) -> dict[str, Any]:
        """Return the logits (R, V) and "hidden" (R, H) of the R marked tokens, text by text.

        Other inner states `names` are those of all tokens; see :class:`harness.Batch`.
        """
        marked = ids >= self.size  # (B, L)
        read, mask = attended(ids % self.size, self.padding, self.filler)
        with Watch(self.encoder, set(names) - {"hidden"}, head=False) as watch:
            found: Any = self.encoder(input_ids=read, attention_mask=mask, **watch.options)
        hidden = found.last_hidden_state[marked]  # (R, H)
        return {"logits": self._logits(hidden), "hidden": hidden, **watch.states(found, None)}

    def _logits(self, states: Tensor) -> Tensor:
        encoder: Any = self.encoder
        table = encoder.get_input_embeddings().weight
        logits: Tensor = self.head(states, table if len(table) == self.size else table[: self.size])
        # Padding without an embedding of its own is never the answer.
        return logits if self.filler is None else F.pad(logits, (0, 1), value=_NEVER)


class TransformerLanguageModel(Configured, LanguageModel):
    """A masked language model."""


def pretrain(
    vocabulary: int,
    longest: int,
    shape: Mapping[str, Any],
    settings: Training,
    examples: Examples,
    validation: Examples,
    context: Context,
) -> TransformerLanguageModel:
    """Train a WordPiece vocabulary, and a BERT with random weights, on the texts.

    `shape` contains arguments of ``BertConfig``.
    """
    from transformers import BertConfig

    tokenizer = wordpiece.train(examples.texts, vocabulary)
    padding, mask = wordpiece.SPECIAL.index(wordpiece.PADDING), wordpiece.SPECIAL.index(wordpiece.MASK)
    featuriser = MaskedSubwords(tokenizer, longest, padding, mask)
    config = BertConfig(
        vocab_size=featuriser.size,
        max_position_embeddings=longest,
        pad_token_id=padding,
        type_vocab_size=0,
        **shape,
    )
    module = fresh_language_model(config, featuriser, context)
    return learn(module, featuriser, settings, examples, validation, context)


def continue_training(
    teacher: Pretrained, examples: Examples, validation: Examples, context: Context
) -> TransformerLanguageModel:
    """Continue the pretraining of the teacher's model on the texts, by predicting masked tokens."""
    module, featuriser = pretrained_language_model(teacher, context)
    return learn(module, featuriser, training_of(teacher), examples, validation, context)


def learn(
    module: MaskedLanguageModel,
    featuriser: MaskedSubwords,
    settings: Training,
    examples: Examples,
    validation: Examples,
    context: Context,
) -> TransformerLanguageModel:
    """Train a language model in place, by cross-entropy only."""
    tokens = featuriser.tokens(examples.texts, context.scratch)
    watched = featuriser.tokens(validation.texts), validation
    train(module, tokens, examples, GoldLabels(examples.task_type), settings, context, watched)
    return TransformerLanguageModel(module, featuriser, (), context)


def pretrained_language_model(
    teacher: Pretrained, context: Context
) -> tuple[MaskedLanguageModel, MaskedSubwords]:
    """Return the language model that a teacher starts from, and its tokenizer.

    If a folder has an encoder only, the head is random, with the context's seed.
    """
    if teacher.prior is not None:
        module, reads = _prior(teacher, context)
        copy = deepcopy(module).float().requires_grad_(True)
        return copy, MaskedSubwords.restore(_shorter(teacher, module, reads))
    folder = teacher.folder()
    featuriser = featuriser_of(folder, read_config(folder), teacher.longest, masked=True)
    assert isinstance(featuriser, MaskedSubwords)
    torch.manual_seed(context.seed)
    return _of(_model(folder=folder), featuriser), featuriser


def encoder_of_prior(teacher: Pretrained, context: Context, of_words: bool) -> tuple[nn.Module, Subwords]:
    """Return a copy of the prior language model's encoder, and its tokenizer for another task."""
    module, featuriser = _prior(teacher, context)
    kind = WordSubwords if of_words else Subwords
    encoder = deepcopy(module.encoder).float().requires_grad_(True)
    return encoder, kind.restore(_shorter(teacher, module, featuriser))


def language_model_of(model: Model | None) -> tuple[MaskedLanguageModel, MaskedSubwords] | None:
    """Return the module and the tokenizer of a masked language model, or None for any other model."""
    if not isinstance(model, TorchModel) or not isinstance(model.module, MaskedLanguageModel):
        return None
    assert isinstance(model.featuriser, MaskedSubwords)
    return model.module, model.featuriser


def _prior(teacher: Pretrained, context: Context) -> tuple[MaskedLanguageModel, MaskedSubwords]:
    found = language_model_of(context.prior)
    if found is None:
        raise HarnessError(f"cannot start teacher '{teacher.name}': it needs a masked language model")
    return found


def _shorter(teacher: Pretrained, module: MaskedLanguageModel, featuriser: MaskedSubwords) -> dict[str, Any]:
    """Return the state of a tokenizer that reads as much as the teacher wants and the encoder can."""
    most = positions(module.encoder.config) or teacher.longest
    return {**featuriser.state(), "longest": min(teacher.longest, most)}


def fresh_language_model(config: Any, featuriser: MaskedSubwords, context: Context) -> MaskedLanguageModel:
    """Return a language model of a configuration, with random weights and the context's seed."""
    config.save_pretrained(folder := context.scratch / "fresh")
    torch.manual_seed(context.seed)
    return _of(_model(config=folder), featuriser)


def load(folder: Path, context: Context) -> TransformerLanguageModel:
    """Load a model that :meth:`TransformerLanguageModel.save` wrote."""
    featuriser = Featuriser.load(folder)
    assert isinstance(featuriser, MaskedSubwords)

    def build(size: int, classes: int) -> nn.Module:
        return _of(_model(config=folder / CONFIG), featuriser)

    return TransformerLanguageModel.load(folder, context, build)  # type: ignore[return-value]


def _model(folder: Path | None = None, config: Path | None = None) -> Any:
    from transformers import AutoModelForMaskedLM

    return loaded(AutoModelForMaskedLM, "language model", folder, config)


def _of(model: Any, featuriser: MaskedSubwords) -> MaskedLanguageModel:
    """Return a language model with the parts of one of Transformers'.

    All known architectures have the same parts, under different names. Raise HarnessError if the parts
    together do not give the outputs of the model itself.
    """
    from transformers.activations import ACT2FN

    config, encoder, decoder = model.config, model.base_model, model.get_output_embeddings()
    rows = embeddings_of(encoder)
    check_size(encoder, featuriser, f"a model of type '{config.model_type}'")
    below = set(encoder.modules())
    above = [module for module in model.modules() if module not in below and module is not decoder]
    dense = [module for module in above if isinstance(module, nn.Linear)]
    norm = [module for module in above if isinstance(module, nn.LayerNorm)]
    names = ("classifier_activation", "hidden_act", "activation")
    name = next((getattr(config, name) for name in names if hasattr(config, name)), "gelu")
    if len(dense) == len(norm) == 1 and decoder is not None:
        bias = decoder.weight.new_zeros(rows) if decoder.bias is None else decoder.bias.detach().clone()
        head = Head(dense[0], ACT2FN[name], norm[0], bias[: featuriser.size])
        made = MaskedLanguageModel(encoder, head, featuriser.padding, featuriser.size, featuriser.mask).eval()
        ids = torch.arange(min(5, featuriser.size))[None]
        read, mask = attended(ids, made.padding, made.filler)
        with torch.no_grad():
            own = model.eval()(input_ids=read, attention_mask=mask).logits[..., : featuriser.size]
            same = torch.allclose(made(ids)[..., : own.shape[-1]], own, rtol=1e-3, atol=1e-3)
        if same:
            return made
    raise HarnessError(
        f"cannot use a masked language model of type '{config.model_type}': its head is not supported"
    )
