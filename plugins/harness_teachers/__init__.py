"""Teachers: anything that gives outputs for texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import harness
from harness_teachers.transformer import MiniLM, Transformer

if TYPE_CHECKING:
    from harness.hookspecs import Register


@harness.hookimpl
def register_teachers(register: Register) -> None:
    """Our teachers, each from its module."""
    register(MiniLM)
    register(Transformer)
