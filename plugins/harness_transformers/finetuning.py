"""Fine-tune a pretrained encoder as a classifier, and load the result."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from harness import Context, Examples, HarnessError
from harness.featurise.featuriser import Subwords, Tokens, WordSubwords
from harness.training.loop import train
from harness.training.model import TorchModel
from harness.training.settings import training_of
from harness_transformers.folders import CONFIG, Configured, encoder_of, featuriser_of, name_of, read_config
from harness_transformers.gold import GoldLabels
from harness_transformers.padding import attended, check_module, filler_of, last_of
from harness_transformers.states import Watch

if TYPE_CHECKING:
    from harness_transformers.pretrained import Pooling, Pretrained


class Classifier(nn.Module):
    """An encoder with a classification head: token ids (B, L) → logits (B, C).

    If the architecture has two token types, as BERT has, the tokens after the first `separator` get the
    second type: the second text of a pair, or what follows a separator within a text. The module therefore
    needs ids only.
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
        self.filler = filler_of(encoder, padding)
        config: Any = encoder.config
        typed = "token_type_ids" in signature(encoder.forward).parameters
        two_types = typed and (getattr(config, "type_vocab_size", None) or 0) >= 2
        self.separator = separator if two_types else None
        self.dropout = nn.Dropout(dropout)
        self.output = None if pooling == "head" else nn.Linear(width_of(config), classes)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits (B, C) of ids (B, L)."""
        return self.outputs(ids, ())["logits"]  # type: ignore[no-any-return]

    def outputs(self, ids: Tensor, names: Collection[str]) -> dict[str, Any]:
        """Return the logits (B, C) of ids (B, L) and the inner states `names` of :class:`harness.Batch`."""
        read, mask = attended(ids, self.padding, self.filler)  # (B, L), (B, L)
        typed = {}
        if self.separator is not None:
            marks = (ids == self.separator).long()
            typed["token_type_ids"] = ((marks.cumsum(1) - marks) > 0).long() * mask  # (B, L)
        own: Any = self.encoder  # the encoder with its own head
        head = _head_of_last(own) if self.output is None else None
        body = own if head is None else own.base_model
        with Watch(self.encoder, names, head=self.output is None) as watch:
            found = body(input_ids=read, attention_mask=mask, **typed, **watch.options)
            if self.output is None:
                logits = found.logits if head is None else head(last_of(found.last_hidden_state, mask))
        if self.output is None:
            return {"logits": logits, **watch.states(found, None)}
        states = found.last_hidden_state  # (B, L, W)
        if self.pooling == "cls":
            pooled = states[:, 0]
        else:
            weights = mask.unsqueeze(-1).to(states.dtype)
            pooled = (states * weights).sum(1) / weights.sum(1)  # (B, W)
        return {"logits": self.output(self.dropout(pooled)), **watch.states(found, pooled)}


def width_of(config: Any) -> int:
    """Return the width of an encoder's last hidden states. Raise HarnessError if it has none."""
    # OPT-350M projects its states down to the width of its embeddings.
    width = getattr(config, "word_embed_proj_dim", None) or getattr(config, "hidden_size", None)
    if not isinstance(width, int):
        raise HarnessError(
            f"cannot classify with a model of type '{config.model_type}': its configuration has no "
            "hidden_size; use a model of text alone"
        )
    return width


def _head_of_last(encoder: Any) -> Callable[[Tensor], Tensor] | None:
    """Return a decoder's own head as a function from the state of the last token, (B, W), to logits (B, C).

    Return None for other heads, which read the first token. A decoder's head finds the last token by the ids:
    it fails without a padding id in the configuration, and errs if a text contains this id.
    """
    score = getattr(encoder, "score", None)
    if isinstance(score, nn.Linear):
        return score
    if getattr(encoder.config, "model_type", "") == "xlnet" and encoder.config.summary_type == "last":
        return lambda last: encoder.logits_proj(encoder.sequence_summary(last.unsqueeze(1)))
    return None


class TokenClassifier(Classifier):
    """An encoder with a linear layer on each last hidden state: token ids (B, L) → logits (B, L, C).

    The method is that of Devlin et al. (2019). The first id of each word is marked: `size` is added to it.
    The module ignores the marks; the caller uses them to select the logits that count.
    """

    def __init__(self, encoder: nn.Module, padding: int, classes: int, dropout: float, size: int) -> None:
        super().__init__(encoder, "mean", padding, classes, dropout)
        self.size = size

    def outputs(self, ids: Tensor, names: Collection[str]) -> dict[str, Any]:
        """Return the logits (B, L, C) and the inner states `names`; "hidden" is (B, L, W), one per token."""
        ids, mask = attended(ids % self.size, self.padding, self.filler)  # (B, L), (B, L)
        with Watch(self.encoder, set(names) - {"hidden"}, head=False) as watch:
            found = self.encoder(input_ids=ids, attention_mask=mask, **watch.options)
        assert self.output is not None
        states = found.last_hidden_state  # (B, L, W)
        logits = self.output(self.dropout(states))
        return {"logits": logits, "hidden": states, **watch.states(found, None)}


def fine_tune(teacher: Pretrained, examples: Examples, validation: Examples, context: Context) -> TorchModel:
    """Train the teacher's pretrained model on gold labels, or on masked tokens for language modelling."""
    examples = drawn(examples, teacher.most_texts, context.seed)
    marks = examples.task_type.marks
    if marks == "masks":
        from harness_transformers.language import continue_training

        return continue_training(teacher, examples, validation, context)
    torch.manual_seed(context.seed)
    of_words = marks == "words"
    pooling = "mean" if of_words else teacher.pooling
    encoder, featuriser = pretrained(teacher, context, len(examples.classes), pooling, of_words)
    module = classifier(encoder, pooling, featuriser, len(examples.classes), teacher.dropout)
    tokens = featuriser.tokens(examples.texts, context.scratch)
    held_out = featuriser.tokens(validation.texts)
    with seen_rows_only(module, tokens, held_out) as (tokens, held_out):
        loss = GoldLabels(examples.task_type)
        train(module, tokens, examples, loss, training_of(teacher), context, (held_out, validation))
    return TransformerModel(module, featuriser, examples.classes, context)


def drawn(examples: Examples, most: int, seed: int) -> Examples:
    """Return at most this number of examples, drawn at random, in their order; 0: all."""
    if not most or len(examples) <= most:
        return examples
    rows = np.sort(np.random.default_rng(seed).choice(len(examples), most, replace=False))
    labels = examples.labels
    if labels is not None:
        before = examples.task_type.rows_before(examples.texts)
        labels = np.concatenate([labels[before[row] : before[row + 1]] for row in rows])
    return replace(examples, texts=[examples.texts[int(row)] for row in rows], labels=labels)


def classifier(
    encoder: nn.Module, pooling: Pooling, featuriser: Subwords, classes: int, dropout: float
) -> Classifier:
    """Return a new classifier of texts, or of words if the featuriser marks words.

    Raise HarnessError if the encoder cannot read texts, or cannot ignore padding.
    """
    padding = featuriser.padding
    if featuriser.marks == "words":
        module: Classifier = TokenClassifier(encoder, padding, classes, dropout, featuriser.size)
    else:
        module = Classifier(encoder, pooling, padding, classes, dropout, featuriser.separator)
    check_module(module, featuriser, name_of(encoder))
    return module


class TransformerModel(Configured):
    """A fine-tuned classifier."""


def load(teacher: Pretrained, folder: Path, context: Context) -> TorchModel:
    """Load a model that :meth:`TransformerModel.save` wrote."""
    settings = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    reads = json.loads((folder / "featuriser.json").read_text(encoding="utf-8"))
    if not settings["classes"]:
        from harness_transformers.language import load as load_language_model

        return load_language_model(folder, context)

    def build(size: int, classes: int) -> nn.Module:
        if reads["type"] == WordSubwords.type:
            encoder = encoder_of("mean", classes, config=folder / CONFIG)
            return TokenClassifier(encoder, reads["padding"], classes, teacher.dropout, size)
        encoder = encoder_of(teacher.pooling, len(settings["classes"]), config=folder / CONFIG)
        separator = reads["separator"]
        return Classifier(encoder, teacher.pooling, reads["padding"], classes, teacher.dropout, separator)

    return TransformerModel.load(folder, context, build)


def pretrained(
    teacher: Pretrained,
    context: Context,
    classes: int = 0,
    pooling: Pooling = "mean",
    of_words: bool = False,
) -> tuple[nn.Module, Subwords]:
    """Return the encoder and the tokenizer that a teacher starts from: its folder's or its prior's."""
    if teacher.prior is not None:
        from harness_transformers.language import encoder_of_prior

        return encoder_of_prior(teacher, context, of_words)
    folder = teacher.folder()
    featuriser = featuriser_of(folder, read_config(folder), teacher.longest, of_words)
    return encoder_of(pooling, classes, folder=folder), featuriser


@contextmanager
def seen_rows_only(module: Classifier, *tables: Tokens) -> Iterator[tuple[Tokens, ...]]:
    """Reduce the word embedding to the rows that the texts use, and restore the full table on exit.

    Yield the tables with renumbered ids. The result of training is the same: unused rows get no gradient,
    embeddings have no weight decay, and so these rows would not change. But it is faster: an optimiser step
    over all 11.7 M numbers of MiniLM's table takes as long as a fifth of a batch.
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
        or module.filler is not None
    ):
        yield tables
        return
    # Padding keeps its id: some architectures compute positions from it.
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
            full.weight[rows] = small.weight.to(full.weight.device)
        encoder.set_input_embeddings(full)
        module.separator = separator
