"""Check that components keep the rules of their kind, in tests of your own plugin.

Importing this package does not import torch.
"""

from harness.testing.checks import (
    check_augmenter,
    check_basics,
    check_component,
    check_imports,
    check_loss,
    check_student,
    check_task,
    check_teacher,
)

__all__ = [
    "check_augmenter",
    "check_basics",
    "check_component",
    "check_imports",
    "check_loss",
    "check_student",
    "check_task",
    "check_teacher",
]
