"""MLflow's own client finds in a local folder what the records hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from components import SUITE, Home, installed, without_workers

from harness import HarnessError, Unavailable
from harness.cli import main
from harness.testing.checks import check_component, check_imports
from harness.tracking import Run
from harness_mlflow.runs import MLflow

pytest.importorskip("mlflow")

ONLY_TRACKERS = {"HARNESS_DISABLE_PLUGINS": "tasks,teachers,students,augmenters,losses,spacy"}  # and the toys

FAILING = '\n    [[student]]\n    use = "toy"\n    trouble = "refuse"\n'


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """The environment that the tracker makes, for the clients of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, toy_site: Path) -> Home:
    """A folder with the results of a suite that MLflow followed: 7 cells, and 3 that failed."""
    home = Home(tmp_path_factory.mktemp("ran"), toy_site)
    home.environment = dict(ONLY_TRACKERS)
    done = bench(home, "mlflow")
    assert done.exit_code == 1, done.output
    assert "tracker" not in done.stdout
    return home


def options(home: Home, tracker: str) -> list[str]:
    suite = home.write(SUITE + FAILING)
    return ["bench", str(suite), "--devices", "cpu:1", "--seeds", "0", "--tracker", tracker]


def bench(home: Home, tracker: str) -> Result:
    """The command in this process, for MLflow takes seconds to load."""
    with installed(home), without_workers():
        return CliRunner().invoke(main, options(home, tracker))


def runs(folder: Path, experiment: str) -> tuple[Any, list[Any], dict[str, Any]]:
    """The client, the parent runs, the newest first, and the runs of that one's cells by key."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=str(folder))
    there = client.get_experiment_by_name(experiment)
    assert there is not None
    found = client.search_runs([there.experiment_id])
    parents = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    nested = {
        run.data.tags["harness.cell"]: run
        for run in found
        if run.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id
    }
    return client, parents, nested


def test_every_cell_is_a_run_within_that_of_the_suite(ran: Home) -> None:
    client, parents, cells = runs(ran.path / ".harness" / "mlflow", "toys")
    records = ran.records()
    assert cells.keys() == {record["cell"] for record in records}
    assert len(cells) == 10
    (parent,) = parents
    assert (parent.info.run_name, parent.info.status) == ("toys", "FAILED")
    assert parent.data.tags["harness.cells"] == "10"
    for record in records:
        run = cells[record["cell"]]
        assert run.info.status == ("FINISHED" if record["status"] == "ok" else "FAILED")
        assert run.data.tags["harness.status"] == record["status"]
        assert run.data.tags["harness.role"] == record["role"]
        assert run.data.tags["harness.plan.fingerprint"] == record["task"]["fingerprint"]
        assert run.data.tags.get("harness.git") == record["provenance"]["git"]
        assert run.data.params["seed"] == "0"
        if record["student"] is not None:
            assert run.data.params["student.size"] == str(record["student"]["params"]["size"])
        if record["status"] == "ok":
            assert run.data.metrics["test/accuracy"] == record["metrics"]["accuracy"]
            assert run.data.metrics["validation/accuracy"] == record["validation"]["accuracy"]
            history = client.get_metric_history(run.info.run_id, "loss")
            assert [(p.step, p.value) for p in history] == [(p["done"], p["loss"]) for p in record["history"]]
        else:
            assert "the toy is only for tests" in run.data.tags["harness.reason"]
            assert "test/accuracy" not in run.data.metrics


def test_the_table_is_an_artefact_of_the_parent(ran: Home, tmp_path: Path) -> None:
    client, (parent, *_), _ = runs(ran.path / ".harness" / "mlflow", "toys")
    path = Path(client.download_artifacts(parent.info.run_id, "leaderboard.md", str(tmp_path)))
    assert path.read_text() == (ran.path / "results" / "toys" / "leaderboard.md").read_text()


def test_another_call_is_another_parent_with_all_cells(ran: Home) -> None:
    assert bench(ran, "mlflow:uri=elsewhere,experiment=all of mine").exit_code == 1
    assert bench(ran, "mlflow:uri=elsewhere,experiment=all of mine").exit_code == 1
    client, parents, cells = runs(ran.path / "elsewhere", "all of mine")
    assert len(parents) == 2
    assert len(cells) == 10
    for record in ran.records():  # what was stored already has its curve from the record
        if record["status"] == "ok":
            history = client.get_metric_history(cells[record["cell"]].info.run_id, "loss")
            assert [(p.step, p.value) for p in history] == [(p["done"], p["loss"]) for p in record["history"]]


def cell(key: str, fit: str) -> dict[str, Any]:
    parts = dict.fromkeys(("teacher", "student", "augmenter", "loss"))
    task = {"name": "toy", "params": {}}
    return {"cell": key, "label": "toy", "role": "baseline", "task": task, **parts, "seed": 0, "fit": fit}


def test_curves_are_there_while_a_run_goes_on_and_an_interrupt_kills_it(tmp_path: Path) -> None:
    run = Run("mine", tmp_path, (cell("a", "step-a"), cell("b", "step-b")))
    follower = MLflow(uri=str(tmp_path / "ml")).start(run)
    step = {"key": "step-a", "kind": "student", "step": "student toy"}
    follower.event({"event": "run", "todo": 2})
    follower.event({"event": "started", **step})
    follower.event({"event": "progress", **step, "done": 1, "total": 2, "loss": 0.5, "examples": 32.0})
    follower.event({"event": "progress", **step, "done": 2, "total": 2})
    client, _, cells = runs(tmp_path / "ml", "mine")
    assert cells.keys() == {"a"}
    assert cells["a"].info.status == "RUNNING"
    (point,) = client.get_metric_history(cells["a"].info.run_id, "loss")
    assert (point.step, point.value) == (32, 0.5)
    follower.finish((), True)
    _, (parent,), cells = runs(tmp_path / "ml", "mine")
    assert (parent.info.status, cells["a"].info.status) == ("KILLED", "KILLED")


def test_the_environment_names_the_server_where_the_suite_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "mine"))
    MLflow(experiment="theirs").start(Run("suite", tmp_path, ())).finish((), False)
    assert runs(tmp_path / "mine", "theirs")[1][0].info.status == "FINISHED"


def test_more_parameters_than_a_call_may_have_all_arrive(tmp_path: Path) -> None:
    from harness_mlflow.runs import Runs

    wide: Any = {**cell("a", "step-a"), "status": "ok", "metrics": {f"m{n}": n for n in range(230)}}
    wide["task"] = {"name": "toy", "params": {f"p{n}": "x" * 600 for n in range(230)}}
    follower = MLflow(uri=str(tmp_path / "ml")).start(Run("mine", tmp_path, (wide,)))
    assert isinstance(follower, Runs)
    follower.finish([wide], False)
    found = runs(tmp_path / "ml", "mine")[2]["a"].data
    assert len(found.metrics) == 230
    assert len(found.params) == 233  # and role, seed and task
    assert found.params["task.p9"] == "x" * 500


def test_it_calls_nobody_but_the_server(tmp_path: Path) -> None:
    MLflow(uri=str(tmp_path / "ml")).start(Run("mine", tmp_path, ()))
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_an_address_of_no_kind_that_mlflow_knows_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="tracker 'mlflow' cannot use 'nonsense://here': ") as raised:
        MLflow(uri="nonsense://here").start(Run("mine", tmp_path, ()))
    assert "\n" not in str(raised.value)


def test_a_database_without_its_package_is_one_sentence(tmp_path: Path) -> None:
    try:
        import sqlalchemy  # noqa: F401
    except ImportError:
        with pytest.raises(Unavailable, match="needs the full MLflow package for a database: pip"):
            MLflow(uri=f"sqlite:///{tmp_path}/m.db").start(Run("mine", tmp_path, ()))


def test_without_its_package_nothing_runs(home: Home, tmp_path: Path) -> None:
    package = tmp_path / "absent" / "mlflow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ModuleNotFoundError('there is no mlflow')")
    home.environment = {**ONLY_TRACKERS, "PYTHONPATH": f"{package.parent}{os.pathsep}{home.site}"}
    done = home.run(*options(home, "mlflow"))
    assert done.returncode == 2
    assert done.stderr == (
        "error: the tracker 'mlflow' needs the extra 'mlflow': "
        "pip install 'distil-harness[mlflow]' (there is no mlflow)\n"
    )
    assert not home.journal()


def test_it_keeps_the_rules_of_components() -> None:
    check_component(MLflow())
    check_imports(MLflow())
