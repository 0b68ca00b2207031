"""Better, worse, not separable: two sets of results, or two rows of one."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_intervals import COUNT, answers, scored
from test_leaderboard import latency, make, part

from harness.api import HarnessError
from harness.report import leaderboard
from harness.report.comparison import describe, to_json, to_rich
from harness.results import compare
from harness.results.board import build
from harness.results.compare import Comparison, Pair, Results, load, lower_is_better, sets
from harness.results.ranking import Table
from harness.results.record import Record
from harness.results.statistics import estimate, holm, welch
from harness.task_types.base import Prediction, TaskType
from harness.task_types.classification import Classification
from harness.task_types.masked_lm import MaskedLanguageModelling
from harness.task_types.regression import Regression

Cells = list[tuple[Record, Prediction]]


def guessed(hidden: Any, nll: Any, tokens: str) -> Prediction:
    """What a language model told of hidden tokens, all of which it guessed."""
    empty = np.zeros(0, np.float32)
    return Prediction(hidden, empty, hidden, MaskedLanguageModelling(), numbers=nll, scale=tokens)


def results(cells: Cells, name: str = "here", known: bool = True) -> Results:
    found = {record["cell"]: one for record, one in cells} if known else {}
    return Results(name, build([record for record, _ in cells]).tables, found)


def records(*values: Record) -> Results:
    return Results("here", build(values).tables, {})


def verdicts(comparison: Comparison) -> dict[str, str]:
    def name(pair: Pair) -> str:
        row = pair.b or pair.a
        assert row is not None
        return row.labels["teacher" if row.role == "teacher" else "student"]

    return {name(pair): pair.verdict for pair in comparison.pairs}


def text_of(comparison: Comparison, width: int = 200) -> str:
    from rich.console import Console

    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(to_rich(comparison))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


NAMES = ("up", "down", "same", "hair")


def before() -> Cells:
    return [scored("baseline", 300, student=part(name)) for name in NAMES]


def after() -> Cells:
    right = {"up": 340, "down": 250, "same": 300, "hair": 302}
    return [scored("baseline", right[name], student=part(name)) for name in NAMES]


# -- two sets ----------------------------------------------------------------------------------------------


def test_what_got_better_worse_or_is_not_separable() -> None:
    found = sets(results(before(), "old"), results(after(), "new"))
    assert verdicts(found) == {
        "down": "worse",
        "up": "better",
        "hair": "not separable",
        "same": "not separable",
    }
    assert [pair.verdict for pair in found.pairs] == ["worse", "better", "not separable", "not separable"]
    assert found.tests == 4
    worse = found.of("worse")[0]
    expected = estimate("accuracy", [[answers(250)], [answers(300)]]).compare(0, 1)
    assert worse.difference is not None
    assert worse.difference[:3] == pytest.approx(expected[:3])
    assert worse.difference.value == pytest.approx(-50 / COUNT)
    raw = [
        estimate("accuracy", [[one], [other]]).compare(0, 1).p
        for (_, one), (_, other) in zip(before(), after(), strict=True)
    ]
    corrected = dict(zip(NAMES, holm(raw), strict=True))
    assert worse.difference.p == pytest.approx(corrected["down"])


def test_cell_keys_and_versions_do_not_matter() -> None:
    old, new = before(), after()
    for record, _ in new:
        record["cell"] += " of other code"
        student: Any = record["student"]
        student["version"], student["plugin"] = 2, "distil-harness 9.9"
    assert verdicts(sets(results(old), results(new)))["down"] == "worse"


def test_the_same_cell_keys_have_each_their_own_predictions() -> None:
    old, new = before(), after()
    assert [record["cell"] for record, _ in old] == [record["cell"] for record, _ in new]
    assert verdicts(sets(results(new), results(old)))["down"] == "better"


def test_runs_of_the_same_seeds_are_paired() -> None:
    rng = np.random.default_rng(0)
    rights = rng.integers(200, 380, 3)
    old = [scored("baseline", int(right), seed) for seed, right in enumerate(rights)]
    new = [scored("baseline", int(right) + 15, seed) for seed, right in enumerate(rights)]
    assert verdicts(sets(results(old), results(new))) == {"mlp": "better"}
    # One seed less, and the luck of the seeds hides it.
    assert verdicts(sets(results(old[:2]), results(new))) == {"mlp": "not separable"}
    same = sets(results(old), results(old)).pairs[0].difference
    assert same is not None and (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_other_data_is_an_error() -> None:
    old = records(make("baseline", 0.8))
    new = records(make("baseline", 0.9, task={"fingerprint": "feed"}))
    with pytest.raises(
        HarnessError,
        match=r"^cannot compare task 'emotion' \(local data\): its data have fingerprint abcdef0123456789 "
        r"in A, but feed in B; run both suites on the same data$",
    ):
        sets(old, new)


def test_what_only_one_side_has() -> None:
    sample = {"source": "sample", "fingerprint": "s"}
    old = records(make("baseline", 0.8), make("baseline", 0.7, student=part("old")))
    new = records(
        make("baseline", 0.8), make("baseline", 0.7, student=part("new")), make("teacher", 0.9, task=sample)
    )
    assert verdicts(sets(old, new)) == {
        "mlp": "not testable",
        "old": "only in A",
        "new": "only in B",
        "minilm": "only in B",
    }
    assert verdicts(sets(new, old))["minilm"] == "only in A"


@pytest.mark.parametrize("swap", [False, True])
def test_rows_are_matched_where_a_component_has_gained_parameters(swap: bool) -> None:
    def cells(right: int, **more: Any) -> Cells:
        return [
            scored("baseline", right, student=part("mlp", width=8, **more), task={"params": more}),
            scored("baseline", 300, student=part("mlp", width=16, **more), task={"params": more}),
        ]

    old, new = cells(300), cells(250, dropout=0.0)
    found = sets(results(old), results(new)) if not swap else sets(results(new), results(old))
    assert {pair.verdict for pair in found.pairs} == {"better" if swap else "worse", "not separable"}
    # Which of two it was cannot be told.
    new += [
        scored("baseline", 200, student=part("mlp", width=8, dropout=0.5), task={"params": {"dropout": 0.0}})
    ]
    found = sets(results(old), results(new)) if not swap else sets(results(new), results(old))
    only = [f"only in {side}" for side in ("BBA" if not swap else "AAB")]
    assert sorted(pair.verdict for pair in found.pairs) == sorted(["not separable", *only])


def test_a_row_that_no_longer_works_is_a_regression() -> None:
    old = records(make("baseline", 0.8))
    new = records(make("baseline", None, reason="killed"))
    found = sets(old, new)
    assert verdicts(found) == {"mlp": "failed"}
    assert found.fails("regression") and found.fails("any")
    assert "no result any more" in text_of(found)
    mended = sets(new, old)
    assert verdicts(mended) == {"mlp": "only in B"}
    assert not mended.fails("regression")
    assert sets(new, new).pairs == ()
    assert "nothing to compare." in text_of(sets(new, new))


def test_without_predictions_seeds_decide() -> None:
    old = records(*(make("baseline", score, seed) for seed, score in enumerate((0.80, 0.81, 0.79))))
    new = records(*(make("baseline", score, seed) for seed, score in enumerate((0.90, 0.91, 0.92))))
    (pair,) = sets(old, new).pairs
    a, b = (row.stats["accuracy"] for row in (pair.a, pair.b) if row)
    assert pair.verdict == "better"
    assert pair.difference == welch(b, a)
    assert "over seeds alone (Welch)" in text_of(sets(old, new))


def test_seeds_that_all_gave_the_same_tell_nothing_of_scores() -> None:
    def cells(score: float, total: int) -> Results:
        same = [make("baseline", score, seed) for seed in range(3)]
        return records(*(one | {"parameters": {"total": total}} for one in same))

    old, new = cells(0.80, 100), cells(0.7995, 120)
    assert verdicts(sets(old, new)) == {"mlp": "not testable"}
    assert verdicts(sets(old, old)) == {"mlp": "not separable"}
    assert verdicts(sets(old, new, "parameters_total")) == {"mlp": "worse"}


def test_single_seeds_without_predictions_cannot_be_tested() -> None:
    found = sets(results(before(), known=False), results(after()))
    assert set(verdicts(found).values()) == {"not testable"}
    assert found.tests == 0
    assert "not testable: one seed without predictions of both, or different vocabularies" in text_of(found)
    assert not found.fails("any")


@pytest.mark.parametrize(
    ("task_type", "metric", "lower"),
    [
        (Classification(), "accuracy", False),
        (Classification(), "nll", True),
        (Classification(), "validation_nll", True),
        (Classification(), "ece", True),
        (MaskedLanguageModelling(), "perplexity", True),
        (MaskedLanguageModelling(), "masked_accuracy", False),
        (Regression(), "mae", True),
        (Regression(), "mse", True),
        (Regression(), "pearson", False),
        (Classification(), "latency_onnx_cpu_p50_ms", True),
        (Classification(), "size_model_bytes", True),
        (Classification(), "cost_train_s", True),
        (Classification(), "cost_texts_per_s", False),
        (Classification(), "parameters_total", True),
        (Classification(), "teacher_share", False),
    ],
)
def test_what_is_better_when_lower(task_type: TaskType, metric: str, lower: bool) -> None:
    table = Table({}, "", "accuracy", (), (), task_type)
    assert lower_is_better(table, metric) is lower


def test_any_number_can_be_compared() -> None:
    def timed(*milliseconds: float) -> Results:
        return records(
            *(make("baseline", 0.8, n, latency=[latency("onnx", ms)]) for n, ms in enumerate(milliseconds))
        )

    found = sets(timed(1.0, 1.1, 0.9), timed(3.0, 3.1, 2.9), "latency_onnx_cpu_p50_ms")
    assert verdicts(found) == {"mlp": "worse"}
    text = text_of(found)
    assert (
        "1.00 ± 0.100" in text
        and "3.00 ± 0.100" in text
        and "+2.00" in text
        and "%" not in text.split("95")[0]
    )
    other = sets(results(before()), results(after()), "f1_macro")
    assert {pair.metric for pair in other.pairs} == {"f1_macro"}


def test_an_unknown_metric_is_a_sentence() -> None:
    with pytest.raises(HarnessError, match="these results have no metric 'acuracy'; did you mean 'accuracy'"):
        sets(records(make("baseline", 0.8)), records(make("baseline", 0.8)), "acuracy")
    with pytest.raises(HarnessError, match=r"no metric 'zzz' \(allowed: accuracy, f1_macro\)"):
        sets(records(make("baseline", 0.8)), records(make("baseline", 0.8)), "zzz")


def test_what_fails_a_build() -> None:
    worse, better = sets(results(before()), results(after())), sets(results(before()), results(before()))
    assert worse.fails("regression") and worse.fails("any")
    assert not better.fails("regression") and not better.fails("any")
    up = sets(results(before()[:1]), results(after()[:1]))
    assert not up.fails("regression") and up.fails("any")


def test_forms() -> None:
    found = sets(results(before(), "old"), results(after(), "new"))
    value = json.loads(to_json(found))
    assert value["counts"]["worse"] == 1 and value["tests"] == 4
    row = value["rows"][0]
    assert row["verdict"] == "worse" and row["row_a"]["student"] == part("down")
    assert row["a"]["mean"] == 0.75 and row["b"] == {"mean": 0.625, "std": None, "n": 1}
    assert row["difference"]["value"] == pytest.approx(-0.125)
    assert row["difference"]["method"] == "mcnemar"
    text = text_of(found)
    assert "A: old" in text and "B: new" in text
    assert "baseline down · cross-entropy" in text and "-12.5" in text
    assert "1 worse, 1 better, 2 not separable; on the same texts (McNemar), p corrected for 4 comp" in text


def test_hostile_names_do_not_reach_the_terminal() -> None:
    name = "\x1b[31m[bold]red\u202e"
    found = sets(records(make("baseline", 0.8, student=part(name))), records(make("baseline", 0.8)))
    text = text_of(found)
    assert "[bold]red" in text and "\x1b" not in text and "\u202e" not in text


def test_results_are_folders_or_files(tmp_path: Path) -> None:
    cells = before()
    folder = tmp_path / "emotion"
    leaderboard.write([r for r, _ in cells], folder, {r["cell"]: one for r, one in cells})
    for where in (folder, folder / "records.jsonl"):
        found = load(where)
        assert found.name == str(where)
        assert len(found.tables) == 1 and len(found.predictions) == 4
    with pytest.raises(HarnessError, match="there are no records at"):
        load(tmp_path)


# -- two rows ----------------------------------------------------------------------------------------------


def rows() -> Cells:
    swept = [scored("baseline", 280 + size, student=part("gru", size=size)) for size in (8, 16)]
    kl, mse = part("kl", temperature=2.0), part("mse")
    return [
        scored("teacher", 390),
        scored("baseline", 300),
        scored("distilled", 360, loss=kl),
        scored("distilled", 310, loss=mse),
        *swept,
    ]


def one(a: str, b: str) -> Pair:
    (pair,) = compare.rows(results(rows()), a, b).pairs
    return pair


def test_rows_by_the_names_of_their_parts() -> None:
    pair = one("student=mlp,loss=mse", "student=mlp, loss=kl")
    assert pair.verdict == "better" and pair.difference is not None
    assert pair.difference.value == pytest.approx(50 / COUNT)
    assert one("role=teacher", "loss=kl").verdict == "worse"
    assert one("student=gru(size=8)", "student=gru(size=16)").verdict != "worse"
    sizes = one("student.size=8", "student=gru,student.size=16")
    assert sizes.difference is not None and sizes.difference.value == pytest.approx(8 / COUNT)
    assert one("role=teacher", "loss.temperature=2.0").verdict == "worse"
    assert one("student=mlp,gru,loss=mse", "loss=kl").verdict == "better"
    assert one("task=emotion,source=local,role=teacher", "student=mlp,role=baseline").verdict == "worse"
    assert describe(pair) == "emotion (local)"


@pytest.mark.parametrize(
    ("a", "says"),
    [
        ("student=mpl", r"there is no student 'mpl' in these results; did you mean 'mlp'\? \(allowed: gru, "),
        ("studnet=mlp", r"'studnet=mlp' must be <kind>=<name> or .* role, source; did you mean 'student'\?"),
        ("mlp", "'mlp' must be <kind>=<name> or <kind>.<parameter>=<value>"),
        ("student.size=9", r"there is no student.size '9' in these results \(allowed: 16, 8\)"),
        ("student.depth=9", r"there is no student.depth '9' in these results \(allowed: none\)"),
        ("role.x=9", r"there is no role.x '9' in these results \(allowed: none\)"),
        (
            "student=mlp",
            r"'student=mlp' matches 3 rows of emotion \(local data\); add one of: role=baseline, ",
        ),
        ("student=gru", r"matches 2 rows .*student=gru\(size=16\), student=gru\(size=8\)"),
        ("student=gru,loss=kl", "no table of here has a row 'student=gru,loss=kl' with a result"),
    ],
)
def test_rows_that_are_not_one(a: str, says: str) -> None:
    with pytest.raises(HarnessError, match=says):
        one(a, "role=teacher")


def test_rows_are_compared_in_every_table_that_has_both() -> None:
    sample = {"source": "sample", "fingerprint": "s"}
    pair = [make("teacher", 0.9), make("baseline", 0.8)]
    both = records(*pair, make("teacher", 0.9, task=sample), make("baseline", 0.8, task=sample))
    assert len(compare.rows(both, "role=teacher", "role=baseline").pairs) == 2
    apart = records(make("teacher", 0.9), make("baseline", 0.8, task=sample))
    with pytest.raises(HarnessError, match="no table of here has both 'role=teacher' and 'role=baseline'"):
        compare.rows(apart, "role=teacher", "role=baseline")


def test_rows_whose_language_models_saw_other_tokens_are_tested_apart() -> None:
    def language(name: str, right: int, tokens: str) -> tuple[Record, Prediction]:
        found = answers(right)
        hidden = np.ones(COUNT, np.int16)
        nll = np.where(found.predicted == found.gold, 1.0, 3.0).astype(np.float32)
        nll += np.random.default_rng(right).normal(0, 0.1, COUNT).astype(np.float32)
        one = guessed(hidden, nll, tokens)
        score = float(np.exp(nll.mean(dtype=np.float64)))
        task = {"headline": "perplexity", "type": "language-modelling"}
        return make("baseline", 0, metrics={"perplexity": score}, task=task, student=part(name)), one

    old = [language("up", 200, "a"), language("same", 300, "b")]
    new = [language("up", 300, "a"), language("same", 300, "b")]
    found = sets(results(old, "old"), results(new, "new"))
    assert verdicts(found) == {"up": "better", "same": "not separable"}  # less perplexed is better
    gap = found.of("better")[0].difference
    assert gap is not None and gap.value < 0 and gap.method == "bootstrap" and found.tests == 2


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("metric", ["perplexity", "nll", "masked_accuracy"])
def test_scores_of_other_vocabularies_are_not_on_one_scale(metric: str, known: bool) -> None:
    """Neither predictions nor several seeds make a difference of them."""

    def language(right: int, tokens: str, seed: int) -> tuple[Record, Prediction]:
        found = answers(right)
        hidden = np.ones(COUNT, np.int16)
        nll = np.where(found.predicted == found.gold, 1.0 + seed / 100, 3.0).astype(np.float32)
        one = guessed(hidden, nll, tokens)
        mean = float(nll.mean(dtype=np.float64))
        metrics = {"nll": mean, "perplexity": float(np.exp(mean)), "masked_accuracy": 1.0, "hidden": tokens}
        task = {"headline": "perplexity", "type": "language-modelling"}
        return make("baseline", 0, seed, metrics=metrics, task=task), one

    def model(right: int, tokens: str) -> Results:
        return results([language(right, tokens, seed) for seed in (0, 1)], known=known)

    others = sets(model(200, "a"), model(380, "b"), metric)
    (pair,) = others.pairs
    assert pair.verdict == "not testable" and pair.difference is None and others.tests == 0
    assert "vocabularies differ, and perplexities are on one scale only within a vocabulary" in text_of(
        others
    )
    assert not others.fails("regression")
    (pair,) = sets(model(200, "a"), model(380, "a"), metric).pairs
    assert pair.difference is not None
