"""Folders as the hub has them: a tiny sequence-to-sequence model with random weights and a tokenizer."""

from __future__ import annotations

from pathlib import Path

import pretrained
import torch


def make(folder: Path, seed: int = 0) -> Path:
    """A model that turns texts into gibberish, with other weights for another seed."""
    import transformers

    pretrained.make("bart", folder)
    torch.manual_seed(seed)
    config = transformers.AutoConfig.from_pretrained(folder)
    transformers.BartForConditionalGeneration(config).save_pretrained(folder)
    return folder
