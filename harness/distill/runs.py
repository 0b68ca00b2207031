"""Run the suites of a distillation, and estimate how long they take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness import HarnessError
from harness.distill import stages
from harness.distill.scores import Scored, scores_in

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from harness.bench import Display, Ran
    from harness.catalog import Catalog
    from harness.devices import Slot
    from harness.distill.inspect import Data
    from harness.distill.wishes import Wishes
    from harness.plan.planner import Cell, Plan, Step
    from harness.results.record import Record
    from harness.run.estimates import Size
    from harness.suite.reader import Suite

TRIALS = "trials"
_START_S = 4.0  # to start a stage's workers, and to write its results


class Shown(Protocol):
    """Functions with which a distillation shows messages and progress."""

    def say(self, *lines: str) -> None:
        """Show lines of text."""

    def watch(self, plan: Plan, slots: int) -> AbstractContextManager[Display]:
        """Return a context that shows the run of a plan."""


class Interrupted(Exception):
    """The user interrupted a stage."""

    def __init__(self, ran: Ran) -> None:
        super().__init__()
        self.ran = ran


@dataclass(frozen=True)
class Runs:
    """A place to run the suites of a distillation."""

    wishes: Wishes
    data: Data
    store: Path
    places: tuple[Slot, ...]
    catalog: Catalog
    shown: Shown

    def stage(self, name: str, make: Callable[[], stages.Suite]) -> list[Scored]:
        """Run a stage, unless it was interrupted before with the suite of then, and return its scores."""
        path = self.wishes.out / TRIALS / f"{name}.toml"
        suite = self.kept(path) if path.exists() else self.written(path, make(), f"the stage '{name}'")
        _, ran = self.bench(suite, path.parent)
        return scores_in(ran)

    def bench(self, suite: Suite, folder: Path) -> tuple[Plan, Ran]:
        """Run a suite and write its results to a folder; raise Interrupted if the user interrupts it."""
        plan = self.plan(suite)
        return plan, self._bench(plan, plan, folder)

    def model(self, plan: Plan, cell: Cell) -> Record | None:
        """Run one cell of a plan, and return its record; None if it failed."""
        from harness.plan.select import only_cells
        from harness.results.record import read

        ran = self._bench(plan, only_cells(plan, [cell]), self.wishes.out / TRIALS)
        found = (one for one in read(ran.folder / "records.jsonl") if one["cell"] == cell.key)
        return next((one for one in found if one["status"] == "ok"), None)

    def _bench(self, plan: Plan, chosen: Plan, folder: Path) -> Ran:
        from harness.bench import bench

        ran = bench(
            plan,
            chosen,
            self.catalog,
            self.places,
            self.store,
            folder,
            watch=self.shown.watch,
            trackers=plan.suite.trackers,
        )
        if ran.interrupted:
            raise Interrupted(ran)
        return ran

    def plan(self, suite: Suite) -> Plan:
        """Return the plan of a suite on this machine."""
        from harness.plan.planner import build
        from harness.speeds import choose

        return build(suite, self.catalog, precision=choose(suite, self.places))

    def written(self, path: Path, suite: stages.Suite, chosen: str) -> Suite:
        """Write a suite, and return it; `chosen` says in words what was chosen."""
        from harness.storage.files import publish

        text = stages.written(suite, self.wishes.out, chosen)
        found = self._parsed(text, path)
        path.parent.mkdir(parents=True, exist_ok=True)
        publish(path, text)
        return found

    def _parsed(self, text: str, path: Path | None) -> Suite:
        from harness.suite import reader

        return reader.parse(text, self.catalog, path)

    def kept(self, path: Path) -> Suite:
        """Return an existing suite; raise HarnessError if it is for other data."""
        from harness.suite import reader

        suite = reader.load(path, self.catalog)
        (task, *others) = suite.tasks
        own = self.data.task
        given: Mapping[str, Any] = {"name": own["use"]} | {k: v for k, v in own.items() if k != "use"}
        if others or any(str(getattr(task, name, None)) != str(value) for name, value in given.items()):
            raise HarnessError(
                f"cannot run {path}: it is for other data or columns than those of {self.wishes.file}; "
                "give another --out"
            )
        return suite

    def expected(
        self, suite: stages.Suite, done: frozenset[str] = frozenset(), size: Size | None = None
    ) -> float:
        """Return the expected seconds of a suite's missing steps, without those of the kinds `done`.

        `size` is that of its data, if it is not the size of the file's splits.
        """
        plan = self.plan(self._parsed(stages.written(suite, self.wishes.out, ""), None))
        return self.expected_of(plan, done, size)

    def expected_of(self, plan: Plan, done: frozenset[str] = frozenset(), size: Size | None = None) -> float:
        """Return the expected seconds of the missing steps of a plan, as :meth:`expected`."""
        from harness.run.estimates import Estimates
        from harness.run.schedule import Schedule
        from harness.speeds import here
        from harness.storage.shared import opened

        kept = opened(self.store)
        gpus = [place.is_gpu for place in self.places]
        estimates = Estimates(
            kept.timings(), plan.steps, lambda step: size or self.data.size, gpu=any(gpus), speeds=here
        )
        there = {kind: kept.keys(kind) for kind in {step.kind for step in plan.steps.values()} - done}

        def stored(step: Step) -> bool:
            return step.kind in done or step.key in there[step.kind]

        return _START_S + Schedule(plan, stored, estimates).expected_s(gpus)
