"""The tasks `file-regression` and `hub-regression`: scores are numbers, carved evenly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from harness.api import HarnessError, Unavailable
from harness.catalog import load
from harness.suite.reader import parse
from harness_tasks.file import File
from harness_tasks.hub import Hub
from harness_tasks.regression import BINS, FileRegression, HubRegression, carve_scored, numbers

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return tmp_path


def write(name: str, *scores: object) -> Path:
    rows = [f"text number {row},{score}" for row, score in enumerate(scores)]
    Path(name).write_text("\n".join(["review,stars", *rows]), encoding="utf-8")
    return Path(name)


def stars(name: str = "train.csv", **more: Any) -> FileRegression:
    return FileRegression(train=Path(name), text="review", label="stars", **more)


def read(task: FileRegression | HubRegression) -> Mapping[str, pa.Table]:
    task.check()
    return task.read(task.resolve("auto"))


def scores(table: pa.Table) -> list[float | None]:
    assert table.column_names == ["text", "label"]
    assert table.schema.field("text").type == pa.string()
    assert table.schema.field("label").type == pa.float32()
    return table["label"].to_pylist()  # type: ignore[no-any-return]


# -- numbers


def test_numbers() -> None:
    said = ["3", " 4.5 ", "-1e-3", "+.5", "", "  ", None, "nan", "NaN", "3.4e38"]
    expected = [3, 4.5, pytest.approx(-0.001), 0.5, None, None, None, None, None, pytest.approx(3.4e38)]
    assert numbers(said, "a.csv", "stars").to_pylist() == expected


@pytest.mark.parametrize("wrong", ["high", "3,5", "4/5", "inf", "-Infinity", "1e39", "true", "x" * 99])
def test_what_is_no_number(wrong: str) -> None:
    with pytest.raises(HarnessError) as error:
        numbers(["1", "", wrong, "also wrong"], "a.csv", "stars")
    assert str(error.value) == (
        f"a.csv row 3 has {wrong[:50]!r} in column 'stars'; "
        "expected a finite number such as 3.5, or an empty cell for a missing score"
    )


# -- file-regression


def test_three_files(here: Path) -> None:
    write("train.csv", 0, 2.5, "", 5)
    write("dev.csv", 1)
    (here / "test.jsonl").write_text('{"review": "a", "stars": 4}\n{"review": "b", "stars": null}\n')
    tables = read(stars(validation=Path("dev.csv"), test=Path("test.jsonl")))
    assert {split: scores(table) for split, table in tables.items()} == {
        "train": [0, 2.5, None, 5],
        "validation": [1],
        "test": [4, None],
    }
    assert tables["train"]["text"].to_pylist()[1] == "text number 1"


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1.0, None, float("nan"), 2.0]),
        pa.array([1, None, None, 2], pa.int8()),
        pa.array(["1", "", None, "2.0"]),
        pa.array([1.0, None, None, 2.0], pa.float32()),
    ],
    ids=lambda column: str(column.type),
)
def test_columns_of_parquet(column: pa.Array) -> None:
    parquet.write_table(pa.table({"review": list("abcd"), "stars": column}), "train.parquet")
    tables = read(stars("train.parquet", validation=write("dev.csv", 1), test=write("test.csv", 2)))
    assert scores(tables["train"]) == [1, None, None, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1.0, float("inf")], "train.parquet row 2 has 'inf' in column 'stars'"),
        ([1.0, 1e300], r"train.parquet row 2 has '1e\+300' in column 'stars'"),
        ([False, True], "train.parquet row 1 has 'false' in column 'stars'"),
        ([[1.0], [2.0]], "train.parquet has values of type list<.* in column 'stars'; expected strings"),
    ],
)
def test_numbers_that_nothing_can_learn(content: list[Any], message: str) -> None:
    parquet.write_table(pa.table({"review": ["a", "b"], "stars": content}), "train.parquet")
    with pytest.raises(HarnessError, match=message):
        read(stars("train.parquet"))


def test_a_score_that_is_no_number() -> None:
    write("train.csv", 1, 2, "n/a")
    with pytest.raises(
        HarnessError, match=r"^train.csv row 3 has 'n/a' in column 'stars'; expected a finite"
    ):
        read(stars())
    with pytest.raises(HarnessError, match="has no column 'star'; found: 'review', 'stars'; did you mean"):
        read(FileRegression(train=Path("train.csv"), text="review", label="star"))


def test_carving_takes_its_share_of_low_and_of_high_scores() -> None:
    write("train.csv", *(row % 50 / 10 for row in range(300)))  # 0.0 to 4.9, six of each
    task = stars(test_share=0.2)
    tables = read(task)
    assert {split: table.num_rows for split, table in tables.items()} == {
        "train": 210,
        "validation": 30,
        "test": 60,
    }
    for split, each in (("train", 42), ("validation", 6), ("test", 12)):
        found = [int(score) for score in scores(tables[split]) if score is not None]
        assert [found.count(star) for star in range(BINS)] == [each] * BINS
    assert len({text for table in tables.values() for text in table["text"].to_pylist()}) == 300
    assert tables["test"].equals(read(task)["test"])
    assert not tables["test"].equals(read(stars(test_share=0.2, split_seed=1))["test"])


def test_rows_without_a_score_are_kept_for_the_data_step_to_count() -> None:
    table = pa.table({"text": list("abcdefghijkl"), "label": pa.array([None, *range(11)], pa.float32())})
    for seed in range(5):
        parts = carve_scored(table, {"validation": 0.2, "test": 0.2}, seed, "a.csv")
        assert "a" in parts["train"]["text"].to_pylist()
        assert sum(part.num_rows for part in parts.values()) == 12


def test_copies_of_a_text_stay_together_wherever_they_stand() -> None:
    rows = [(f"Text  {row % 50}" if row < 100 else f"text {row % 50} ", row % 7) for row in range(150)]
    table = pa.table({"text": [row[0] for row in rows], "label": pa.array([row[1] for row in rows])})

    def homes(table: pa.Table) -> dict[str, set[str]]:
        parts = carve_scored(table, {"validation": 0.2, "test": 0.2}, 0, "a.csv")
        return {
            split: {" ".join(text.lower().split()) for text in part["text"].to_pylist()}
            for split, part in parts.items()
        }

    found = homes(table)
    assert all(found.values()) and sum(map(len, found.values())) == 50


@pytest.mark.parametrize("values", [range(10), [1] * 10, [1, 5] * 5])
def test_a_few_rows_can_be_carved(values: list[int]) -> None:
    write("train.csv", *values)
    assert [read(stars())[split].num_rows for split in ("train", "validation", "test")] == [8, 1, 1]


def test_too_few_rows_to_carve() -> None:
    for given in ((1, 2), (1, *[""] * 20)):
        write("train.csv", *given)
        with pytest.raises(
            HarnessError, match=r"cannot carve a validation split out of .*: it has too few rows with a score"
        ):
            read(stars())


def test_what_is_other_data() -> None:
    write("train.csv", 1, 2)
    tasks = [stars(), stars(split_seed=1), stars(test_share=0.2)]
    prints = {task.resolve("auto").fingerprint for task in tasks}
    assert (
        len({*prints, File(Path("train.csv"), text="review", label="stars").resolve("auto").fingerprint}) == 4
    )


def test_data_that_changes_after_planning() -> None:
    write("train.csv", *range(20))
    source = stars().resolve("auto")
    write("train.csv", *range(21))
    with pytest.raises(HarnessError, match="has changed since this run was planned"):
        stars().read(source)


def test_no_other_source() -> None:
    with pytest.raises(Unavailable, match="task 'file-regression' has no hub source: it reads the file"):
        stars().resolve("hub")
    with pytest.raises(Unavailable, match="task 'hub-regression' has no local source: it reads a/b from the"):
        HubRegression("a/b", REVISION).resolve("local")


# -- hub-regression


def prepare(here: Path, column: pa.Array, feature: dict[str, Any]) -> None:
    """A data set of one split as `datasets` keeps it."""
    folder = here / "cache" / "some-one___films" / "default" / "0.0.0" / REVISION
    folder.mkdir(parents=True)
    features = {"review": {"dtype": "string", "_type": "Value"}, "stars": feature}
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}), encoding="utf-8")
    rows = pa.table({"review": [f"film {row}" for row in range(len(column))], "stars": column})
    sink = str(folder / "films-train.arrow")
    with pa.OSFile(sink, "wb") as file, pa.ipc.new_stream(file, rows.schema) as writer:
        writer.write_table(rows)


def films(**more: Any) -> HubRegression:
    given = {"text": "review", "label": "stars", "validation": "", "test": "", **more}
    return HubRegression("some-one/films", REVISION, **given)


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.int8(), pa.string()], ids=str)
def test_the_hub(here: Path, kind: pa.DataType) -> None:
    column = pa.array([None, *(row % 5 for row in range(99))], pa.int64()).cast(kind)
    prepare(here, column, {"dtype": str(kind), "_type": "Value"})
    tables = read(films(test_share=0.2))
    assert {split: table.num_rows for split, table in tables.items()} == {
        "train": 70,
        "validation": 10,
        "test": 20,
    }
    assert [scores(tables["test"]).count(star) for star in range(5)] == [4] * 5
    assert scores(tables["train"])[0] is None and set(scores(tables["train"])) == {None, 0, 1, 2, 3, 4}


def test_classes_of_the_hub_are_no_scores(here: Path) -> None:
    prepare(here, pa.array([0, 1] * 20), {"names": ["bad", "good"], "_type": "ClassLabel"})
    with pytest.raises(HarnessError, match=r"some-one/films \(train\) row 1 has 'bad' in column 'stars'"):
        read(films())


def test_classes_of_the_hub_that_are_called_by_numbers(here: Path) -> None:
    prepare(here, pa.array([0, 1] * 20), {"names": ["1", "5"], "_type": "ClassLabel"})
    assert set(scores(read(films())["train"])) == {1, 5}


def test_too_few_rows_of_the_hub(here: Path) -> None:
    prepare(here, pa.array([0.5, 1.5]), {"dtype": "float64", "_type": "Value"})
    with pytest.raises(HarnessError, match="split out of some-one/films: it has too few rows with a score"):
        read(films())


def test_other_columns_and_rows_of_the_hub_are_other_data(here: Path) -> None:
    prepare(here, pa.array([0.5, 1.5]), {"dtype": "float64", "_type": "Value"})
    tasks: list[Hub] = [films(), films(split_seed=1), films(label="other")]
    tasks.append(Hub("some-one/films", REVISION, text="review", label="stars", validation="", test=""))
    assert len({task.resolve("hub").fingerprint for task in tasks}) == len(tasks)


# -- in a suite


@pytest.mark.parametrize(
    "table",
    [
        '[[task]]\nuse = "file-regression"\ntrain = "train.csv"\nlabel = "stars"',
        f'[[task]]\nuse = "hub-regression"\nid = "a/b"\nrevision = "{REVISION}"\nlabel = "stars"',
    ],
)
def test_a_suite_of_scores(here: Path, table: str) -> None:
    suite = parse(f'{table}\n[[student]]\nuse = "mlp"\n', load(), here / "suite.toml")
    (task,) = suite.tasks
    assert (task.task_type, task.headline) == ("regression", "pearson")
    assert {kind: loss.name for kind, loss in suite.baselines.items()} == {"regression": "squared-error"}
