"""Read a task's splits, check them and keep them as Arrow files with numbers for labels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from harness.api import MASK, SCORE, SPLITS, Examples, HarnessError, Source, Task
from harness.storage import arrow
from harness.task_types.tags import classes_of, kinds_of, to_bio

if TYPE_CHECKING:
    from harness.run.job import Job
    from harness.storage.store import Artefact

Cleaner = Callable[[pa.Table], tuple[list[str], list[Any], dict[str, int]]]

# The column's type, by kind of task; language modelling has none.
LABELS = {"classification": pa.int32(), "regression": pa.float32(), "tagging": pa.list_(pa.int32())}


def run(job: Job) -> dict[str, Any]:
    """Result: `classes`, `rows` by split, `dropped` by split and reason, `shared` texts between splits.

    Where the task says how it cleaned its texts, `cleaning` is what each step did, by split. Of a
    regression, `classes` is the one name SCORE, and labels are the scores themselves. Of tagging, a text is
    its words with spaces between, and labels are the numbers of its words' BIO tags. Of language modelling
    there are texts alone, and `classes` is empty.
    """
    task: Task = job.component("task")
    settings = job.step.settings
    tables = task.read(Source(settings["source"], settings["fingerprint"], job.step.notes["origin"]))
    if missing := [split for split in SPLITS if split not in tables]:
        raise HarnessError(f"task '{task.name}' has no split '{missing[0]}'; found: {', '.join(tables)}")
    tagged = task.task_type == "tagging"
    cleaners: dict[str, Cleaner] = {"tagging": _clean_words, "language-modelling": _clean_texts}
    clean: Cleaner = cleaners.get(task.task_type, _clean)
    read = {split: clean(tables[split]) for split in SPLITS}
    dropped = {split: reasons for split, (_, _, reasons) in read.items() if reasons}
    for split, (texts, _, reasons) in read.items():
        if not texts:
            why = "; ".join(f"{count} rows {reason}" for reason, count in reasons.items())
            why = why or _cleaned_away(arrow.cleaning(tables[split])) or "it has no rows"
            raise HarnessError(f"split '{split}' of task '{task.name}' is empty: {why}")
        for reason, count in reasons.items():
            job.warn(f"{task.name}: {count} rows of '{split}' dropped: {reason}")
    classes: tuple[str, ...] = ()
    numbers: dict[str, list[Any]] = {}
    if task.task_type in LABELS:
        number: Any = {"regression": _scores, "tagging": _tags}.get(task.task_type, _classes)
        classes, numbers = number(task.name, {split: labels for split, (_, labels, _) in read.items()})
    for split, (texts, _, _) in read.items():
        columns = {"text": pa.array(texts, pa.string())}
        if split in numbers:
            columns["label"] = pa.array(numbers[split], LABELS[task.task_type])
        arrow.write_table(job.folder / f"{split}.arrow", pa.table(columns))
    if "unlabelled" in tables:
        texts = [text.strip() for text in tables["unlabelled"]["text"].to_pylist() if text and text.strip()]
        if tagged:
            texts = [" ".join(text.split()) for text in texts]
        arrow.write_table(job.folder / "unlabelled.arrow", pa.table({"text": pa.array(texts, pa.string())}))
    shared = {}
    for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
        if common := len(set(read[first][0]) & set(read[second][0])):
            shared[f"{first}&{second}"] = common
    if shared:
        where = ", ".join(f"{names.replace('&', ' and ')} {count}" for names, count in shared.items())
        job.warn(f"{task.name}: texts that stand in two splits, kept as published: {where}")
    rows = {split: len(texts) for split, (texts, _, _) in read.items()}
    result = {"classes": list(classes), "rows": rows, "dropped": dropped, "shared": shared}
    told = {split: found for split in SPLITS if (found := arrow.cleaning(tables[split]))}
    return result | ({"cleaning": told} if told else {})


def _cleaned_away(counts: Mapping[str, int]) -> str:
    """What became of the texts of a split that cleaning left none of."""
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f"cleaning left none ({told})" if told else ""


def _clean(table: pa.Table) -> tuple[list[str], list[str], dict[str, int]]:
    """Texts and labels of the usable rows, and how many of the others there are, by reason."""
    texts: list[str] = []
    labels: list[str] = []
    dropped: Counter[str] = Counter()
    for text, label in zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True):
        label = "" if label is None or label != label else str(label)  # numbers may be missing as NaN
        if not text or not text.strip():
            dropped["the text is empty"] += 1
        elif not label.strip():
            dropped["the label is empty"] += 1
        else:
            texts.append(text)
            labels.append(label)
    return texts, labels, dict(dropped)


def _clean_texts(table: pa.Table) -> tuple[list[str], list[Any], dict[str, int]]:
    """As `_clean`, of a column ``text`` alone."""
    texts: list[str] = []
    dropped: Counter[str] = Counter()
    for text in table["text"].to_pylist():
        if not text or not text.strip():
            dropped["the text is empty"] += 1
        elif MASK in text:
            dropped[f"the text holds {MASK}, which stands for a hidden word"] += 1
        else:
            texts.append(text)
    return texts, [], dict(dropped)


def _clean_words(table: pa.Table) -> tuple[list[str], list[list[str]], dict[str, int]]:
    """As `_clean`, of columns ``tokens`` and ``tags``: words are put together, and tags are BIO."""
    texts: list[str] = []
    labels: list[list[str]] = []
    dropped: Counter[str] = Counter()
    for words, tags in zip(table["tokens"].to_pylist(), table["tags"].to_pylist(), strict=True):
        if not words:
            dropped["there are no words"] += 1
        elif len(words) != len(tags or ()):
            dropped["there is not one tag for each word"] += 1
        else:
            # White space within a word would make two words of it; a word of nothing else still has a tag.
            texts.append(" ".join("_".join(word.split()) or "_" for word in words))
            labels.append(to_bio(tags))
    return texts, labels, dict(dropped)


def _tags(
    name: str, labels: Mapping[str, Sequence[Sequence[str]]]
) -> tuple[tuple[str, ...], dict[str, list[list[int]]]]:
    """The tags of the training split's types, O first, and the number of each word's."""
    classes = classes_of([tag for tags in labels["train"] for tag in tags])
    if len(classes) < 2:
        raise HarnessError(f"the training split of task '{name}' has no entity")
    numbers = {tag: number for number, tag in enumerate(classes)}
    for split in SPLITS[1:]:
        unknown = Counter(tag[2:] for tags in labels[split] for tag in tags if tag not in numbers)
        if unknown:
            listed = ", ".join(f"'{kind}' ({count} words)" for kind, count in unknown.most_common(5))
            raise HarnessError(
                f"split '{split}' of task '{name}' has entities that training lacks: {listed}; "
                f"training has: {', '.join(kinds_of(classes))}"
            )
    return classes, {
        split: [[numbers[tag] for tag in tags] for tags in every] for split, every in labels.items()
    }


def _classes(name: str, labels: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], dict[str, list[int]]]:
    """The classes of the training split, in order, and their number in place of each label."""
    classes = tuple(sorted(set(labels["train"])))
    if len(classes) < 2:
        raise HarnessError(f"the training split of task '{name}' has one class only: '{classes[0]}'")
    numbers = {name: number for number, name in enumerate(classes)}
    for split in SPLITS[1:]:
        unknown = Counter(label for label in labels[split] if label not in numbers)
        if unknown:
            listed = ", ".join(f"'{label}' ({count} rows)" for label, count in unknown.most_common(5))
            raise HarnessError(
                f"split '{split}' of task '{name}' has labels that training lacks: {listed}; "
                f"training has: {', '.join(classes[:20])}"
            )
    return classes, {split: [numbers[label] for label in of_split] for split, of_split in labels.items()}


def _scores(name: str, labels: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], dict[str, list[float]]]:
    """SCORE, and each label as a number."""
    scores = {split: [_number(name, split, label) for label in labels[split]] for split in SPLITS}
    if len(set(scores["train"])) < 2:
        raise HarnessError(f"the training split of task '{name}' has one score only: {scores['train'][0]:g}")
    return SCORE, scores


def _number(name: str, split: str, label: str) -> float:
    try:
        if math.isfinite(number := float(label)):
            return number
    except ValueError:
        pass
    raise HarnessError(f"split '{split}' of task '{name}' has a label that is no number: {label!r}")


def load(artefact: Artefact, split: str) -> Examples:
    """A split of a data artefact, memory-mapped."""
    return arrow.examples(arrow.read(artefact.folder / f"{split}.arrow"), artefact.result["classes"])
