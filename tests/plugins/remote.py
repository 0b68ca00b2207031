"""What the tests of executors on other machines share: suites, and runs that are watched from outside."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from components import SMALL, SUITE, Home, events, without_times

# Plugins to leave out; the toys come in addition.
FEW = {"HARNESS_DISABLE_PLUGINS": "tasks,teachers,augmenters,spacy,mlflow,tensorboard,multilabel"}
# A teacher, a baseline of torch and one that the teacher has taught; and steps that fail in many ways.
TORCH = (
    SUITE.replace('use = "toy-labels"', 'use = "cross-entropy"')
    .replace('use = "toy-soft"', 'use = "kl"')
    .replace(
        'use = "toy"\n    size = { sweep = [1, 2] }',
        'use = "mlp"\n    width = 4\n    epochs = 1\n    min_examples = 0',
    )
    .replace("seeds = [0, 1]", "seeds = [0]")
    .replace("copies = 2", "")
    .replace('[[augmenter]]\n    use = "toy-shuffle"', "")
)
FAILING = SMALL + '    trouble = { sweep = ["", "raise", "kill", "memory", "exit", "warn", "disorder"] }\n'
GATE = SMALL.replace('name = "small"', 'name = "small"\n    seeds = [0, 1, 2]') + '    trouble = "gate"\n'


def records(home: Home, *options: str, store: str = "") -> list[dict[str, Any]]:
    """Run the command, by default with a store of its own; the records without times."""
    name = options[0].partition(":")[0]
    places = ("--store", store or name, "--results", f"of-{name}")
    done = home.run("bench", "suite.toml", *places, "--executor", *options)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    (folder,) = (path for path in (home.path / f"of-{name}").iterdir() if path.is_dir())
    home.path.joinpath("results").unlink(missing_ok=True)
    home.path.joinpath("results").symlink_to(f"of-{name}")
    found = home.records(folder.name)
    return [without_times(record) for record in found]


def processes(home: Home) -> list[str]:
    """The command lines of the processes that a command has started, and of those that these started."""
    mark = f"OF_THIS_TEST={home.environment['OF_THIS_TEST']}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def soon(condition: Any, seconds: float = 5.0) -> bool:
    ends = time.monotonic() + seconds
    while not condition() and time.monotonic() < ends:
        time.sleep(0.05)
    return bool(condition())


def started(home: Home, *executor: str) -> Any:
    """A run whose first students wait for the gate."""
    process = home.start("bench", home.write(GATE, "small"), "--json", "--executor", *executor)
    told: list[dict[str, Any]] = []
    assert process.stdout is not None
    while sum(event.get("kind") == "student" for event in told) < 2:
        line = process.stdout.readline()
        assert line, process.communicate()
        told += events(line)
    time.sleep(1.0)  # for the worker to begin
    return process


def ended(home: Home, process: Any) -> list[dict[str, Any]]:
    """Open the gate; the events to the end of the run, in which no cell is lost."""
    (home.path / "gate").touch()
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert [record["status"] for record in home.records("small")] == ["ok"] * 3
    return events(out)
