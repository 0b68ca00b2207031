"""The command diagnose: what it counts of data, of teachers, and what it makes of that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from predicted import of_logits

from harness.cli import main
from harness.diagnose import duplicates
from harness.diagnose import measures as diagnosis
from harness.diagnose.contested import Contested
from harness.task_types.base import Prediction
from harness.task_types.classification import Classification
from harness.task_types.label_scores import classification

LINE = "one two three four five six seven eight nine ten"


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["diagnose", *map(str, arguments)], env={"COLUMNS": "150"})


# -- duplicates ----------------------------------------------------------------------------------------------


def test_repeats_are_exact_folded_or_near() -> None:
    last = LINE.replace("ten", "eleven")  # 8 pairs of 10 in all are shared: 0.8
    texts = [LINE, LINE, LINE.replace("one", " One "), last, "quite another text altogether"]
    assert duplicates.within(texts) == (1, 1, 1)
    assert duplicates.between([LINE], [last, LINE.upper(), LINE, "quite another"]) == (1, 1, 1)
    assert duplicates.between([], ["a"]) == duplicates.within([]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("text", "alike"),
    [
        (LINE.replace("ten", "x"), 8 / 10),
        (LINE.replace("five", "x"), 7 / 11),  # a word in the middle costs two pairs on each side
        (LINE, 1.0),
        ("ten nine eight", 0.0),
    ],
)
def test_similarity_is_of_pairs_of_words(text: str, alike: float) -> None:
    sets = [duplicates.shingled(each) for each in (LINE, text)]
    assert duplicates.similarity(*sets) == pytest.approx(alike)
    assert duplicates.between([LINE], [text]).near == (duplicates.ALIKE <= alike < 1)


def test_near_duplicates_are_found_among_many() -> None:
    draw = np.random.default_rng(0)
    texts = [" ".join(f"w{n}" for n in draw.integers(0, 500, 20)) for _ in range(500)]
    changed = [f"{text} more" for text in texts[:100]]  # 19 of 20 pairs shared
    assert duplicates.within(texts) == (0, 0, 0)
    assert duplicates.between(texts, changed) == (0, 0, 100)


def test_what_is_too_many_is_sampled() -> None:
    assert duplicates.sample(list("abcdef"), 3) == ["a", "c", "e"]
    assert duplicates.sample(list("abc"), 3) == ["a", "b", "c"]


def test_contradictions_by_hand() -> None:
    rows = [("a b", "x"), ("A  b", "x"), ("a b", "y"), ("c", "x"), ("c", "x"), ("d", "y")]
    named = [(text, (label,)) for text, label in rows]
    assert duplicates.conflicts(named) == (1, 5, 1)  # one text, five rows that repeat, one against the most
    # Of several labels, or none, all count together.
    sets = [("a", ("x", "y")), ("a", ("x",)), ("a", ("x", "y")), ("b", ()), ("b", ()), ("c", ("x",))]
    assert duplicates.conflicts(sets) == (1, 5, 1)


# -- numbers -------------------------------------------------------------------------------------------------


def splits() -> dict[str, diagnosis.Rows]:
    good, bad = ("good",), ("bad",)
    train = [*[(f"good day number {n}", good) for n in range(6)], ("bad day", bad), ("bad day", good)]
    return {"train": train, "validation": [("fine", good)], "test": [("Bad day", bad), ("so it is", good)]}


def test_data_by_hand() -> None:
    found = diagnosis.of_data(splits())
    train = found["splits"]["train"]
    assert (train["rows"], train["classes"]) == (8, {"bad": 1, "good": 7})
    assert train["words"] == pytest.approx({"mean": 3.5, "median": 4, "p90": 4, "p99": 4, "longest": 4})
    assert train["duplicates"] == {"exact": 1, "folded": 0, "near": 0}
    assert found["leaks"]["test in train"] == {"exact": 0, "folded": 1, "near": 0}
    assert found["classes"] == {
        "number": 2,
        "largest": "good",
        "share": 9 / 11,
        "smallest": "bad",
        "imbalance": 4.5,
    }
    contradictions = found["contradictions"]
    assert (contradictions["texts"], contradictions["rows_repeated"], contradictions["rows_wrong"]) == (
        1,
        3,
        1,
    )
    assert contradictions["share"] == 1 / 11


def prediction(predicted: list[int], confidence: list[float], gold: list[int]) -> Prediction:
    arrays = np.array(predicted, np.int16), np.array(confidence, np.float32), np.array(gold, np.int16)
    return Prediction(*arrays, Classification(), ("a", "b"))


def test_calibration_by_hand() -> None:
    answers = prediction([0, 0, 1, 1, 0], [0.95, 1.0, 0.55, 0.58, 0.9], [0, 1, 1, 0, -1])
    found = diagnosis.calibration(answers)
    assert found["mean_confidence"] == pytest.approx((0.95 + 1.0 + 0.55 + 0.58) / 4)
    assert found["overconfidence"] == pytest.approx(0.77 - 0.5)
    assert found["sure"] == 0.25
    filled = {one["low"]: (one["texts"], one["accuracy"]) for one in found["histogram"] if one["texts"]}
    assert filled == {0.5: (2, 0.5), 0.9: (2, 0.5)}
    assert sum(one["texts"] for one in found["histogram"]) == 4  # without a gold label: left out


def test_the_histogram_gives_the_mean_gap_of_the_metric() -> None:
    draw = np.random.default_rng(0)
    logits, gold = draw.normal(size=(400, 2)).astype(np.float32), draw.integers(0, 2, 400)
    one = of_logits(logits, gold, ("a", "b"))
    assert one is not None
    found = diagnosis.calibration(one)
    assert classification(gold, logits, ("a", "b"))["accuracy"] == pytest.approx(
        found["mean_confidence"] - found["overconfidence"], abs=1e-6
    )


def test_two_models_on_the_same_texts() -> None:
    gold = [0, 0, 1, 1]
    teacher, bag = prediction([0, 0, 1, 0], [1.0] * 4, gold), prediction([0, 1, 0, 0], [1.0] * 4, gold)
    assert diagnosis.together(teacher, bag, 4) == {
        "agreement": 0.5,
        "only_teacher_right": 0.5,
        "only_bag_of_words_right": 0.0,
        "both_wrong": 0.25,
    }
    # Two texts of two outputs: all of a text's outputs must be right, or the same.
    assert diagnosis.together(teacher, bag, 2) == {
        "agreement": 0.0,
        "only_teacher_right": 0.5,
        "only_bag_of_words_right": 0.0,
        "both_wrong": 0.5,
    }
    unknown = prediction([0, 0, 1, 1], [1.0] * 4, [0, 0, 1, -1])
    assert diagnosis.together(unknown, bag, 2)["agreement"] == 0.0  # of the first text alone
    assert diagnosis.together(unknown, unknown, 2)["agreement"] == 1.0


def test_data_with_several_labels_by_hand() -> None:
    train = [("a b", ("x", "y")), ("c d", ()), ("e f", ("x",)), ("g h", ("x",))]
    found = diagnosis.of_data({"train": train, "validation": [("i", ("y",))], "test": [("j", ("x",))]})
    assert found["splits"]["train"]["classes"] == {"x": 3, "y": 1}
    classes = found["classes"]
    assert (classes["number"], classes["largest"], classes["imbalance"]) == (2, "x", 2.0)
    assert classes["share"] == pytest.approx(4 / 6)


# -- the verdict ---------------------------------------------------------------------------------------------


def known(bag: float, teacher: float | None = None, **of_teacher: Any) -> dict[str, Any]:
    gap = {"value": (teacher or 0) - bag, "low": -0.01, "high": 0.05, "p": 0.001}
    one = {"name": "t", "accuracy": teacher, "ece": 0.01, "sure": 0.5, "headroom": gap} | of_teacher
    return {
        **diagnosis.of_data(splits()),
        "contested": diagnosis.contested([None]),
        "compared": {"metric": "accuracy", "title": "accuracy", "label": "class"},
        "bag_of_words": {"accuracy": bag},
        "teachers": [] if teacher is None else [one],
    }


@pytest.mark.parametrize(
    ("found", "pays", "says"),
    [
        (known(0.85), "unclear", "name one with --teacher"),
        (known(0.995), "unlikely", "leaves almost nothing to gain"),
        (known(0.85, 0.92), "likely", "teacher t is +7.0 points (-1.0 to +5.0) ahead"),
        (
            known(0.85, 0.86, headroom={"value": 0.01, "low": -0.02, "high": 0.04, "p": 0.4}),
            "unclear",
            "2 test texts are too few to be sure",
        ),
        (
            known(0.85, 0.84, headroom={"value": -0.01, "low": -0.02, "high": 0.0, "p": 0.4}),
            "unlikely",
            "ship the bag of words",
        ),
        (known(0.85, 0.92, headroom=None), "unclear", "+7.0 points"),
        (
            known(0.85, 0.92, ece=0.2, overconfidence=0.2),
            "likely",
            "teacher t is overconfident: its confidence differs from its accuracy by 20.0 points on average",
        ),
        (known(0.85, 0.92, sure=0.95), "likely", "a confidence of 99% or more on 95% of the texts"),
    ],
)
def test_verdicts(found: dict[str, Any], pays: str, says: str) -> None:
    said, reasons = diagnosis.verdict(found)
    assert said == pays
    assert any(says in reason for reason in reasons), reasons
    assert any("8 training texts are few" in reason for reason in reasons)
    assert any("1 test texts (50.0%) are also in the training split" in reason for reason in reasons)
    assert any("1 rows (9.1%) contradict the label of most equal texts" in reason for reason in reasons)


def test_contested_words_are_told_with_who_is_right_there() -> None:
    words = [Contested("hated", ("anger", 50), ("sadness", 48))] * 2 + [None] * 3
    answers = prediction([0, 0, 1, 1, 0], [1.0] * 5, [0, 1, 1, 1, -1])  # the last one has no gold label
    where = diagnosis.where_contested(answers, words)
    assert where == {"accuracy_contested": 0.5, "accuracy_others": 1.0}
    assert diagnosis.where_contested(answers, [None] * 5) == {"accuracy_others": 0.75}
    found = {**known(0.85, 0.92, **where), "contested": diagnosis.contested(words)}
    assert found["contested"] == {
        "texts": 2,
        "share": 0.4,
        "words": [{"word": "hated", "labels": {"anger": 50, "sadness": 48}, "texts": 2}],
    }
    start = (
        "2 test texts (40.0%) depend on a word that occurs with two labels about equally often "
        "(hated: 50 anger, 48 sadness)"
    )
    right = "; teacher t is right on 50% of them, and on 100% of the others"
    end = ", so these texts hardly contain what decides between the labels"
    assert start + right + end in diagnosis.verdict(found)[1]
    # A teacher that knows which of the two it is; one whose answers are not known; and none.
    found["teachers"][0]["accuracy_contested"] = 0.8
    assert start + right.replace("50", "80") in diagnosis.verdict(found)[1]
    del found["teachers"][0]["accuracy_contested"]
    assert start in diagnosis.verdict(found)[1]
    found["teachers"], found["bag_of_words"] = [], {"accuracy": 0.85, **where}
    assert start + right.replace("teacher t", "a bag of words") + end in diagnosis.verdict(found)[1]


# -- the command ---------------------------------------------------------------------------------------------


def rows(path: Path) -> None:
    lines = ["text,label"]
    for n in range(60):
        lines += [f"the sun is warm {n},good", f"the rain is cold {n},bad"]
    lines += ["the sun is warm 1,bad"]  # stands twice, with another label
    path.write_text("\n".join(lines) + "\n")


def test_a_file_is_diagnosed_then_its_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows(Path("rows.csv"))
    done = invoke("rows.csv", "--json")
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)["tasks"]
    assert sum(split["rows"] for split in found["splits"].values()) == 121
    assert sum(split["duplicates"]["exact"] for split in found["splits"].values()) == 1
    assert found["leaks"]["test in train"]["exact"] == 0  # equal texts are never parted
    assert found["contradictions"]["rows_wrong"] == 1
    assert found["bag_of_words"]["accuracy"] >= 0.8 and found["teachers"] == []
    # Two teachers: none is stored yet, then one is fitted because it is asked for, then it is there.
    Path("mine.toml").write_text(
        '[[task]]\nuse = "file"\ntrain = "rows.csv"\n[[teacher]]\nuse = "student"\n'
        'student = { use = "tfidf-logreg" }\n'
    )
    before = json.loads(invoke("mine.toml", "--json").stdout)["tasks"][0]
    assert before["teachers"] == []
    told = invoke("mine.toml", "--teacher", "student")
    assert told.exit_code == 0, told.output
    assert "confidence and accuracy of tfidf-logreg" in told.stdout and "distillation: " in told.stdout
    (after,) = json.loads(invoke("mine.toml", "--json").stdout)["tasks"]
    (teacher,) = after["teachers"]
    assert teacher["agreement"] == 1.0 and teacher["headroom"]["value"] == 0.0
    assert teacher["accuracy"] == after["bag_of_words"]["accuracy"]
    assert sum(one["texts"] for one in teacher["histogram"]) == after["splits"]["test"]["rows"]
    assert after["pays"] in ("unlikely", "unclear")


def test_mistakes_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows(Path("rows.csv"))
    Path("scores.toml").write_text('[[task]]\nuse = "stsb"\n[[teacher]]\nuse = "minilm"\n')
    for arguments, says in (
        (("nothing.csv",), "the train file 'nothing.csv' does not exist"),
        (("nothing.toml",), "cannot read the suite: no such file"),
        (
            ("rows.csv", "--label", "lable"),
            "no column 'lable'; found: 'text', 'label'; did you mean",
        ),
        (("rows.csv", "--teacher", "minilmm"), "unknown teacher 'minilmm'; did you mean 'minilm'?"),
        (("scores.toml", "--text", "a"), "--task, --text and --label are only for a file"),
        (("scores.toml", "--task", "file"), "--task, --text and --label are only for a file"),
        (("scores.toml",), "cannot diagnose task 'stsb': diagnose does not support regression"),
    ):
        result = invoke(*arguments)
        assert result.exit_code == 2, (arguments, result.output)
        assert result.stderr.startswith("error: ") and says in result.stderr, result.output
