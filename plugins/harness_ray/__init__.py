"""Executor that runs steps on a Ray cluster (extra ``ray``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import harness
from harness_ray.executor import Ray

if TYPE_CHECKING:
    from harness.hookspecs import Register


@harness.hookimpl
def register_executors(register: Register) -> None:
    """Register this package's executor."""
    register(Ray)
