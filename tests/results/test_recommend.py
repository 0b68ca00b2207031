"""Which row to ship, within limits."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from test_compare import Cells, guessed, results
from test_intervals import COUNT, scored, shortened
from test_leaderboard import latency, make, part

from harness.api import HarnessError
from harness.report.advice import sentences, to_rich
from harness.results.board import build
from harness.results.compare import Results
from harness.results.recommend import Advice, Limits, recommend
from harness.results.record import Record
from harness.results.statistics import estimate


def model(
    name: str,
    right: int,
    p50: float = 1.0,
    seed: int = 0,
    validation: float | None = None,
    nll: float = 0.3,
    **fields: Any,
) -> Any:
    """A student's record and predictions; its validation score is its test score unless given."""
    losses = {"nll": nll}
    fields = {
        "student": part(name),
        "parameters": {"total": 1000},
        "size_bytes": {"model": 4000, "onnx": 5000},
        "latency": [latency("onnx", p50), latency("torch", 10 * p50)],
        "cost": {"train_s": 30.0},
        "validation": {"accuracy": right / COUNT if validation is None else validation, "f1_macro": 0.5}
        | losses,
        **fields,
    }
    return scored("distilled", right, seed, **fields)


def ask(cells: Cells, source: str | None = None, tolerance: float = 0.005, **limits: Any) -> Advice:
    (advice,) = recommend(results(cells), Limits(**limits), source, tolerance)
    return advice


def name(candidate: Any) -> str:
    return str(candidate.row.labels["student" if candidate.row.role != "teacher" else "teacher"])


def shown(advice: Advice, width: int = 100) -> str:
    from rich.console import Console

    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(to_rich([advice]))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_best_on_validation_is_shipped_though_test_says_otherwise() -> None:
    advice = ask([model("a", 300, validation=0.9), model("b", 350, validation=0.8)])
    assert advice.chosen and advice.runner_up and advice.difference
    assert (name(advice.chosen), name(advice.runner_up), advice.split) == ("a", "b", "validation")
    rows = [[one] for _, one in (model("b", 350), model("a", 300))]
    expected = estimate("accuracy", rows).compare(0, 1)
    assert advice.difference.value == pytest.approx(50 / COUNT)
    assert advice.difference.p == pytest.approx(expected.p)
    assert "chosen by the score on the validation split, among 2 of 2 rows within the limits" in sentences(
        advice
    )
    told = sentences(advice)[-1]
    assert told.startswith(
        "next best minus chosen, accuracy on the test split: +12.5 points (95 % interval +"
    )
    assert "; this is hardly chance (p = " in told


def test_without_validation_scores_test_chooses_and_says_so() -> None:
    cells = [model("a", 300), model("b", 350)]
    for record, _ in cells:
        record["validation"] = {}
    advice = ask(cells)
    assert advice.chosen and name(advice.chosen) == "b" and advice.split == "test"
    assert any("test scores chose the rows, and are therefore too good" in note for note in sentences(advice))


def test_of_equally_good_rows_the_fastest() -> None:
    cells = [model("best", 352, 1.0), model("fast", 351, 0.4), model("slow", 350, 0.9)]
    advice = ask(cells)
    assert advice.chosen and advice.runner_up
    assert (name(advice.chosen), name(advice.runner_up), advice.equal) == ("fast", "best", 3)
    assert any(line.startswith("3 rows count as equally good") for line in sentences(advice))
    assert "; this may be chance (p = " in sentences(advice)[-1]
    assert name(ask(cells, tolerance=0.0).chosen) == "best"


def test_a_latency_within_twice_the_smallest_is_as_good() -> None:
    cells = [model("best", 352, 1.0), model("hair", 351, 0.55)]
    assert name(ask(cells).chosen) == "best"


def test_what_tests_tell_apart_is_not_equally_good_however_near() -> None:
    # A point behind, within the tolerance, and surely so: all differences on one side.
    cells = [model("best", 360, 1.0), model("fast", 350, 0.1)]
    assert name(ask(cells, tolerance=0.05).chosen) == "best"
    # As near without predictions, nobody knows.
    (advice,) = recommend(results(cells, known=False), Limits(), None, 0.05)
    assert advice.chosen and name(advice.chosen) == "best" and advice.equal == 1
    assert "no test of the difference: it needs predictions of both rows, or several seeds" in sentences(
        advice
    )


def test_few_texts_do_not_make_rows_equal() -> None:
    # Ten points behind, which may be luck, as there are few texts.
    def few(cells: Any) -> Any:
        record, one = cells
        short = shortened(one, 10)
        record["metrics"]["accuracy"] = float((short.predicted == short.gold).mean())
        return record, short

    cells = [few(model("best", 10, 1.0, validation=0.9)), few(model("fast", 9, 0.1, validation=0.8))]
    assert name(ask(cells).chosen) == "best"


def test_where_nothing_was_timed_parameters_decide() -> None:
    untimed: dict[str, Any] = {"latency": []}
    cells = [
        model("best", 352, **untimed, parameters={"total": 9000}),
        model("small", 351, **untimed, parameters={"total": 1000}),
    ]
    advice = ask(cells)
    assert advice.chosen and name(advice.chosen) == "small"
    assert advice.chosen.form == ("model", None, 4000)
    assert ask(cells, p50_ms=1e9).chosen is None  # what nobody timed keeps no limit


@pytest.mark.parametrize(
    ("limits", "chosen", "ruled"),
    [
        ({"parameters": 5000}, "small", {"parameters": 1}),
        ({"p50_ms": 0.5}, "small", {"latency": 1}),
        ({"size_bytes": 6000}, "small", {"size": 1}),
        ({"train_s": 60}, "small", {"training time": 1}),
        ({"scores": {"accuracy": 0.88}}, "big", {"accuracy": 1}),
        ({"scores": {"nll": 0.4}}, "small", {"nll": 1}),
        ({"backend": "torch", "p50_ms": 3}, "small", {"latency": 1}),
        ({"backend": "native"}, None, {"backend": 2}),
        ({"device": "cuda", "p50_ms": 9}, None, {"latency": 2}),
        ({"p50_ms": 0.1}, None, {"latency": 2}),
        ({}, "big", {}),
    ],
)
def test_limits(limits: dict[str, Any], chosen: str | None, ruled: dict[str, int]) -> None:
    big: dict[str, Any] = {
        "parameters": {"total": 9000},
        "size_bytes": {"model": 36_000, "onnx": 40_000},
        "cost": {"train_s": 600.0},
        "validation": 0.9,
        "nll": 0.5,
    }
    cells = [
        model("big", 360, 0.8, **big),
        model("small", 340, 0.2, validation=0.85),
    ]
    for record, _ in cells:
        record["metrics"]["nll"] = 0.4
    advice = ask(cells, **limits)
    assert (advice.chosen and name(advice.chosen)) == chosen
    assert dict(advice.misses) == ruled
    if chosen is None:
        assert sentences(advice)[0].startswith("none of 2 rows is within the limits (outside: 2 by ")


def test_size_and_latency_are_of_one_form() -> None:
    fields: dict[str, Any] = {"size_bytes": {"model": 1000, "onnx": 9000}}
    cells = [model("a", 350, 1.0, **fields)]
    advice = ask(cells, p50_ms=20.0, size_bytes=2000)
    assert advice.chosen and advice.chosen.form == ("torch", 10.0, 1000)
    advice = ask(cells, p50_ms=2.0, size_bytes=2000)
    assert advice.chosen is None and dict(advice.misses) == {"latency and size of one form": 1}
    fastest = ask(cells)
    assert fastest.chosen and fastest.chosen.form == ("onnx", 1.0, 9000)


def test_a_limit_that_only_test_breaks_is_told() -> None:
    advice = ask([model("a", 300, validation=0.95)], scores={"accuracy": 0.9})
    assert advice.chosen and advice.runner_up is None and advice.difference is None
    assert "its accuracy on test is 0.75, outside the limit; on validation it is within" in sentences(advice)


def test_a_teacher_may_be_the_one() -> None:
    teacher = scored("teacher", 390, validation={"accuracy": 0.97}, latency=[latency("onnx", 0.1)])
    advice = ask([teacher, model("a", 350)])
    assert advice.chosen and advice.chosen.row.role == "teacher"
    assert shown(advice).count("minilm") >= 1


def test_real_data_before_generated_and_each_task_its_own() -> None:
    def records(*values: Record) -> Results:
        return Results("here", build(values).tables, {})

    sample = {"source": "sample", "fingerprint": "s"}
    both = records(
        make("baseline", 0.8),
        make("baseline", 0.99, task=sample),
        make("baseline", 0.7, task={"name": "other"}),
    )
    found = recommend(both, Limits())
    assert [(each.table.label, each.table.task["source"]) for each in found] == [
        ("emotion", "local"),
        ("other", "local"),
    ]
    (chosen,) = recommend(both, Limits(), "sample")
    assert chosen.table.task["source"] == "sample"
    with pytest.raises(HarnessError, match="here has no row with a score on hub data"):
        recommend(both, Limits(), "hub")
    with pytest.raises(HarnessError, match=r"no metric 'f1_marco'; did you mean 'f1_macro'"):
        recommend(both, Limits(scores={"f1_marco": 0.5}))
    with pytest.raises(HarnessError, match="here has no row with a score"):
        recommend(records(make("baseline", None)), Limits())


def test_less_is_better_of_an_error() -> None:
    def row(student: str, mse: float) -> Record:
        metrics = {"mse": mse}
        return make(
            "baseline",
            0,
            student=part(student),
            metrics=metrics,
            validation=metrics,
            task={"headline": "mse", "type": "regression"},
        )

    both = Results("here", build([row("a", 0.5), row("b", 0.2), row("c", 0.9)]).tables, {})
    (advice,) = recommend(both, Limits(scores={"mse": 0.6}))
    assert advice.chosen and advice.runner_up
    assert (name(advice.chosen), name(advice.runner_up)) == ("b", "a")
    assert dict(advice.misses) == {"mse": 1}
    assert "0.200" in shown(advice) and "%" not in shown(advice)


def test_limits_as_people_write_them() -> None:
    texts = {"parameters": "100k", "p50": "1ms", "size": "1MB", "train": None}
    assert Limits.read(texts, ["f1_macro=85%"], None, "cpu") == Limits(
        1e5, 1.0, 1e6, None, {"f1_macro": 0.85}, None, "cpu"
    )
    with pytest.raises(HarnessError, match=r"--limit 'f1' must be <metric>=<score>, such as f1_macro"):
        Limits.read({}, ["f1"], None, "cpu")


def language(name: str, perplexity: float, p50: float, tokens: int = COUNT) -> Any:
    """A language model that on one hidden token a text has this perplexity; texts differ, by chance."""
    noise = np.random.default_rng(int(perplexity * 100)).normal(0, 1, COUNT)
    nll = (np.log(perplexity) + noise - noise.mean()).astype(np.float32)
    hidden = np.ones(COUNT, np.int16)
    scores = {"perplexity": float(perplexity), "masked_accuracy": 0.25, "hidden": str(tokens)}
    task = {"headline": "perplexity", "type": "language-modelling"}
    fields: Any = {"metrics": scores, "validation": scores, "task": task}
    record = make("distilled", 0, student=part(name), latency=[latency("onnx", p50)], **fields)
    return record, guessed(hidden, nll, str(tokens))


def test_perplexities_are_as_good_within_a_share_of_the_best() -> None:
    cells = [language("good", 50, 5), language("fast", 50.2, 1), language("worse", 51, 0.1)]
    advice = ask(cells)
    assert advice.chosen and name(advice.chosen) == "fast" and advice.equal == 2
    assert advice.chosen.score == pytest.approx(-50.2)
    assert "masked accuracy, %" in shown(advice) and "25.0" in shown(advice)
    assert name(ask(cells, tolerance=0.001).chosen) == "good"
    assert name(ask(cells, tolerance=0.05).chosen) == "worse"
    assert advice.notes == ()


def test_perplexities_of_other_vocabularies_are_told() -> None:
    advice = ask([language("good", 50, 5), language("other", 3, 1, tokens=20)])
    assert any("perplexities are on one scale only" in note for note in advice.notes)
    assert advice.difference is None and "chance" not in shown(advice)
    assert "no test" not in shown(advice)


def test_a_limit_in_per_cent_is_not_taken_for_a_share() -> None:
    cells = [model("best", 352)]
    with pytest.raises(HarnessError, match=r"from 0 to 1 as the limit on f1_macro, got 70; .* f1_macro=70%"):
        ask(cells, scores={"f1_macro": 70.0})
    ask(cells, scores={"validation_nll": 2.0, "f1_macro": 0.4})  # a loss has no upper end


def test_a_disturbed_latency_is_told() -> None:
    advice = ask([model("best", 352, latency=[latency("onnx", 1.0, disturbed=3.0)])])
    assert any("other programs" in note for note in advice.notes)
    assert not any("other programs" in note for note in ask([model("best", 352)]).notes)
