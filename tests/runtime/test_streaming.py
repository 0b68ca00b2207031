"""Lines in, one answer each, in order, as soon as they have come."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.exports.onnx import export_module
from harness.featurise.featuriser import Words
from harness.runtime.answerer import Answerer
from harness.runtime.forms import Exported, load
from harness.runtime.streaming import BadLine, answered, answers, text_of
from harness.sources import lines
from harness.sources.rows import read_stream
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


def test_what_has_come_is_answered_before_more_is_read(model: Exported) -> None:
    stream = Trickle(b"sun\n", b"rain\n")
    told = answers(Answerer(model), stream)  # type: ignore[arg-type]
    assert next(told)["label"] == "good"
    assert stream.pieces == [b"rain\n"]
    assert [each["label"] for each in told] == ["bad"]


def test_many_lines_are_answered_in_parts(model: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BATCH", 3)
    asked: list[int] = []
    predict = model.predict

    def counted(texts: Sequence[str]) -> Any:
        asked.append(len(texts))
        return predict(texts)

    monkeypatch.setattr(model, "predict", counted)
    found = list(answers(Answerer(model), io.BytesIO(b"sun\nrain\n" * 4)))
    assert [each["label"] for each in found] == ["good", "bad"] * 4
    assert asked == [3, 3, 2]


def test_scores_are_probabilities_best_first(model: Exported) -> None:
    (found,) = answers(Answerer(model), io.BytesIO(b"sun"), top=2)
    odds = np.exp([2.0, 1.0, 0.0])
    right = odds / odds.sum()
    assert found["label"] == "good" and found["score"] == pytest.approx(right[0], abs=1e-5)
    assert [each["label"] for each in found["top"]] == ["good", "fair"]
    assert [each["score"] for each in found["top"]] == pytest.approx(list(right[:2]), abs=1e-5)
    (all_,) = answers(Answerer(model), io.BytesIO(b"sun"), top=9)
    assert sum(each["score"] for each in all_["top"]) == pytest.approx(1, abs=1e-5)
    assert len(all_["top"]) == 3
    (one,) = answers(Answerer(model), io.BytesIO(b"sun"))
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
    found = list(answers(Answerer(model), io.BytesIO(b"sun\nrain\n"), top=3))
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
    found = list(answers(Answerer(model), io.BytesIO(b"\n".join(lines)), "text"))
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
        first, second, third = answers(Answerer(model), io.BytesIO(b"sun\nbad\nrain\n"), top=top)
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
    first, second, third = answers(Answerer(model), io.BytesIO(b"sun\nbad\nrain\n"))
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
    (empty,) = answers(Answerer(model), io.BytesIO(b'{"text": ""}\n'), "text")
    assert "label" in empty
    found = list(answers(Answerer(model), io.BytesIO(b"sun\n\nrain\n")))
    assert [each.get("label") for each in found] == ["good", None, "bad"]
    assert found[1] == {"error": "line 2: expected a text, got a blank line"}


def test_rows_are_answered_with_what_is_wrong_in_their_places(model: Exported) -> None:
    given = b"text,n\nsun,1\n,2\nrain,3,4\nrain,5\n"
    rows = read_stream(io.BytesIO(given), "csv", ["text"])
    ((block, found),) = answered(Answerer(model), rows)
    assert [answer.get("label") for answer in found] == ["good", None, "bad"]
    assert found[1] == {"error": "expected text in 'text', got nothing; correct the row, or remove it"}
    assert block.numbers == [2, 3, 5] and [number for number, _ in block.lost] == [4]


def test_objects_without_a_text_are_told(model: Exported) -> None:
    given = b'{"text": "sun"}\n{"text": null}\n{"text": 3}\n{}\n{"text": ""}\n'
    ((_, found),) = answered(Answerer(model), read_stream(io.BytesIO(given), "jsonl", ["text"]))
    assert ["error" in answer for answer in found] == [False, True, True, True, False]
    assert found[2]["error"] == "expected text in 'text', got a number; correct the row, or remove it"
