"""Tracker that writes a run for TensorBoard (extra ``tensorboard``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import harness
from harness_tensorboard.events import TensorBoard

if TYPE_CHECKING:
    from harness.hookspecs import Register


@harness.hookimpl
def register_trackers(register: Register) -> None:
    """Register this package's tracker."""
    register(TensorBoard)
