"""What the command shows: progress while steps run, and plans, plugins and tables."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.api import KINDS, parameters_of
from harness.plan import STEP_KINDS, Cell, Plan
from harness.results.record import Record, dumps
from harness.tracking import REGISTERED

if TYPE_CHECKING:
    from rich.console import Console

    from harness.catalog import Catalog
    from harness.results.predictions import Prediction
    from harness.results.ranking import Leaderboard
    from harness.schedule import Schedule

_LOG_LINES = 12  # of a failed step's output that are shown


class Display(Protocol):
    """Takes a run's events, and its end."""

    def __call__(self, event: dict[str, Any]) -> None:
        """Show one event."""

    def finish(self, board: Leaderboard, counts: dict[str, int], folder: Path, interrupted: bool) -> None:
        """Show how the run ended."""


@contextmanager
def display(as_json: bool, *, plan: Plan, slots: int) -> Iterator[Display]:
    """The display that suits the output: JSON lines, a live view on a terminal, else plain lines."""
    if as_json:
        yield JsonLines(plan)
        return
    console = _console()
    if not (console.is_terminal and sys.stdout.isatty()):  # FORCE_COLOR makes a file look like a terminal
        yield Lines(plan, console, slots)
        return
    live = Live(plan, console, slots)
    with live:
        yield live


def _console() -> Console:
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            """Leave it to the command: rich would exit with 1, which says that a cell failed."""
            raise BrokenPipeError

    console = Piped(highlight=False, soft_wrap=False, emoji=False)
    if not sys.stdout.isatty():
        console.width = 200  # a file has no edge to wrap at
    return console


class JsonLines:
    """One JSON object a line for every event."""

    def __init__(self, plan: Plan) -> None:
        self({"event": "plan", "suite": plan.suite.name, "sources": _sources(plan)})

    def __call__(self, event: dict[str, Any]) -> None:
        """See :class:`Display`."""
        sys.stdout.write(dumps(event) + "\n")
        sys.stdout.flush()

    def finish(self, board: Leaderboard, counts: dict[str, int], folder: Path, interrupted: bool) -> None:
        """See :class:`Display`."""
        self({"event": "end", "interrupted": interrupted, **counts, "results": str(folder)})


class Lines:
    """A line for what starts a chain of work, ends it, or goes wrong."""

    def __init__(self, plan: Plan, console: Console, slots: int) -> None:
        self.console = console
        self.slots = slots
        self.began = time.monotonic()
        self.done = 0
        self.todo = 0
        for line in _heading(plan):
            self.say(line)

    def say(self, text: str, style: str = "") -> None:
        """Print one line; text from data and plugins is never read as markup or as the terminal's codes."""
        if self.console.is_terminal:
            self.console.print(_inert(text), style=style, markup=False)
        else:  # a thousand short steps would feel the styling
            self.console.file.write(f"{_inert(text)}\n")
            self.console.file.flush()

    def __call__(self, event: dict[str, Any]) -> None:
        """See :class:`Display`."""
        kind = event["event"]
        if kind == "run":
            self.todo = event["todo"]
            if self.todo:
                about = duration(event["expected_s"])
                self.say(
                    f"{event['todo']} of {event['steps']} steps to do, about {about} on {self.slots} workers"
                )
            else:
                self.say(f"all {event['steps']} steps are stored: nothing to run")
        elif kind == "started" and event["kind"] in ("teacher", "targets"):
            self.say(f"  started {event['step']}")
        elif kind == "done":
            self.done += 1
            self.todo = max(self.todo, self.done + event["left"])  # a damaged artefact is made again
            left = f"about {duration(event['left_s'] / self.slots)} left" if event["left"] else "the last one"
            self.say(f"  [{self.done}/{self.todo}] {event['step']}  {event['seconds']:.1f} s; {left}")
        elif kind in ("failed", "unavailable"):
            self.say(f"  {kind}: {event['step']}: {event['reason']}", "red" if kind == "failed" else "yellow")
            for line in (event.get("log") or "").splitlines()[-_LOG_LINES:]:
                self.say(f"    | {line}", "dim")
        elif kind == "damaged":
            self.say(f"  {event['reason']}", "yellow")
        elif kind in ("warning", "message"):
            self.say(f"  {event['message']}", "yellow")

    def finish(self, board: Leaderboard, counts: dict[str, int], folder: Path, interrupted: bool) -> None:
        """See :class:`Display`."""
        from harness.results.leaderboard import to_rich

        self.console.print()
        self.console.print(to_rich(board, self.console.width))
        self.console.print()
        told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        took = duration(time.monotonic() - self.began)
        self.say(f"{told or 'no cell ended'} in {took}; results in {folder}/")
        if interrupted:
            self.say("interrupted: what is finished is kept; the same command goes on from there", "yellow")


class Live(Lines):
    """Progress bars for the steps that run, above them a line for each that ended."""

    def __init__(self, plan: Plan, console: Console, slots: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        super().__init__(plan, console, slots)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[said]}", markup=False),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, Any] = {}
        self._whole: Any = None

    def __enter__(self) -> Live:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def __call__(self, event: dict[str, Any]) -> None:
        """See :class:`Display`."""
        kind, key = event["event"], event.get("key")
        if kind == "run" and event["todo"]:
            said = f"about {duration(event['expected_s'])}"
            self._whole = self._bars.add_task(self._plain("all steps"), total=event["todo"], said=said)
        elif kind == "started":
            self._tasks[event["key"]] = self._bars.add_task(self._plain(event["step"]), total=None, said="")
            return
        elif kind == "progress" and key in self._tasks:
            said = f"{event['done']:,}/{event['total']:,}" + (
                f", loss {event['loss']:.3f}" if "loss" in event else ""
            )
            self._bars.update(self._tasks[key], completed=event["done"], total=event["total"], said=said)
            return
        if kind in ("done", "failed", "unavailable", "damaged") and key in self._tasks:
            self._bars.remove_task(self._tasks.pop(key))
            if kind == "done" and self._whole is not None:
                said = f"about {duration(event['left_s'] / self.slots)} left"
                self._bars.update(self._whole, advance=1, said=said)
        super().__call__(event)

    def finish(self, board: Leaderboard, counts: dict[str, int], folder: Path, interrupted: bool) -> None:
        """See :class:`Display`."""
        self._bars.stop()
        super().finish(board, counts, folder, interrupted)

    @staticmethod
    def _plain(text: str) -> str:
        return _inert(text)[:60]


def duration(seconds: float) -> str:
    """A length of time as people say it."""
    if seconds < 99:
        return f"{seconds:.0f} s"
    if seconds < 99 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _sources(plan: Plan) -> dict[str, str]:
    """What each task's data is, by its name."""
    found = {}
    for cell in plan.cells:
        if cell.source is not None:
            found[cell.task.name] = f"{cell.source.name} ({cell.source.origin})"
        else:
            found.setdefault(cell.task.name, f"none: {cell.reason}")
    for step in plan.steps.values():
        if step.kind == "data" and (name := step.components["task"].name) not in found:
            found[name] = f"{step.settings['source']} ({step.notes['origin']}), for models to start from"
    return found


def _heading(plan: Plan) -> Iterator[str]:
    for task, source in _sources(plan).items():
        yield f"{plan.suite.name}: task {task} from {source}"
    counts = Counter(cell.role for cell in plan.cells)
    roles = ", ".join(
        f"{counts[role]} {role}" for role in ("teacher", "baseline", "distilled") if counts[role]
    )
    yield f"{len(plan.cells)} cells ({roles}), {len(plan.steps)} steps"


# -- harness plan -----------------------------------------------------------------------------------------


def show_plan(plan: Plan, schedule: Schedule, slots: int, as_json: bool) -> None:
    """The matrix, its steps, what is stored of them and what the rest may take."""
    todo = schedule.todo()
    expected = schedule.estimates.total(todo, slots)
    open_keys = {step.key for step in todo}
    if as_json:
        value = {
            "suite": plan.suite.name,
            "sources": _sources(plan),
            "expected_s": round(expected, 1),
            "cells": [_cell_json(cell, open_keys) for cell in plan.cells],
            "steps": [
                {"key": key, "kind": step.kind, "step": step.label, "stored": key not in open_keys}
                | {
                    "expected_s": round(schedule.estimates.seconds(step), 3),
                    "needs": list(step.needs.values()),
                }
                for key, step in plan.steps.items()
            ],
        }
        sys.stdout.write(json.dumps(value, indent=1) + "\n")
        return
    from rich import box
    from rich.table import Table

    console = _console()
    for line in _heading(plan):
        console.print(_inert(line), markup=False)
    cells = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title in ("role", "task", "teacher", "student", "augmenter", "loss", "seeds", "state"):
        cells.add_column(title, overflow="fold")
    for row in _grouped(plan, open_keys):
        cells.add_row(*map(_text, row))
    console.print(cells)
    steps = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    steps.add_column("step")
    for title in ("total", "stored or not needed", "to do", "expected"):
        steps.add_column(title, justify="right")
    for kind in STEP_KINDS:
        of_kind = [step for step in plan.steps.values() if step.kind == kind]
        if of_kind:
            left = [step for step in of_kind if step.key in open_keys]
            seconds = sum(schedule.estimates.seconds(step) for step in left)
            numbers = (len(of_kind), len(of_kind) - len(left), len(left))
            steps.add_row(kind, *map(str, numbers), duration(seconds) if left else "")
    console.print(steps)
    if todo:
        guessed = "" if schedule.estimates.known else "; a first guess, for this store has no timings yet"
        console.print(f"{len(todo)} steps to do, about {duration(expected)} on {slots} workers{guessed}")
    else:
        console.print("everything is stored: bench would run no step")


def _described(cell: Cell) -> dict[str, Any]:
    parts = {kind: getattr(cell, kind) for kind in KINDS}
    return {kind: {"name": c.name, "params": parameters_of(c)} if c else None for kind, c in parts.items()}


def _cell_json(cell: Cell, open_keys: set[str]) -> dict[str, Any]:
    return {
        "cell": cell.key,
        "role": cell.role,
        **_described(cell),
        "seed": cell.seed,
        "state": _state(cell, open_keys),
        "reason": cell.reason,
    }


def _state(cell: Cell, open_keys: set[str]) -> str:
    if cell.status != "ok":
        return cell.status
    return "to do" if any(key in open_keys for key in cell.goals) else "stored"


def _grouped(plan: Plan, open_keys: set[str]) -> Iterator[list[str]]:
    """A row for cells that differ in nothing but their seed."""
    from harness.results.ranking import labeller

    described = {cell.key: _described(cell) for cell in plan.cells}
    label = labeller(list(described.values()))
    rows: dict[tuple[str, ...], list[Cell]] = {}
    for cell in plan.cells:
        names = tuple(label(kind, part) if part else "" for kind, part in described[cell.key].items())
        state = _state(cell, open_keys) + (f": {cell.reason}" if cell.reason else "")
        rows.setdefault((cell.role, *names, state), []).append(cell)
    for (role, task, teacher, student, augmenter, loss, state), cells in rows.items():
        yield [role, task, teacher, student, augmenter, loss, " ".join(str(c.seed) for c in cells), state]


# -- harness plugins and leaderboard -----------------------------------------------------------------------


def show_plugins(catalog: Catalog, as_json: bool) -> None:
    """Components by kind, and what could not be loaded."""
    kinds = list(REGISTERED)
    entries = sorted(catalog.entries.values(), key=lambda e: (kinds.index(e.kind), e.name))
    if as_json:
        value = {
            "components": [
                {
                    "kind": e.kind,
                    "name": e.name,
                    "version": e.component.version,
                    "package": e.package,
                    "package_version": e.package_version,
                    "plugin": e.plugin,
                    "file": e.file,
                    "line": e.line,
                    "summary": e.summary,
                    "parameters": [vars(parameter) for parameter in e.parameters()],
                }
                for e in entries
            ],
            "failures": [vars(failure) for failure in catalog.failures],
        }
        sys.stdout.write(json.dumps(value, indent=1) + "\n")
        return
    console = _console()
    for kind in kinds:
        console.print(f"{kind}s" if kind != "loss" else "losses", style="bold")
        for e in entries:
            if e.kind == kind:
                console.print(f"  {e.name}", style="green", end="", markup=False)
                console.print(
                    _inert(f"  {e.summary}  [{e.package} {e.package_version}]"), markup=False, soft_wrap=True
                )
                for p in e.parameters():
                    default = f" = {p.default}" if p.default is not None else " (required)"
                    console.print(
                        _inert(f"      {p.name}{default}  {p.type}"),
                        style="dim",
                        markup=False,
                        soft_wrap=True,
                    )
    for failure in catalog.failures:
        console.print()
        told = f"plugin '{failure.plugin}' of {failure.package}: {failure.reason}"
        console.print(_inert(told), style="red", markup=False)
        for line in failure.traceback.splitlines():
            console.print(_inert(line), style="dim", markup=False)


def show_leaderboard(records: list[Record], predictions: Mapping[str, Prediction], form: str) -> None:
    """The table in the form asked for."""
    from harness.results import leaderboard
    from harness.results.ranking import build

    board = build(records, predictions)
    if form == "terminal":
        console = _console()
        console.print(leaderboard.to_rich(board, console.width))
        return
    render = {"markdown": leaderboard.to_markdown, "csv": leaderboard.to_csv, "json": leaderboard.to_json}[
        form
    ]
    sys.stdout.write(render(board))


def show(laid_out: Any) -> None:
    """What another module laid out: text as it is, or something of rich's."""
    if isinstance(laid_out, str):
        sys.stdout.write(laid_out)
    else:
        _console().print(laid_out)


def complain(message: str) -> None:
    """Tell on stderr what went wrong beside the work itself."""
    sys.stderr.write(f"{_inert(message)}\n")


def _text(value: str) -> Any:
    from rich.text import Text

    return Text(_inert(value))


def _inert(text: str) -> str:
    """Text that came from suites, plugins or data, without what a terminal would obey."""
    from harness.results.leaderboard import printable

    return printable(text)
