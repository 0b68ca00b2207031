"""TensorBoard's own readers find in the event files what the records hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from components import SUITE, Home, installed, without_workers

from harness import HarnessError
from harness.cli import main
from harness.testing.checks import check_component, check_imports
from harness.tracking import Run
from harness_tensorboard.events import TensorBoard, name_of

pytest.importorskip("tensorboard")

ONLY_TRACKERS = {"HARNESS_DISABLE_PLUGINS": "tasks,teachers,students,augmenters,losses,spacy"}  # and the toys


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, toy_site: Path) -> Home:
    """A folder with the results of a suite that TensorBoard followed: 7 cells, one of which failed."""
    home = Home(tmp_path_factory.mktemp("ran"), toy_site)
    home.environment = dict(ONLY_TRACKERS)
    done = bench(home)
    assert done.exit_code == 0, done.output
    return home


def options(home: Home) -> list[str]:
    suite = home.write(SUITE)
    return ["bench", str(suite), "--devices", "cpu:1", "--seeds", "0", "--tracker", "tensorboard"]


def bench(home: Home, *arguments: str) -> Result:
    """The command in this process."""
    with installed(home), without_workers():
        return CliRunner().invoke(main, [*options(home), *arguments])


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(point.step, point.value) for point in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


def folders(home: Home) -> dict[str, Path]:
    """By the start of the cell's key."""
    there = (home.path / ".harness" / "tensorboard" / "toys").iterdir()
    return {path.name.rpartition("-")[2]: path for path in there}


def test_every_cell_has_its_curve_and_scores(ran: Home) -> None:
    found = folders(ran)
    records = ran.records()
    assert len(records) == len(found) == 7
    for record in records:
        curve = curves(found[record["cell"][:8]])
        assert curve["loss"] == [(point["done"], point["loss"]) for point in record["history"]]
        assert curve["test/accuracy"] == [(0, pytest.approx(record["metrics"]["accuracy"]))]
        assert curve["validation/f1_macro"] == [(0, pytest.approx(record["validation"]["f1_macro"]))]
        assert curve["parameters/total"] == [(0, record["parameters"]["total"])]


def test_folders_have_readable_names(ran: Home) -> None:
    names = {path.name[:-9] for path in folders(ran).values()}
    assert names == {
        "teacher-toy-toy-teacher-seed-0",
        "baseline-toy-toy-toy-labels-seed-0",
        "distilled-toy-toy-teacher-toy-toy-plain-toy-soft-seed-0",
        "distilled-toy-toy-teacher-toy-toy-shuffle-toy-soft-seed-0",
    }


def test_names_never_leave_the_folder() -> None:
    cell = {"role": "../..", "label": "/etc: ü → ..\\x", "cell": "0123456789"}
    assert name_of(cell) == "etc-..-x-01234567"
    assert name_of(cell | {"label": "a" * 500}).endswith("aaa-01234567")
    assert len(name_of(cell | {"label": "a" * 500})) < 120


def test_tensorboards_page_of_parameters_finds_them(ran: Home) -> None:
    from tensorboard import context
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import backend_context

    files = EventMultiplexer()
    files.AddRunsFromDirectory(str(ran.path / ".harness" / "tensorboard"))
    files.Reload()
    provider = MultiplexerDataProvider(files, "")
    page = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    request = context.RequestContext()
    shown = page.experiment_from_metadata(request, "", True, page.hparams_metadata(request, ""), None)
    parameters = {info.name: set(map(str, _plain(info.domain_discrete))) for info in shown.hparam_infos}
    assert parameters["role"] == {"teacher", "baseline", "distilled"}
    assert {"task", "student.size", "augmenter.copies", "loss.temperature", "seed"} <= parameters.keys()
    assert {"test/accuracy", "loss"} <= {info.name.tag for info in shown.metric_infos}


def _plain(domain: Any) -> list[Any]:
    from google.protobuf.json_format import MessageToDict

    return list(MessageToDict(domain)) if hasattr(domain, "values") else []


def test_a_second_run_leaves_one_curve(ran: Home) -> None:
    before = {name: curves(path) for name, path in folders(ran).items()}
    assert bench(ran).exit_code == 0  # all is stored: curves come from the records
    assert {name: curves(path) for name, path in folders(ran).items()} == before
    assert bench(ran, "--fresh").exit_code == 0
    again = {name: curves(path) for name, path in folders(ran).items()}
    assert again.keys() == before.keys()
    assert {name: curve["loss"] for name, curve in again.items()} == {
        name: curve["loss"] for name, curve in before.items()
    }


def event(kind: str, **details: Any) -> dict[str, Any]:
    return {"event": kind, "key": "k" * 32, "kind": "teacher", "step": "teacher big of others", **details}


def test_a_curve_begins_anew_where_its_step_does(tmp_path: Path) -> None:
    follower = TensorBoard(folder=tmp_path).start(Run("mine", tmp_path, ()))
    follower.event({"event": "run", "todo": 1})
    for loss in (0.5, 0.25):  # of a worker that was killed, and of the one after it
        follower.event(event("started"))
        follower.event(event("progress", done=1, total=4, loss=loss, examples=32.0))
    follower.event(event("progress", done=2, total=4))
    follower.event(event("progress", done=4, total=4, loss=0.125, examples=64.0, validation_accuracy=0.75))
    follower.finish((), True)
    (folder,) = (tmp_path / "mine").iterdir()
    assert folder.name == "teacher-big-of-others-kkkkkkkk"  # it is no cell of the run
    assert curves(folder) == {
        "loss": [(32, 0.25), (64, 0.125)],
        "validation_accuracy": [(64, 0.75)],
    }


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HarnessError, match=r"tracker 'tensorboard' cannot write to '.*file/mine': not a dir"):
        TensorBoard(folder=tmp_path / "file").start(Run("mine", tmp_path, ()))


def test_without_its_package_nothing_runs(home: Home, tmp_path: Path) -> None:
    package = tmp_path / "absent" / "tensorboard"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ModuleNotFoundError('there is no tensorboard')")
    home.environment = {**ONLY_TRACKERS, "PYTHONPATH": f"{package.parent}{os.pathsep}{home.site}"}
    done = home.run(*options(home))
    assert done.returncode == 2
    assert done.stderr == (
        "error: the tracker 'tensorboard' needs the extra 'tensorboard': "
        "pip install 'distil-harness[tensorboard]' (there is no tensorboard)\n"
    )
    assert not home.journal()


def test_it_keeps_the_rules_of_components() -> None:
    check_component(TensorBoard())
    check_imports(TensorBoard())
