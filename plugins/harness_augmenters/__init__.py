"""New texts by rule, from the training texts alone."""

from __future__ import annotations

from collections.abc import Callable

import harness
from harness_augmenters.combine import Chain, Mix, Nothing
from harness_augmenters.pos import PartOfSpeechReplace
from harness_augmenters.spans import NGram, Sentence
from harness_augmenters.words import Drop, Mask, Replace


@harness.hookimpl
def register_augmenters(register: Callable[[type[harness.Component]], None]) -> None:
    """Register this package's augmenters."""
    register(Nothing)
    register(Mask)
    register(Replace)
    register(PartOfSpeechReplace)
    register(Drop)
    register(NGram)
    register(Sentence)
    register(Chain)
    register(Mix)
