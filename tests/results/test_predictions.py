"""What each model said of each test text, on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from components import SUITE, Home, Inline, plan_of
from predicted import of_guesses, of_logits

from harness import catalog
from harness.api import SCORE, HarnessError, Masked
from harness.results import predictions
from harness.results.collect import collect
from harness.results.predictions import FILE
from harness.results.record import Record
from harness.run.runner import run
from harness.storage.store import Store
from harness.task_types.base import Prediction, TaskType
from harness.task_types.classification import Classification
from harness.task_types.label_scores import classification
from harness.task_types.regression import Regression

NOISE = 1 / 120 + 1e-7  # half a step of the log-odds, at a confidence of 1/2
CLASSES = ("anger", "fear", "joy", "love", "sadness", "surprise")


class Strange(Classification):
    """A type of task from a plugin."""

    name = "strange"


del TaskType.known["strange"]  # it is not among those that are installed


def prediction(seed: int, count: int = 50, gold: Any = None) -> Prediction:
    rng = np.random.default_rng(seed)
    gold = np.random.default_rng(99).integers(-1, 6, count) if gold is None else gold
    found = of_logits(rng.normal(size=(count, 6)).astype(np.float32), gold, CLASSES)
    assert found is not None
    return found


def same(one: Prediction, other: Prediction) -> bool:
    arrays = zip(one[:3], other[:3], strict=True)
    alike = one.task_type.name == other.task_type.name and one[4:] == other[4:]
    return alike and all(
        a.dtype == b.dtype and np.allclose(a, b, rtol=0, atol=NOISE, equal_nan=True) for a, b in arrays
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    gold = np.array([0.5, np.nan, 2.0], np.float32)
    number = of_logits(rng.normal(size=(3, 1)).astype(np.float32), gold, ("score",))
    assert number is not None and number.task_type == Regression() and number.classes == ()
    yes = of_logits(np.eye(2), np.array([1, 0]), ("no", "yes"), "yes")
    assert yes is not None and yes.task_type.name == "classification" and yes.positive == 1
    found = {"a": prediction(0), "b": prediction(1), "c": number, "d": yes}
    predictions.write(tmp_path, found)
    again = predictions.read(tmp_path)
    assert list(again) == list(found)
    for cell in found:
        assert same(again[cell], found[cell]), cell
        assert np.array_equal(again[cell].predicted, found[cell].predicted)
    assert again["a"].gold is again["b"].gold  # kept once
    predictions.write(tmp_path / "again", again)
    assert (tmp_path / "again" / FILE).read_bytes() == (tmp_path / FILE).read_bytes()


def every_type() -> dict[str, Prediction]:
    """A prediction of each type of task."""
    rng = np.random.default_rng(0)
    gold = np.array([0.5, np.nan, 2.0], np.float32)
    tags = np.array([0, 1, 2, 0])
    masked = Masked(np.array([0, 0, 2]), np.array([5, 6, 7]), np.array([5, 9, 7]), np.float32([-1, -2, -3]))
    found = {
        "classification": prediction(0),
        "regression": of_logits(rng.normal(size=(3, 1)).astype(np.float32), gold, SCORE),
        "tagging": of_logits(np.eye(3)[tags], tags, ("O", "B-x", "I-x"), lengths=(3, 1)),
        "language-modelling": of_guesses(masked, 3),
    }
    return {name: one for name, one in found.items() if one is not None}


def test_every_type_of_task_is_read_back(tmp_path: Path) -> None:
    found = every_type()
    predictions.write(tmp_path, found)
    again = predictions.read(tmp_path)
    assert {name: one.task_type.name for name, one in again.items()} == {name: name for name in found}
    for name, one in found.items():
        assert same(again[name]._replace(numbers=None), one._replace(numbers=None)), name
    guessed, read = found["language-modelling"].numbers, again["language-modelling"].numbers
    assert guessed is not None and read is not None and np.array_equal(guessed, read)
    assert len(found["tagging"].lengths) == 2 and found["language-modelling"].scale


def test_files_from_before_types_had_names_are_read(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    predictions.write(tmp_path, every_type())
    expected = predictions.read(tmp_path)
    table = pq.read_table(tmp_path / FILE)
    assert "type" in table.column_names
    pq.write_table(table.drop_columns(["type"]), tmp_path / FILE)
    again = predictions.read(tmp_path)
    assert [one.task_type for one in again.values()] == [one.task_type for one in expected.values()]
    assert [(one.lengths, one.scale) for one in again.values()] == [
        (one.lengths, one.scale) for one in expected.values()
    ]


def test_confidences_of_earlier_files_are_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    one = prediction(0, 4, np.array([0, 1, 2, 3]))
    predictions.write(tmp_path, {"a": one})
    table = pq.read_table(tmp_path / FILE).drop_columns(["odds", "split"])
    kind = pa.list_(pa.uint8())
    table = table.append_column("confidence", pa.array([None, [0, 51, 204, 255]], kind))
    pq.write_table(table, tmp_path / FILE)
    for _ in range(2):  # as it is, and written anew
        again = predictions.read(tmp_path)["a"]
        assert again.confidence == pytest.approx([0, 0.2, 0.8, 1], abs=NOISE)
        predictions.write(tmp_path, {"a": again})
    assert "confidence" not in pq.read_table(tmp_path / FILE).column_names


def test_high_confidences_stay_apart(tmp_path: Path) -> None:
    sure = np.array([0.99, 0.999, 0.9999, 0.99999, 0.999999], np.float32)
    predictions.write(tmp_path, {"a": prediction(0, 5)._replace(confidence=sure)})
    again = predictions.read(tmp_path)["a"].confidence
    assert np.all(np.diff(again) > 0)
    assert 1 - again[:4] == pytest.approx(1 - sure[:4], rel=0.04)


def test_the_validation_split_is_kept_beside_the_test_split(tmp_path: Path) -> None:
    test, validation = {"a": prediction(0), "b": prediction(1)}, {"a": prediction(2, 30)}
    predictions.write(tmp_path, test, validation=validation)
    again = predictions.read_splits(tmp_path)
    assert set(again.test) == {"a", "b"} and set(again.validation) == {"a"}
    assert same(again.test["a"], test["a"]) and same(again.validation["a"], validation["a"])
    assert predictions.read(tmp_path).keys() == again.test.keys()


def test_predictions_of_a_type_that_is_not_installed_are_left_out(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    predictions.write(tmp_path, every_type())
    table = pq.read_table(tmp_path / FILE)
    types = ["unheard-of" if name == "tagging" else name for name in table["type"].to_pylist()]
    place = table.column_names.index("type")
    pq.write_table(table.set_column(place, "type", pa.array(types, pa.string())), tmp_path / FILE)
    assert set(predictions.read(tmp_path)) == set(every_type()) - {"tagging"}


def test_predictions_are_of_the_largest_logit() -> None:
    logits = np.array([[0.0, np.log(3.0)], [5.0, -np.inf], [1000.0, 1000.0]])
    found = of_logits(logits, np.array([1, 0, -1]), ("no", "yes"))
    assert found is not None
    assert found.predicted.tolist() == [1, 0, 0]
    assert found.confidence == pytest.approx([0.75, 1.0, 0.5])
    assert found.gold.tolist() == [1, 0, -1]
    assert of_logits(np.full((2, 2), np.nan), np.array([0, 1]), ("a", "b")) is None
    assert of_logits(np.ones((2, 5, 2)), np.array([0, 1]), ("a", "b")) is None  # of tagging
    assert of_logits(np.ones((1, 32_768), np.float32), np.array([0]), ()) is None


def test_a_hundred_cells_take_less_than_a_megabyte(tmp_path: Path) -> None:
    gold = np.random.default_rng(0).integers(0, 6, 2000)
    predictions.write(tmp_path, {f"{n:032x}": prediction(n, 2000, gold) for n in range(100)})
    assert (tmp_path / FILE).stat().st_size < 400_000  # noise, which does not compress


def test_a_folder_without_the_file_has_no_predictions(tmp_path: Path) -> None:
    assert predictions.read(tmp_path) == {}
    predictions.write(tmp_path, {"a": prediction(0)})
    predictions.write(tmp_path, {})
    assert predictions.read(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"PAR1 no more", None])
def test_damage_is_said(tmp_path: Path, content: bytes | None) -> None:
    predictions.write(tmp_path, {"a": prediction(0)})
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(
        HarnessError, match=r"predictions\.parquet is damaged; delete it and run harness bench"
    ):
        predictions.read(tmp_path)


def test_another_table_in_its_place_is_said(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"cell": ["a"], "gold": ["x"]}), tmp_path / FILE)
    with pytest.raises(HarnessError, match="is damaged"):
        predictions.read(tmp_path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(HarnessError, match=r"cannot read .*predictions\.parquet: Is a directory"):
        predictions.read(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE)
    with pytest.raises(HarnessError, match=r"cannot read .*predictions\.parquet: not a regular file"):
        predictions.read(tmp_path)


def test_merge_keeps_what_other_sources_gave() -> None:
    old, new = prediction(0), prediction(1)
    before = {"sample": old, "again": old, "gone": old, "now failed": old, "no data": old, "other code": old}

    def record(cell: str, evaluation: str = "1", **fields: Any) -> Any:
        return {"cell": cell, "status": "ok", "artefacts": {"evaluation": evaluation}, **fields}

    earlier = [record(cell) for cell in before]
    kept = [record("again", "2"), record("new"), record("sample"), record("now failed", last_failure={})]
    kept += [record("no data"), record("other code", "2")]  # their predictions cannot be read now
    found = predictions.merge(before, {"again": new, "new": new}, earlier, kept)
    assert found == {"again": new, "new": new, "sample": old, "now failed": old, "no data": old}


def test_predictions_of_types_that_are_not_installed_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"a": prediction(0), "b": prediction(1), "c": prediction(2, 40)}
    strange = {name: one._replace(task_type=Strange()) for name, one in found.items()}
    monkeypatch.setattr(catalog, "installed_type", lambda name: Strange() if name == "strange" else None)
    predictions.write(tmp_path, strange)
    whole = predictions.read(tmp_path)
    assert set(whole) == set(strange)
    monkeypatch.undo()
    assert predictions.read(tmp_path) == {}
    predictions.write(tmp_path, {"d": prediction(3, 30)}, {"a", "c", "d"})
    assert set(predictions.read(tmp_path)) == {"d"}
    predictions.write(tmp_path, {}, {"a", "c"})  # the others have no record any more
    monkeypatch.setattr(catalog, "installed_type", lambda name: Strange() if name == "strange" else None)
    again = predictions.read(tmp_path)
    assert set(again) == {"a", "c"}
    assert all(same(again[name], whole[name]) for name in again)
    monkeypatch.undo()
    predictions.write(tmp_path, {})
    assert not (tmp_path / FILE).exists()


def test_a_run_leaves_the_predictions_behind_its_scores(toys: Home) -> None:
    plan = plan_of(SUITE)
    store = Store(toys.store)
    schedule = run(plan, store, Inline(toys.store), lambda event: None)
    records: list[Record] = list(collect(plan, schedule.outcome, store, catalog.load()))
    found = predictions.collect(plan, records, store)
    assert list(found) == [cell.key for cell in plan.cells]
    for record in records:
        one = found[record["cell"]]
        expected = classification(one.gold, np.eye(3)[one.predicted], one.classes)
        for name in ("accuracy", "f1_macro", "confusion"):
            assert record["metrics"][name] == expected[name]
    held = predictions.collect(plan, records, store, split="validation")
    assert set(held) == set(found)
    for record in records:
        right = (held[record["cell"]].predicted == held[record["cell"]].gold).mean()
        assert right == record["validation"]["accuracy"]
    failed: Any = [record | {"status": "failed"} for record in records[:3]]
    assert len(predictions.collect(plan, [*failed, *records[3:]], store)) == len(records) - 3


def test_what_is_damaged_meanwhile_is_left_out(toys: Home) -> None:
    plan = plan_of(SUITE)
    schedule = run(plan, Store(toys.store), Inline(toys.store), lambda event: None)
    records = list(collect(plan, schedule.outcome, Store(toys.store), catalog.load()))
    cell = plan.cells[-1]
    path = toys.store / "evaluation" / cell.steps["evaluation"] / "predictions.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    found = predictions.collect(plan, records, Store(toys.store))
    assert set(found) == {each.key for each in plan.cells} - {cell.key}


def test_predictions_that_are_known_are_not_read_again(toys: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(SUITE)
    schedule = run(plan, Store(toys.store), Inline(toys.store), lambda event: None)
    records = list(collect(plan, schedule.outcome, Store(toys.store), catalog.load()))
    first, *others = (cell.key for cell in plan.cells)
    changed: Any = [{**record, "artefacts": {"evaluation": "k"}} for record in records[:1]]
    assert predictions.unchanged(plan_keys := [first, *others], records, records) == set(plan_keys)
    assert predictions.unchanged(plan_keys, [*changed, *records[1:]], records) == set(others)
    fresh: Any = [{**records[0], "metrics": {"accuracy": 2.0}}]  # the same evaluation, made again on a GPU
    assert predictions.unchanged(plan_keys, records, [*fresh, *records[1:]]) == set(others)
    assert predictions.unchanged([first], records, records) == {first}
    opened: list[str] = []
    monkeypatch.setattr(Store, "open", lambda self, kind, key: opened.append(key))
    assert predictions.collect(plan, records, Store(toys.store), plan_keys) == {}
    assert opened == []
