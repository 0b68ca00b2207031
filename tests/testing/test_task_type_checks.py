"""The checks of types of task: sound types pass, and broken ones fail by their rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from sound import variant

from harness import catalog
from harness.api import Examples, TaskType
from harness.task_types.base import Metric, Prediction
from harness.task_types.classification import Classification
from harness.task_types.tagging import Tagging
from harness.testing import check_task_type, checks_of, parametrize_with_checks
from harness.testing.rules import known_types

pytestmark = pytest.mark.usefixtures("one_thread")
INSTALLED = catalog.load()


@parametrize_with_checks(list(known_types(INSTALLED).values()), catalog=INSTALLED)
def test_every_type_that_is_installed(check: Any) -> None:
    check()


def test_names_stay_the_same() -> None:
    assert [check.name for check in checks_of(Tagging())] == [
        "basics",
        "has defaults",
        "has tiny examples",
        "counts rows",
        "reads texts and inputs",
        "cleans and numbers tables",
        "keeps labels in Arrow",
        "labels new texts",
        "finds problems of tables",
        "scores answers",
        "has ranges of metrics",
        "agrees with itself",
        "keeps predictions",
        "scores resamples",
        "draws labels",
        "learns gold labels",
        "ignores rows without a label",
        "weighs rows",
        "has targets",
        "averages outputs",
        "describes models",
    ]


def changed(name: str, change: Callable[[Any], Any], base: type[TaskType] = Classification) -> Any:
    """Return a type of which one method's result is changed."""

    def method(self: Any, *given: Any) -> Any:
        return change(getattr(base, name)(self, *given))

    return variant(base, "Changed", **{name: method})


def given(name: str, value: Any) -> Any:
    """Return a type of which one method always returns a value."""
    return variant(Classification, "Given", **{name: lambda self, *parts: value})


def tiny(**changes: Callable[[Examples], Any]) -> Any:
    """Return a type whose tiny training examples are changed."""

    def change(parts: tuple[Examples, Examples]) -> tuple[Examples, Examples]:
        train, validation = parts
        return replace(train, **{name: made(train) for name, made in changes.items()}), validation

    return changed("tiny", change)


def of_others(score: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in score.items() if name != "accuracy"}


def no_labels(self: Any, train: Examples) -> Any:
    assert train.labels is not None
    labels = train.labels
    return lambda row, text: labels[max(row, 0)]


def counts_all(self: Any, logits: Any, batch: Any) -> Any:
    losses = torch.nn.functional.cross_entropy(logits, batch.labels.clamp(min=0), reduction="none")
    return (losses if batch.weights is None else losses * batch.weights).mean()


def mean_of_known(self: Any, logits: Any, batch: Any) -> Any:
    return torch.nn.functional.cross_entropy(logits, batch.labels, ignore_index=-1)


def complains(self: Any, tables: Any) -> Iterator[str]:
    yield "nothing is ever right"


def numbered(prediction: Prediction) -> Prediction:
    return prediction._replace(numbers=np.zeros(len(prediction.gold), np.float32))


def stored_in_few_bits(labels: Any) -> Any:
    return labels.astype(np.int8)


@pytest.mark.parametrize(
    ("task_type", "rule"),
    [
        (tiny(texts=lambda train: train.texts[1:]), "labels of tiny examples must have 29 rows"),
        (tiny(labels=lambda train: None), "tiny examples must have labels if `stored` has a type"),
        (tiny(logits=lambda train: train.logits[:, :2]), "logits of tiny examples must be of 3 classes"),
        (tiny(task_type=lambda train: Tagging()), "task_type of tiny examples must be Changed"),
        (changed("tiny", lambda parts: (parts[0],)), "tiny must return training and validation examples"),
        (changed("tiny", lambda parts: (parts[0], parts[0])), "must have other texts to validate"),
        (
            changed("rows_before", lambda before: before if len(before) > 1 else before[1:]),
            r"rows_before must return \[0\] for no texts, got \[\]",
        ),
        (changed("text_of", lambda text: text + "!"), "text_of must leave its own texts as they are"),
        (given("input_of", "a text"), "input_of must return for the string"),
        (given("odd_texts", [None]), "odd_texts must return strings"),
        (given("queries", []), r"queries must return texts, got \[\]"),
        (
            changed("clean", lambda one: one._replace(texts=one.texts[1:], labels=one.labels[1:])),
            "clean must keep the labelled texts",
        ),
        (changed("clean", lambda one: one._replace(dropped={})), "keep each row or count it as dropped"),
        (changed("clean", lambda one: one._replace(labels=one.labels[1:])), "as many labels as texts"),
        (changed("number", lambda found: (found[0][:2], found[1])), "number must name the classes"),
        (
            changed("number", lambda found: (found[0][::-1], found[1])),
            "number, stored and labels must keep the labels that table has",
        ),
        (changed("labels", stored_in_few_bits), "labels must read what was stored"),
        (
            variant(Classification, "Sure", gold=no_labels),
            "gold must return no label for a text made from none",
        ),
        (given("gold", lambda row, text: -1), "labels must read what was stored"),
        (given("problems", iter(())), "problems must yield something for tables without columns"),
        (variant(Classification, "Complains", problems=complains), "problems must yield nothing for sound"),
        (changed("score", of_others), "score must return the headline 'accuracy', got f1_macro"),
        (changed("score", lambda s: s | {"nll": np.nan}), "score must return finite JSON values"),
        (changed("score", lambda s: s | {"accuracy": 1}), "the headline must be a number, got 1"),
        (
            variant(Classification, "Narrow", metrics={"accuracy": Metric(high=0.5)}),
            "'accuracy' must be from 0.0 to 0.5, got 1.0",
        ),
        (changed("metric", lambda metric: metric._replace(title="")), "must return a Metric with a title"),
        (given("agreement", 0.5), "agreement of answers with themselves must be 1, got 0.5"),
        (given("prediction", None), "prediction must be able to keep the answers"),
        (changed("prediction", numbered), "`numbers` of predictions must be read as written"),
        (changed("on_resamples", lambda functions: {"nll": functions["accuracy"]}), "must have the headline"),
        (
            changed("on_resamples", lambda of: {"accuracy": lambda cells, w: of["accuracy"](cells, w) / 2}),
            r"'accuracy' of on_resamples must be 1\.0 as scored, got 0\.5",
        ),
        (
            changed("hits", lambda hits: None if hits is None else ~hits),
            "hits of 'accuracy' must have that share of texts",
        ),
        (variant(Classification, "CountsAll", gold_loss=counts_all), "rows without a label must not count"),
        (variant(Classification, "Mean", gold_loss=mean_of_known), "gold_loss must return a finite scalar"),
        (changed("gold_loss", lambda loss: loss * 0), "the gradient of gold_loss must not be zero"),
        (changed("gold_loss", lambda loss: loss.detach()), "the gradient of gold_loss must reach the logits"),
        (
            changed("draw_labels", lambda labels: labels[:, None]),
            "draw_labels must return labels of",
        ),
        (given("row_weights", lambda gold, teacher: None), "row_weights must return None for 'uniform'"),
        (given("targets", None), "targets must return those of logits"),
        (changed("average", lambda logits: logits * 2), "average of equal outputs"),
        (given("card", " "), "card must return a text"),
    ],
    ids=str,
)
def test_broken_types(task_type: TaskType, rule: str) -> None:
    with pytest.raises(AssertionError, match=f"^task type 'classification': .*{rule}") as caught:
        for check in list(checks_of(task_type))[1:]:  # several are of one name: pickle finds the last
            check()
    assert "\n" not in str(caught.value)


def test_what_is_not_implemented_is_named() -> None:
    def missing(self: Any, examples: Examples) -> Any:
        raise NotImplementedError

    with pytest.raises(AssertionError, match="but: missing is not implemented"):
        check_task_type(variant(Classification, "Unfinished", table=missing))


@dataclass(frozen=True, kw_only=True)
class Demanding(Classification):
    """Asks for an option."""

    more: int


def test_options_have_defaults() -> None:
    with pytest.raises(AssertionError, match="all options must have defaults, and lack one: more"):
        check_task_type(Demanding(more=1))


def test_the_answers_are_made_once() -> None:
    asked: list[int] = []

    def ask(self: Any, *parts: Any) -> Any:
        asked.append(1)
        return Classification.ask(self, *parts)

    check_task_type(variant(Classification, "Asked", ask=ask))
    assert len(asked) == 1
