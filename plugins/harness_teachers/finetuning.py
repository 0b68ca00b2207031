"""Fine-tuning a pretrained encoder into a classifier, and reading the result back."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from harness import Batch, Context, Examples, HarnessError, Loss
from harness.featurise import Subwords, Tokens, WordSubwords
from harness.nn import TorchModel, training_of
from harness.training import train
from harness_teachers.states import Watch
from harness_teachers.token_types import drop_types
from harness_teachers.weights import has_tokenizer

if TYPE_CHECKING:
    from harness_teachers.transformer import FineTuned, Pooling

_CONFIG = "config"  # the folder with the architecture's configuration, beside the weights


class Classifier(nn.Module):
    """Token ids (B, L) → logits (B, C).

    Of an architecture that has two types of token, such as BERT, those behind the first `separator` are of
    the second type: the second text of a pair, or what follows a separator that a text itself holds. So ids
    are all that the module needs.
    """

    def __init__(
        self,
        encoder: nn.Module,
        pooling: Pooling,
        padding: int,
        classes: int,
        dropout: float,
        separator: int | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.padding = padding
        config: Any = encoder.config
        typed = "token_type_ids" in signature(encoder.forward).parameters
        two_types = typed and (getattr(config, "type_vocab_size", None) or 0) >= 2
        self.separator = separator if two_types else None
        self.dropout = nn.Dropout(dropout)
        self.output = None if pooling == "head" else nn.Linear(config.hidden_size, classes)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, L) → (B, C)."""
        return self.outputs(ids, ())["logits"]  # type: ignore[no-any-return]

    def outputs(self, ids: Tensor, names: Collection[str]) -> dict[str, Any]:
        """Ids (B, L) to logits (B, C) and the inner states that are asked for, as in :class:`Batch`."""
        mask = (ids != self.padding).long()  # (B, L)
        typed = {}
        if self.separator is not None:
            marks = (ids == self.separator).long()
            typed["token_type_ids"] = ((marks.cumsum(1) - marks) > 0).long() * mask  # (B, L)
        with Watch(self.encoder, names, head=self.output is None) as watch:
            found = self.encoder(input_ids=ids, attention_mask=mask, **typed, **watch.options)
        if self.output is None:
            return {"logits": found.logits, **watch.states(found, None)}
        states = found.last_hidden_state  # (B, L, W)
        if self.pooling == "cls":
            pooled = states[:, 0]
        else:
            weights = mask.unsqueeze(-1).to(states.dtype)
            # An empty text is all padding where a tokenizer adds no tokens of its own.
            pooled = (states * weights).sum(1) / weights.sum(1).clamp(min=1)  # (B, W)
        return {"logits": self.output(self.dropout(pooled)), **watch.states(found, pooled)}


class TokenClassifier(Classifier):
    """Token ids (B, L) → logits (B, L, C): a linear layer on each last hidden state (Devlin et al., 2019).

    The first ids of words are marked, by being `size` more than the token's own: for the module they are
    that token, and for others they say which logits count.
    """

    def __init__(self, encoder: nn.Module, padding: int, classes: int, dropout: float, size: int) -> None:
        super().__init__(encoder, "mean", padding, classes, dropout)
        self.size = size

    def outputs(self, ids: Tensor, names: Collection[str]) -> dict[str, Any]:
        """See :class:`Classifier`; "hidden" is (B, L, W), of each token."""
        ids = ids % self.size
        mask = (ids != self.padding).long()  # (B, L)
        with Watch(self.encoder, set(names) - {"hidden"}, head=False) as watch:
            found = self.encoder(input_ids=ids, attention_mask=mask, **watch.options)
        assert self.output is not None
        states = found.last_hidden_state  # (B, L, W)
        logits = self.output(self.dropout(states))
        return {"logits": logits, "hidden": states, **watch.states(found, None)}


@dataclass(frozen=True)
class GoldLabels(Loss):
    """What a teacher is fine-tuned by: cross-entropy on gold labels, or squared error from gold scores.

    The mean is over the rows that have a label; a batch with none gives 0.
    """

    task_types: ClassVar[frozenset[str]] = frozenset(
        {"classification", "regression", "tagging", "language-modelling"}
    )

    @property
    def needs(self) -> frozenset[str]:
        """Gold labels only."""
        return frozenset({"labels"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        """See :class:`harness.Loss`."""
        assert batch.labels is not None
        weights = 1.0 if batch.weights is None else batch.weights
        if batch.labels.is_floating_point():
            known = batch.labels.isfinite()
            errors = student[:, 0] * known - batch.labels.nan_to_num()
            return (errors.square() * weights).sum() / known.sum().clamp_min(1)
        reduction = "sum" if batch.weights is None else "none"
        losses = nn.functional.cross_entropy(student, batch.labels, ignore_index=-1, reduction=reduction)
        return (losses * weights).sum() / (batch.labels >= 0).sum().clamp_min(1)


def fine_tune(teacher: FineTuned, examples: Examples, validation: Examples, context: Context) -> TorchModel:
    """Train what the teacher starts from on gold labels, or where there are no classes, on masked tokens."""
    if not examples.classes:
        from harness_teachers.language import continue_training

        return continue_training(teacher, examples, validation, context)
    torch.manual_seed(context.seed)
    pooling = "mean" if examples.of_words else teacher.pooling
    encoder, featuriser = pretrained(teacher, context, len(examples.classes), pooling, examples.of_words)
    module = classifier(encoder, pooling, featuriser, len(examples.classes), teacher.dropout)
    tokens = featuriser.tokens(examples.texts, context.scratch)
    held_out = featuriser.tokens(validation.texts)
    with _seen_rows_only(module, tokens, held_out) as (tokens, held_out):
        train(module, tokens, examples, GoldLabels(), training_of(teacher), context, (held_out, validation))
    return TransformerModel(module, featuriser, examples.classes, context)


def classifier(
    encoder: nn.Module, pooling: Pooling, featuriser: Subwords, classes: int, dropout: float
) -> Classifier:
    """A fresh classifier of texts, or of their words where that is what the featuriser marks."""
    padding = featuriser.padding
    if featuriser.of_words:
        return TokenClassifier(encoder, padding, classes, dropout, featuriser.size)
    return Classifier(encoder, pooling, padding, classes, dropout, featuriser.separator)


class TransformerModel(TorchModel):
    """A fine-tuned classifier with the configuration that its architecture is rebuilt from."""

    def save(self, folder: Path) -> None:
        """See :class:`harness.Model`."""
        super().save(folder)
        self.module.encoder.config.save_pretrained(folder / _CONFIG)  # type: ignore[operator,union-attr]


def load(teacher: FineTuned, folder: Path, context: Context) -> TorchModel:
    """Read what :meth:`TransformerModel.save` wrote."""
    settings = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    reads = json.loads((folder / "featuriser.json").read_text(encoding="utf-8"))
    if not settings["classes"]:
        from harness_teachers.language import load as load_language_model

        return load_language_model(folder, context)

    def build(size: int, classes: int) -> nn.Module:
        if reads["type"] == WordSubwords.type:
            encoder = _encoder("mean", classes, config=folder / _CONFIG)
            return TokenClassifier(encoder, reads["padding"], classes, teacher.dropout, size)
        encoder = _encoder(teacher.pooling, len(settings["classes"]), config=folder / _CONFIG)
        separator = reads["separator"]
        return Classifier(encoder, teacher.pooling, reads["padding"], classes, teacher.dropout, separator)

    return TransformerModel.load(folder, context, build)


def pretrained(
    teacher: FineTuned,
    context: Context,
    classes: int = 0,
    pooling: Pooling = "mean",
    of_words: bool = False,
) -> tuple[nn.Module, Subwords]:
    """The encoder and the tokenizer that a teacher starts from, of its folder or of the context's prior."""
    if teacher.prior is not None:
        from harness_teachers.language import encoder_of_prior

        return encoder_of_prior(teacher, context, of_words)
    folder = teacher.folder()
    featuriser = _featuriser(folder, read_config(folder), teacher.longest, of_words)
    return _encoder(pooling, classes, folder=folder), featuriser


def read_config(folder: Path) -> Any:
    """The configuration in a model folder; code that lies beside it is never run."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (ValueError, OSError, KeyError) as error:
        why = str(error).strip().partition("\n")[0]
        raise HarnessError(f"the configuration in {folder} cannot be used: {why}") from None


def _encoder(
    pooling: Pooling, classes: int, folder: Path | None = None, config: Path | None = None
) -> nn.Module:
    """The pretrained encoder of a folder, or a bare one of a configuration."""
    from transformers import AutoModel, AutoModelForSequenceClassification

    if pooling == "head":
        kind = AutoModelForSequenceClassification
        return loaded(kind, "classifier", folder, config, num_labels=classes)  # type: ignore[no-any-return]
    encoder = loaded(AutoModel, "classifier", folder, config)
    if getattr(encoder, "pooler", None) is not None:  # it would never be used
        encoder.pooler = None
    return encoder  # type: ignore[no-any-return]


def loaded(kind: Any, what: str, folder: Path | None, config: Path | None, **labels: int) -> Any:
    """One of Transformers' models with a folder's weights, or a bare one of a configuration.

    Raises HarnessError where no such model, `what` in words, can be made of it.
    """
    from transformers import AutoConfig, logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # On short texts plain attention beats the fused one on CPUs by a tenth.
    attention = {} if torch.cuda.is_available() else {"attn_implementation": "eager"}
    try:
        if folder is None:
            model = kind.from_config(AutoConfig.from_pretrained(config, **labels), **attention)
            if getattr(model.config, "type_vocab_size", None) == 0:
                drop_types(model.base_model)
            return model
        # A head for other labels is left behind; the encoder under it is what is wanted.
        model, told = kind.from_pretrained(
            folder,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
            output_loading_info=True,
            **labels,
            **attention,
        )
        _check_loaded(model, told, folder)
    except (ValueError, OSError, KeyError) as error:
        raise HarnessError(
            f"no {what} can be made of {folder or config}: {str(error).splitlines()[0]}"
        ) from None
    return model


def _check_loaded(encoder: Any, told: Mapping[str, Any], folder: Path) -> None:
    """Raise HarnessError where weights below the head were not in the folder, and so are random."""
    below = f"{encoder.base_model_prefix}." if encoder.base_model is not encoder else ""
    lacking = {*told["missing_keys"], *(name for name, *_ in told["mismatched_keys"])}
    lacking = {name for name in lacking if name.startswith(below) and "pooler" not in name}
    if lacking:
        raise HarnessError(
            f"the weights in {folder} are not those of its configuration: {len(lacking)} are missing or of "
            f"another shape, such as {min(lacking)}"
        )


def _featuriser(
    folder: Path, config: Any, longest: int, of_words: bool = False, masked: bool = False
) -> Subwords:
    """The fast tokenizer of a model folder, for texts, texts whose words are tagged, or masked ones."""
    from transformers import AutoTokenizer

    if not has_tokenizer(folder):  # one without any words would be made up
        raise HarnessError(f"the model in {folder} has no tokenizer (tokenizer.json)")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True, trust_remote_code=False)
    except (ImportError, ValueError, OSError) as error:  # SentencePiece may have to be installed
        why = str(error).strip().partition("\n")[0]
        raise HarnessError(f"the tokenizer in {folder} cannot be loaded: {why}") from None
    if not tokenizer.is_fast:
        raise HarnessError(f"the model in {folder} has no fast tokenizer (tokenizer.json)")
    # Decoders such as GPT-2 know no padding: their end of text, which no text holds, stands in.
    ids = (tokenizer.pad_token_id, getattr(config, "pad_token_id", None), tokenizer.eos_token_id)
    padding = next((number for number in ids if number is not None), None)
    if padding is None:
        raise HarnessError(f"the model in {folder} has neither a padding token nor an end-of-text token")
    longest = min(longest, positions(config, padding) or longest)
    if masked:
        from harness.featurise import MaskedSubwords

        if tokenizer.mask_token_id is None:
            raise HarnessError(f"the tokenizer in {folder} has no mask token")
        return MaskedSubwords(tokenizer.backend_tokenizer, longest, padding, tokenizer.mask_token_id)
    return (WordSubwords if of_words else Subwords)(tokenizer.backend_tokenizer, longest, padding)


def positions(config: Any, padding: int) -> int | None:
    """How many tokens a model of a configuration can read; None: any number.

    Some count positions from their padding id on.
    """
    most: int | None = getattr(config, "max_position_embeddings", None)
    return most and most - (padding + 1 if config.model_type in _COUNTED_FROM_PADDING else 0)


_COUNTED_FROM_PADDING = (
    *("roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod", "camembert"),
    *("mpnet", "longformer", "data2vec-text", "esm", "ibert", "mra"),
)


@contextmanager
def _seen_rows_only(module: Classifier, *tables: Tokens) -> Iterator[tuple[Tokens, ...]]:
    """Train with the rows of the word embedding that the texts use, and put them back afterwards.

    Rows that no text uses get no gradient, and embeddings no weight decay, so they would not move: the
    result is the same. But an optimizer step over all 11.7 M numbers of MiniLM's table takes as long
    as a fifth of the batch.
    """
    encoder: Any = module.encoder
    full = encoder.get_input_embeddings()
    tied = [p for p in encoder.parameters() if p is full.weight]
    used = np.unique(np.concatenate([table.used() for table in tables]))
    used = used[used != module.padding]
    if (
        type(full) is not nn.Embedding  # such as one that scales its rows
        or full.padding_idx not in (None, module.padding)
        or len(tied) != 1
        or not full.weight.requires_grad
        or len(used) > 0.8 * full.num_embeddings
        or module.padding > len(used)
    ):
        yield tables
        return
    # Padding keeps its id: some architectures count positions by it.
    used = np.insert(used, min(module.padding, len(used)), module.padding)
    place = np.zeros(full.num_embeddings, dtype=np.int32)
    place[used] = np.arange(len(used), dtype=np.int32)
    rows = torch.from_numpy(used.astype(np.int64))
    small = nn.Embedding(len(used), full.embedding_dim, padding_idx=full.padding_idx)
    with torch.no_grad():
        small.weight.copy_(full.weight[rows])
    encoder.set_input_embeddings(small)
    separator = module.separator
    if separator is not None:
        module.separator = int(place[separator]) if separator in used else -1
    marked = module.size if isinstance(module, TokenClassifier) else 0
    if isinstance(module, TokenClassifier):
        module.size = len(used)
    try:
        yield tuple(table.renamed(place, len(used)) for table in tables)
    finally:
        if isinstance(module, TokenClassifier):
            module.size = marked
        with torch.no_grad():
            full.weight[rows] = small.weight.cpu()
        encoder.set_input_embeddings(full)
        module.separator = separator
