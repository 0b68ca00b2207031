"""Executor that runs steps in jobs of Slurm (extra ``slurm``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import harness
from harness_slurm.executor import Slurm

if TYPE_CHECKING:
    from harness.hookspecs import Register


@harness.hookimpl
def register_executors(register: Register) -> None:
    """Register this package's executor."""
    register(Slurm)
