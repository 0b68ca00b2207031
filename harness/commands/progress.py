"""Show progress while steps run: as JSON lines, plain lines, or a live view on a terminal."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from harness.commands.console import inert, open_console, output
from harness.naming import component_labeller
from harness.speeds import uses_bf16
from harness.storage.files import dumps
from harness.wording import duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from harness.bench import Display, Ran
    from harness.plan.planner import Plan


_NEWS, _WORTH_SAYING_S = 0.25, 60.0  # a change of the time left that plain lines tell of: share, and seconds
_LOG_LINES = 12  # lines of a failed step's output to show


@contextmanager
def display(as_json: bool, plan: Plan, slots: int, *, tables: bool = True) -> Iterator[Display]:
    """Yield the display that suits the output: JSON lines, a live view on a terminal, or plain lines.

    The views for people end with the leaderboard's `tables`, if wanted.
    """
    if as_json:
        yield JsonLines(plan)
        return
    console = open_console()
    if not (console.is_terminal and output().isatty()):  # FORCE_COLOR makes a file look like a terminal
        yield Lines(plan, console, slots, tables)
        return
    live = Live(plan, console, slots, tables)
    with live:
        yield live


class JsonLines:
    """A display with one line of JSON for each event."""

    def __init__(self, plan: Plan) -> None:
        self({"event": "plan", "suite": plan.suite.name, "sources": sources(plan)})

    def __call__(self, event: dict[str, Any]) -> None:
        """See :class:`Display`."""
        output().write(dumps(event) + "\n")
        output().flush()

    def finish(self, ran: Ran) -> None:
        """See :class:`Display`."""
        self({"event": "end", "interrupted": ran.interrupted, **ran.counts, "results": str(ran.folder)})


class Lines:
    """A display with a line for each step that ends or fails, and for long steps that start."""

    def __init__(self, plan: Plan, console: Console, slots: int, tables: bool = True) -> None:
        self.console = console
        self.slots = slots
        self.tables = tables
        self.began = time.monotonic()
        self.done = 0
        self.todo = 0
        self.ends: float | None = None  # when the run should end, as last printed
        for line in heading(plan):
            self.say(line)

    def say(self, text: str, style: str = "") -> None:
        """Print one line; markup and control codes in text from data and plugins have no effect."""
        if self.console.is_terminal:
            self.console.print(inert(text), style=style, markup=False)
        else:  # styling would be slow for a thousand short steps
            self.console.file.write(f"{inert(text)}\n")
            self.console.file.flush()

    def __call__(self, event: dict[str, Any]) -> None:
        """See :class:`Display`."""
        kind = event["event"]
        if kind == "run":
            self.todo = event["todo"]
            if self.todo:
                if not event["guessed"]:
                    self.ends = time.monotonic() + event["expected_s"]
                about = "" if event["guessed"] else f", about {duration(event['expected_s'])}"
                self.say(f"{event['todo']} of {event['steps']} steps to do{about} on {self.slots} workers")
            elif event["steps"]:
                self.say(f"all {event['steps']} steps are stored: nothing to run")
            else:
                self.say("nothing to run: each cell failed, or is unavailable or incompatible")
        elif kind == "started" and event["kind"] in ("teacher", "targets"):
            self.say(f"  started {event['step']}")
        elif kind == "waiting" and event["waiting"]:
            self.say(f"  waiting for another run, which does the same step: {event['step']}")
        elif kind == "done":
            self.done += 1
            self.todo = max(self.todo, self.done + event["left"])  # a damaged artefact is made again
            self.ends = time.monotonic() + event["left_s"]
            left = f"about {duration(event['left_s'])} left" if event["left"] else "the last one"
            self.say(f"  [{self.done}/{self.todo}] {event['step']}  {event['seconds']:.1f} s; {left}")
        elif kind == "progress" and "left_s" in event and self._is_news(event["left_s"]):
            self.ends = time.monotonic() + event["left_s"]
            self.say(f"  about {duration(event['left_s'])} left, by the progress of {event['step']}")
        elif kind in ("failed", "unavailable"):
            self.say(f"  {kind}: {event['step']}: {event['reason']}", "red" if kind == "failed" else "yellow")
            for line in (event.get("log") or "").splitlines()[-_LOG_LINES:]:
                self.say(f"    | {line}", "dim")
        elif kind == "lost":
            self.say(f"  lost: {event['step']}: {event['reason']}; it is run again", "yellow")
        elif kind == "damaged":
            self.say(f"  {event['reason']}", "yellow")
        elif kind in ("warning", "message"):
            self.say(f"  {event['message']}", "yellow")

    def _is_news(self, left_s: float) -> bool:
        """Return whether the remaining seconds differ much from what was last printed."""
        said = None if self.ends is None else max(0.0, self.ends - time.monotonic())
        if said is None:
            return left_s > _WORTH_SAYING_S
        return abs(left_s - said) > max(_WORTH_SAYING_S, _NEWS * min(left_s, said))

    def finish(self, ran: Ran) -> None:
        """See :class:`Display`."""
        if self.tables:
            from harness.report.leaderboard import to_rich

            self.console.print()
            self.console.print(to_rich(ran.board, self.console.width))
            self.console.print()
        told = ", ".join(f"{count} {status}" for status, count in ran.counts.items() if count)
        took = duration(time.monotonic() - self.began)
        self.say(f"{told or 'no cell ended'} in {took}; results in {ran.folder}/")
        if ran.interrupted:
            self.say("interrupted: finished steps are kept; run the same command to continue", "yellow")


class Live(Lines):
    """A display with progress bars for running steps, below the lines for those that ended."""

    def __init__(self, plan: Plan, console: Console, slots: int, tables: bool = True) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        super().__init__(plan, console, slots, tables)
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
            said = "" if event["guessed"] else f"about {duration(event['expected_s'])}"
            self._whole = self._bars.add_task(self._plain("all steps"), total=event["todo"], said=said)
        elif kind == "started":
            self._tasks[event["key"]] = self._bars.add_task(self._plain(event["step"]), total=None, said="")
            return
        elif kind == "progress" and key in self._tasks:
            said = f"{event['done']:,}/{event['total']:,}" + (
                f", loss {event['loss']:.3f}" if "loss" in event else ""
            )
            self._bars.update(self._tasks[key], completed=event["done"], total=event["total"], said=said)
            if "left_s" in event and self._whole is not None:
                self._bars.update(self._whole, said=f"about {duration(event['left_s'])} left")
            return
        elif kind == "waiting" and key in self._tasks:
            said = "waiting for another run" if event["waiting"] else ""
            self._bars.update(self._tasks[key], said=said)
            return
        if kind in ("done", "failed", "unavailable", "damaged", "lost") and key in self._tasks:
            self._bars.remove_task(self._tasks.pop(key))
            if kind == "done" and self._whole is not None:
                said = f"about {duration(event['left_s'])} left"
                self._bars.update(self._whole, advance=1, said=said)
        super().__call__(event)

    def finish(self, ran: Ran) -> None:
        """See :class:`Display`."""
        self._bars.stop()
        super().finish(ran)

    @staticmethod
    def _plain(text: str) -> str:
        return inert(text)[:60]


def sources(plan: Plan) -> dict[str, str]:
    """Return a description of each task's data, by the task's name and the parameters that distinguish it."""
    data = [step for step in plan.steps.values() if step.kind == "data"]
    tasks = {id(cell.task): cell for cell in plan.cells}  # the last cell of each
    named = component_labeller(
        [*(cell.task for cell in plan.cells), *(step.components["task"] for step in data)]
    )
    found = {}
    for cell in tasks.values():
        if cell.source is not None:
            found[named(cell.task)] = f"{cell.source.name} ({cell.source.origin})"
        else:
            found.setdefault(named(cell.task), f"none: {cell.reason}")
    for step in data:
        if (name := named(step.components["task"])) not in found:
            found[name] = f"{step.settings['source']} ({step.notes['origin']}), for models to start from"
    return found


def heading(plan: Plan) -> Iterator[str]:
    """Yield lines about the data of a plan, and about the number of its cells and steps."""
    for task, source in sources(plan).items():
        yield f"{plan.suite.name}: task {task} from {source}"
    counts = Counter(cell.role for cell in plan.cells)
    roles = ", ".join(
        f"{counts[role]} {role}" for role in ("teacher", "baseline", "distilled") if counts[role]
    )
    yield f"{len(plan.cells)} cells ({roles}), {len(plan.steps)} steps"
    if uses_bf16(plan.suite):
        yield f"precision {plan.precision}"
