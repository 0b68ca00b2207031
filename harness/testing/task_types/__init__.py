"""Check types of task on their own tiny examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from harness.api import TaskType
from harness.testing.models import Named
from harness.testing.rules import Rules
from harness.testing.shared import Shared
from harness.testing.task_types.data import DataChecks
from harness.testing.task_types.learning import LearningChecks
from harness.testing.task_types.scores import ScoreChecks


def task_type_checks(task_type: TaskType, shared: Shared) -> Iterator[Named]:
    """Yield the checks of a type of task."""
    data, scores, learning = DataChecks(task_type), ScoreChecks(task_type, shared), LearningChecks(task_type)
    checks: Mapping[str, Callable[[], None]] = {
        "has defaults": data.check_defaults,
        "has tiny examples": data.check_tiny,
        "counts rows": data.check_rows,
        "reads texts and inputs": data.check_texts,
        "cleans and numbers tables": data.check_tables,
        "keeps labels in Arrow": data.check_labels,
        "labels new texts": data.check_gold,
        "finds problems of tables": data.check_problems,
        "scores answers": scores.check_scores,
        "has ranges of metrics": scores.check_metrics,
        "agrees with itself": scores.check_agreement,
        "keeps predictions": scores.check_prediction,
        "scores resamples": scores.check_resamples,
        "draws labels": learning.check_drawn,
        "learns gold labels": learning.check_loss,
        "ignores rows without a label": learning.check_unlabelled,
        "weighs rows": learning.check_weights,
        "has targets": learning.check_targets,
        "averages outputs": learning.check_average,
        "describes models": data.check_words,
    }
    for name, check in checks.items():
        yield name, partial(_managed, Rules(task_type), name, check)


def _managed(must: Rules, name: str, check: Callable[[], None]) -> None:
    """Run a check; an exception in a method of the type breaks the rule too."""
    with must.manage(f"its methods must work ({name})"):
        check()
