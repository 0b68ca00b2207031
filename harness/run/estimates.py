"""Estimate how long steps take: from earlier timings of the same work, or from rates and the amount of data.

Rates come from the operations that components count, and the measured speed of this machine; or they are the
speeds that components declare. The store's timings show how much longer steps take here than these rates
predict: steps of the same component and settings, else of the same components, else of one kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.api import (
    Component,
    HarnessError,
    Loss,
    Operations,
    Source,
    Speed,
    Student,
    Task,
    TaskType,
    Teacher,
)
from harness.plan.compatibility import in_step
from harness.speeds import Speeds, here
from harness.storage.store import Artefact, Store, Unsound
from harness.storage.timings import Timings

if TYPE_CHECKING:
    from harness.plan.planner import Plan, Step

_LOOKED_AT = 1_000  # texts whose words are counted

# The texts for which speeds are declared, and rough factors for other texts, from this project's records.
_WORDS, _FIXED = 20, 8  # words of a text; fixed cost of a text, in words
_SLOW = 1_000  # texts per second; a model that labels fewer is a transformer
_LONGEST = 100  # words of a text that a transformer reads
_SCORED = 5_000  # examples between two looks at the validation set, at least
_BF16, _GPU = 2.0, 20.0  # speed-up of a transformer by bf16, and of the steps that a GPU speeds up
_READ = 50_000  # texts per second, for data and transfer sets
_SPLIT = 200_000  # texts per second that become ids of words

# Fixed seconds of a step of each kind; and, below, those for a transformer, which is large.
_START = {
    "data": 1.0,
    "teacher": 2.0,
    "transfer": 0.5,
    "targets": 0.5,
    "tokens": 0.5,
    "student": 1.0,
    "evaluation": 0.2,
    "export": 0.5,
    "latency": 2.0,
}
_SLOWLY = {"evaluation": 1.2, "export": 16.0, "latency": 6.0}


@dataclass(frozen=True)
class Size:
    """The amount of data of a task."""

    train: int  # texts
    held_out: int  # texts of validation and test
    words: float  # per text, on average
    pool: int = 0  # unlabelled texts


UNKNOWN = Size(10_000, 2_000, 20.0)  # assumed for a task while its data are not available


class Costs(NamedTuple):
    """Seconds that a model needs on one core of this machine."""

    train: float  # for a text
    label: float  # for a text
    once: float  # before training
    slow: bool  # whether it is a transformer, whose export is large


Sizes = Callable[["Step"], Size | None]  # data step → size, or None if it is not known yet
Rows = Callable[["Step"], int | None]  # transfer step → number of texts in its set, or None
Read = Callable[[Task, TaskType, Source], Any]  # such as `harness.steps.data.checked`


class Estimates:
    """Expected seconds of a plan's steps."""

    def __init__(
        self,
        timings: Timings,
        steps: Mapping[str, Step],
        sizes: Sizes = lambda step: None,
        rows: Rows = lambda step: None,
        gpu: bool = False,
        unreadable: Callable[[Step], HarnessError | None] = lambda step: None,
        speeds: Callable[[], Speeds | None] = lambda: None,
    ) -> None:
        self.unreadable = unreadable  # why the data of a step cannot be used, as far as it is known
        self._timings = timings
        self._steps = steps
        self._sizes = sizes
        self._rows = rows
        self._gpu = gpu
        self._speeds = speeds
        self._seconds: dict[tuple[str, str | None], float] = {}
        self._known: dict[str, Size | None] = {}
        self._counted: dict[str, int] = {}

    @property
    def timed(self) -> bool:
        """Return whether this store has timed any step."""
        return bool(self._timings.seconds)

    @property
    def guessed(self) -> bool:
        """Return whether the estimates so far needed a guess of a task's size."""
        return None in self._known.values()

    def seconds(self, step: Step) -> float:
        """Return the expected seconds for a step on the slot it would run on."""
        memo = step.work, step.needs.get("transfer")  # the same for all seeds, except for drawn texts
        if memo not in self._seconds:
            before = self._timings.seconds.get(step.work)
            self._seconds[memo] = median(before) if before else self.rated(step) * self._pace(step)
        return self._seconds[memo]

    def rated(self, step: Step) -> float:
        """Return the seconds that the step should take by the components' operations or declared speeds."""
        return self._rated(step) / (_GPU if self._gpu and step.gpu else 1.0)

    def learn(self) -> None:
        """Forget what was guessed while data were missing, because more data may be available now."""
        self._seconds.clear()
        self._counted.clear()
        self._known = {key: size for key, size in self._known.items() if size is not None}

    def _pace(self, step: Step) -> float:
        """Return how much longer than by the rates the most similar steps take here, as a factor."""
        for name in step.likes:
            if paces := self._timings.paces.get(name):
                return median(paces)
        return 1.0

    def _rated(self, step: Step) -> float:
        size, start, parts = self._size(step), _START[step.kind], step.components
        learner = parts.get("student") or parts.get("teacher")
        if not isinstance(learner, Teacher | Student):
            if step.kind == "tokens":
                return start + self._texts(step, size) / _SPLIT
            made = self._texts(step, size) if step.kind == "transfer" else size.train + size.held_out
            return start + (made + size.pool) / _READ
        if step.kind == "targets" and "transfer" not in step.needs:  # it only joins parts
            return start
        lender = self._lender(step)
        costs = self._costs(learner, step, size.words, lender)
        if costs.slow:
            start = _SLOWLY.get(step.kind, start)
        if step.kind in ("export", "latency"):
            return start
        if step.kind == "evaluation":
            return start + size.held_out * costs.label
        rows = self._texts(step, size)
        if most := _number(learner, "most_texts", 0):
            rows = min(rows, int(most)) if step.kind == "teacher" else rows
        if step.kind == "targets":
            return start + rows / int(step.settings.get("parts", 1)) * costs.label
        epochs = max(_number(learner, "epochs", 1), _number(learner, "min_examples", 0) / max(1, rows))
        loss, task_type = parts.get("loss"), parts.get("task_type")
        if lender and isinstance(loss, Loss) and isinstance(task_type, TaskType) and in_step(loss, task_type):
            asked = self._costs(lender, step, size.words).label  # it runs beside the student
        else:
            asked = 0.0
        looks = epochs * min(1.0, rows / _SCORED) if costs.slow and costs.train else 0.0
        seen = epochs * rows * (costs.train + asked) + looks * size.held_out / 2 * costs.label
        return start + costs.once + seen

    def _lender(self, step: Step) -> Teacher | None:
        """Return the teacher that a step's student takes parts or outputs of."""
        made = self._steps.get(step.needs.get("model", ""), step)
        lender = made.components.get("teacher")
        return lender if "student" in made.components and isinstance(lender, Teacher) else None

    def _costs(
        self, learner: Teacher | Student, step: Step, words: float, lender: Teacher | None = None
    ) -> Costs:
        """Return what a model costs: by its operations if it counts them, else by its declared speed."""
        speed, counted = _speed(learner), _operations(learner, words, lender)
        slow, precision = speed.label < _SLOW, step.settings.get("precision", "fp32")
        if slow:
            words = min(words, _LONGEST)
        longer = (_FIXED + words) / (_FIXED + _WORDS)
        gain = _BF16 if slow and precision == "bf16" else 1.0
        train, label = longer / speed.train / gain, longer / speed.label / gain
        measured = self._speeds() if any(counted) else None
        if measured is None:
            return Costs(train, label, 0.0, slow)
        to_train = measured.train.get(precision, measured.train["fp32"])  # operations a second
        to_label = measured.label.get(precision, measured.label["fp32"])
        return Costs(
            train if counted.train is None else counted.train / to_train,
            label if counted.label is None else counted.label / to_label,
            counted.once / to_label,
            slow or bool(counted.label),
        )

    def _texts(self, step: Step, size: Size) -> int:
        """Return how many texts a step works on: those of its transfer set, or the training texts."""
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
        while data.kind != "data":  # every other step needs a step that is nearer to the data
            if not data.needs:
                return UNKNOWN
            data = self._steps[data.needs.get("data") or next(iter(data.needs.values()))]
        if data.key not in self._known:
            self._known[data.key] = self._sizes(data)
        return self._known[data.key] or UNKNOWN


def _speed(learner: Teacher | Student) -> Speed:
    """Return a learner's declared speed, or the usual speed of its kind if that is not valid."""
    usual = Teacher.speed if isinstance(learner, Teacher) else Student.speed
    try:
        train, label = learner.speed
        return Speed(train, label) if train > 0 and label > 0 else usual
    except Exception:  # a plugin's mistake must not stop the plan; the conformance checks report it
        return usual


def _operations(learner: Teacher | Student, words: float, lender: Teacher | None) -> Operations:
    """Return the operations that a learner counts, or none of them if they are not valid."""
    try:
        asked = (
            learner.operations(words) if isinstance(learner, Teacher) else learner.operations(words, lender)
        )
        counted = Operations(*asked)
        valid = all(0 <= number < math.inf for number in counted if number is not None)
        return counted if valid else Operations()
    except Exception:  # a plugin's mistake, or a model whose files are not here: the plan reports that
        return Operations()


def _new(augmenter: Component | None, size: Size) -> int:
    """Return how many new texts an augmenter should make: copies of each text, or a fixed number."""
    if augmenter is None:  # the steps of a prior have none
        return 0
    copies, drawn = _number(augmenter, "copies", 0), _number(augmenter, "size", 0)
    if not drawn:
        return copies * size.train if copies else size.pool
    return drawn if hasattr(augmenter, "copies") else min(drawn, size.pool)


def _number(component: Component, name: str, default: int) -> int:
    """Return an integer parameter that many components have; if it has another type, the default."""
    value = getattr(component, name, default)
    return value if isinstance(value, int) else default


def expected(plan: Plan, store: Store, gpu: bool = False, read: Read | None = None) -> Estimates:
    """Return estimates for a plan's steps, from the store, or from data that `read` reads if it has none.

    A run passes no `read`, because its steps read the data. `gpu` is whether a GPU may do the steps.
    """
    amounts = Amounts(store, read)
    return Estimates(store.timings(), plan.steps, amounts.size, amounts.rows, gpu, amounts.unreadable, here)


# -- the amount of data --------------------------------------------------------------------------------------


class Amounts:
    """The amount of data that a plan's steps work on: from the store, or from available data.

    `read` reads a task's data and checks them as its data step does.
    """

    def __init__(self, store: Store, read: Read | None = None) -> None:
        self._store = store
        self._reads = read
        self._read: dict[str, Size | HarnessError | None] = {}  # data step → what reading it gave

    def size(self, step: Step) -> Size | None:
        """Return the size for a data step, or None if its data are not fetched yet or cannot be read."""
        artefact = self._stored(step)
        size = self._size(step) if artefact is None else _held(artefact)
        return None if isinstance(size, HarnessError) else size

    def unreadable(self, step: Step) -> HarnessError | None:
        """Return why the data of a data step that is not stored cannot be used, as far as it is known."""
        found = self._size(step) if step.kind == "data" else None
        return found if isinstance(found, HarnessError) else None

    def rows(self, step: Step) -> int | None:
        """Return the number of texts in a transfer step's set, or None if it is not drawn yet."""
        artefact = self._stored(step)
        return None if artefact is None else int(artefact.result["rows"])

    def _stored(self, step: Step) -> Artefact | None:
        try:
            return self._store.look(step.kind, step.key)  # the run sets damaged ones aside, and says so
        except Unsound:  # the run reports this and makes the artefact again
            return None

    def _size(self, step: Step) -> Size | HarnessError | None:
        """Return the size of data that are here, or the error of their reader; None if they are not here."""
        if step.key not in self._read:
            self._read[step.key] = self._measured(step)
        return self._read[step.key]

    def _measured(self, step: Step) -> Size | HarnessError | None:
        settings, task, task_type = step.settings, step.components.get("task"), step.components["task_type"]
        local = settings.get("source") in ("local", "sample")
        if (
            self._reads is None
            or not local
            or not isinstance(task, Task)
            or not isinstance(task_type, TaskType)
        ):
            return None
        source = Source(settings["source"], settings["fingerprint"], step.notes.get("origin", ""))
        try:
            data = self._reads(task, task_type, source)
            counts = {split: len(texts) for split, (texts, *_) in data.rows.items()}
            pool = data.tables["unlabelled"].num_rows if "unlabelled" in data.tables else 0
            mean = words(data.rows["train"][0])
        except HarnessError as error:
            return error
        except OSError as error:
            return HarnessError(
                f"{error.strerror or error}" + (f": '{error.filename}'" if error.filename else "")
            )
        except Exception as error:
            return HarnessError(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")
        return Size(counts["train"], counts["validation"] + counts["test"], mean, pool)


def _held(artefact: Artefact) -> Size | None:
    from harness.storage import arrow

    counts, pool = artefact.result["rows"], artefact.folder / "unlabelled.arrow"
    try:
        texts = arrow.Texts(arrow.read(artefact.folder / "train.arrow")["text"])
        more = arrow.read(pool).num_rows if pool.is_file() else 0
    except (OSError, ValueError, LookupError):  # the step that reads it reports the damage
        return None
    return Size(counts["train"], counts["validation"] + counts["test"], words(texts), more)


def words(texts: Sequence[str | Sequence[str] | None]) -> float:
    """Return the average number of words of some texts; a tagged text is a list of words already."""
    picked = [texts[row] for row in _spread(len(texts))]
    counts = [len(text.split() if isinstance(text, str) else text or ()) for text in picked]
    return sum(counts) / max(1, len(counts))


def _spread(count: int) -> range:
    return range(0, count, max(1, count // _LOOKED_AT))
