"""Check that a model can be trained on a user's file, and find the task that reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import HarnessError
from harness.api import PAIR_SEPARATOR, OwnFile, Task, TaskType
from harness.distill.candidates import looks_english
from harness.run.estimates import Size
from harness.sources.files import format_of, lines_of, read_table
from harness.sources.opening import trouble_with
from harness.task_types.base import DEFAULT
from harness.wording import choices, nearest, printable

if TYPE_CHECKING:
    from harness.catalog import Catalog
    from harness.distill.wishes import Wishes

# The minimum of labelled texts; labels with fewer texts, or types with fewer entities, are rare.
_FEWEST, _RARE = 50, 10
_LOOKED_AT = 5000  # texts that are used to recognise the language


@dataclass(frozen=True)
class Data:
    """The task that reads a file, the size and language of its data, and lines to show to the user."""

    task: Mapping[str, Any]  # the suite's table of the task
    task_type: TaskType
    size: Size
    outputs: int  # of a model for these labels
    english: bool
    told: tuple[str, ...]
    longest: int = 0  # words that all but a twentieth of the texts have at most


def look(wishes: Wishes, catalog: Catalog) -> Data:
    """Inspect a file with the task that the user asked for, or else the one that it looks like.

    Raise HarnessError if no model can be trained on the file.
    """
    path, asked = wishes.file, wishes.task
    offered = _offered(path, wishes.text, wishes.label, catalog)
    name = _chosen(path, asked, offered, catalog)
    file = offered[name]
    pool = _pool(wishes.unlabelled, str(file.parameters.get("text", "text")))
    splits = _splits(wishes, name, catalog)
    others = [each for each in offered if each != name and _fits(each, offered[each], catalog)]
    usual = [each for each in others if _type_of(each, catalog) == DEFAULT]
    another = f"; to read it otherwise, give --task {usual[0]}" if usual else ""
    why = f"read as task '{name}', because {file.why}{another}" if file.why and asked is None else ""
    try:
        return _look({"use": name, **file.parameters, **splits}, path, pool, catalog, why)
    except HarnessError as error:
        if asked is not None or not file.why or not path.is_file():
            raise
        end = ": name another with --task" if others else ""
        raise HarnessError(
            f"{error}; {path.name} was read as task '{name}', because {file.why}{end}"
        ) from None


def _chosen(path: Path, asked: str | None, offered: Mapping[str, OwnFile], catalog: Catalog) -> str:
    """Return the name of the task that the user asked for, or else the one that the file looks like."""
    if asked is not None:
        catalog.get("task", asked)
        if asked not in offered:
            fit = [name for name, file in offered.items() if _fits(name, file, catalog)]
            named = f"name one of these with --task: {', '.join(fit)}" if fit else "and no other can"
            raise HarnessError(f"task '{asked}' cannot read {path}; {named}")
        return asked
    if not offered:
        raise HarnessError(f"cannot read {path}: no installed task reads such a file")
    alike = [name for name, file in offered.items() if file.why]
    if len(alike) > 1:
        reasons = "; ".join(f"'{name}', because {offered[name].why}" for name in alike)
        raise HarnessError(f"several tasks could read {path}: {reasons}; name one with --task")
    if alike:
        return alike[0]
    usual = [name for name in offered if _type_of(name, catalog) == DEFAULT]
    return next(iter(usual or offered))


def _splits(wishes: Wishes, task: str, catalog: Catalog) -> dict[str, str]:
    """Return the user's files for validation and test, and the metric, as parameters of the task."""
    given = {"validation": wishes.validation, "test": wishes.test}
    known = getattr(catalog.get("task", task).component, "__dataclass_fields__", {})
    for split, path in given.items():
        if path is not None and split not in known:
            raise HarnessError(f"task '{task}' takes no file for {split}; leave out --{split}")
    found = {split: str(path) for split, path in given.items() if path is not None}
    if wishes.metric is not None:
        component = catalog.get("task", task).component
        assert issubclass(component, Task)
        task_type = catalog.task_type(component.task_type)
        allowed = sorted({task_type.headline, *task_type.beside, *task_type.metrics})
        if wishes.metric not in allowed or "metric" not in known:
            told = nearest(wishes.metric, allowed) or choices(wishes.metric, allowed)
            raise HarnessError(f"{task_type.name} has no metric '{wishes.metric}'{told}")
        found["metric"] = wishes.metric
    return found


def _fits(task: str, file: OwnFile, catalog: Catalog) -> bool:
    """Return whether a task takes these parameters: one that reads other formats does not."""
    try:
        catalog.build("task", {"use": task, **file.parameters})
    except HarnessError:
        return False
    return True


def _type_of(task: str, catalog: Catalog) -> str:
    component = catalog.get("task", task).component
    assert issubclass(component, Task)
    return component.task_type


def _offered(path: Path, text: str, label: str, catalog: Catalog) -> dict[str, OwnFile]:
    """Return, by name of task, how each task that can read this file would do it."""
    tasks = [entry for (kind, _), entry in catalog.entries.items() if kind == "task"]
    found = {}
    for entry in tasks:
        assert issubclass(entry.component, Task)
        if (file := entry.component.of_file(path, text, label)) is not None:
            found[entry.name] = file
    return found


def _look(table: dict[str, Any], path: Path, pool: int, catalog: Catalog, why: str) -> Data:
    task = catalog.build("task", table)
    assert isinstance(task, Task)
    task_type = catalog.task_type_of(task)
    inputs = task_type.inputs
    source = task.resolve("auto")
    whole = task_type.clean(task.whole(source))  # before the split, which unsuitable data might not allow
    texts = whole.texts
    if len(texts) < _FEWEST:
        raise HarnessError(
            f"expected at least {_FEWEST} labelled {inputs} in {path}, got {len(texts)}; add more {inputs}"
        )
    column = table.get("label")
    seen = task_type.overview(whole.labels, f"column {column!r} of {path}" if column else f"{path}")
    if sum(PAIR_SEPARATOR in one for one in texts) > len(texts) / 2:
        raise HarnessError(
            f"cannot distil {path}: it has pairs of texts, and distill supports only single texts; "
            "write a suite instead"
        )
    lengths = sorted(len(one.split()) for one in texts)
    words = sum(lengths) / len(lengths)
    longest = lengths[len(lengths) * 95 // 100]
    rare = sorted(name for name, count in seen.counts.items() if count < _RARE)
    counts = {split: len(task_type.clean(part).texts) for split, part in task.read(source).items()}
    train, validation, test = counts["train"], counts["validation"], counts["test"]
    told = [
        f"{path}: {len(texts):,} {inputs} of {words:.0f} words on average, {seen.told}",
        *([why] if why else []),
        f"split with equal {inputs} in one split: {train:,} for training, {validation:,} for validation, "
        f"{test:,} for test",
    ]
    if dropped := sum(whole.dropped.values()):
        reasons = ", ".join(f"{count:,} because {reason}" for reason, count in whole.dropped.items())
        told.append(f"skipped {dropped:,} row{'s' * (dropped > 1)}: {reasons}")
    if rare:
        told.append(
            f"fewer than {_RARE} {task_type.counted[1]}, too few to learn or measure: {', '.join(rare[:8])}"
        )
    size = Size(train, validation + test, words, pool)
    english = looks_english(texts[:_LOOKED_AT])
    return Data(table, task_type, size, seen.outputs, english, tuple(map(printable, told)), longest)


def _pool(path: Path | None, column: str) -> int:
    """Return the number of unlabelled texts in a file; 0 without a file."""
    if path is None:
        return 0
    if trouble := trouble_with(path):
        raise HarnessError(
            f"cannot read the unlabelled file {str(path)!r}: {trouble} (looked in {Path.cwd()})"
        )
    if format_of(path) is None:  # lines of text, which are checked when they are read
        return sum(1 for _ in lines_of(path, str(path)))
    return int(read_table(path, text=column, label=None).num_rows)
