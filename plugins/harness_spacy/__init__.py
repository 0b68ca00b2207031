"""spaCy's text classifiers as students."""

from __future__ import annotations

from typing import TYPE_CHECKING

import harness
from harness_spacy.textcat import SpacyTextcat

if TYPE_CHECKING:
    from harness.hookspecs import Register


@harness.hookimpl
def register_students(register: Register) -> None:
    """Register this package's students."""
    register(SpacyTextcat)
