"""The tasks `emotion` and `file`, and the corpus that emotion falls back on."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from harness.api import Component, HarnessError, Unavailable, parameters_of
from harness_tasks import Emotion, File, register_tasks
from harness_tasks.carving import carve
from harness_tasks.emotion_sample import SHARES, SIZES, corpus


@pytest.fixture(scope="module")
def sample() -> dict[str, pa.Table]:
    return corpus(np.random.default_rng(0))


def texts(table: pa.Table) -> list[str]:
    return table["text"].to_pylist()  # type: ignore[no-any-return]


def test_registered() -> None:
    registered: list[type[Component]] = []
    register_tasks(registered.append)
    assert {Emotion, File} <= set(registered)


# -- emotion


@pytest.mark.skipif(
    not (Path(os.environ.get("HARNESS_DATA", "")) / "emotion").is_dir() or "HARNESS_DATA" not in os.environ,
    reason="needs the real tweets in $HARNESS_DATA/emotion",
)
def test_the_real_tweets() -> None:
    source = Emotion().resolve("auto")
    assert source.name == "local"
    tables = Emotion().read(source)
    assert {split: table.num_rows for split, table in tables.items()} == {
        "train": 16_000,
        "validation": 2_000,
        "test": 2_000,
    }
    assert Counter(tables["test"]["label"].to_pylist()) == {
        "joy": 695, "sadness": 581, "anger": 275, "fear": 224, "love": 159, "surprise": 66,
    }  # fmt: skip
    assert set(tables["train"]["label"].to_pylist()) == set(Emotion.class_names)


def test_without_data_or_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    task = Emotion()
    assert task.resolve("auto") == task.resolve("sample")
    assert set(task.read(task.resolve("sample"))) == set(SIZES)
    with pytest.raises(Unavailable, match="HF_HUB_OFFLINE is set"):
        task.resolve("hub")


def test_the_sample_is_this_one(sample: dict[str, pa.Table]) -> None:
    """Where this fails, the corpus has changed: raise Emotion.sample_version, then correct the hash."""
    content = repr([(split, table.to_pydict()) for split, table in sorted(sample.items())])
    known = {3: "b919d61a55ec22f1d9050e307afec100c9d6fc497986fa749d54b0aa6bab1586"}
    assert hashlib.sha256(content.encode()).hexdigest() == known[Emotion.sample_version]


def test_sample_shape(sample: dict[str, pa.Table]) -> None:
    assert {split: table.num_rows for split, table in sample.items()} == SIZES
    for split, table in sample.items():
        assert table.column_names == (["text"] if split == "unlabelled" else ["text", "label"])
        assert len(set(texts(table))) == table.num_rows
    counts = Counter(sample["train"]["label"].to_pylist())
    assert set(counts) == set(SHARES) == set(Emotion.class_names)
    assert 0.03 < counts["surprise"] / SIZES["train"] < 0.06
    together = [text for table in sample.values() for text in texts(table)]
    assert len(set(together)) == len(together)


def test_training_lacks_words_that_the_pool_and_the_test_have(sample: dict[str, pa.Table]) -> None:
    def mentions(split: str, phrase: str) -> int:
        return sum(phrase in text for text in texts(sample[split]))

    from harness_tasks.emotion_words import FEELINGS

    unseen = [p for phrases in FEELINGS.values() for p in phrases if len(p) > 6 and not mentions("train", p)]
    assert 0.2 < len(unseen) / sum(map(len, FEELINGS.values())) < 0.6
    assert sum(mentions("unlabelled", phrase) > 0 for phrase in unseen) > 0.9 * len(unseen)
    assert sum(mentions("test", phrase) > 0 for phrase in unseen) > 0.3 * len(unseen)


def test_sample_is_hard_but_not_too_hard(sample: dict[str, pa.Table]) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10, max_iter=500))
    model.fit(texts(sample["train"]), sample["train"]["label"].to_pylist())
    assert 0.55 < model.score(texts(sample["test"]), sample["test"]["label"].to_pylist()) < 0.7


# -- file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = [(f"text number {row}", "rare" if row % 10 == 0 else "common") for row in range(200)]
    for name, chosen in {"train": rows, "dev": rows[:20], "test": rows[:40]}.items():
        lines = [f"{text},{label}" for text, label in chosen]
        (tmp_path / f"{name}.csv").write_text("\n".join(["tweet,mood", *lines]), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_three_files(folder: Path) -> None:
    task = File(Path("train.csv"), Path("dev.csv"), folder / "test.csv", text="tweet", label="mood")
    task.check()
    source = task.resolve("auto")
    assert (source, source.name) == (task.resolve("local"), "local")
    tables = task.read(source)
    assert [tables[split].num_rows for split in ("train", "validation", "test")] == [200, 20, 40]
    assert tables["train"].slice(0, 1).to_pydict() == {"text": ["text number 0"], "label": ["rare"]}


def test_carving(folder: Path) -> None:
    task = File(train=Path("train.csv"), text="tweet", label="mood", test_share=0.2)
    tables = task.read(task.resolve("auto"))
    assert {split: Counter(table["label"].to_pylist()) for split, table in tables.items()} == {
        "train": {"common": 126, "rare": 14},
        "validation": {"common": 18, "rare": 2},
        "test": {"common": 36, "rare": 4},
    }
    assert len({text for table in tables.values() for text in texts(table)}) == 200
    assert tables["test"].equals(task.read(task.resolve("auto"))["test"])
    other = File(train=Path("train.csv"), text="tweet", label="mood", test_share=0.2, split_seed=1)
    assert not tables["test"].equals(other.read(other.resolve("auto"))["test"])


def test_carving_one_split_alone(folder: Path) -> None:
    task = File(train=Path("train.csv"), test=Path("test.csv"), text="tweet", label="mood")
    assert [task.read(task.resolve("auto"))[split].num_rows for split in ("train", "validation", "test")] == [
        180,
        20,
        40,
    ]


def test_copies_of_a_text_stay_together_wherever_they_stand() -> None:
    rows = [
        (f"Text {row % 50}" if row < 100 else f"  text   {row % 50} ", "ab"[row % 2]) for row in range(150)
    ]
    table = pa.table({"text": [text for text, _ in rows], "label": [label for _, label in rows]})
    shares = {"validation": 0.2, "test": 0.2}

    def homes(table: pa.Table) -> dict[str, set[str]]:
        return {
            split: {" ".join(t.lower().split()) for t in texts(part)}
            for split, part in carve(table, shares, 0).items()
        }

    first = homes(table)
    assert sum(map(len, first.values())) == 50
    assert homes(table.take(pa.array(range(149, -1, -1)))) == first


def test_rows_without_a_label_are_kept_for_the_data_step_to_count() -> None:
    table = pa.table({"text": ["", *"abcdefghij"], "label": [None, *["x"] * 10]})
    parts = carve(table, {"test": 0.5}, 0)
    assert "" in texts(parts["train"])
    assert parts["train"].num_rows + parts["test"].num_rows == 11


def test_other_rows_are_other_data(folder: Path) -> None:
    def print_of(**parameters: object) -> str:
        given = {"train": Path("train.csv"), "text": "tweet", "label": "mood", **parameters}
        return File(**given).resolve("auto").fingerprint  # type: ignore[arg-type]

    different = [
        print_of(),
        print_of(split_seed=1),
        print_of(test_share=0.3),
        print_of(label="tweet"),
        print_of(test=Path("test.csv")),
        print_of(test=Path("test.csv"), validation=Path("dev.csv")),
    ]
    assert len(set(different)) == len(different)
    whole = {"validation": Path("dev.csv"), "test": Path("test.csv")}
    assert print_of(**whole) == print_of(**whole, split_seed=7, test_share=0.5)


def test_too_few_rows_to_carve(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,x\nb,y\n", encoding="utf-8")
    task = File(train=tmp_path / "a.csv")
    with pytest.raises(HarnessError, match=r"cannot carve a validation split out of .*: it has too few rows"):
        task.read(task.resolve("auto"))


def test_no_other_source() -> None:
    for source in ("sample", "hub"):
        with pytest.raises(Unavailable, match=f"has no {source} source: it reads the file a.csv"):
            File(train=Path("a.csv")).resolve(source)
    with pytest.raises(
        HarnessError, match=r"unknown source 'locale'; expected one of .*; did you mean 'local'\?"
    ):
        File(train=Path("a.csv")).resolve("locale")


def test_an_absent_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HarnessError, match=r"the train file 'a.csv' does not exist") as error:
        File(train=Path("a.csv")).resolve("auto")
    assert not isinstance(error.value, Unavailable)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (File(train=Path("a.xlsx")), "cannot read the train file 'a.xlsx': unknown format; expected a file"),
        (File(train=Path("a.csv"), test=Path("b")), "cannot read the test file 'b': unknown format"),
        (File(train=Path("a.csv"), test=Path("./a.csv")), "expected different files for train, validation"),
        (File(train=Path("a.csv"), text="x", label="x"), "text and label are both 'x'"),
        (File(train=Path("a.csv"), validation_share=0.5, test_share=0.5), "leaves nothing to train on"),
    ],
)  # fmt: skip
def test_check(task: File, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task.check()


def test_shares_do_not_matter_where_files_are_given() -> None:
    File(train=Path("a.csv"), test=Path("b.csv"), validation_share=0.6, test_share=0.6).check()


def test_parquet_and_identity(tmp_path: Path) -> None:
    parquet.write_table(
        pa.table({"text": list("abcdefghijklmnopqrst"), "label": [0, 1] * 10}), tmp_path / "a.parquet"
    )
    task = File(train=tmp_path / "a.parquet")
    assert Counter(task.read(task.resolve("auto"))["test"]["label"].to_pylist()) == {"0": 1, "1": 1}
    assert pickle.loads(pickle.dumps(task)) == task
    assert parameters_of(task)["split_seed"] == 0


# -- training on all rows ------------------------------------------------------------------------------------


def test_own_files_train_on_all_rows(tmp_path: Path) -> None:
    """Carved rows are added to training, a test file's are not; the data then have another fingerprint."""
    from harness.catalog import load

    installed = load()
    for name, ending, rows in (
        ("file", "csv", [f"text {n},{'ab'[n % 2]}" for n in range(40)]),
        ("file-multilabel", "csv", [f"text {n},{'ab'[n % 2]}|c" for n in range(40)]),
        ("file-regression", "csv", [f"text {n},{n}" for n in range(40)]),
        ("conll-file", "conll", [f"word{n} {'OB'[n % 2]}{'-X' * (n % 2)}\n" for n in range(40)]),
        ("text-file", "txt", [f"a line of text, number {n}" for n in range(40)]),
    ):
        head = {"file-multilabel": ["text,labels"], "conll-file": [], "text-file": []}.get(
            name, ["text,label"]
        )
        path, test = tmp_path / f"{name}.{ending}", tmp_path / f"{name}-test.{ending}"
        for each, some in ((path, rows), (test, rows[:10])):
            each.write_text("\n".join([*head, *some]) + "\n")
        tables, found = {}, {}
        for asked in (
            {},
            {"train_on": "all"},
            {"test": str(test)},
            {"test": str(test), "train_on": "all"},
        ):
            task = installed.build("task", {"use": name, "train": str(path), **asked})
            source = task.resolve("auto")
            key = "+".join(asked)
            tables[key] = {split: len(table) for split, table in task.read(source).items()}
            found[key] = source.fingerprint
        whole = tables[""]["train"] + tables[""]["validation"] + tables[""]["test"]
        assert tables["train_on"] == {**tables[""], "train": whole}, name
        own = tables["test"]["train"] + tables["test"]["validation"]
        assert tables["test+train_on"] == {**tables["test"], "train": own}, name
        assert len(set(found.values())) == 4
