"""The core's executor, registered as those of other packages are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import harness
from harness.run.local import Local

if TYPE_CHECKING:
    from harness.hookspecs import Register


@harness.hookimpl
def register_executors(register: Register) -> None:
    """Register the executor that runs steps on this machine."""
    register(Local)
