"""How long steps should take: what the same work took before, else by rates and how much there is to do.

Rates are what components say of their speed. What a store has timed says how much longer steps take here than
by them: steps of the same component and settings, else of the same components, else of one kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from harness.api import (
    SPLITS,
    Component,
    Source,
    Speed,
    Student,
    Task,
    Teacher,
)
from harness.storage.store import Artefact, Damaged, Store, Timings

if TYPE_CHECKING:
    from harness.plan.planner import Plan, Step

_LOOKED_AT = 1_000  # texts whose words are counted

# What a speed is meant for, and what it is on other texts: about, by the records of this project.
_WORDS, _FIXED = 20, 8  # words of a text; a text costs as much as so many words, and its own
_SLOW = 1_000  # texts a second: what labels fewer is a transformer, which reads so many words of a text
_LONGEST = 100
_BF16, _GPU = 2.0, 20.0  # times as fast, for a transformer and for what a GPU speeds up
_READ = 50_000  # texts a second, of data and transfer sets

# Seconds that a step of a kind takes whatever it works on; and of a transformer, whose export is large.
_START = {
    "data": 1.0,
    "teacher": 2.0,
    "transfer": 0.5,
    "targets": 0.5,
    "student": 1.0,
    "evaluation": 0.2,
    "export": 0.5,
    "latency": 2.0,
}
_SLOWLY = {"export": 16.0, "latency": 6.0}


@dataclass(frozen=True)
class Size:
    """What a task has to learn from."""

    train: int  # texts
    held_out: int  # of validation and test
    words: float  # of a text, on average
    pool: int = 0  # unlabelled texts


UNKNOWN = Size(10_000, 2_000, 20.0)  # what a task is taken for, as long as its data are not here

Sizes = Callable[["Step"], Size | None]  # of a data step: None where it cannot be told yet
Rows = Callable[["Step"], int | None]  # of a transfer step: how many texts its set has, or None


class Estimates:
    """Expected seconds of a plan's steps."""

    def __init__(
        self,
        timings: Timings,
        steps: Mapping[str, Step],
        sizes: Sizes = lambda step: None,
        rows: Rows = lambda step: None,
        gpu: bool = False,
    ) -> None:
        self._timings = timings
        self._steps = steps
        self._sizes = sizes
        self._rows = rows
        self._gpu = gpu
        self._seconds: dict[str, float] = {}
        self._known: dict[str, Size | None] = {}
        self._counted: dict[str, int] = {}

    @property
    def timed(self) -> bool:
        """Whether this store has timed any step."""
        return bool(self._timings.seconds)

    @property
    def guessed(self) -> bool:
        """Whether a task's size had to be guessed for what was asked so far."""
        return None in self._known.values()

    def seconds(self, step: Step) -> float:
        """Of one step, on the slot that it would take."""
        if step.key not in self._seconds:
            before = self._timings.seconds.get(step.work)
            self._seconds[step.key] = median(before) if before else self.rated(step) * self._pace(step)
        return self._seconds[step.key]

    def rated(self, step: Step) -> float:
        """Seconds that the step should take by what components say of their speed."""
        return self._rated(step) / (_GPU if self._gpu and step.gpu else 1.0)

    def learn(self) -> None:
        """There are data that were not: forget what was guessed for want of them."""
        self._seconds.clear()
        self._counted.clear()
        self._known = {key: size for key, size in self._known.items() if size is not None}

    def _pace(self, step: Step) -> float:
        """How much longer than by the rates the steps take here that are most like this one."""
        for name in step.likes:
            if paces := self._timings.paces.get(name):
                return median(paces)
        return 1.0

    def _rated(self, step: Step) -> float:
        size, start, parts = self._size(step), _START[step.kind], step.components
        learner = parts.get("student") or parts.get("teacher")
        if not isinstance(learner, Teacher | Student):
            made = self._texts(step, size) if step.kind == "transfer" else size.train + size.held_out
            return start + (made + size.pool) / _READ
        train, label = _speed(learner)
        slow, words = label < _SLOW, size.words
        if slow:
            words = min(words, _LONGEST)
            if step.settings.get("precision") == "bf16":
                train, label = train * _BF16, label * _BF16
        longer = (_FIXED + words) / (_FIXED + _WORDS)
        if step.kind in ("export", "latency"):
            return _SLOWLY[step.kind] if slow else start
        if step.kind == "evaluation":
            return start + size.held_out / label * longer
        rows = self._texts(step, size)
        if step.kind == "targets":
            if "transfer" not in step.needs:  # parts are joined
                return start
            return start + rows / int(step.settings.get("parts", 1)) / label * longer
        seen = max(_number(learner, "epochs", 1) * rows, _number(learner, "min_examples", 0))
        return start + seen / train * longer

    def _texts(self, step: Step, size: Size) -> int:
        """How many texts a step works on: those of its transfer set, or of training."""
        key = step.key if step.kind == "transfer" else step.needs.get("transfer")
        if key is None:
            return size.train
        if key not in self._counted:
            transfer = self._steps[key]
            counted = self._rows(transfer)
            new = _new(transfer.components.get("augmenter"), size)
            self._counted[key] = size.train + new if counted is None else counted
        return self._counted[key]

    def _size(self, step: Step) -> Size:
        data = step
        while data.kind != "data":  # every step but that of data needs one that is nearer to it
            if not data.needs:
                return UNKNOWN
            data = self._steps[data.needs.get("data") or next(iter(data.needs.values()))]
        if data.key not in self._known:
            self._known[data.key] = self._sizes(data)
        return self._known[data.key] or UNKNOWN


def _speed(learner: Teacher | Student) -> Speed:
    """What a learner says of its speed, or where it says nothing sensible, what its kind does."""
    usual = Teacher.speed if isinstance(learner, Teacher) else Student.speed
    try:
        train, label = learner.speed
        return Speed(train, label) if train > 0 and label > 0 else usual
    except Exception:  # an author's mistake must not cost the plan; the conformance checks name it
        return usual


def _new(augmenter: Component | None, size: Size) -> int:
    """How many new texts an augmenter should make: of each text so many copies, or so many in all."""
    if augmenter is None:  # none of what a prior is made of
        return 0
    copies, drawn = _number(augmenter, "copies", 0), _number(augmenter, "size", 0)
    if not drawn:
        return copies * size.train if copies else size.pool
    return drawn if hasattr(augmenter, "copies") else min(drawn, size.pool)


def _number(component: Component, name: str, default: int) -> int:
    """A parameter that many components have, and that some may mean otherwise."""
    value = getattr(component, name, default)
    return value if isinstance(value, int) else default


def expected(plan: Plan, store: Store, gpu: bool = False, read: bool = True) -> Estimates:
    """What a plan's steps should take, by what the store tells, and where it has no data, by reading them.

    `read` is not for a run, whose steps read the data; `gpu` says whether a GPU may do the steps.
    """
    amounts = Amounts(store, read)
    return Estimates(store.timings(), plan.steps, amounts.size, amounts.rows, gpu)


# -- how much there is ---------------------------------------------------------------------------------------


class Amounts:
    """How much a plan's steps work on: told by what is stored, or if asked by reading data at hand."""

    def __init__(self, store: Store, read: bool = True) -> None:
        self._store = store
        self._reads = ("local", "sample") if read else ()

    def size(self, step: Step) -> Size | None:
        """Of a data step; None where its data are still to be fetched, or cannot be read."""
        artefact = self._stored(step)
        return self._read(step) if artefact is None else _held(artefact)

    def rows(self, step: Step) -> int | None:
        """Of a transfer step's set; None where it is not drawn yet."""
        artefact = self._stored(step)
        return None if artefact is None else int(artefact.result["rows"])

    def _stored(self, step: Step) -> Artefact | None:
        try:
            return self._store.find(step.kind, step.key)
        except Damaged:  # the run will say so, and make it anew
            return None

    def _read(self, step: Step) -> Size | None:
        settings, task = step.settings, step.components.get("task")
        if not isinstance(task, Task) or settings.get("source") not in self._reads:
            return None
        source = Source(settings["source"], settings["fingerprint"], step.notes.get("origin", ""))
        try:
            tables = task.read(source)
            counts = {split: tables[split].num_rows for split in SPLITS}
            train = tables["train"]
            column = train["text" if "text" in train.column_names else "tokens"]
            pool = tables["unlabelled"].num_rows if "unlabelled" in tables else 0
            picked = column.take(list(_spread(len(column)))).to_pylist()
        except Exception:  # the data step will say what is wrong
            return None
        return Size(counts["train"], counts["validation"] + counts["test"], words(picked), pool)


def _held(artefact: Artefact) -> Size | None:
    from harness.storage import arrow

    counts, pool = artefact.result["rows"], artefact.folder / "unlabelled.arrow"
    try:
        texts = arrow.Texts(arrow.read(artefact.folder / "train.arrow")["text"])
        more = arrow.read(pool).num_rows if pool.is_file() else 0
    except (OSError, ValueError, LookupError):  # the step that reads it will find it damaged
        return None
    return Size(counts["train"], counts["validation"] + counts["test"], words(texts), more)


def words(texts: Sequence[str | Sequence[str] | None]) -> float:
    """Words of a text on average, of some from all over; those of tagged texts are told apart already."""
    picked = [texts[row] for row in _spread(len(texts))]
    counts = [len(text.split() if isinstance(text, str) else text or ()) for text in picked]
    return sum(counts) / max(1, len(counts))


def _spread(count: int) -> range:
    return range(0, count, max(1, count // _LOOKED_AT))
