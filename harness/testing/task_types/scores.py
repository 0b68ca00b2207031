"""Check how a type of task scores answers, compares them, and keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness.api import Examples, Masked, Model, Parameters, TaskType
from harness.task_types.base import Answers, Metric, Prediction
from harness.testing.shared import Shared
from harness.testing.task_types.common import TinyType
from harness.testing.tiny import by_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CLOSE = 1e-6  # relative: how far a score on resamples may be from the score
_BYTE = 1 / 100  # confidences are kept as one byte


class _Told(Model):
    """A model that has the logits of the tiny examples by heart, and guesses a token of each text."""

    def __init__(self, examples: Examples) -> None:
        texts = list(examples.texts)
        logits = examples.logits
        if logits is None:
            rows = int(examples.task_type.rows_before(texts)[-1])
            logits = np.zeros((rows, len(examples.classes)), np.float32)
        parts = by_text(logits, texts, examples.task_type)
        self.known = dict(zip(texts, parts, strict=True))

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.concatenate([self.known[text] for text in texts])

    def masked(self, texts: Sequence[str]) -> Masked:
        rows = np.arange(len(texts))
        gold, predicted = rows % 5, rows % 4
        return Masked(rows, gold, predicted, np.log((1 + rows % 3) / 4).astype(np.float32))

    def vectors(self, words: Sequence[str], of: Literal["embeddings", "hidden"]) -> NDArray[np.float32]:
        return np.array([[len(word), 1] for word in words], dtype=np.float32)

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    def parameters(self) -> Parameters:
        return Parameters(0, 0, 0)


class ScoreChecks(TinyType):
    """A type's scores of the answers of a model that knows the tiny training examples."""

    def __init__(self, task_type: TaskType, shared: Shared) -> None:
        super().__init__(task_type)
        self.shared = shared

    def answers(self) -> tuple[TaskType, Examples, Answers]:
        """Return the type after it was tuned, the training examples, and what it decided for them."""
        return self.shared.once("answers", self._answers)

    def _answers(self) -> tuple[TaskType, Examples, Answers]:
        train = self.parts()[0]
        with self.must.manage("ask must take a model"):
            answers = self.type.ask(_Told(train), train.texts, train.classes)
        arrays = all(isinstance(each, np.ndarray) for each in answers.values())
        self.must("ask must return arrays by name", bool(answers) and arrays)
        with self.must.manage("tuned and settle must take what ask returns"):
            tuned = self.type.tuned(answers, train)
            return tuned, train, tuned.settle(answers)

    def scores(self) -> Mapping[str, Any]:
        """Return the scores of the answers."""
        tuned, train, answers = self.answers()
        with self.must.manage("score must take the answers to tiny examples"):
            return tuned.score(answers, train)

    def check_scores(self) -> None:
        """Score answers by its headline, as finite JSON values."""
        scores = self.scores()
        named = self.type.headline in scores
        self.must(f"score must return the headline '{self.type.headline}', got {', '.join(scores)}", named)
        with self.must.manage("score must return finite JSON values"):
            json.dumps(scores, allow_nan=False)
        number = scores[self.type.headline]
        self.must(f"the headline must be a number, got {number!r}", isinstance(number, float))

    def check_metrics(self) -> None:
        """Say of each metric how to read it, in a range that its values are in."""
        scores = self.scores()
        for name in {self.type.headline, *self.type.beside, *self.type.metrics}:
            for key in (name, f"validation_{name}"):
                metric = self.type.metric(key)
                titled = isinstance(metric, Metric) and bool(metric.title)
                self.must(f"metric must return a Metric with a title for '{key}'", titled)
            if name in scores:
                within = metric.low - _CLOSE <= scores[name] <= metric.high + _CLOSE
                rule = f"'{name}' must be from {metric.low} to {metric.high}, got {scores[name]}"
                self.must(rule, within)

    def check_agreement(self) -> None:
        """Agree in full with answers that are the same."""
        tuned, _, answers = self.answers()
        with self.must.manage("agreement must take answers"):
            agreed = tuned.agreement(answers, answers)
        whole = agreed is not None and abs(agreed - 1) < _CLOSE
        self.must(f"agreement of answers with themselves must be 1, got {agreed}", whole)

    def prediction(self) -> Prediction:
        """Return what is kept of the answers."""
        tuned, train, answers = self.answers()
        with self.must.manage("prediction must take answers"):
            found = tuned.prediction(answers, train)
        self.must("prediction must be able to keep the answers to tiny examples", found is not None)
        assert found is not None
        return found

    def check_prediction(self) -> None:
        """Read from ``predictions.parquet`` what was written."""
        from harness.results.predictions import read, write

        one = self.prediction()
        folder = self.shared.empty("predictions")
        with self.must.manage("predictions.parquet must take its predictions"):
            write(folder, {"cell": one})
            found = read(folder).get("cell")
        self.must("predictions.parquet must have its predictions: is the type registered?", found is not None)
        assert found is not None
        self.must("predictions must be read as of the same type", found.task_type.name == self.type.name)
        for name in ("predicted", "gold", "numbers", "confidence"):
            before, after = getattr(one, name), getattr(found, name)
            noise = _BYTE if name == "confidence" else 0.0
            self.must(f"`{name}` of predictions must be read as written", _near(before, after, noise))
        for name in ("classes", "positive", "lengths", "scale"):
            same = getattr(one, name) == getattr(found, name)
            self.must(f"`{name}` of predictions must be read as written", same)

    def check_resamples(self) -> None:
        """Compute from predictions the scores that answers have, if each text counts once."""
        scores, one = self.scores(), self.prediction()
        functions = self.type.on_resamples(one)
        if not functions:
            return
        headline = self.type.headline
        self.must(f"on_resamples must have the headline '{headline}', if any metric", headline in functions)
        with self.must.manage("stack must take predictions"):
            stacked, count = self.type.stack([one, one])
        weights = np.ones((count, 1), np.float32)
        for name, function in functions.items():
            with self.must.manage(f"'{name}' of on_resamples must take what stack returns"):
                found = function(stacked, weights)
            self.must(f"'{name}' of on_resamples must have a row for each prediction", found.shape == (2, 1))
            same = name not in scores or np.allclose(found, scores[name], rtol=_CLOSE, atol=_CLOSE)
            self.must(
                f"'{name}' of on_resamples must be {scores.get(name)} as scored, got {found[0, 0]}", same
            )
            hits = self.type.hits(name, stacked)
            same = hits is None or np.allclose(hits.mean(axis=1), found[:, 0], rtol=_CLOSE, atol=_CLOSE)
            self.must(f"hits of '{name}' must have that share of texts", same)


def _near(one: Any, other: Any, noise: float) -> bool:
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and np.allclose(one, other, rtol=0, atol=noise, equal_nan=True)
