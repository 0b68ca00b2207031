"""Keep the subwords that texts use most, and drop all others from a transformer's tokenizer and embeddings.

Most parameters of a small transformer are embeddings of subwords, and the texts of one task, or of one
language, use few of them (Abdaoui et al., 2020, "Load What You Need").
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import nn

from harness import Context, Examples, HarnessError
from harness.featurise.featuriser import Subwords, Tokens
from harness.training.model import tokens_of
from harness_transformers.finetuning import Classifier, TokenClassifier
from harness_transformers.folders import name_of
from harness_transformers.padding import check_module

_IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "cls_token_id")  # of a configuration
_AT_ONCE = 1 << 22  # ids to count at once


def trim(
    module: Classifier, featuriser: Subwords, vocabulary: int, examples: Examples, context: Context
) -> Subwords:
    """Reduce a module in place to `vocabulary` subwords, and return the tokenizer that it reads with then.

    They are the most frequent ones of the examples. Special tokens are always kept, and so are the characters
    of the texts: words whose subwords are dropped are read in smaller pieces. Raise HarnessError if the model
    or its tokenizer cannot be reduced.
    """
    encoder: Any = module.cpu().encoder  # a fitted teacher's may be on a GPU; training moves the module there
    full = encoder.get_input_embeddings()
    model = name_of(encoder)
    alone = sum(weights is full.weight for weights in encoder.parameters()) == 1
    if type(full) is not nn.Embedding or module.filler is not None or not alone:
        raise HarnessError(
            f"cannot drop subwords of {model}: its embeddings have other uses too; remove `vocabulary`"
        )
    tokenizer = json.loads(featuriser.tokenizer.to_str())
    counts = _counts(tokens_of(featuriser, examples.texts, context), featuriser.size)
    kept = _kept(tokenizer, counts, vocabulary, model)
    places = {int(old): new for new, old in enumerate(kept)}
    if places.get(featuriser.padding) != featuriser.padding:  # some architectures count positions from it
        raise HarnessError(
            f"cannot drop subwords of {model}: its padding would get another id; remove `vocabulary`"
        )
    _renumber(tokenizer, places)
    reduced = Tokenizer.from_str(json.dumps(tokenizer))
    found = type(featuriser)(reduced, featuriser.longest, featuriser.padding, featuriser.characters)
    small = nn.Embedding(len(kept), full.embedding_dim, padding_idx=full.padding_idx)
    with torch.no_grad():
        small.weight.copy_(full.weight[torch.from_numpy(kept)])
    encoder.set_input_embeddings(small)
    encoder.config.vocab_size = len(kept)
    for name in _IDS:
        if isinstance(old := getattr(encoder.config, name, None), int):
            setattr(encoder.config, name, places.get(old))
    if module.separator is not None:
        module.separator = found.separator
    if isinstance(module, TokenClassifier):
        module.size = found.size
    check_module(module, found, model)
    return found


def _counts(tokens: Tokens, size: int) -> NDArray[np.int64]:
    """Return how often each of `size` ids occurs, without its marks of words; the ids may be on disk."""
    counts = np.zeros(size, dtype=np.int64)
    for first in range(0, len(tokens.ids), _AT_ONCE):
        counts += np.bincount(tokens.ids[first : first + _AT_ONCE] % size, minlength=size)
    return counts


def _kept(
    tokenizer: Mapping[str, Any], counts: NDArray[np.int64], vocabulary: int, model: str
) -> NDArray[np.int64]:
    """Return the ids to keep, in ascending order, given how often each id occurs in the texts."""
    reads = tokenizer["model"]
    numbers = reads["vocab"]  # by piece; Unigram has a list of pieces and scores
    if isinstance(numbers, list):
        numbers = {piece: number for number, (piece, _) in enumerate(numbers)}
    names = {number: piece for piece, number in numbers.items()}
    parts = {first + second: (first, second) for first, second in map(_merged, reads.get("merges", ()))}
    inside = reads.get("continuing_subword_prefix") or ""
    used = [
        int(number) for number in np.argsort(-counts, kind="stable") if counts[number] and number in names
    ]
    kept = {int(token["id"]) for token in tokenizer["added_tokens"]}
    kept |= {
        number for number in (reads.get("unk_id"), numbers.get(reads.get("unk_token"))) if number is not None
    }
    for number in used:
        kept.update(numbers[piece] for piece in _characters(names[number], inside) if piece in numbers)
    if vocabulary < len(kept):
        raise HarnessError(
            f"expected a vocabulary of at least {len(kept)} subwords for {model}, to hold its special tokens "
            f"and every character in the texts, got {vocabulary}"
        )
    for number in used:
        needed = {numbers[piece] for piece in _with_parts(names[number], parts)} - kept
        if len(kept) + len(needed) <= vocabulary:
            kept |= needed
    return np.array(sorted(kept), dtype=np.int64)


def _characters(piece: str, inside: str) -> Iterator[str]:
    """Yield the pieces of one character that spell a piece; those `inside` a word have a prefix."""
    begins = not inside or not piece.startswith(inside)
    for place, character in enumerate(piece if begins else piece.removeprefix(inside)):
        yield character if begins and place == 0 else inside + character


def _with_parts(piece: str, parts: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """Yield a piece and, for byte-pair encoding, all pieces that it is merged from."""
    yield piece
    for part in parts.get(piece, ()):
        yield from _with_parts(part, parts)


def _merged(merge: str | Sequence[str]) -> tuple[str, str]:
    """Return the two pieces of a merge, which older files write as one text."""
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first, second


def _renumber(tokenizer: dict[str, Any], places: Mapping[int, int]) -> None:
    """Keep only the ids of `places` in a tokenizer, under their new numbers."""
    reads = tokenizer["model"]
    if reads["type"] == "Unigram":
        reads["vocab"] = [piece for number, piece in enumerate(reads["vocab"]) if number in places]
        reads["unk_id"] = places.get(reads["unk_id"])
    else:
        reads["vocab"] = {
            piece: places[number] for piece, number in reads["vocab"].items() if number in places
        }
    if "merges" in reads:
        known = reads["vocab"]
        pairs = map(_merged, reads["merges"])
        reads["merges"] = [[a, b] for a, b in pairs if a in known and b in known and a + b in known]
    for token in tokenizer["added_tokens"]:
        token["id"] = places[token["id"]]
    _renumber_ends(tokenizer["post_processor"] or {}, places)


def _renumber_ends(processor: dict[str, Any], places: Mapping[int, int]) -> None:
    """Give the tokens that a post-processor adds to texts their new ids."""
    for name in ("sep", "cls"):
        if name in processor:
            piece, number = processor[name]
            processor[name] = [piece, places[number]]
    for token in processor.get("special_tokens", {}).values():
        token["ids"] = [places[number] for number in token["ids"]]
    for part in processor.get("processors", ()):
        _renumber_ends(part, places)
