"""Read a model folder: its configuration, its weights and its tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from harness import HarnessError
from harness.featurise.featuriser import MaskedSubwords, Subwords, WordSubwords
from harness.training.model import TorchModel
from harness_transformers.token_types import drop_types
from harness_transformers.weights import has_tokenizer

if TYPE_CHECKING:
    from harness_transformers.pretrained import Pooling

CONFIG = "config"  # folder of the architecture's configuration, beside the weights


class Configured(TorchModel):
    """A model that is saved with the configuration of its architecture, to build it again."""

    def save(self, folder: Path) -> None:
        """See :class:`harness.Model`."""
        super().save(folder)
        self.module.encoder.config.save_pretrained(folder / CONFIG)  # type: ignore[operator,union-attr]


def read_config(folder: Path) -> Any:
    """Return the configuration in a model folder. Code in the folder is never run."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (ValueError, OSError, KeyError) as error:
        why = str(error).strip().partition("\n")[0]
        raise HarnessError(f"cannot read the configuration in {folder}: {why}") from None


def loaded(kind: Any, what: str, folder: Path | None, config: Path | None, **labels: int) -> Any:
    """Return a model of Transformers, with a folder's weights or, from a configuration, with random ones.

    `what` names the model in errors. Raise HarnessError if it cannot be built.
    """
    from transformers import AutoConfig, logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # On CPUs, plain attention is 10 % faster than fused attention for short texts. On GPUs, its results are
    # reproducible to the bit, and it does not inspect the mask, which a CUDA graph would not allow.
    attention = {"attn_implementation": "eager"}
    try:
        if folder is None:
            model = kind.from_config(AutoConfig.from_pretrained(config, **labels), **attention)
            if getattr(model.config, "type_vocab_size", None) == 0:
                drop_types(model.base_model)
            return model
        # A head for other labels is dropped: only the encoder below it is needed.
        model, told = kind.from_pretrained(
            folder,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
            output_loading_info=True,
            **labels,
            **attention,
        )
        check_loaded(model, told, folder)
    except (ValueError, OSError, KeyError) as error:
        raise HarnessError(
            f"cannot build a {what} from {folder or config}: {str(error).splitlines()[0]}"
        ) from None
    return model


def encoder_of(
    pooling: Pooling, classes: int, folder: Path | None = None, config: Path | None = None
) -> nn.Module:
    """Return the pretrained encoder in a folder, or an encoder with random weights from a configuration."""
    from transformers import AutoModel, AutoModelForSequenceClassification

    if pooling == "head":
        kind = AutoModelForSequenceClassification
        return loaded(kind, "classifier", folder, config, num_labels=classes)  # type: ignore[no-any-return]
    encoder = loaded(AutoModel, "classifier", folder, config)
    if getattr(encoder, "pooler", None) is not None:  # it would never be used
        encoder.pooler = None
    return encoder  # type: ignore[no-any-return]


def check_loaded(encoder: Any, told: Mapping[str, Any], folder: Path) -> None:
    """Raise HarnessError if weights below the head are not in the folder and would be random."""
    below = f"{encoder.base_model_prefix}." if encoder.base_model is not encoder else ""
    lacking = {*told["missing_keys"], *(name for name, *_ in told["mismatched_keys"])}
    lacking = {name for name in lacking if name.startswith(below) and "pooler" not in name}
    if lacking:
        raise HarnessError(
            f"cannot load the weights in {folder}: {len(lacking)} are missing or have another shape than its "
            f"configuration requires, such as {min(lacking)}"
        )


def featuriser_of(
    folder: Path, config: Any, longest: int, of_words: bool = False, masked: bool = False
) -> Subwords:
    """Return the fast tokenizer of a model folder: for texts, for tagged words or for masked tokens."""
    from transformers import AutoTokenizer

    if not has_tokenizer(folder):  # Transformers would make up an empty one
        raise HarnessError(f"cannot find a tokenizer in {folder}: tokenizer.json is missing")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True, trust_remote_code=False)
    except (ImportError, ValueError, OSError) as error:  # SentencePiece may have to be installed
        why = str(error).strip().partition("\n")[0]
        raise HarnessError(f"cannot load the tokenizer in {folder}: {why}") from None
    if not tokenizer.is_fast:
        raise HarnessError(f"expected a fast tokenizer (tokenizer.json) in {folder}, got a slow one")
    # Decoders such as GPT-2 have no padding token: the end-of-text token, which texts never contain, is used.
    ids = (tokenizer.pad_token_id, getattr(config, "pad_token_id", None), tokenizer.eos_token_id)
    padding = next((number for number in ids if number is not None), None)
    if padding is None:
        raise HarnessError(
            f"cannot pad texts: the model in {folder} has neither a padding token nor an end-of-text token"
        )
    longest = min(longest, positions(config, padding) or longest)
    if masked:
        if tokenizer.mask_token_id is None:
            raise HarnessError(f"cannot mask tokens: the tokenizer in {folder} has no mask token")
        return MaskedSubwords(tokenizer.backend_tokenizer, longest, padding, tokenizer.mask_token_id)
    return (WordSubwords if of_words else Subwords)(tokenizer.backend_tokenizer, longest, padding)


def positions(config: Any, padding: int) -> int | None:
    """Return the maximum number of tokens that a model can read, or None if there is no limit.

    Some architectures count positions from their padding id.
    """
    most: int | None = getattr(config, "max_position_embeddings", None)
    return most and most - (padding + 1 if config.model_type in _COUNTED_FROM_PADDING else 0)


_COUNTED_FROM_PADDING = (
    *("roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod", "camembert"),
    *("mpnet", "longformer", "data2vec-text", "esm", "ibert", "mra"),
)
