"""The evaluation step of language models: perplexity on hidden tokens, agreement, and words' neighbours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import load_file
from stepbench import Bench, Given, Repeater, Says, Speaker

from harness.api import Context, HarnessError, Masked, Model
from harness.steps.evaluation import PREDICTIONS, PROBE, answers_of
from harness.storage.store import Artefact
from harness.testing.tiny import FromLabels

TEXTS = ["cat dog sun", "dog cat sky moon", "cat sun moon", "cat"]
WORDS = ("cat", "dog", "moon", "sun", "sky")  # by how often they stand there, then by the alphabet
# On a circle, so that nearness is plain.
PLACES = {"cat": 0, "dog": 10, "sun": 90, "moon": 100, "sky": 130}
TURNED = {"cat": 0, "dog": 95, "sun": 90, "moon": 10, "sky": 60}


@dataclass(frozen=True)
class Texts(Given):
    """These texts, without labels."""

    name = "texts"
    task_type = "language-modelling"
    headline = "perplexity"


def vectors(places: dict[str, int], words: Sequence[str]) -> Any:
    angles = np.deg2rad([places[word] for word in words])
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


class Tells(Says):
    """A language model that hides each text's last word; `outputs` says what it makes of it."""

    places = PLACES

    def masked(self, texts: Sequence[str]) -> Masked:
        rows = np.arange(len(texts))
        gold = np.array([len(text) for text in texts])
        predicted, likely = self.outputs(texts)
        return Masked(rows, gold, np.array(predicted), np.log(np.array(likely, dtype=np.float32)))

    def vectors(self, words: Sequence[str], of: Any) -> Any:
        return vectors(self.places if of == "hidden" else PLACES, words)


class Turned(Tells):
    """One that knows other neighbours."""

    places = TURNED


@dataclass(frozen=True)
class Tuned(Speaker):
    """A teacher that was turned by being fitted."""

    def untuned(self, context: Context) -> Model:
        assert context.device == "cpu"
        return Turned(self.outputs)


@dataclass(frozen=True)
class Learns(Repeater):
    """A student with a language model."""

    model: type[Tells] = Turned

    def fit(self, *given: Any) -> Model:
        return self.model(self.outputs)

    def load(self, *given: Any) -> Model:
        return self.model(self.outputs)


def knows(*probabilities: float, wrong: int = 0) -> Any:
    """Answers with these probabilities for the gold tokens; the first `wrong` ones are not the likeliest."""

    def outputs(texts: Sequence[str]) -> Any:
        gold = [0 if place < wrong else len(text) for place, text in enumerate(texts)]
        return gold, list(probabilities)

    return outputs


def corpus(bench: Bench) -> Artefact:
    return bench.run("data", task=Texts({split: pa.table({"text": TEXTS}) for split in _SPLITS}))


_SPLITS = ("train", "validation", "test")
_TASK = Texts({})


def taught(bench: Bench, source: Artefact, teacher: Any, **more: Any) -> Artefact:
    model = bench.run("teacher", {"data": source}, teacher=teacher)
    return bench.run("evaluation", {"data": source, "model": model}, teacher=teacher, task=_TASK, **more)


def learned(bench: Bench, source: Artefact, student: Any, teacher: Artefact) -> Artefact:
    model = bench.run("student", {"data": source}, student=student, loss=FromLabels())
    needs = {"data": source, "model": model, "teacher": teacher}
    return bench.run("evaluation", needs, student=student, task=_TASK)


def test_perplexity_and_what_is_kept(bench: Bench) -> None:
    found = taught(bench, corpus(bench), Speaker(knows(0.5, 0.5, 0.25, 1.0, wrong=1), Tells))
    scores = found.result["test"]
    assert scores["perplexity"] == pytest.approx(2)  # the fourth root of 2 · 2 · 4 · 1
    assert scores["masked_accuracy"] == 0.75 and scores["tokens"] == 4 and scores["texts_per_s"] > 0
    assert "agreement" not in scores
    kept = load_file(found.folder / PREDICTIONS)
    assert set(kept) == {f"{split}-{name}" for split in _SPLITS[1:] for name in Masked._fields}
    again = Masked(**answers_of(found, "test"))
    assert again.gold.tolist() == [len(text) for text in TEXTS]
    assert again.predicted[0] == 0 and again.rows.dtype == np.int32
    assert sum(len(array.tobytes()) for array in kept.values()) == 2 * 4 * 4 * 4  # no logits of all tokens


def test_agreement_is_on_the_same_hidden_tokens(bench: Bench) -> None:
    source = corpus(bench)
    teacher = taught(bench, source, Speaker(knows(*[0.5] * 4, wrong=1), Tells))
    student = learned(bench, source, Learns(knows(*[0.5] * 4, wrong=3)), teacher)
    assert student.result["test"]["agreement"] == 0.5  # on the first, which both miss, and the last

    class Cuts(Tells):
        def masked(self, texts: Sequence[str]) -> Masked:
            found = super().masked(texts)
            return found._replace(gold=found.gold + 1)  # a vocabulary of its own

    other = learned(bench, source, Learns(knows(*[0.5] * 4), model=Cuts), teacher)
    assert "agreement" not in other.result["test"]


def test_neighbours_of_the_teacher_and_of_what_it_was_before(bench: Bench) -> None:
    source = corpus(bench)
    teacher = taught(bench, source, Tuned(knows(*[0.5] * 4), Tells))
    kept = json.loads((teacher.folder / PROBE).read_text("utf-8"))
    assert set(kept) == {"embeddings", "hidden", "embeddings_before", "hidden_before"}
    assert kept["hidden"]["cat"] == ["dog", "sun", "moon", "sky"]
    assert kept["hidden_before"]["cat"] == ["moon", "sky", "sun", "dog"]
    assert list(kept["hidden"]) == list(WORDS)
    assert teacher.result["probes"]["neighbours"] == kept  # all, as there are few words
    # All of five words are neighbours of each, in whatever order.
    shares = {name: value for name, value in teacher.result["test"].items() if "neighbours" in name}
    assert shares == {"neighbours_embeddings_before": 1, "neighbours_hidden_before": 1}
    student = learned(bench, source, Learns(knows(*[0.5] * 4)), teacher)
    assert set(json.loads((student.folder / PROBE).read_text("utf-8"))) == {"embeddings", "hidden"}
    assert {name for name in student.result["test"] if "neighbours" in name} == {
        *("neighbours_embeddings", "neighbours_hidden"),
        *("neighbours_embeddings_before", "neighbours_hidden_before"),
    }


def test_only_the_nearest_count(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.task_types.neighbours.nearest.__defaults__", (1,))
    source = corpus(bench)
    teacher = taught(bench, source, Tuned(knows(*[0.5] * 4), Tells))
    # Before: cat-moon, dog-sun, moon-cat, sun-dog, sky-sun.
    # After: cat-dog, dog-cat, moon-sun, sun-moon, sky-moon.
    assert teacher.result["test"]["neighbours_hidden_before"] == 0
    assert teacher.result["test"]["neighbours_embeddings_before"] == 1
    student = learned(bench, source, Learns(knows(*[0.5] * 4)), teacher)  # is as the teacher was before
    scores = student.result["test"]
    assert (scores["neighbours_hidden"], scores["neighbours_hidden_before"]) == (0, 1)
    assert (scores["neighbours_embeddings"], scores["neighbours_embeddings_before"]) == (1, 1)


def test_a_model_without_vectors_has_no_neighbours(bench: Bench) -> None:
    class Blind(Tells):
        def vectors(self, words: Sequence[str], of: Any) -> Any:
            return Model.vectors(self, words, of)

    source = corpus(bench)
    teacher = taught(bench, source, Speaker(knows(*[0.5] * 4), Blind))
    assert teacher.result["probes"] == {"neighbours": {}}
    student = learned(bench, source, Learns(knows(*[0.5] * 4)), teacher)
    assert not any("neighbours" in name for name in student.result["test"])


def test_what_is_no_language_model_says_so(bench: Bench) -> None:
    with pytest.raises(HarnessError, match="Says is not a language model"):
        taught(bench, corpus(bench), Speaker(knows(0.5)))
