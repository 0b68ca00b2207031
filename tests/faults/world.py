"""A folder with a suite, a store and results, in which the command is run, watched and judged."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults.judge import Fault

LIMIT_S = 120.0  # of a command on an idle machine, where it takes seconds
GRACE_S = 15.0  # in which the processes of an ended run must be gone
TRACEBACK = "Traceback (most recent call last)"
_MARK = "HARNESS_FAULTS_MARK"  # the variable by which the processes of a world are found

# The fields of a record that depend on the suite alone; costs, latencies and provenance do not.
SAME = (
    *("role", "task", "teacher", "student", "augmenter", "loss", "seed", "parameters", "transfer"),
    *("metrics", "validation", "decision", "history"),
)


@dataclass(frozen=True)
class Said:
    """What a command wrote until it ended."""

    status: int | None  # None: it had to be ended
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of `bench --json`, as far as they are complete."""
        return list(_events(self.out))


class Running:
    """A command that runs in a session of its own, with its output in files."""

    def __init__(self, command: list[str], folder: Path, said: Path, variables: Mapping[str, str]) -> None:
        self.out, self.err = said.with_suffix(".out"), said.with_suffix(".err")

        libc = ctypes.CDLL(None)

        def first() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: if the trials are stopped, so is the command

        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(variables),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                preexec_fn=first,
            )

    @property
    def ended(self) -> bool:
        """Whether the command has ended; its workers may be alive."""
        return self.process.poll() is not None

    def events(self) -> list[dict[str, Any]]:
        """The events so far."""
        return list(_events(_text(self.out)))

    def workers(self) -> list[int]:
        """The processes that it started, without their own children."""
        return children(self.process.pid)

    def kill(self, whom: str, pick: Callable[[list[int]], int] = min) -> bool:
        """Send SIGKILL to the "group", the "parent" or a "worker"; return whether one was there."""
        with suppress(ProcessLookupError):
            if self.ended:
                return False
            if whom == "group":
                os.killpg(self.process.pid, signal.SIGKILL)
            elif whom == "parent":
                os.kill(self.process.pid, signal.SIGKILL)
            else:
                if not (workers := self.workers()):
                    return False
                os.kill(pick(workers), signal.SIGKILL)
            return True
        return False


@dataclass(frozen=True)
class Kept:
    """What a world keeps at a moment: its good records, and the places of its artefacts."""

    records: dict[str, dict[str, Any]]
    artefacts: frozenset[str]


@dataclass
class World:
    """A folder to run the command in, and the faults that were seen there."""

    folder: Path
    faults: list[Fault] = field(default_factory=list)
    trials: int = 0
    variables: dict[str, str] = field(default_factory=dict)  # changes to the environment
    plugin_at_fault: bool = False  # so that the log of a failed step may have the plugin's traceback

    def __post_init__(self) -> None:
        self.mark = uuid.uuid4().hex
        self.said = 0
        (self.folder / "tmp").mkdir(parents=True, exist_ok=True)

    @classmethod
    def copy_of(cls, base: Path, folder: Path) -> World:
        """Return a world with the content of another one."""
        shutil.copytree(base, folder, symlinks=True)
        return cls(folder)

    def fault(self, criterion: str, detail: str) -> None:
        """Record that something went wrong."""
        self.faults.append(Fault(criterion, detail))

    # -- places ---------------------------------------------------------------------------------------

    @property
    def suite(self) -> Path:
        """The suite of the undisturbed world."""
        return self.folder / "suite.toml"

    @property
    def store(self) -> Path:
        """The store."""
        return self.folder / "store"

    @property
    def results(self) -> Path:
        """The results of the suite."""
        return self.folder / "results" / "suite"

    @property
    def site(self) -> Path:
        """The folder with outside plugins."""
        return self.folder / "site"

    # -- commands -------------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """The environment of a command."""
        ours = ("HARNESS_", "PYTEST_", "COV_", "COVERAGE", "TOYKIT_")
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
            "PYTHONPATH": str(self.site),
            "HARNESS_STORE": "store",
            "HF_HUB_OFFLINE": "1",
            "TMPDIR": str(self.folder / "tmp"),
            _MARK: self.mark,
            **self._own(),
            **self.variables,
        }

    def _own(self) -> dict[str, str]:
        path = self.folder / "variables.json"
        return json.loads(path.read_text()) if path.exists() else {}  # type: ignore[no-any-return]

    def start(self, *arguments: str | Path) -> Running:
        """Start the command."""
        self.said += 1
        command = [sys.executable, "-m", "harness.cli", *map(str, arguments)]
        said = self.folder / f"said-{self.said}"
        return Running(command, self.folder, said, self.environment())

    def wait(self, running: Running, limit: float = LIMIT_S) -> Said:
        """Wait for the end of a command, judge what it wrote, and see that all its processes end."""
        limit *= slowness()
        try:
            status: int | None = running.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.fault("endless", f"{self._named(running)} did not end in {limit:g} s")
            running.kill("group")
            running.process.wait()
            status = None
        self.no_process_left()
        said = Said(status, _text(running.out), _text(running.err))
        self.judge_text(said, self._named(running))
        return said

    def run(self, *arguments: str | Path, limit: float = LIMIT_S) -> Said:
        """Run the command to its end."""
        return self.wait(self.start(*arguments), limit)

    def bench(self, *options: str | Path, suite: Path | None = None, limit: float = LIMIT_S) -> Said:
        """Run `harness bench` on the suite."""
        return self.run("bench", (suite or self.suite).name, "--json", *options, limit=limit)

    def end(self) -> None:
        """End what is still alive."""
        for process in self.processes():
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)

    def processes(self) -> list[int]:
        """The living processes that were started in this world, found by their environment."""
        mark = f"{_MARK}={self.mark}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if mark in path.read_bytes() and _state(int(path.parts[2])) not in "ZX":
                    found.append(int(path.parts[2]))
        return found

    def no_process_left(self) -> None:
        """See that all processes of ended commands are gone, after a while; end the others."""
        deadline = time.monotonic() + GRACE_S
        while (alive := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for process in alive:
            line = _text(Path(f"/proc/{process}/cmdline")).replace("\0", " ")
            self.fault("left", f"process {process} was alive {GRACE_S:g} s after the run: {line[:200]}")
        self.end()

    @staticmethod
    def _named(running: Running) -> str:
        return " ".join(map(str, running.process.args[2:]))  # type: ignore[union-attr,index]

    # -- judging --------------------------------------------------------------------------------------

    def judge_text(self, said: Said, what: str) -> None:
        """Look for tracebacks and control codes in what a command wrote."""
        text = f"{said.err}\n{said.out}"
        if self.plugin_at_fault:
            text = "\n".join([said.err, *_without_log(said.out)])
        if TRACEBACK in text:
            self.fault("tracebacks", f"{what}: {_last_lines(text)}")
        if "\x1b" in text or "\x07" in text:
            self.fault("wrong", f"{what} printed control codes: {_around(text, chr(27))!r}")

    def expect(self, said: Said, *statuses: int) -> None:
        """See that a command ended with one of these exit statuses."""
        if said.status not in statuses and said.status is not None:
            tail = (said.err or said.out)[-600:]
            self.fault(
                "wrong", f"exit status {said.status} instead of {' or '.join(map(str, statuses))}: {tail}"
            )

    def records(self) -> dict[str, dict[str, Any]]:
        """The records by cell; none if the file is missing or cannot be read."""
        path = self.results / "records.jsonl"
        if not path.is_file():  # e.g. a named pipe, on which reading would wait for ever
            return {}
        try:
            lines = path.read_text().splitlines()
            return {record["cell"]: record for record in map(json.loads, lines)}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def kept(self) -> Kept:
        """What is there now."""
        good = {cell: record for cell, record in self.records().items() if record["status"] == "ok"}
        aside = ("tmp", "damaged", "locks", "checkpoints")
        found = (path.parent.relative_to(self.store) for path in self.store.glob("*/*/manifest.json"))
        return Kept(good, frozenset(str(place) for place in found if place.parts[0] not in aside))

    def still(self, before: Kept, artefacts: bool = True) -> None:
        """See that nothing of what was there is gone."""
        now = self.kept()
        for cell, record in before.records.items():
            self._fields_kept(cell, record, now.records.get(cell))
        for place in sorted(before.artefacts - now.artefacts) if artefacts else ():
            self.fault("lost", f"artefact {place} is gone")

    def same_as(self, base: Path, cells: Iterable[str] | None = None) -> None:
        """See that the records and answers equal those of an undisturbed world."""
        from harness.results import predictions

        right = World(base)
        reference, now = right.records(), self.records()
        assert reference, f"the undisturbed world {base} has no records"
        for cell in cells if cells is not None else reference:
            self._fields_kept(cell, reference[cell], now.get(cell))
            for name in SAME if cell in now else ():
                one, other = _lasting(reference[cell].get(name)), _lasting(now[cell].get(name))
                if name in now[cell] and one != other:
                    what = _difference(one, other)
                    self.fault("changed", f"{name} of {_cell(reference[cell])}: {what}")
        if not (self.results / predictions.FILE).is_file():
            self.fault("lost", "the predictions are gone")
            return
        try:
            wanted, found = predictions.read(right.results), predictions.read(self.results)
        except Exception as error:
            self.fault("lost", f"the predictions cannot be read: {error}")
            return
        for cell in cells if cells is not None else wanted:
            if cell not in found:
                self.fault("lost", f"the answers of {_cell(reference[cell])} are gone")
            elif repr(_plain(wanted[cell])) != repr(_plain(found[cell])):
                self.fault("changed", f"the answers of {_cell(reference[cell])} differ")

    def _fields_kept(self, cell: str, before: dict[str, Any], now: dict[str, Any] | None) -> None:
        if now is None:
            self.fault("lost", f"the record of {_cell(before)} is gone")
        elif now["status"] != "ok":
            self.fault("lost", f"{_cell(before)} was ok and is {now['status']}: {now['reason'][:200]}")
        else:
            gone = before.keys() - now.keys() - {"last_failure"}  # the next success removes it
            gone |= {
                f"{name}.{part}"
                for name in ("cost", "size_bytes", "metrics", "artefacts")
                for part in before.get(name, {}).keys() - (now.get(name) or {}).keys()
            }
            if gone:
                self.fault("lost", f"the record of {_cell(before)} lost {', '.join(sorted(gone))}")

    def judge_records(self) -> None:
        """Look for tracebacks and control codes in reasons, and in the tables."""
        for record in self.records().values():
            reason = record.get("reason") or ""
            if TRACEBACK in reason:
                self.fault("tracebacks", f"reason of {_cell(record)}: {reason[:300]}")
            if "\n" in reason.strip() or "\x1b" in reason:
                self.fault("wrong", f"the reason of {_cell(record)} is not one plain line: {reason[:200]!r}")

    def swept(self) -> None:
        """See that an undisturbed run has removed the temporary files of disturbed ones."""
        places = [*(self.store / "tmp").glob("*"), *(self.folder / "tmp").glob("*")]
        places = [path for path in places if not any(map(path.match, OF_LIBRARIES))]
        places += [path for path in self.results.parent.rglob(".*") if not path.name.endswith(".lock")]
        if places:
            names = ", ".join(str(path.relative_to(self.folder)) for path in places)
            self.fault("wrong", f"temporary files are left: {names[:400]}")


OF_LIBRARIES = ("tmp/torchinductor_*", "tmp/.ses")  # files of torch and ONNX Runtime that later runs share


def slowness() -> float:
    """Return how much longer things may take than on an idle machine: the load of each core, at least 1."""
    return max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))


def children(parent: int) -> list[int]:
    """Return the living child processes of a process, without helpers of multiprocessing."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        fields = _text(path).rpartition(")")[2].split()
        if len(fields) > 1 and fields[1] == str(parent) and fields[0] not in "ZX":
            command = _text(path.parent / "cmdline")
            if "resource_tracker" not in command:
                found.append(int(path.parts[2]))
    return sorted(found)


def _state(process: int) -> str:
    fields = _text(Path(f"/proc/{process}/stat")).rpartition(")")[2].split()
    return fields[0] if fields else "X"


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _events(text: str) -> Iterable[dict[str, Any]]:
    for line in text.splitlines():
        with suppress(ValueError):
            if isinstance(event := json.loads(line), dict):
                yield event


def _without_log(text: str) -> Iterable[str]:
    """Yield output without the tracebacks that belong in it: of a failed step, or of a plugin that failed."""
    with suppress(ValueError):
        if isinstance(whole := json.loads(text), dict) and "failures" in whole:
            yield str([{**failure, "traceback": ""} for failure in whole["failures"]])
            return
    for line in text.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            yield line
        else:
            yield str({**event, "log": ""} if isinstance(event, dict) else event)


def _around(text: str, what: str) -> str:
    place = text.find(what)
    return text[max(0, place - 300) : place + 1_000]


def _last_lines(text: str) -> str:
    """Return the end of the first traceback: the error and the innermost frames."""
    lines = text[text.find(TRACEBACK) :].splitlines()
    ends = (place for place, line in enumerate(lines) if place and not line.startswith((" ", "\t")))
    end = next(ends, len(lines))
    return "\n".join(lines[max(0, end - 8) : end + 1])


def _cell(record: Mapping[str, Any]) -> str:
    parts = [(record.get(part) or {}).get("name") for part in ("teacher", "student", "augmenter", "loss")]
    return f"{record.get('role')} {'/'.join(str(part) for part in parts if part)} seed {record.get('seed')}"


def _difference(before: Any, now: Any) -> str:
    """Return the first place where two JSON values differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted(before.keys() | now.keys()):
            if before.get(name) != now.get(name):
                return f"{name}: {_difference(before.get(name), now.get(name))}"
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for index, (one, other) in enumerate(zip(before, now, strict=True)):
            if one != other:
                return f"[{index}] {_difference(one, other)}"
    return f"{str(before)[:100]} became {str(now)[:100]}"


def _lasting(value: Any) -> Any:
    """Return a field of a record without the number of cells of its suite, which others may extend."""
    return (
        {name: part for name, part in value.items() if name != "cells"} if isinstance(value, dict) else value
    )


def _plain(prediction: Any) -> Any:
    """Return a prediction's arrays as lists, so that two can be compared."""
    values = vars(prediction) if hasattr(prediction, "__dict__") else prediction._asdict()
    return {name: value.tolist() if hasattr(value, "tolist") else value for name, value in values.items()}
