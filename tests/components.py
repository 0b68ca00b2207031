"""What tests share: a plugin from outside (the toys), suites of it, and the command as a process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness import catalog
from harness.cli import main
from harness.devices import Slot
from harness.executors.base import Event
from harness.isolation.global_state import GlobalState
from harness.plan.planner import Plan, Step, build
from harness.results.collect import collect
from harness.results.record import Record
from harness.run.job import perform
from harness.run.local import Local
from harness.run.runner import run
from harness.run.worker import perform_step
from harness.steps import clock, latency, shipping
from harness.storage.store import Artefact, Store
from harness.suite import reader as suite
from harness.testing.tiny import CheckContext

OUTSIDE = Path(__file__).parent / "outside"
CPU = Slot("cpu")

# 1 teacher, 4 baselines, 8 distilled: 13 cells of 33 steps without latency.
SUITE = """
    [suite]
    name = "toys"
    seeds = [0, 1]
    latency = false
    baseline = { use = "toy-labels" }

    [[task]]
    use = "toy"

    [[teacher]]
    use = "toy-teacher"

    [[student]]
    use = "toy"
    size = { sweep = [1, 2] }

    [[augmenter]]
    use = "toy-plain"

    [[augmenter]]
    use = "toy-shuffle"
    copies = 2

    [[loss]]
    use = "toy-soft"
"""

# One student on gold labels, and nothing else; its keys are the same on all CPUs.
SMALL = """
    [suite]
    name = "small"
    latency = false
    precision = "fp32"
    baseline = { use = "toy-labels" }

    [[task]]
    use = "toy"

    [[augmenter]]
    use = "toy-plain"

    [[student]]
    use = "toy"
"""


def fake_distribution(
    site: Path, package: str, version: str = "1.0", *, group: str = "harness", points: Mapping[str, str]
) -> Path:
    """Write the dist-info folder of an installed distribution: all that `importlib.metadata` asks for."""
    info = site / f"{package.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    lines = [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return info


def install_toys(site: Path, version: str = "1.0") -> Path:
    """Put a copy of the toys on a site folder, as an installed package."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(OUTSIDE / "toykit", site / "toykit", dirs_exist_ok=True, ignore=ignored)
    fake_distribution(site, "toykit", version, points={"toys": "toykit"})
    return site


def plan_of(text: str, source: str = "auto", **options: Any) -> Plan:
    """The plan of a suite of installed components."""
    found = catalog.load()
    return build(suite.parse(dedent(text), found), found, source=source, **options)


def steps_of(plan: Plan, kind: str) -> list[Step]:
    """A plan's steps of one kind."""
    return [step for step in plan.steps.values() if step.kind == kind]


def no_event(kind: str, details: dict[str, Any]) -> None:
    """Swallow what a step tells on its way."""


def perform_in(store: Store, plan: Plan, *kinds: str) -> list[Artefact]:
    """Do all steps of some kinds in this process, in the plan's order."""
    return [perform(step, store, CPU, no_event) for step in plan.steps.values() if step.kind in kinds]


class Inline:
    """An executor that does each step at once, in this process, as a worker would."""

    def __init__(self, store: Path, slots: int = 1) -> None:
        self.slots = (CPU,) * slots
        self.store = Store(store)
        self.events: list[Event] = []
        self.gone: dict[int, str] = {}
        self.log = store.parent / "inline.log"
        self.closed = False

    def free(self) -> list[int]:
        return [] if self.events else list(range(len(self.slots)))

    def submit(self, slot: int, step: Step) -> None:
        self.log.write_text("")

        def emit(kind: str, details: dict[str, Any]) -> None:
            self.events.append(Event(kind, step.key, details))  # type: ignore[arg-type]

        self.events.append(perform_step(step, self.store, CPU, emit, self.log, GlobalState.now()))

    def lend(self, key: str, cores: int) -> None:
        """Nothing: a step that was submitted has ended."""

    def wait(self, timeout: float) -> list[Event]:
        events, self.events = self.events, []
        return events

    def stop(self, key: str, reason: str) -> Event:
        raise AssertionError("nothing runs between two calls")

    def close(self) -> None:
        self.closed = True


@contextmanager
def brief() -> Iterator[None]:
    """Latencies of steps in this process are timed for a moment, and once on a disturbed machine too."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("FIRST_S", "OTHER_S", "OFFLINE_S"):
            patch.setattr(latency, name, 0.01)
        for name in ("SINGLE_S", "TOGETHER_S"):
            patch.setattr(shipping, name, 0.01)
        patch.setattr(clock, "TRIES", 1)
        yield


@contextmanager
def without_workers() -> Iterator[None]:
    """The steps of commands in this process run here too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Local, "start", lambda _, store, slots: Inline(store, len(slots)))
        yield


@contextmanager
def inline() -> Iterator[None]:
    """The steps of commands in this process run here too, on one thread, and latencies are timed briefly.

    A worker takes seconds to load torch and scikit-learn, and its latencies as long again.
    """
    import torch

    before = torch.get_num_threads()
    with without_workers(), brief():
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def without_times(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record without what differs from run to run."""
    timed = {"train_s", "labelling_s", "tokens_s", "examples_per_s", "texts_per_s"}
    timed |= {"peak_rss_bytes", "peak_anonymous_bytes", "peak_mapped_bytes"}
    kept = {key: value for key, value in record.items() if key not in ("provenance", "latency", "load")}
    if "cost" not in record:  # its cell failed
        return kept
    return kept | {"cost": {key: value for key, value in record["cost"].items() if key not in timed}}


@dataclass
class Home:
    """A folder to run the command in, with a store, results and a journal of the toys' work."""

    path: Path
    site: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        return self.path / "store"

    def write(self, text: str = SUITE, name: str = "toys") -> Path:
        """A suite's file."""
        path = self.path / f"{name}.toml"
        path.write_text(dedent(text))
        return path

    def variables(self) -> dict[str, str]:
        """The environment of a command: the toys are installed, and what is ours is left out."""
        return {
            **os.environ,
            "PYTHONPATH": str(self.site),
            "HARNESS_DISABLE_PLUGINS": catalog.DISTRIBUTION,
            "HARNESS_STORE": str(self.store),
            "TOYKIT_JOURNAL": str(self.path / "journal"),
            "TOYKIT_GATE": str(self.path / "gate"),
            **self.environment,
        }

    def start(self, *arguments: str | Path, prepare: Callable[[], Any] = int) -> subprocess.Popen[str]:
        """The command in a process group of its own, heeding Ctrl-C though a background shell may not."""

        def first() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            prepare()

        return subprocess.Popen(
            [sys.executable, "-m", "harness.cli", *map(str, arguments)],
            cwd=self.path,
            env=self.variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=first,
        )

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """The command, to its end."""
        process = self.start(*arguments)
        out, err = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def journal(self) -> list[str]:
        """What the toys did so far."""
        path = self.path / "journal"
        return path.read_text().splitlines() if path.exists() else []

    def performed(self) -> int:
        """How many steps were ever brought to their end in the store."""
        path = self.store / "timings.jsonl"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def manifests(self) -> dict[str, str]:
        """The manifest of every published artefact in the store, by its place."""
        found = (path for path in self.store.glob("*/*/manifest.json") if path.parts[-3] != "tmp")
        return {str(path.relative_to(self.store)): path.read_text() for path in found}

    def records(self, name: str = "toys") -> list[dict[str, Any]]:
        """The records that the command wrote."""
        lines = (self.path / "results" / name / "records.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


@contextmanager
def installed(home: Home) -> Iterator[Home]:
    """For runs in this process: the toys, and nothing else, are installed here too."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in home.variables().items():
            patch.setenv(name, value)
        patch.chdir(home.path)
        patch.syspath_prepend(str(home.site))
        yield home
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "toykit":
            del sys.modules[name]


class Told(CheckContext):
    """A context that remembers what was measured."""

    def __init__(self, scratch: Path, **options: Any) -> None:
        super().__init__(scratch, **options)
        self.measured: list[tuple[int, dict[str, float]]] = []

    def progress(self, done: int, total: int, **scalars: float) -> None:
        """Keep what comes with it, if anything."""
        super().progress(done, total, **scalars)
        if scalars:
            self.measured.append((done, scalars))


def call(folder: Path, *arguments: str, given: str | bytes = "") -> subprocess.CompletedProcess[bytes]:
    """The command in a folder, with the plugins that are installed, to its end."""
    command = [sys.executable, "-m", "harness.cli", *arguments]
    data = given.encode() if isinstance(given, str) else given
    return subprocess.run(command, cwd=folder, input=data, capture_output=True)


def call_here(folder: Path, *arguments: str) -> Result:
    """Run the command in a folder and its steps, all in this process."""
    with pytest.MonkeyPatch.context() as patch, inline():
        patch.chdir(folder)
        return CliRunner().invoke(main, arguments)


def call_without_workers(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The command as a process that does its steps itself; libraries read variables as they are loaded."""
    code = "import components, harness.cli\nwith components.without_workers(): harness.cli.main()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **more}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def recorded(plan: Plan, home: Home) -> list[Record]:
    """The records of a plan that is run in this process."""
    store = Store(home.store)
    schedule = run(plan, store, Inline(home.store), lambda one: None)
    return list(collect(plan, schedule.outcome, store, catalog.load()))


def until(condition: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    """Return once a condition holds; fail where the process ended before it did."""
    import time

    while not condition():
        assert process.poll() is None or condition(), process.communicate()
        time.sleep(0.005)


def events(lines: str) -> list[dict[str, Any]]:
    """The JSON objects of some lines."""
    return [json.loads(line) for line in lines.splitlines()]


def named(found: Sequence[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    """The events of one name."""
    return [each for each in found if each["event"] == event]
