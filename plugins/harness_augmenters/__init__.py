"""Augmenters that make new texts from training texts, by rule or by model, or bring unlabelled texts."""

from __future__ import annotations

from collections.abc import Callable

import harness
from harness_augmenters.combine import Chain, Mix, Nothing
from harness_augmenters.embeddings import EmbeddingReplace
from harness_augmenters.pool import Unlabelled
from harness_augmenters.pos import PartOfSpeechReplace
from harness_augmenters.spans import Crossover, NGram, Sentence
from harness_augmenters.translate import BackTranslate
from harness_augmenters.words import Drop, Mask, Replace


@harness.hookimpl
def register_augmenters(register: Callable[[type[harness.Component]], None]) -> None:
    """Register this package's augmenters."""
    register(Nothing)
    register(Mask)
    register(Replace)
    register(PartOfSpeechReplace)
    register(EmbeddingReplace)
    register(Drop)
    register(NGram)
    register(Sentence)
    register(Crossover)
    register(BackTranslate)
    register(Unlabelled)
    register(Chain)
    register(Mix)
