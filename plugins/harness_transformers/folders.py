"""Read a model folder: its configuration, its weights and its tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from harness import HarnessError
from harness.featurise.featuriser import MaskedSubwords, Subwords, WordSubwords
from harness.training.model import TorchModel
from harness_transformers.inspection import loading
from harness_transformers.padding import padding_of
from harness_transformers.token_types import drop_types

if TYPE_CHECKING:
    from harness_transformers.pretrained import Pooling

SAVE_AGAIN = "save the tokenizer there again, with save_pretrained()"
CONFIG = "config"  # folder of the architecture's configuration, beside the weights


class Configured(TorchModel):
    """A model that is saved with the configuration of its architecture, to build it again."""

    def save(self, folder: Path) -> None:
        """See :class:`harness.Model`."""
        super().save(folder)
        self.module.encoder.config.save_pretrained(folder / CONFIG)  # type: ignore[operator,union-attr]

    def export(self, folder: Path) -> None:
        """Write the model as ONNX, and what other programs need to load it; see :class:`harness.Model`."""
        # Imported by name, so that a change to the export does not cause models to be trained again.
        import_module("harness_transformers.standard").export(self, folder)


def read_config(folder: Path) -> Any:
    """Return the configuration in a model folder. Code in the folder is never run."""
    with loading(f"cannot read the configuration in {folder}", "check config.json"):
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(folder, trust_remote_code=False)


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
    remedy = "check that config.json and the weights are those of one model of text"
    with loading(f"cannot build a {what} from {folder or config}", remedy):
        if folder is None:
            model = kind.from_config(AutoConfig.from_pretrained(config, **labels), **attention)
            if getattr(model.config, "type_vocab_size", None) == 0:
                drop_types(model.base_model)
        else:
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
    for cache in ("use_cache", "use_mems_eval"):  # of earlier tokens: texts are read at once
        if getattr(model.config, cache, None):
            setattr(model.config, cache, False)
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
    """Raise HarnessError if weights below the head are not in the folder, or are not finite."""
    below = f"{encoder.base_model_prefix}." if encoder.base_model is not encoder else ""
    lacking = {*told["missing_keys"], *(name for name, *_ in told["mismatched_keys"])}
    lacking = {name for name in lacking if name.startswith(below) and "pooler" not in name}
    if lacking:
        raise HarnessError(
            f"cannot load the weights in {folder}: {len(lacking)} are missing or have another shape than its "
            f"configuration requires, such as {min(lacking)}; use the files of one model"
        )
    for name, values in encoder.named_parameters():
        if not torch.isfinite(values).all():
            raise HarnessError(
                f"cannot use the weights in {folder}: '{name}' contains NaN or infinite numbers; get them or "
                "train the model again"
            )


def featuriser_of(
    folder: Path, config: Any, longest: int, of_words: bool = False, masked: bool = False
) -> Subwords:
    """Return the fast tokenizer of a model folder: for texts, for tagged words or for masked tokens."""
    with loading(f"cannot load the tokenizer in {folder}", SAVE_AGAIN):
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True, trust_remote_code=False)
        if tokenizer.is_fast:
            tokenizer.backend_tokenizer.encode("☃ ☃")  # fails without an unknown token
    if not tokenizer.is_fast:
        raise HarnessError(f"expected a fast tokenizer (tokenizer.json) in {folder}, got a slow one")
    padding = padding_of(tokenizer, config)
    longest = min(longest, positions(config) or longest)
    fewest = tokenizer.backend_tokenizer.num_special_tokens_to_add(False) + 1
    if longest < fewest:
        raise HarnessError(
            f"cannot read texts with the model in {folder}: it reads {longest} tokens, and a text has "
            f"{fewest} or more; check max_position_embeddings in config.json"
        )
    if masked:
        if tokenizer.mask_token_id is None:
            raise HarnessError(f"cannot mask tokens: the tokenizer in {folder} has no mask token")
        return MaskedSubwords(tokenizer.backend_tokenizer, longest, padding, tokenizer.mask_token_id)
    return (WordSubwords if of_words else Subwords)(tokenizer.backend_tokenizer, longest, padding)


def positions(config: Any) -> int | None:
    """Return the maximum number of tokens that a model can read, or None if there is no limit.

    Some architectures count positions from the padding id of their configuration.
    """
    most = getattr(config, "max_position_embeddings", getattr(config, "max_seq_len", None))
    if not isinstance(most, int) or most < 0:  # XLNet has no limit, which its configuration writes as -1
        return None
    return most - ((config.pad_token_id or 0) + 1 if config.model_type in _COUNTED_FROM_PADDING else 0)


def name_of(encoder: Any) -> str:
    """Return the name of an encoder in errors: that of its folder, if it is from one."""
    folder = getattr(encoder, "name_or_path", "")
    return f"the model in {folder}" if folder else f"the model of type '{encoder.config.model_type}'"


_COUNTED_FROM_PADDING = (
    *("roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod", "camembert"),
    *("mpnet", "longformer", "data2vec-text", "esm", "ibert", "mra"),
)
