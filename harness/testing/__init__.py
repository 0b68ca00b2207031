"""Check that components keep the rules of their kind, in tests of your own plugin.

All checks at once, in any test::

    check_component(MyStudent(width=8))

Each check as a case of its own, with pytest::

    @parametrize_with_checks([MyStudent(width=8), MyLoss()], catalog=catalog.load())
    def test_my_components(check):
        check()

Importing this package imports neither torch nor pytest.
"""

from harness.testing.basics import check_basics, check_imports
from harness.testing.checks import (
    Check,
    check_augmenter,
    check_component,
    check_loss,
    check_student,
    check_task,
    check_task_type,
    check_teacher,
    checks_of,
    parametrize_with_checks,
)

__all__ = [
    "Check",
    "check_augmenter",
    "check_basics",
    "check_component",
    "check_imports",
    "check_loss",
    "check_student",
    "check_task",
    "check_task_type",
    "check_teacher",
    "checks_of",
    "parametrize_with_checks",
]
