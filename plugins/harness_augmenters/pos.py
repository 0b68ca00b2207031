"""Words for words of the same part of speech."""

from __future__ import annotations

from dataclasses import dataclass

from harness_augmenters.words import Substitution


@dataclass(frozen=True)
class PartOfSpeechReplace(Substitution):
    """Words become other words of their part of speech, drawn by frequency (Tang et al., 2019)."""

    name = "pos-replace"
