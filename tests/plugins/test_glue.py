"""GLUE's tasks and the treebank's: local files, halved validation splits, pairs of columns."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from harness.api import PAIR_SEPARATOR, HarnessError, Unavailable
from harness.sources import DatasetTask
from harness_tasks.glue import Cola, Glue, Mnli, Mrpc, Qqp, Sst2, Sst2Sentences, Stsb

DATA = Path(os.environ.get("HARNESS_DATA") or "absent").absolute()
needs_treebank = pytest.mark.skipif(
    not (DATA / "sst2").is_dir() or not (DATA / "sst2-sentences").is_dir(),
    reason="needs the real treebank in $HARNESS_DATA/sst2 and $HARNESS_DATA/sst2-sentences",
)


def counts(tables: Mapping[str, pa.Table]) -> dict[str, dict[str, int]]:
    labelled = {split: table for split, table in tables.items() if "label" in table.column_names}
    return {split: dict(Counter(table["label"].to_pylist())) for split, table in labelled.items()}


def read(task: DatasetTask, source: str = "local") -> Mapping[str, pa.Table]:
    return task.read(task.resolve(source))


def write(folder: Path, **splits: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True)
    for split, rows in splits.items():
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return tmp_path


ROWS = [{"text": f"text {row}", "label": row % 2} for row in range(20)]


@needs_treebank
def test_the_real_treebank() -> None:
    sentences = {"validation": {"negative": 428, "positive": 444}, "test": {"negative": 912, "positive": 909}}
    assert counts(read(Sst2())) == {"train": {"negative": 29_780, "positive": 37_569}, **sentences}
    assert counts(read(Sst2Sentences())) == {"train": {"negative": 3_310, "positive": 3_610}, **sentences}


@needs_treebank
def test_half_of_the_real_validation_split() -> None:
    validation = read(Sst2())["validation"]["text"].to_pylist()
    tables = read(Sst2(test="half"))
    assert tables["train"].num_rows == 67_349
    assert counts(tables)["test"] == counts(tables)["validation"] == {"negative": 214, "positive": 222}
    halves = [text for split in ("validation", "test") for text in tables[split]["text"].to_pylist()]
    assert sorted(halves) == sorted(validation)


def test_treebank_is_taken_where_it_is(data: Path) -> None:
    write(data / "sst2", train=ROWS, validation=ROWS, test=ROWS[:4])
    assert Sst2().resolve("auto") == Sst2().resolve("local") == Sst2(test="treebank").resolve("local")
    assert counts(read(Sst2()))["test"] == {"negative": 2, "positive": 2}
    assert counts(read(Sst2(test="half")))["test"] == {"negative": 5, "positive": 5}


def test_without_a_test_file_validation_is_halved(data: Path) -> None:
    write(data / "sst2", train=ROWS, validation=ROWS)
    assert counts(read(Sst2())) == {
        "train": {"negative": 10, "positive": 10},
        "validation": {"negative": 5, "positive": 5},
        "test": {"negative": 5, "positive": 5},
    }
    assert Sst2().resolve("local").fingerprint == Sst2(test="half").resolve("local").fingerprint
    with pytest.raises(HarnessError, match="has no test split"):
        Sst2(test="treebank").resolve("local")


def test_an_unlabelled_test_file_does_not_hurt_a_half(data: Path) -> None:
    write(data / "sst2", train=ROWS, validation=ROWS, test=[{"text": "who knows"}])
    assert counts(read(Sst2(test="half")))["test"] == {"negative": 5, "positive": 5}


def test_other_splits_are_other_data(data: Path) -> None:
    write(data / "sst2", train=ROWS, validation=ROWS, test=ROWS[:4])
    tasks = [Sst2(), Sst2(test="half"), Sst2(test="half", split_seed=1)]
    assert len({task.resolve("local").fingerprint for task in tasks}) == 3
    assert Sst2(split_seed=1).resolve("local") == Sst2().resolve("local")
    first, second = (read(Sst2(test="half", split_seed=seed))["test"]["text"].to_pylist() for seed in (0, 1))
    assert first != second


def test_changed_data_is_noticed(data: Path) -> None:
    write(data / "sst2", train=ROWS, validation=ROWS)
    source = Sst2().resolve("local")
    (data / "sst2" / "train.jsonl").write_text(json.dumps(ROWS[0]), encoding="utf-8")
    with pytest.raises(HarnessError, match="has changed since this run was planned"):
        Sst2().read(source)


def test_half_of_the_sample(data: Path) -> None:
    whole, halved = read(Sst2(), "sample"), read(Sst2(test="half"), "sample")
    assert whole["train"].equals(halved["train"])
    assert halved["validation"].num_rows + halved["test"].num_rows == whole["validation"].num_rows


def test_the_hub_has_no_treebank(data: Path) -> None:
    with pytest.raises(Unavailable, match='no treebank test split on the hub; set test = "half"'):
        Sst2(test="treebank").resolve("hub")
    with pytest.raises(Unavailable, match="HF_HUB_OFFLINE is set"):
        Sst2().resolve("hub")
    assert Sst2(test="treebank").resolve("auto").name == "sample"


def test_cola(data: Path) -> None:
    write(data / "cola", train=ROWS, validation=ROWS)
    assert Cola.headline == "matthews"
    assert counts(read(Cola()))["test"] == {"unacceptable": 5, "acceptable": 5}


def test_pairs_are_joined(data: Path) -> None:
    rows = [{"premise": f"it is {n}", "hypothesis": f"it is not {n}", "label": n % 3} for n in range(12)]
    write(data / "mnli", train=rows, validation=rows, unlabelled=[{"premise": "a", "hypothesis": "b"}])
    tables = read(Mnli())
    assert tables["train"].slice(0, 1).to_pylist() == [
        {"text": f"it is 0{PAIR_SEPARATOR}it is not 0", "label": "entailment"}
    ]
    assert counts(tables)["test"] == {"entailment": 2, "neutral": 2, "contradiction": 2}
    assert tables["unlabelled"].to_pylist() == [{"text": f"a{PAIR_SEPARATOR}b"}]


def test_pairs_need_both_columns(data: Path) -> None:
    write(data / "mrpc", train=ROWS, validation=ROWS)
    with pytest.raises(HarnessError, match="has no column 'sentence1'"):
        read(Mrpc())


def test_bert_reads_the_separator_as_its_own() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    known = {"[UNK]": 0, "[SEP]": 1, "a": 2, "b": 3}
    tokenizer = Tokenizer(models.WordPiece(known, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[SEP]"])
    assert tokenizer.encode(f"a{PAIR_SEPARATOR}b").ids == [2, 1, 3]


def test_every_task_of_glue_is_pinned() -> None:
    for task in Glue.__subclasses__() + Mnli.__base__.__subclasses__():  # type: ignore[union-attr]
        if task.name:
            assert task.hub is not None
            assert len(task.hub.revision) == 40
            assert "test" not in task.hub.splits


def test_what_counts_is_what_glue_reports() -> None:
    assert (Mrpc.headline, Mrpc.positive) == ("f1", "equivalent")
    assert (Qqp.headline, Qqp.positive) == ("f1", "duplicate")
    assert (Stsb.task_type, Stsb.headline) == ("regression", "pearson")
    for task in (Mrpc, Qqp):
        assert task.positive in task.class_names


def test_scores_of_stsb_are_numbers(data: Path) -> None:
    rows = [{"sentence1": f"a {n}", "sentence2": f"b {n}", "label": n % 26 / 5} for n in range(52)]
    write(data / "stsb", train=rows, validation=rows, unlabelled=[{"sentence1": "a", "sentence2": "b"}])
    tables = read(Stsb())
    assert tables["train"].schema.field("label").type == pa.float32()
    assert tables["train"].slice(1, 1).to_pylist() == [
        {"text": f"a 1{PAIR_SEPARATOR}b 1", "label": pytest.approx(0.2)}
    ]
    assert tables["unlabelled"].to_pylist() == [{"text": f"a{PAIR_SEPARATOR}b"}]
    halves = [tables[split]["label"].to_pylist() for split in ("validation", "test")]
    assert sorted(halves[0] + halves[1]) == pytest.approx(sorted(row["label"] for row in rows))
    for half in halves:  # of every score, as many in each half
        assert Counter(map(round, half)) == {0: 3, 1: 5, 2: 5, 3: 5, 4: 5, 5: 3}


def test_a_test_split_of_stsb_is_taken_as_it_is(data: Path) -> None:
    rows = [{"sentence1": f"a {n}", "sentence2": "b", "label": str(n)} for n in range(5)]
    write(data / "stsb", train=rows, validation=rows, test=rows[:2])
    assert read(Stsb())["test"]["label"].to_pylist() == [0, 1]


def test_a_missing_score_of_stsb_is_null(data: Path) -> None:
    rows = [{"sentence1": f"a {n}", "sentence2": "b", "label": "nan" if n == 3 else n % 5} for n in range(20)]
    write(data / "stsb", train=rows, validation=rows)
    tables = read(Stsb())
    assert tables["train"]["label"].to_pylist()[2:5] == [2, None, 4]
    assert sum(tables[split]["label"].null_count for split in ("validation", "test")) == 1


def test_an_infinite_score_of_stsb_is_refused(data: Path) -> None:
    rows = [{"sentence1": "a", "sentence2": "b", "label": "inf"}]
    write(data / "stsb", train=rows, validation=rows)
    with pytest.raises(HarnessError, match=r"stsb \(\w+\) has an infinite label"):
        read(Stsb())


def test_a_score_of_stsb_that_is_no_number(data: Path) -> None:
    write(data / "stsb", train=[{"sentence1": "a", "sentence2": "b", "label": "alike"}], validation=ROWS)
    with pytest.raises(HarnessError, match="has no column 'sentence1'"):
        read(Stsb())
    rows = [{"sentence1": "a", "sentence2": "b", "label": "alike"}]
    (data / "stsb" / "validation.jsonl").write_text(json.dumps(rows[0]), encoding="utf-8")
    with pytest.raises(HarnessError, match=r"stsb \(train\) has a label that is not a number: .*alike"):
        read(Stsb())


def test_the_sample_of_stsb_has_all_scores(data: Path) -> None:
    tables = read(Stsb(), "sample")
    scores = tables["train"]["label"].to_pylist()
    assert 0 <= min(scores) < 0.3 and 4.7 < max(scores) <= 5
    pairs = [text.split(PAIR_SEPARATOR) for text in tables["test"]["text"].to_pylist()]
    assert {len(pair) for pair in pairs} == {2}
    texts = [text for table in tables.values() for text in table["text"].to_pylist()]
    assert len(set(texts)) == len(texts)
    # Pairs that share more words are more alike, but far from always.
    shared = [len(set(a.split()) & set(b.split())) / len({*a.split(), *b.split()}) for a, b in pairs]
    assert 0.2 < np.corrcoef(shared, tables["test"]["label"].to_pylist())[0, 1] < 0.8
