"""Exported language models tell hidden tokens as their models do, and hold each table of weights once."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from copy import copy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from harness.api import Examples, Unsupported
from harness.exports.onnx import OnnxModel
from harness.exports.quantise import quantise
from harness.runtime.answerer import Answerer
from harness.runtime.forms import load
from harness.runtime.streaming import answers
from harness.steps.export import is_same, too_much_lost
from harness.task_types.masked_lm import MaskedLanguageModelling
from harness.testing.tiny import CheckContext, FromLabels, tiny_examples
from harness.training.language_model import LanguageModel
from harness_students.transformer import TransformerStudent
from harness_students.words import Mlp
from harness_transformers.masked_lm import MaskedLM
from harness_transformers.transformer import Transformer

HIDDEN = MaskedLanguageModelling()

SMALL = MaskedLM(
    vocabulary=300, width=32, layers=2, heads=2, feedforward=64, epochs=6, longest=16, batch_size=8
)
TEXTS = [
    "the [MASK] is here today !",
    "so much [MASK] today ! no [MASK]",
    "no hidden word",
    "[MASK]",
    "rain " * 30 + "[MASK]",  # cut off
    "",
]
MASKS = [1, 2, 0, 1, 1, 0]
RAW = MaskedLanguageModelling()
KINDS = ["masked-lm", "masked-bert", "masked-roberta", "masked-distilbert", "student"]


@pytest.fixture(scope="module")
def make(
    folder_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], LanguageModel]:
    """A fitted language model of a kind, the same for all that ask; not to be changed."""
    context = CheckContext(tmp_path_factory.mktemp("language-models"))
    train, validation = tiny_examples(HIDDEN)

    @cache
    def made(kind: str) -> LanguageModel:
        model: Any
        if kind == "masked-lm":
            model = SMALL.fit(train, validation, context)
        elif kind == "student":
            start = Transformer(model=str(folder_of("masked-bert")), longest=16)
            student = TransformerStudent(start=start, layers=1, epochs=1, learning_rate=1e-3)
            model = student.fit(train, validation, FromLabels(), context)
        else:
            teacher = Transformer(model=str(folder_of(kind)), longest=16, epochs=1, learning_rate=1e-3)
            model = teacher.fit(train, validation, context)
        assert isinstance(model, LanguageModel)
        return model

    return made


def exported(model: LanguageModel, folder: Path, form: str = "auto") -> OnnxModel:
    model.export(folder)
    if form == "onnx-int8":
        quantise(folder)
    found = load(folder, form)
    assert isinstance(found, OnnxModel) and found.featuriser.marks == "masks"
    return found


def answers_of(form: OnnxModel, texts: Sequence[str], top: int | None = None) -> list[dict[str, Any]]:
    return RAW.answers(form, texts, top)


@pytest.mark.parametrize("kind", KINDS)
def test_parity_on_every_token(kind: str, make: Callable[[str], LanguageModel], tmp_path: Path) -> None:
    model = make(kind)
    form = exported(model, tmp_path)
    texts = list(tiny_examples(HIDDEN)[1].texts)
    compared = RAW.parity(model, Examples(texts, ()))(form)
    tokens = model.featuriser.tokens(texts)
    assert compared["outputs"] == int(tokens.lengths.sum()) and compared["texts"] == len(texts)
    assert is_same(compared) and compared["changed"] == compared["lost"] == 0
    assert compared["difference"] < 1e-4 * compared["spread"]
    expected = model.masked(texts)
    assert compared["score"] == pytest.approx((expected.predicted == expected.gold).mean())
    assert compared["perplexity"] == pytest.approx(np.exp(-expected.log_likelihood.mean()), rel=1e-4)
    found = form.masked(texts)
    for which in ("rows", "gold", "predicted", "log_likelihood"):
        np.testing.assert_allclose(getattr(found, which), getattr(expected, which), rtol=1e-4, atol=1e-5)
    # And the module's own way, of every token at once, without any marks.
    ids = torch.from_numpy(tokens.batch(np.arange(4)))
    with torch.inference_mode():
        right = model.module(ids)[ids != tokens.padding].numpy()
    marked = ids.numpy() + model.featuriser.size * (ids != tokens.padding).numpy()
    np.testing.assert_allclose(form.marked_logits(marked), right, atol=1e-4 * np.abs(right).max())


@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_told(kind: str, make: Callable[[str], LanguageModel], tmp_path: Path) -> None:
    model = make(kind)
    form = exported(model, tmp_path)
    expected = model.predict(TEXTS)
    assert expected.shape == (5, model.featuriser.size) and not expected[4].any()
    close = {"atol": 1e-4 * np.abs(expected).max()}
    np.testing.assert_allclose(form.predict(TEXTS), expected, **close)
    np.testing.assert_allclose(np.concatenate([form.predict([text]) for text in TEXTS]), expected, **close)
    best = model.decide(TEXTS, expected)
    assert form.decided(TEXTS).tolist() == best.tolist()
    name = form.featuriser.tokenizer.id_to_token  # type: ignore[attr-defined]
    assert [form.tokens(text) for text in TEXTS] == [
        *([name(best[0])], [name(best[1]), name(best[2])]),
        *([], [name(best[3])], [], []),
    ]
    with pytest.raises(
        Unsupported, match="cannot call label: this model is for language-modelling; call tokens"
    ):
        form.label("sun")
    found = answers_of(form, TEXTS)
    assert [len(answer["masks"]) for answer in found] == MASKS
    chances = torch.from_numpy(expected).softmax(1)
    first = found[0]["masks"][0]
    values, places = chances[0].topk(5)
    assert [each["token"] for each in first["top"]] == [name(int(place)) for place in places]
    assert [each["score"] for each in first["top"]] == pytest.approx(values.tolist(), abs=2e-5)
    assert {key: first[key] for key in ("token", "score")} == first["top"][0]
    assert found[4]["masks"] == [{"token": None, "score": None}]
    assert answers_of(form, TEXTS, 1)[0]["masks"] == [first["top"][0]]
    assert len(answers_of(form, TEXTS, 10**6)[0]["masks"][0]["top"]) == model.featuriser.size
    assert answers_of(form, TEXTS[2:3]) == [{"masks": []}] and answers_of(form, []) == []


@pytest.mark.parametrize("kind", KINDS)
def test_int8_is_near(kind: str, make: Callable[[str], LanguageModel], tmp_path: Path) -> None:
    model = make(kind)
    form = exported(model, tmp_path, "onnx-int8")
    expected = model.predict(TEXTS)
    found = form.predict(TEXTS)
    assert 0 < np.abs(found - expected).max() < 0.3 * np.abs(expected).max()
    compared = RAW.parity(model, tiny_examples(HIDDEN)[1])(form)
    assert compared["difference"] > 0 and np.isfinite(compared["perplexity"])


def test_the_table_is_held_once(make: Callable[[str], LanguageModel], tmp_path: Path) -> None:
    model = make("masked-lm")
    exported(model, tmp_path)
    graph = onnx.load(tmp_path / "model.onnx").graph
    size, width = model.featuriser.size, SMALL.width
    constants = [each.attribute[0].t for each in graph.node if each.op_type == "Constant"]
    held = [weight for weight in (*graph.initializer, *constants) if np.prod(weight.dims) == size * width]
    assert len(held) == 1
    readers = [each for each in graph.node if held[0].name in each.input]
    assert sorted(each.op_type for each in readers) == ["Gather", "Gemm"]
    weights = 4 * model.parameters().total
    assert weights < (tmp_path / "model.onnx").stat().st_size < weights + 60_000


def test_what_is_no_language_model_tells_no_tokens(tmp_path: Path, context: CheckContext) -> None:
    train, validation = tiny_examples()
    model = Mlp(vocabulary=30, min_examples=0, epochs=1).fit(train, validation, FromLabels(), context)
    model.export(tmp_path)
    for form in ("numpy", "onnx"):
        opened = load(tmp_path, form)
        for ask in (lambda: opened.tokens("sun"), lambda: opened.masked(["sun"])):  # noqa: B023
            with pytest.raises(
                Unsupported, match=r"not a (masked )?language model|cannot call tokens: .* for classification"
            ):
                ask()


def test_int8_is_judged_by_accuracy_on_hidden_tokens(
    make: Callable[[str], LanguageModel], tmp_path: Path
) -> None:
    """Forms with wrong hidden tokens in a number of texts."""
    model = copy(make("masked-lm"))
    form = exported(model, tmp_path)
    texts = [f"the {word} is here today" for word in ("sun", "rain", "wind") for _ in range(100)]
    right = model.masked(texts)
    assert len(right.gold) == 300  # one a text
    model.masked = lambda given: right._replace(predicted=right.gold)  # type: ignore
    for wrong, rejected in ((30, True), (3, False), (2, False), (0, False)):
        predicted = right.gold.copy()
        predicted[:wrong] += 1
        form.masked = lambda given: right._replace(predicted=predicted)  # type: ignore  # noqa: B023
        compared = RAW.parity(model, Examples(texts, ()))(form)
        assert compared["score"] == pytest.approx(1 - wrong / 300)
        assert compared["error"] == pytest.approx(np.sqrt(wrong) / 300)
        assert bool(too_much_lost(compared)) == rejected


def test_int8_is_judged_by_likelihood_too(make: Callable[[str], LanguageModel], tmp_path: Path) -> None:
    """Forms with the same tokens, less likely by a number of nats, in half of the texts or in one."""
    model = copy(make("masked-lm"))
    form = exported(model, tmp_path)
    texts = [f"the {word} is here today" for word in ("sun", "rain", "wind") for _ in range(100)]
    right = model.masked(texts)
    model.masked = lambda given: right  # type: ignore
    for nats, every, rejected in ((0.2, 2, True), (0.11, 2, False), (0.08, 2, False), (30.0, 300, False)):
        less = np.where(np.arange(300) % every, 0.0, nats)
        form.masked = lambda given: right._replace(log_likelihood=right.log_likelihood - less)  # type: ignore  # noqa: B023
        compared = RAW.parity(model, Examples(texts, ()))(form)
        assert compared["lost"] == 0 and compared["risen"] == pytest.approx(nats / every, abs=1e-6)
        assert compared["risen_error"] == pytest.approx(less.std() / np.sqrt(300), abs=1e-6)
        assert bool(too_much_lost(compared)) == rejected
    assert too_much_lost({**compared, "risen": 0.1, "risen_error": 0.006}) == (
        "its mean negative log-likelihood is 0.10 nats higher on 300 texts; allowed: 0.05"
    )


def test_a_user_asks_without_torch(make: Callable[[str], LanguageModel], tmp_path: Path) -> None:
    model = make("masked-lm")
    exported(model, tmp_path)
    code = (
        "import sys\nfrom harness.cli import main\n"
        f"sys.argv = ['harness', 'predict', {str(tmp_path)!r}, *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )

    def ask(*arguments: str) -> bytes:
        command = [sys.executable, "-c", code, *arguments]
        given = b"I feel so [MASK] today\nnothing\n"
        return subprocess.run(command, input=given, capture_output=True, check=True, env=os.environ).stdout

    first, second = map(json.loads, ask().splitlines())
    assert len(first["masks"]) == 1 and len(first["masks"][0]["top"]) == 5 and second == {"masks": []}
    scores = [each["score"] for each in first["masks"][0]["top"]]
    assert scores == sorted(scores, reverse=True) and 0 < sum(scores) < 1
    best = [each["token"] for each in first["masks"][0]["top"]]
    assert ask("--format", "tsv").decode().splitlines() == [best[0], ""]
    assert ask("--format", "tsv", "--top", "2").decode().splitlines() == [" ".join(best[:2]), ""]
    stream = io.BytesIO(b"so [MASK] and [MASK]")
    assert [RAW.as_tsv(each).count(" ") for each in answers(Answerer(load(tmp_path)), stream)] == [1]
