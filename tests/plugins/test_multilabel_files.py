"""Texts with several labels from files of your own, and from GoEmotions."""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from harness import catalog
from harness.api import SPLITS, HarnessError
from harness.sources import noted
from harness_multilabel.files import (
    FileMultiLabel,
    carve_sets,
    cells_of,
    labels_in,
    read_labels,
    sets_in,
)
from harness_multilabel.go_emotions import GoEmotions, names_of
from harness_multilabel.task_type import MultiLabel
from harness_tasks.carving import folded

SETS: list[list[str]] = [["a"], ["a", "b"], [], ["b"]]
TEXTS = ["one", "two", "three, or more", "four"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which is empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows_of(table: pa.Table) -> list[tuple[str, Any]]:
    return list(zip(*(table[name].to_pylist() for name in ("text", "labels")), strict=True))


def write_csv(name: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    with Path(name).open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return Path(name)


def write_jsonl(name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    opened = gzip.open if name.endswith(".gz") else open
    with opened(name, "wt", encoding="utf-8") as stream:
        stream.write("".join(json.dumps(row) + "\n" for row in rows))
    return Path(name)


def whole(**given: Any) -> list[tuple[str, Any]]:
    """The rows of a file, as the task reads them before a split."""
    task = FileMultiLabel(**given)
    task.check()
    return rows_of(task.whole(task.resolve("auto")))


# -- forms of labels -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", ["|", ";", ", "])
def test_names_with_a_separator(separator: str) -> None:
    cells = [separator.join(labels) for labels in SETS]
    write_csv("rows.csv", ("text", "labels"), list(zip(TEXTS, cells, strict=True)))
    found = whole(train=Path("rows.csv"), separator=separator)
    assert found == list(zip(TEXTS, SETS, strict=True))


def test_spaces_and_empty_names_do_not_count() -> None:
    write_csv("rows.csv", ("text", "labels"), [("one", " a | b|"), ("two", "|"), ("three", "a b")])
    assert whole(train=Path("rows.csv")) == [("one", ["a", "b"]), ("two", []), ("three", ["a b"])]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.parquet", "large.parquet"])
def test_lists(name: str) -> None:
    """A missing list is not an empty one: the labels are not known, and the row is left out."""
    texts, sets = [*TEXTS, "five", None], [*SETS, None, ["a"]]
    if name.endswith(".parquet"):
        kind = (pa.large_list if name.startswith("large") else pa.list_)(pa.string())
        parquet.write_table(pa.table({"text": texts, "labels": pa.array(sets, kind)}), name)
    else:
        write_jsonl(name, [{"text": t, "labels": s} for t, s in zip(texts, sets, strict=True)])
    assert whole(train=Path(name)) == [*zip(TEXTS, SETS, strict=True), ("five", None), ("", ["a"])]
    cleaned = MultiLabel().clean(read_labels(Path(name), "text", "labels"))
    assert (cleaned.texts, cleaned.labels) == (TEXTS, SETS)
    assert cleaned.dropped == {"the labels are missing": 1, "the text is empty": 1}


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ('["a", "b"]', ["a", "b"]),
        ("['a', 'b']", ["a", "b"]),  # as Python prints a list
        ('["it\'s", "b"]', ["it's", "b"]),
        ("[1, 2, null]", ["1", "2"]),
        ("[]", []),
        ("", []),
        (None, None),
        (3, ["3"]),
        (["a", None, " b "], ["a", "b"]),
    ],
)
def test_cells(cell: Any, labels: list[str] | None) -> None:
    assert labels_in(cell, "|", "here") == labels


def test_a_column_for_each_label() -> None:
    header = ("text", "rain", "sun", "wind")
    cells = [("one", 1, 0, 0), ("two", "true", "", "1.0"), ("three", "False", "0.0", 0)]
    write_csv("rows.csv", header, cells)
    given = {"train": Path("rows.csv"), "columns": ("rain", "sun", "wind")}
    assert whole(**given) == [("one", ["rain"]), ("two", ["rain", "wind"]), ("three", [])]
    parquet.write_table(
        pa.table({"text": ["one", "two"], "rain": [1, 0], "sun": [True, None], "wind": [0.0, 1.0]}),
        "rows.parquet",
    )
    given["train"] = Path("rows.parquet")
    assert whole(**given) == [("one", ["rain", "sun"]), ("two", ["wind"])]


# -- splits --------------------------------------------------------------------------------------------------


def many() -> list[tuple[str, str]]:
    """Texts of a frequent, a middling and a rare label, some of them twice."""
    draw = np.random.default_rng(0)
    found = []
    for n in range(300):
        labels = [name for name, share in (("a", 0.6), ("b", 0.3)) if draw.random() < share]
        labels += ["rare"] if n % 15 == 0 else []
        found += [(f"text number {n}", "|".join(labels))] * (1 + (n % 10 == 0))
    return [*found, ("Text  NUMBER 7", "a")]


def test_carving_keeps_each_label_in_each_part_and_parts_no_text() -> None:
    write_csv("rows.csv", ("text", "labels"), many())
    task = FileMultiLabel(train=Path("rows.csv"), validation_share=0.2)
    source = task.resolve("auto")
    tables = task.read(source)
    assert list(MultiLabel().problems(tables)) == []
    sizes = {split: tables[split].num_rows for split in SPLITS}
    assert sum(sizes.values()) == len(many())
    assert sizes["validation"] == pytest.approx(66, abs=6) and sizes["test"] == pytest.approx(33, abs=6)
    texts = {split: set(map(folded, tables[split]["text"].to_pylist())) for split in SPLITS}
    assert sum(map(len, texts.values())) == len(set.union(*texts.values())) == 300
    counts = {
        split: Counter(label for row in tables[split]["labels"].to_pylist() for label in row)
        for split in SPLITS
    }
    assert all(set(each) == {"a", "b", "rare"} for each in counts.values())
    # Of 30 rows, and one more where a text has two.
    assert counts["validation"]["rare"] in (6, 7) and counts["test"]["rare"] in (3, 4)
    again, other = (FileMultiLabel(train=Path("rows.csv"), split_seed=seed) for seed in (0, 1))
    assert again.resolve("auto").fingerprint != other.resolve("auto").fingerprint
    tests = [one.read(one.resolve("auto"))["test"] for one in (again, other)]
    assert not tests[0].equals(tests[1])


def test_what_is_not_known_stays_in_training() -> None:
    table = pa.table({"text": ["a", "b", "c", "d"], "labels": [["x"], ["x"], None, ["x"]]})
    parts = carve_sets(table, {"test": 0.9}, 0)
    assert parts["train"]["text"].to_pylist() == ["c"] and parts["test"].num_rows == 3
    assert parts["test"].column_names == ["text", "labels"]


def test_splits_with_files_of_their_own() -> None:
    for name, labels in (("train", "a|b"), ("validation", "a"), ("test", "b")):
        write_csv(f"{name}.csv", ("text", "labels"), [(f"{name} text", labels)])
    task = FileMultiLabel(*(Path(f"{name}.csv") for name in SPLITS))
    tables = task.read(task.resolve("local"))
    assert {name: rows_of(table) for name, table in tables.items()} == {
        "train": [("train text", ["a", "b"])],
        "validation": [("validation text", ["a"])],
        "test": [("test text", ["b"])],
    }
    problems = list(MultiLabel().problems({**tables, "train": tables["validation"]}))
    assert problems == ["table 'test' must have only labels of 'train', got also ['b']"]


def test_another_separator_is_hinted_at() -> None:
    write_csv("rows.csv", ("text", "labels"), [("one", "a"), ("two", "b"), ("three", "a,b")])
    with noted() as notes:
        assert whole(train=Path("rows.csv"))[2] == ("three", ["a,b"])
        whole(train=Path("rows.csv"), separator=",")
    assert len(notes) == 1 and notes[0].endswith("if so, set separator = ','")


# -- what is wrong is told -----------------------------------------------------------------------------------


def test_mistakes_in_files_are_told() -> None:
    write_csv("rows.csv", ("text", "labels", "rain"), [("one", "a", 1), ("two", "[a, b", 2)])
    write_csv("none.csv", ("text", "labels"), [])
    write_csv("few.csv", ("text", "labels"), [("one", "a")])
    Path("none.jsonl").write_text("\n")
    write_jsonl("rows.jsonl", [{"text": "one", "labels": ["a"]}, {"text": "two", "labels": [["a"]]}])
    write_jsonl("object.jsonl", [{"text": "one", "labels": {"a": 1}}])
    write_jsonl("words.jsonl", [{"text": ["one", "two"], "labels": ["O", "O"]}])
    Path("broken.jsonl").write_text("{\n")
    parquet.write_table(pa.table({"text": ["one"], "labels": [["a"]]}), "rows.parquet")
    parquet.write_table(pa.table({"text": [["one"]], "labels": [["a"]]}), "words.parquet")
    for given, says in (
        ({"train": "rows.csv"}, "rows.csv, row 2: expected a JSON list of labels, got '[a, b'"),
        ({"train": "rows.csv", "columns": ("rain",)}, "rows.csv, row 2: expected 0 or 1 in column 'rain'"),
        ({"train": "rows.csv", "columns": ("rains",)}, "no column 'rains'; found: 'text', 'labels', 'rain'"),
        ({"train": "rows.csv", "columns": ("rains",)}, "did you mean 'rain'?"),
        ({"train": "rows.csv", "label": "label"}, "no column 'label'; found: 'text', 'labels', 'rain'; did"),
        ({"train": "rows.jsonl", "label": "lables"}, "'lables'; found: 'text', 'labels'; did you mean"),
        (
            {"train": "rows.jsonl", "text": "txt"},
            "has no column 'txt'; found: 'text', 'labels'; did you mean",
        ),
        ({"train": "rows.parquet", "text": "txt"}, "has no column 'txt'; found: 'text', 'labels'; did you"),
        (
            {"train": "rows.parquet", "label": "lables"},
            "has no column 'lables'; found: 'text', 'labels'; did",
        ),
        ({"train": "rows.jsonl"}, "rows.jsonl, row 2: expected a list of labels, got [['a']]"),
        ({"train": "object.jsonl"}, "object.jsonl, row 1: expected a list of labels, got [{'a': 1}]"),
        ({"train": "words.jsonl"}, "words.jsonl line 1 has a list or object in column 'text'"),
        ({"train": "words.parquet"}, "in column 'text'; expected strings"),
        ({"train": "broken.jsonl"}, "broken.jsonl line 1 is not JSON"),
        ({"train": "none.csv"}, "none.csv has no rows"),
        ({"train": "none.jsonl"}, "none.jsonl has no rows"),
        ({"train": "few.csv", "columns": ("labels",)}, "expected 0 or 1 in column 'labels', got 'a'"),
        ({"train": "absent.csv"}, "the train file 'absent.csv' does not exist"),
    ):
        paths = {**given, "train": Path(str(given["train"]))}
        with pytest.raises(HarnessError) as told:
            whole(**paths)
        assert says in str(told.value), (given, told.value)
    task = FileMultiLabel(Path("few.csv"))
    with pytest.raises(HarnessError, match=r"cannot carve a validation split out of few\.csv"):
        task.read(task.resolve("auto"))
    source = task.resolve("auto")
    write_csv("few.csv", ("text", "labels"), [("one", "b")])
    with pytest.raises(HarnessError, match="has changed since this run was planned"):
        task.read(source)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"separator": ""}, "separator must not be empty"),
        ({"columns": ["rain", "sun", "rain"]}, "columns must be different, got 'rain' more than once"),
        ({"text": "labels"}, "text and labels must be different columns, got 'labels' for both"),
        ({"columns": ["rain", "text"]}, "text and labels must be different columns, got 'text' for both"),
        ({"train": "rows.doc"}, "cannot read the train file 'rows.doc': unknown format"),
        ({"test": "rows.csv"}, "expected different files"),
        ({"validation_share": 0.6, "test_share": 0.4}, "leaves nothing to train on"),
        ({"thresholds": "best"}, "thresholds"),
        ({"threshold": 1.0}, "threshold"),
    ],
)
def test_mistakes_in_settings_are_told(given: dict[str, Any], says: str) -> None:
    table = {"use": "file-multilabel", "train": "rows.csv", **given}
    with pytest.raises(HarnessError) as told:
        catalog.load().build("task", table)
    assert says in str(told.value)


def test_the_rule_reaches_the_type() -> None:
    task = catalog.load().build("task", {"use": "file-multilabel", "train": "a.csv", "thresholds": "fixed"})
    assert catalog.load().task_type_of(task) == MultiLabel("fixed", 0.5)  # type: ignore[arg-type]


# -- recognition ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        (["a", "b", "a|b"], ("|", "a|b")),
        (["a", "b", "a; b"], (";", "a; b")),
        (["a|c", "b", "a", "c", "a|b"], ("|", "a|b")),
        (['["a"]', "[]"], ("", '["a"]')),
        (["joy", "fear", "other; unknown"], None),
        (["yes", "no"], None),
        (["[laughs]", "[sighs]"], None),  # names in brackets, not lists
        (["a/b", "a", "b"], None),
    ],
)
def test_sets_are_told_from_names(cells: list[str], found: tuple[str, str] | None) -> None:
    write_csv("rows.csv", ("text", "mood"), [(f"text {n}", cell) for n, cell in enumerate(cells * 3)])
    assert sets_in(cells_of(Path("rows.csv"), "text", "mood")[1]) == found


# -- GoEmotions ----------------------------------------------------------------------------------------------


def test_go_emotions_from_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "go-emotions").mkdir()
    made = {
        "train": [
            {"text": "so sad :(", "labels": ["sadness", "remorse"]},
            {"text": "ok", "labels": ["neutral"]},
        ],
        "validation": [{"text": "sorry", "labels": ["remorse"]}],
        "test": [{"text": "fine", "labels": ["neutral"]}],
    }
    for split, rows in made.items():
        write_jsonl(f"go-emotions/{split}.jsonl.gz", rows)
    write_csv("go-emotions/unlabelled.csv", ("text",), [("more",)])
    monkeypatch.setenv("HARNESS_DATA", str(folder))
    task = GoEmotions()
    source = task.resolve("auto")
    assert source.name == "local"
    tables = task.read(source)
    assert list(MultiLabel().problems(tables)) == []
    assert rows_of(tables["train"]) == [("so sad :(", ["sadness", "remorse"]), ("ok", ["neutral"])]
    assert tables["unlabelled"]["text"].to_pylist() == ["more"]
    write_jsonl("go-emotions/test.jsonl.gz", [{"text": "fine", "label": ["neutral"]}])
    with pytest.raises(HarnessError, match=r"test\.jsonl\.gz has no column 'labels'.*did you mean 'label'"):
        task.read(task.resolve("auto"))


def test_the_sample_has_texts_with_two_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    task = GoEmotions()
    tables = task.read(task.resolve("sample"))
    assert list(MultiLabel().problems(tables)) == []
    sizes = Counter(len(row) for row in tables["train"]["labels"].to_pylist())
    assert set(sizes) == {1, 2} and 0.15 < sizes[2] / sizes.total() < 0.3
    two = next(row for row in rows_of(tables["train"]) if len(row[1]) == 2)
    assert " . " in two[0] and two[1] == sorted(two[1])
    again = task.read(task.resolve("sample"))
    assert again["train"].equals(tables["train"])


def test_names_of_labels_in_a_feature() -> None:
    names = {"names": ["joy", "fear"], "_type": "ClassLabel"}
    for feature in ({"feature": names, "_type": "Sequence"}, [names], names):
        assert names_of(feature) == ["joy", "fear"]
    with pytest.raises(HarnessError, match="expected a list of class labels, got the feature"):
        names_of({"dtype": "string", "_type": "Value"})


@pytest.mark.skipif(
    not (Path(os.environ.get("HARNESS_DATA", "nowhere")) / "go-emotions").is_dir(),
    reason="HARNESS_DATA has no folder go-emotions",
)
def test_the_real_set_has_the_published_counts() -> None:
    task = GoEmotions()
    tables = task.read(task.resolve("local"))
    assert [tables[split].num_rows for split in SPLITS] == [43_410, 5_426, 5_427]
    counts = Counter(label for row in tables["train"]["labels"].to_pylist() for label in row)
    assert len(counts) == 28 and (counts["grief"], counts["neutral"]) == (77, 14_219)
    assert {len(row) for row in tables["train"]["labels"].to_pylist()} == {1, 2, 3, 4, 5}


def test_lists_of_0_and_1_are_not_names_of_labels() -> None:
    write_jsonl("marks.jsonl", [{"text": "a", "labels": [0, 1]}, {"text": "b", "labels": [1, 1]}])
    with pytest.raises(HarnessError, match=r"marks\.jsonl has only 0 and 1, .*`columns`"):
        read_labels(Path("marks.jsonl"), "text", "labels")
    write_jsonl("bare.jsonl", [{"text": "a", "labels": []}])
    assert rows_of(read_labels(Path("bare.jsonl"), "text", "labels")) == [("a", [])]


def test_names_in_brackets_are_names() -> None:
    assert labels_in("[urgent] bug|hm", "|", "row 1") == ["[urgent] bug", "hm"]
    assert labels_in("[laughs]", "|", "row 1") == ["[laughs]"]
    assert labels_in('["a", "b"]', "|", "row 1") == ["a", "b"]


def test_the_usual_columns_are_found() -> None:
    Path("one.csv").write_text("text,label\na,x\nb,y\n")
    Path("two.csv").write_text("text,labels\na,x\nb,y\n")
    for name, column in (("one.csv", "label"), ("two.csv", "labels")):
        found = FileMultiLabel.of_file(Path(name), "", "")
        assert found is not None and not found.why
        assert found.parameters["label"] == column


def test_losses_for_any_row_of_numbers_combine_with_the_types_own() -> None:
    installed = catalog.load()
    both = {"use": "weighted", "of": [{"use": "mse"}, {"use": "binary-cross-entropy"}]}
    assert MultiLabel().accepts(installed.build("loss", both))
    pupil = {"use": "student", "student": {"use": "mlp"}, "loss": {"use": "binary-cross-entropy"}}
    assert MultiLabel().accepts(installed.build("teacher", pupil))
    odd = {"use": "weighted", "of": [{"use": "cross-entropy"}, {"use": "binary-cross-entropy"}]}
    with pytest.raises(HarnessError, match="no type of task supports all of them"):
        installed.build("loss", odd)
