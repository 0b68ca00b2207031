"""Pad the texts of a batch, also if a tokenizer has no padding token of its own, and mask what was padded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from harness import HarnessError

if TYPE_CHECKING:
    from harness.featurise.featuriser import Subwords

_SPECIAL = ("unk_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id", "mask_token_id")
_EQUAL = 1e-2  # largest difference between outputs with and without padding, relative to the outputs


def padding_of(tokenizer: Any, config: Any) -> int:
    """Return the id that pads texts: the tokenizer's own, if it means nothing else, or a new one after all.

    Padding is masked wherever its id occurs. Decoders such as GPT-2 have no padding token, and others pad
    with the end of text or with the unknown token, which must not be masked where a text contains it.
    """
    backend = tokenizer.backend_tokenizer
    backend.no_padding()  # as in MiniLM's tokenizer.json, whose texts would all contain padding
    vocabulary: dict[str, int] = backend.get_vocab(with_added_tokens=True)
    new = max(vocabulary.values(), default=-1) + 1
    if new != len(vocabulary):  # marks of words and masks need ids without gaps
        return new
    special = {number for number, token in backend.get_added_tokens_decoder().items() if token.special}
    special -= {getattr(tokenizer, name, None) for name in _SPECIAL} | set(backend.encode("").ids)
    own: tuple[Any, ...] = (tokenizer.pad_token_id, getattr(config, "pad_token_id", None))
    return next((int(number) for number in own if number in special), new)


def embeddings_of(encoder: Any) -> int:
    """Return the number of ids that have an embedding. Raise HarnessError if a model reads no ids."""
    try:
        rows, _ = encoder.get_input_embeddings().weight.shape
    except (AttributeError, NotImplementedError, ValueError):
        kind = getattr(encoder.config, "model_type", type(encoder).__name__)
        raise HarnessError(
            f"cannot read texts with a model of type '{kind}': it has no table of embeddings"
        ) from None
    return int(rows)


def filler_of(encoder: Any, padding: int) -> int | None:
    """Return the id that an encoder reads in place of padding; None if it has an embedding for padding."""
    rows = embeddings_of(encoder)
    if padding < rows:
        return None
    own = getattr(encoder.config, "pad_token_id", None)
    return own if isinstance(own, int) and 0 <= own < rows else 0


def attended(ids: Tensor, padding: int, filler: int | None) -> tuple[Tensor, Tensor]:
    """Return the ids (B, L) that an encoder reads, and the mask (B, L): 0 for padding, else 1.

    An empty text without special tokens is all padding. Its first id is read nevertheless: attention to
    nothing would depend on how much padding there is.
    """
    mask = (ids != padding).long()
    empty = (mask.sum(1, keepdim=True) == 0).long()  # (B, 1)
    mask = torch.cat([mask[:, :1] + empty, mask[:, 1:]], 1)
    return (ids if filler is None else ids.masked_fill(ids == padding, filler)), mask


def last_of(states: Tensor, mask: Tensor) -> Tensor:
    """Return the state of each text's last token, (B, W), of states (B, L, W) and a mask (B, L)."""
    last = mask.sum(1) - 1  # (B,); padding follows the text
    return states.gather(1, last[:, None, None].expand(-1, 1, states.shape[2])).squeeze(1)


def check_size(encoder: Any, featuriser: Subwords, model: str) -> None:
    """Raise HarnessError if a tokenizer has ids without an embedding; padding needs none."""
    rows = embeddings_of(encoder)
    if featuriser.size - (filler_of(encoder, featuriser.padding) is not None) > rows:
        raise HarnessError(
            f"cannot use {model}: its tokenizer has {featuriser.size} ids, but there are {rows} embeddings; "
            "use the tokenizer that the model was trained with"
        )


def check_module(module: nn.Module, featuriser: Subwords, model: str) -> None:
    """Raise HarnessError if a module cannot read what a tokenizer gives, or reads padding.

    `model` is its name in errors. The module reads a short text alone, and beside the longest: with different
    outputs, its answers would depend on the other texts in a batch.
    """
    encoder: Any = module.encoder
    check_size(encoder, featuriser, model)
    table = featuriser.tokens(["a", "b a " * featuriser.longest])
    alone, both = (torch.from_numpy(table.batch(np.arange(count))) for count in (1, 2))  # (1, K), (2, L)
    was = {part: part.training for part in module.modules()}
    try:
        with torch.no_grad():
            module.eval()
            single, padded = module(alone)[0], module(both)[0]
    except HarnessError:
        raise
    except Exception as error:  # whatever an architecture raises: it was written for other inputs
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        remedy = 'set pooling = "mean", or use another model of text'
        if getattr(encoder.config, "is_encoder_decoder", False):
            remedy = "it has a decoder: use teacher 't5' for a T5, or a model that has an encoder only"
        raise HarnessError(f"cannot run {model} on texts: {why.rstrip('.')}; {remedy}") from None
    finally:
        for part, training in was.items():
            part.training = training
    padded = padded[: len(single)] if single.dim() == 2 else padded  # rows of words
    if (single - padded).abs().max() > _EQUAL * max(1.0, float(single.abs().max())):
        raise HarnessError(
            f"cannot use {model} in batches: its outputs for a text depend on the padding after the text; "
            'set pooling = "mean", or use another model'
        )
