"""Lines in, one answer each, in order, as soon as they have come."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.api import HarnessError
from harness.exports.onnx import export_module
from harness.featurise.featuriser import Words
from harness.runtime import streaming
from harness.runtime.forms import Exported, load
from harness.runtime.streaming import BadLine, answers, batches, text_of
from harness.task_types.classification import Classification
from harness.task_types.tagging import Tagging
from harness_students.modules import AveragedWords

CLASSES = ["bad", "fair", "good"]


@pytest.fixture
def model(tmp_path: Path) -> Exported:
    """Logits (0, 1, 2) for "sun", (2, 1, 0) for "rain", and (0, 0, 0) for all else."""
    words = Words(["sun", "rain"], 8)
    module = AveragedWords(words.size, 3, 0, 3, 0.0, 1.0)
    with torch.no_grad():
        module.embedding.weight.copy_(torch.tensor([[0, 0, 0], [0, 0, 0], [0, 1, 2], [2, 1, 0]]))
        module.output.weight.copy_(torch.eye(3))
        module.output.bias.zero_()
    export_module(module, words, CLASSES, tmp_path)
    return load(tmp_path)


class Trickle(io.RawIOBase):
    """A stream whose reads give these pieces, one each."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def read1(self, size: int) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ((b"a\nb\n",), [[b"a", b"b"]]),
        ((b"a\n", b"b\nc\n"), [[b"a"], [b"b", b"c"]]),
        ((b"a", b"b", b"c\nd"), [[b"abc"], [b"d"]]),  # the last without an end
        ((b"a\n\n\nb\n",), [[b"a", b"", b"", b"b"]]),
        ((b"\xc3", b"\xa4\n"), [["ä".encode()]]),  # a letter in two pieces
        ((), []),
        ((b"\xef\xbb", b"\xbfa\nb"), [[b"a"], [b"b"]]),
        (("ä\nb\n".encode("utf-16"),), [["ä".encode(), b"b"]]),
        (
            (b"\xff\xfe", "ä\n".encode("utf-16-le")[:1], "ä\nb".encode("utf-16-le")[1:]),
            [["ä".encode()], [b"b"]],
        ),
        ((b"a\rb\r",), [[b"a", b"b"]]),
        ((b"a\x1cb\xe2\x80\xa8c\n",), [[b"a\x1cb\xe2\x80\xa8c"]]),
    ],
)
def test_lines_are_given_as_they_come(pieces: tuple[bytes, ...], expected: Any) -> None:
    assert list(batches(Trickle(*pieces))) == expected  # type: ignore[arg-type]


def test_what_has_come_is_answered_before_more_is_read(model: Exported) -> None:
    stream = Trickle(b"sun\n", b"rain\n")
    told = answers(model, stream)  # type: ignore[arg-type]
    assert next(told)["label"] == "good"
    assert stream.pieces == [b"rain\n"]
    assert [each["label"] for each in told] == ["bad"]


def test_many_lines_are_answered_in_parts(model: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "BATCH", 3)
    asked: list[int] = []
    predict = model.predict

    def counted(texts: Sequence[str]) -> Any:
        asked.append(len(texts))
        return predict(texts)

    monkeypatch.setattr(model, "predict", counted)
    found = list(answers(model, io.BytesIO(b"sun\nrain\n" * 4)))
    assert [each["label"] for each in found] == ["good", "bad"] * 4
    assert asked == [3, 3, 2]


def test_scores_are_probabilities_best_first(model: Exported) -> None:
    (found,) = answers(model, io.BytesIO(b"sun"), top=2)
    odds = np.exp([2.0, 1.0, 0.0])
    right = odds / odds.sum()
    assert found["label"] == "good" and found["score"] == pytest.approx(right[0], abs=1e-5)
    assert [each["label"] for each in found["top"]] == ["good", "fair"]
    assert [each["score"] for each in found["top"]] == pytest.approx(list(right[:2]), abs=1e-5)
    (all_,) = answers(model, io.BytesIO(b"sun"), top=9)
    assert sum(each["score"] for each in all_["top"]) == pytest.approx(1, abs=1e-5)
    assert len(all_["top"]) == 3
    (one,) = answers(model, io.BytesIO(b"sun"))
    assert set(one) == {"label", "score"}


def test_a_regression_gives_its_number(tmp_path: Path) -> None:
    words = Words(["sun"], 8)
    module = AveragedWords(words.size, 1, 0, 1, 0.0, 1.0)
    with torch.no_grad():
        module.embedding.weight.copy_(torch.tensor([[0.0], [0.0], [2.0]]))
        module.output.weight.fill_(1)
        module.output.bias.fill_(0.5)
    export_module(module, words, ["score"], tmp_path)
    model = load(tmp_path)
    found = list(answers(model, io.BytesIO(b"sun\nrain\n"), top=3))
    assert found == [{"score": 2.5}, {"score": 0.5}]
    assert model.task_type.as_tsv(found[0]) == "2.5"


def test_bad_lines_are_told_in_their_place(model: Exported) -> None:
    lines = [
        b'{"text": "sun"}',
        b"{",
        b"[1]",
        b'{"text": 3}',
        b'{"other": ""}',
        b'{"text": "rain"}',
        b" ",
        b"",
    ]
    found = list(answers(model, io.BytesIO(b"\n".join(lines)), "text"))
    assert [each.get("label") for each in found] == ["good", None, None, None, None, "bad"]
    assert [each["error"] for each in found if "error" in each] == [
        "line 2: expected a JSON object, got something that is not JSON",
        "line 3: expected a JSON object, got a list",
        "line 4: expected text in 'text', got a number",
        "line 5: expected a column 'text', got an object with 'other'",
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [(b"a text\r", "a text"), ("ä".encode(), "ä"), (b" a\xe2\x80\xa8b\x85"[:6], " a\u2028b")],
)
def test_plain_lines(line: bytes, expected: str) -> None:
    assert text_of(line, None, Classification()) == expected


@pytest.mark.parametrize(
    ("value", "kind"), [(None, "null"), (True, "true or false"), ({}, "an object"), (1.5, "a number")]
)
def test_kinds_are_named(value: Any, kind: str) -> None:
    with pytest.raises(BadLine, match=f"^expected text in 'a', got {kind}$"):
        text_of(json.dumps({"a": value}).encode(), "a", Classification())


def test_half_a_surrogate_pair_is_replaced() -> None:
    assert text_of(rb'{"a": "so \ud83d sun"}', "a", Classification()) == "so \ufffd sun"
    assert text_of(rb'{"a": ["so", "\ud83d"]}', "a", Tagging()) == "so \ufffd"


def test_deep_json_is_a_bad_line() -> None:
    with pytest.raises(BadLine):
        text_of(b"[" * 100_000, "a", Classification())


def test_tsv_stays_in_its_columns() -> None:
    top = [{"label": "a\tb\n c", "score": 0.5}, {"label": "d", "score": 0.25}]
    as_tsv = Classification().as_tsv
    assert as_tsv({**top[0], "top": top}) == r"a\tb\n c" + "\t0.5\td\t0.25"
    assert as_tsv(top[1]) == "d\t0.25"


def test_answers_that_are_not_numbers_are_told_in_their_place(
    model: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = model.predict

    def predict(texts: Sequence[str]) -> Any:
        return np.array(
            [[np.nan] * 3 if text == "bad" else row for text, row in zip(texts, sound(texts), strict=True)]
        )

    monkeypatch.setattr(model, "predict", predict)
    for top in (None, 2):
        first, second, third = answers(model, io.BytesIO(b"sun\nbad\nrain\n"), top=top)
        assert (first["label"], third["label"]) == ("good", "bad")
        assert second == {"error": "line 2: the model returned NaN or infinity"}


def test_a_text_on_which_the_model_fails_costs_its_own_line_only(
    model: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = model.predict

    def predict(texts: Sequence[str]) -> Any:
        if "bad" in texts:
            raise RuntimeError("too odd\nfor this graph")
        return sound(texts)

    monkeypatch.setattr(model, "predict", predict)
    first, second, third = answers(model, io.BytesIO(b"sun\nbad\nrain\n"))
    assert (first["label"], third["label"]) == ("good", "bad")
    assert second == {"error": "line 2: cannot answer: too odd"}


def test_tags_and_their_alternatives_stay_in_their_columns() -> None:
    answer = {
        "tags": ["O", "B-a b"],
        "top": [[{"tag": "O"}, {"tag": "B-x"}], [{"tag": "B-a b"}, {"tag": "O"}]],
    }
    assert Tagging().as_tsv(answer) == r"O B-a\x20b"
    assert Tagging().as_tsv(answer, 2) == "O B-x\t" + r"B-a\x20b O"


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [
        (b"a\xff", None, "expected UTF-8, got the byte 0xff at 2"),
        (b'{"a": "\xff"}', "a", "expected UTF-8, got the byte 0xff at 8"),
        (b"a\0", None, "expected text, got a NUL byte"),
        (b"", None, "expected a text, got a blank line"),
        (b" \xc2\xa0\r", None, "expected a text, got a blank line"),
    ],
)
@pytest.mark.parametrize("task_type", [Classification(), Tagging()])
def test_lines_without_a_text(line: bytes, column: str | None, message: str, task_type: Any) -> None:
    with pytest.raises(BadLine) as told:
        text_of(line, column, task_type)
    assert str(told.value) == message


def test_blank_lines_are_errors_in_their_place_but_empty_strings_are_texts(model: Exported) -> None:
    (empty,) = answers(model, io.BytesIO(b'{"text": ""}\n'), "text")
    assert "label" in empty
    found = list(answers(model, io.BytesIO(b"sun\n\nrain\n")))
    assert [each.get("label") for each in found] == ["good", None, "bad"]
    assert found[1] == {"error": "line 2: expected a text, got a blank line"}


def test_streams_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "LONGEST", 99)
    for data, message in (
        (gzip.compress(b"sun\n"), "it is compressed; unpack it first, as with gzip -cd"),
        (b"sun\n" + b"x" * 100, "line 2 is longer than"),
        ("sun\n".encode("utf-16")[:-1], "its byte order mark says UTF-16, but it is damaged"),
    ):
        with pytest.raises(HarnessError, match=message):
            list(batches(io.BytesIO(data)))
