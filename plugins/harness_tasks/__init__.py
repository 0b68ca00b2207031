"""Tasks: labelled texts to distil on."""

from __future__ import annotations

import harness
from harness.hookspecs import Register
from harness_tasks.emotion import Emotion
from harness_tasks.file import File


@harness.hookimpl
def register_tasks(register: Register) -> None:
    """Register the tasks of this package."""
    register(Emotion)
    register(File)
