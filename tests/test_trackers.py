"""Trackers hear what the display hears, and can cost a run nothing but a warning."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from components import (
    CPU,
    SMALL,
    SUITE,
    Home,
    Inline,
    events,
    named,
    plan_of,
    until,
    without_times,
    without_workers,
)

from harness import HarnessError, catalog, trackers, tracking
from harness.cli import main
from harness.naming import component_of
from harness.run.runner import run
from harness.storage.store import Store

TIMES = ("seconds", "left_s", "expected_s", "guessed", "log")


def told(home: Home, file: str = "told.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (home.path / file).read_text().splitlines()]


def timeless(event: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key not in TIMES}


def bench(toys: Home, *arguments: str, text: str = SMALL) -> Result:
    """The command in this process, with its steps."""
    before = signal.getsignal(signal.SIGTERM)
    toys.write(text, "small")
    with without_workers():
        done = CliRunner().invoke(main, ["bench", "small.toml", "--devices", "cpu:1", *arguments])
    signal.signal(signal.SIGTERM, before)
    return done


# -- what a tracker is told ---------------------------------------------------------------------------------


def test_a_tracker_is_told_what_json_prints(home: Home) -> None:
    suite = home.write(SMALL, "small")
    done = home.run("bench", suite, "--devices", "cpu:1", "--json", "--tracker", "toy-tracker")
    assert done.returncode == 0, done.stderr
    printed = events(done.stdout)
    start, *heard, end = told(home)
    assert heard == printed[1:-1]  # but for "plan" and "end", which are the display's own
    assert {"run", "started", "progress", "done"} <= {event["event"] for event in heard}
    (record,) = home.records("small")
    assert end == {"finish": [record["cell"]], "interrupted": False}
    assert start["suite"] == "small"
    assert start["results"] == str(Path("results") / "small")


def test_a_tracker_knows_the_cells_and_which_step_fits_them(toys: Home) -> None:
    assert bench(toys, "--json", "--tracker", "toy-tracker", text=SUITE).exit_code == 0
    cells = {cell["cell"]: cell for cell in told(toys)[0]["cells"]}
    records = toys.records()
    assert len(cells) == len(records) == 13
    for record in records:
        cell = cells[record["cell"]]
        assert cell["fit"] == record["artefacts"]["teacher" if record["role"] == "teacher" else "student"]
        assert (cell["role"], cell["seed"], cell["status"]) == (record["role"], record["seed"], "ok")
        for kind in ("task", "teacher", "student", "augmenter", "loss"):
            part = record[kind]  # type: ignore[literal-required]
            assert cell[kind] == (part and {"name": part["name"], "params": part["params"]})


def test_the_output_and_the_results_are_the_same_with_a_tracker(toys: Home) -> None:
    plain = bench(toys, "--json")
    before = toys.records("small")
    again = bench(toys, "--json", "--fresh", "--tracker", "toy-tracker")
    assert [timeless(e) for e in events(again.stdout)] == [timeless(e) for e in events(plain.stdout)]
    assert [without_times(r) for r in toys.records("small")] == [without_times(r) for r in before]
    stored = bench(toys, "--json", "--tracker", "toy-tracker:file=other.jsonl")
    assert named(events(stored.stdout), "run")[0]["todo"] == 0  # it is in no key
    assert told(toys, "other.jsonl")[-1]["finish"] == [before[0]["cell"]]


def test_a_suite_names_trackers_beside_those_of_the_command(toys: Home) -> None:
    table = '\n    [[tracker]]\n    use = "toy-tracker"\n    file = "of-the-suite.jsonl"\n'
    done = bench(toys, "--tracker", "toy-tracker", text=SMALL + table)
    assert done.exit_code == 0, done.stderr
    assert told(toys)[-1] == told(toys, "of-the-suite.jsonl")[-1]


def test_the_same_tracker_twice_is_told_once(toys: Home) -> None:
    assert bench(toys, "--tracker", "toy-tracker", "--tracker", "toy-tracker").exit_code == 0
    assert sum("suite" in line for line in told(toys)) == 1


def test_a_tracker_of_a_suite_changes_no_key(toys: Home) -> None:
    table = '\n    [[tracker]]\n    use = "toy-tracker"\n    again = { sweep = [1, 2] }\n'
    plain, tracked = plan_of(SUITE), plan_of(SUITE + table)
    assert list(plain.steps) == list(tracked.steps)
    assert [cell.key for cell in plain.cells] == [cell.key for cell in tracked.cells]
    assert [vars(tracker)["again"] for tracker in tracked.suite.trackers] == [1, 2]


def test_a_component_in_the_wrong_hook_is_told_the_right_one(toys: Home) -> None:
    found = catalog.load()
    tracker, loss = found.get("tracker", "toy-tracker"), found.get("loss", "toy-soft")
    catalog.vet("tracker", tracker.component)
    with pytest.raises(
        TypeError, match=r"does not derive from harness\.Loss; register it in register_trackers"
    ):
        catalog.vet("loss", tracker.component)
    with pytest.raises(TypeError, match=r"from harness\.tracking\.Tracker; register it in register_losses"):
        catalog.vet("tracker", loss.component)


def test_trackers_are_listed_with_their_parameters(home: Home) -> None:
    done = home.run("plugins")
    listed = done.stdout.partition("trackers\n")[2]
    assert listed.startswith("  toy-tracker  A line of JSON for all it is told.  [toykit 1.0]\n")
    assert "      file = 'told.jsonl'  path\n" in listed


# -- what goes wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("start", "OSError: no such server"),
        ("event", "ValueError: the toy tracker broke"),
        ("exit", "SystemExit: 7"),
        ("finish", "ValueError: the toy tracker broke at last"),
    ],
)
def test_a_tracker_that_breaks_costs_a_warning_and_itself(toys: Home, trouble: str, said: str) -> None:
    both = ("--tracker", f"toy-tracker:trouble={trouble},file=broken", "--tracker", "toy-tracker")
    done = bench(toys, "--json", *both)
    assert done.exit_code == 0, done.stderr
    (message,) = named(events(done.stdout), "message")
    assert message["message"] == f"tracker 'toy-tracker' failed and no longer follows this run: {said}"
    assert "Traceback" not in done.stderr
    assert toys.records("small")[0]["status"] == "ok"
    assert told(toys)[-1]["interrupted"] is False  # the other heard all of it
    assert len(named([e for e in told(toys) if "event" in e], "done")) == 3


def test_a_tracker_that_is_stuck_is_left_at_that(
    toys: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers, "PATIENCE_S", 0.05)
    plan, shown = plan_of(SMALL), list[dict[str, Any]]()
    tracker = component_of("tracker", "toy-tracker:trouble=hang", catalog.load())
    assert isinstance(tracker, tracking.Tracker)
    with trackers.follow([tracker], plan, tmp_path) as following:
        schedule = run(plan, Store(tmp_path / "store"), Inline(tmp_path / "store"), following)
        following.finish((), interrupted=False)
        following.complain(shown.append)
    assert not schedule.unfinished
    assert [event["message"] for event in shown] == [
        "tracker 'toy-tracker' did not finish within 0.05 s; its data may be incomplete"
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("toy-trackr", "unknown tracker 'toy-trackr'; did you mean 'toy-tracker'?"),
        ("toy-soft", "'toy-soft' is a loss"),
        ("toy-tracker:fil=x", "parameter 'fil' of tracker 'toy-tracker' is unknown; did you mean 'file'?"),
        ("toy-tracker:again=x", "parameter 'again' of tracker 'toy-tracker' must be an integer, got 'x'"),
        ("toy-tracker:file", "--tracker must be NAME or NAME:PARAMETER=VALUE,…, got 'toy-tracker:file'"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(toys: Home, text: str, said: str) -> None:
    done = bench(toys, "--tracker", text)
    assert done.exit_code == 2
    assert said in done.stderr
    assert not toys.journal()


def test_a_tracker_that_refuses_stops_the_command_before_anything_runs(toys: Home) -> None:
    done = bench(toys, "--tracker", "toy-tracker", "--tracker", "toy-tracker:trouble=refuse")
    assert (done.exit_code, done.stderr) == (2, "error: the toy tracker is not for here\n")
    assert not toys.journal()
    assert told(toys)[-1] == {"finish": [], "interrupted": True}  # the one that had begun is closed


def test_a_mistake_in_a_suites_tracker_has_its_line(toys: Home) -> None:
    done = bench(toys, text=SMALL + '\n    [[tracker]]\n    use = "toy-trackr"\n')
    assert done.exit_code == 2
    line = len(SMALL.splitlines()) + 3
    assert f"small.toml:{line}: tracker[0].use: unknown tracker 'toy-trackr'" in done.stderr


def test_trackers_are_closed_when_a_run_is_interrupted(home: Home) -> None:
    suite = home.write(SMALL + '    trouble = "gate"\n', "small")
    process = home.start("bench", suite, "--devices", "cpu:1", "--tracker", "toy-tracker")
    heard = home.path / "told.jsonl"
    until(lambda: heard.exists() and '"kind": "student"' in heard.read_text(), process)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert told(home)[-1] == {"finish": [], "interrupted": True}


# -- values -------------------------------------------------------------------------------------------------


def test_values_of_the_option_are_read_as_their_parameters_want(toys: Home) -> None:
    found = catalog.load()

    def values(text: str) -> dict[str, Any]:
        return vars(component_of("tracker", text, found))

    assert values("toy-tracker") == {"file": Path("told.jsonl"), "trouble": "", "again": 0}
    assert values("toy-tracker:again=3,file=a-b.jsonl") == {
        "file": Path("a-b.jsonl"),
        "trouble": "",
        "again": 3,
    }
    assert values("toy-tracker:file=http://host:1/x,y, again = 7")["file"] == Path("http://host:1/x,y")


def test_parameters_are_flat_with_what_components_hold() -> None:
    record = {
        "role": "distilled",
        "seed": 3,
        "task": {"name": "emotion", "params": {}},
        "teacher": None,
        "student": {"name": "mlp", "params": {"width": 16, "spans": [1, 2], "clip": None, "best": True}},
        "loss": {"name": "sum", "params": {"of": {"use": "kl", "temperature": 2.0}}},
    }
    assert tracking.parameters(record) == {
        "role": "distilled",
        "seed": 3,
        "task": "emotion",
        "student": "mlp",
        "student.width": 16,
        "student.spans": "[1, 2]",
        "student.best": True,
        "loss": "sum",
        "loss.of": "kl",
        "loss.of.temperature": 2.0,
    }


def test_results_are_the_finite_numbers_of_a_record() -> None:
    record = {
        "metrics": {"accuracy": 0.5, "nll": float("inf"), "per_class": {"a": 1}, "confusion": [[1]]},
        "validation": {"accuracy": 1},
        "parameters": {"total": 10},
        "size_bytes": {"model": 7, "onnx": None},
        "cost": {"train_s": 2.5, "device": "cpu"},
        "latency": [
            {
                "backend": "onnx",
                "device": "cuda:0",
                "threads": 1,
                "batch": 1,
                "n": 9,
                "p50_ms": 3,
                "p99_ms": None,
            }
        ],
    }
    assert tracking.results(record) == {
        "test/accuracy": 0.5,
        "validation/accuracy": 1.0,
        "parameters/total": 10.0,
        "size_bytes/model": 7.0,
        "cost/train_s": 2.5,
        "latency/onnx-cuda-1-threads/p50_ms": 3.0,
    }
    assert tracking.results({"status": "unavailable"}) == {}


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ({"event": "progress", "key": "k", "done": 3, "total": 9}, (3, {})),
        ({"done": 3.0, "epoch": 1.0, "loss": 0.5, "examples": 60.0}, (60, {"epoch": 1.0, "loss": 0.5})),
        ({"done": 3, "total": 9, "loss": float("nan")}, (3, {})),
    ],
)
def test_what_was_measured_stands_at_the_examples_seen(
    point: dict[str, Any], expected: tuple[int, dict[str, float]]
) -> None:
    assert tracking.measured(point) == expected


def test_a_missing_package_is_one_sentence_with_the_extra() -> None:
    with pytest.raises(
        HarnessError, match=r"needs the extra 'mlflow': pip install 'distil-harness\[mlflow\]'"
    ):
        tracking.require("no_such_module_here", "mlflow")


def test_every_measurement_is_told_however_fast_they_come(toys: Home, tmp_path: Path) -> None:
    from harness.run.job import Job

    told = list[dict[str, Any]]()
    plan = plan_of(SMALL)
    step = next(step for step in plan.steps.values() if step.kind == "student")
    store = Store(tmp_path / "store")
    job = Job(step, store, CPU, tmp_path, lambda: tmp_path, lambda kind, details: told.append(details))
    for epoch in range(1, 6):
        job.progress(2 * epoch - 1, 10)
        job.progress(2 * epoch, 10, loss=1 / epoch)
    assert [event["loss"] for event in told if "loss" in event] == [1 / epoch for epoch in range(1, 6)]
    assert len(told) < 10  # bare counts are told now and then
