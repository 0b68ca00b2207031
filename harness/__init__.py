"""Benchmark knowledge distillation of text models.

``import harness`` provides everything that plugin authors need. It imports nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from annotated_types import Ge, Gt, Interval, Le, Lt, MinLen

from harness.api import (
    Augmenter,
    Batch,
    Component,
    Context,
    Examples,
    HarnessError,
    Loss,
    Masked,
    Model,
    Operations,
    OwnFile,
    Parameters,
    Recipe,
    Source,
    Speed,
    Student,
    Task,
    TaskType,
    Teacher,
    Tokeniser,
    Unavailable,
    Unsupported,
)

if TYPE_CHECKING:
    from harness.hookspecs import hookimpl as hookimpl
    from harness.training.model import TorchStudent as TorchStudent

__version__ = "0.1.0"

_LAZY = {"hookimpl": "harness.hookspecs", "TorchStudent": "harness.training.model"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'harness' has no attribute {name!r}")


__all__ = [
    "Augmenter",
    "Batch",
    "Component",
    "Context",
    "Examples",
    "Ge",
    "Gt",
    "HarnessError",
    "Interval",
    "Le",
    "Loss",
    "Lt",
    "Masked",
    "MinLen",
    "Model",
    "Operations",
    "OwnFile",
    "Parameters",
    "Recipe",
    "Source",
    "Speed",
    "Student",
    "Task",
    "TaskType",
    "Teacher",
    "Tokeniser",
    "TorchStudent",
    "Unavailable",
    "Unsupported",
    "hookimpl",
]
