"""What is made of a model folder: its configuration, its weights and its tokenizer."""

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

CONFIG = "config"  # the folder with the architecture's configuration, beside the weights


class Configured(TorchModel):
    """A model that is saved with the configuration that its architecture is rebuilt from."""

    def save(self, folder: Path) -> None:
        """See :class:`harness.Model`."""
        super().save(folder)
        self.module.encoder.config.save_pretrained(folder / CONFIG)  # type: ignore[operator,union-attr]


def read_config(folder: Path) -> Any:
    """The configuration in a model folder; code that lies beside it is never run."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (ValueError, OSError, KeyError) as error:
        why = str(error).strip().partition("\n")[0]
        raise HarnessError(f"the configuration in {folder} cannot be used: {why}") from None


def loaded(kind: Any, what: str, folder: Path | None, config: Path | None, **labels: int) -> Any:
    """One of Transformers' models with a folder's weights, or a bare one of a configuration.

    Raises HarnessError where no such model, `what` in words, can be made of it.
    """
    from transformers import AutoConfig, logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # On short texts plain attention beats the fused one on CPUs by a tenth; on GPUs it can be repeated to the
    # bit, and looks at no mask, which a CUDA graph would not allow.
    attention = {"attn_implementation": "eager"}
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
        check_loaded(model, told, folder)
    except (ValueError, OSError, KeyError) as error:
        raise HarnessError(
            f"no {what} can be made of {folder or config}: {str(error).splitlines()[0]}"
        ) from None
    return model


def encoder_of(
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


def check_loaded(encoder: Any, told: Mapping[str, Any], folder: Path) -> None:
    """Raise HarnessError where weights below the head were not in the folder, and so are random."""
    below = f"{encoder.base_model_prefix}." if encoder.base_model is not encoder else ""
    lacking = {*told["missing_keys"], *(name for name, *_ in told["mismatched_keys"])}
    lacking = {name for name in lacking if name.startswith(below) and "pooler" not in name}
    if lacking:
        raise HarnessError(
            f"the weights in {folder} are not those of its configuration: {len(lacking)} are missing or of "
            f"another shape, such as {min(lacking)}"
        )


def featuriser_of(
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
