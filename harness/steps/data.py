"""Read a task's splits, check them, and store them as Arrow files with numbers for labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from harness.api import SPLITS, Examples, HarnessError, Source, Task, TaskType
from harness.sources.opening import noted
from harness.storage import arrow
from harness.wording import alike

if TYPE_CHECKING:
    from harness.run.job import Job
    from harness.storage.store import Artefact


class Checked(NamedTuple):
    """A task's data, by split."""

    tables: Mapping[str, pa.Table]  # as read, perhaps with `unlabelled`
    rows: Mapping[str, tuple[Any, Any, Mapping[str, int]]]  # texts, labels, and rows dropped by reason
    classes: Sequence[str]
    numbers: Mapping[str, Any]  # labels as numbers, if the type of the task stores any


def run(job: Job) -> dict[str, Any]:
    """Return `classes`, `rows` by split, `dropped` by split and reason, and `shared` texts of two splits.

    `cleaning` is the number of texts that each cleaning step of the task changed or dropped, by split, if the
    task reports it. `notes`, if there are any, are what readers decided about files, and labels that look
    alike. Raise HarnessError if a split is missing or empty.
    """
    task: Task = job.component("task")
    task_type = job.task_type
    settings = job.step.settings
    source = Source(settings["source"], settings["fingerprint"], job.step.notes["origin"])
    with noted() as notes:
        tables, read, classes, numbers = checked(task, task_type, source)
    dropped = {split: reasons for split, (_, _, reasons) in read.items() if reasons}
    for split, reasons in dropped.items():
        for reason, count in reasons.items():
            job.warn(f"{task.name}: {count} rows of '{split}' dropped: {reason}")
    notes += alike(classes)
    for note in notes:
        job.warn(f"{task.name}: {note}")
    for split, (texts, _, _) in read.items():
        columns = {"text": pa.array(texts, pa.string())}
        if split in numbers:
            columns["label"] = pa.array(numbers[split], task_type.stored())
        arrow.write_table(job.folder / f"{split}.arrow", pa.table(columns))
    if "unlabelled" in tables:
        stripped = (text.strip() for text in tables["unlabelled"]["text"].to_pylist() if text)
        texts = [task_type.text_of(text) for text in stripped if text]
        arrow.write_table(job.folder / "unlabelled.arrow", pa.table({"text": pa.array(texts, pa.string())}))
    if task.seen:
        where = " and ".join(task.seen)
        job.warn(f"{task.name}: training has the rows of {where}, so scores on these are not of new texts")
    shared = {}
    for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
        if first == "train" and second in task.seen:
            continue
        if common := len(set(read[first][0]) & set(read[second][0])):
            shared[f"{first}&{second}"] = common
    if shared:
        where = ", ".join(f"{names.replace('&', ' and ')} {count}" for names, count in shared.items())
        job.warn(f"{task.name}: some texts are in two splits, and were kept: {where}")
    rows = {split: len(texts) for split, (texts, _, _) in read.items()}
    result = {"classes": list(classes), "rows": rows, "dropped": dropped, "shared": shared}
    told = {split: found for split in SPLITS if (found := arrow.cleaning(tables[split]))}
    return result | ({"cleaning": told} if told else {}) | ({"notes": notes} if notes else {})


def checked(task: Task, task_type: TaskType, source: Source) -> Checked:
    """Return a task's data, read and checked as training needs them.

    Raise HarnessError if they cannot be read, if a split is missing or empty, or if labels are not valid.
    """
    tables = task.read(source)
    if missing := [split for split in SPLITS if split not in tables]:
        raise HarnessError(f"task '{task.name}' has no split '{missing[0]}'; found: {', '.join(tables)}")
    read = {split: task_type.clean(tables[split]) for split in SPLITS}
    for split, (texts, _, reasons) in read.items():
        if not texts:
            why = "; ".join(f"{reason} in {count} rows" for reason, count in reasons.items())
            why = why or _cleaned_away(arrow.cleaning(tables[split])) or "it has no rows"
            raise HarnessError(f"split '{split}' of task '{task.name}' is empty: {why}")
    classes, numbers = task_type.number(task.name, {split: labels for split, (_, labels, _) in read.items()})
    return Checked(tables, read, classes, numbers)


def _cleaned_away(counts: Mapping[str, int]) -> str:
    """Return a phrase that explains why cleaning left a split empty; "" if there was no cleaning."""
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f"cleaning removed all rows ({told})" if told else ""


def load(artefact: Artefact, split: str, task_type: TaskType) -> Examples:
    """Return a split of a data artefact, memory-mapped."""
    table = arrow.read(artefact.folder / f"{split}.arrow")
    return arrow.examples(table, artefact.result["classes"], task_type)
