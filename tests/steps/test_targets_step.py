"""The targets step: a teacher's logits for each row of a transfer set, once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from stepbench import Bench, Makes, Says, Speaker

from harness.api import HarnessError
from harness.steps import targets
from harness.storage.store import Artefact
from harness.task_types.classification import Classification


def lengths(texts: Sequence[str]) -> Any:
    """(N, 2): 0, and each text's length."""
    return np.array([[0.0, len(text)] for text in texts], dtype=np.float32)


@pytest.fixture
def transfer(bench: Bench) -> Artefact:
    data = bench.data([("a", "x"), ("bb", "y"), ("ccc", "x")])
    new = [(1, "dddd"), (2, "eeeee")]
    return bench.run("transfer", {"data": data}, augmenter=Makes(lambda texts, g: new))


def labelled(bench: Bench, transfer: Artefact, outputs: Any) -> Artefact:
    teacher = Speaker(outputs)
    data = bench.store.find("data", "data1")
    assert data is not None
    model = bench.run("teacher", {"data": data}, teacher=teacher)
    return bench.run("targets", {"model": model, "transfer": transfer}, teacher=teacher)


@pytest.mark.parametrize("chunk", [1, 2, 5, 100])
def test_each_row_has_its_logits(
    chunk: int, bench: Bench, transfer: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "_CHUNK", chunk)
    asked: list[int] = []
    found = labelled(bench, transfer, lambda texts: asked.append(len(texts)) or lengths(texts))
    logits = targets.load(found, "logits")
    assert logits.tolist() == [[0, 1], [0, 2], [0, 3], [0, 4], [0, 5]]
    assert logits.dtype == np.float32 and isinstance(logits, np.memmap) and not logits.flags.writeable
    assert sum(asked) == 5 and max(asked) <= chunk
    assert found.result["rows"] == 5
    shares = [1 / (1 + np.exp(-length)) for length in (1, 2, 3, 4, 5)]
    assert found.result["confidence"] == pytest.approx(np.mean(shares))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite(value: float, bench: Bench, transfer: Artefact) -> None:
    def outputs(texts: Sequence[str]) -> Any:
        logits = lengths(texts)
        logits[[text == "dddd" for text in texts], 0] = value
        return logits

    with pytest.raises(HarnessError, match="teacher 'speaker' returned logits that are not finite"):
        labelled(bench, transfer, outputs)


@pytest.mark.parametrize("wrong", [lambda logits: logits[:-1], lambda logits: logits[:, 0]])
def test_logits_of_another_shape(wrong: Any, bench: Bench, transfer: Artefact) -> None:
    message = r"'speaker' returned an array of shape \(\d, ?\d?\) for 5 texts; expected 5 rows"
    with pytest.raises(HarnessError, match=message):
        labelled(bench, transfer, lambda texts: wrong(lengths(texts)))


def test_confidence_of_large_logits(bench: Bench, transfer: Artefact) -> None:
    found = labelled(bench, transfer, lambda texts: lengths(texts) * np.float32(1e6))
    assert found.result["confidence"] == pytest.approx(1)


@pytest.mark.parametrize("parts", [1, 2, 4, 7])  # 7 are more than there are texts
def test_parts_make_the_table_of_one_pass(parts: int, bench: Bench, transfer: Artefact) -> None:
    teacher = Speaker(lengths)
    data = bench.store.find("data", "data1")
    assert data is not None
    needs = {"model": bench.run("teacher", {"data": data}, teacher=teacher), "transfer": transfer}
    whole = bench.run("targets", needs, teacher=teacher)
    made = {
        f"part-{part}": bench.run("targets", needs, teacher=teacher, part=part, parts=parts)
        for part in range(parts)
    }
    assert sum(part.result["rows"] for part in made.values()) == 5
    joined = bench.run("targets", made, teacher=teacher)
    assert np.array_equal(targets.load(joined, "logits"), targets.load(whole, "logits"))
    assert joined.result["rows"] == 5
    assert joined.result["confidence"] == pytest.approx(whole.result["confidence"])
    assert joined.result["seconds_before"] == pytest.approx(sum(p.made["seconds"] for p in made.values()))


@pytest.mark.parametrize(
    ("settings", "stored"),
    [
        ({"logits": "fp16"}, {"type": "fp16", "classes": 9}),
        ({"top_logits": 3}, {"top": 3, "classes": 9}),
        ({"logits": "fp16", "top_logits": 3}, {"type": "fp16", "top": 3, "classes": 9}),
        ({"top_logits": 5}, None),
    ],
)
def test_logits_in_fewer_bytes(
    settings: dict[str, Any], stored: dict[str, Any] | None, bench: Bench, transfer: Artefact
) -> None:
    table = np.random.default_rng(0).normal(size=(10, 9)).astype(np.float32)
    teacher = Speaker(lambda texts: table[[len(text) for text in texts]])
    data = bench.store.find("data", "data1")
    assert data is not None
    needs = {"model": bench.run("teacher", {"data": data}, teacher=teacher), "transfer": transfer}
    whole = bench.run("targets", needs, teacher=teacher)
    found = bench.run("targets", needs, teacher=teacher, **settings)
    assert found.result.get("stored") == stored and found.result["rows"] == 5
    assert found.result["confidence"] == whole.result["confidence"]
    read, expected = targets.load(found, "logits"), targets.load(whole, "logits")
    assert read.shape == expected.shape and read[:].dtype == np.float32
    assert np.array_equal(read[:].argmax(1), expected.argmax(1))
    made = {
        f"part-{part}": bench.run("targets", needs, teacher=teacher, part=part, parts=2, **settings)
        for part in range(2)
    }
    joined = bench.run("targets", made, teacher=teacher, **settings)
    assert joined.result.get("stored") == stored
    assert np.array_equal(targets.load(joined, "logits")[:], read[:])


def test_logits_of_independent_labels_are_stored_whole(bench: Bench, transfer: Artefact) -> None:
    class Independent(Classification):
        exclusive = False

    teacher = Speaker(lambda texts: np.ones((len(texts), 9), dtype=np.float32))
    data = bench.store.find("data", "data1")
    assert data is not None
    needs = {"model": bench.run("teacher", {"data": data}, teacher=teacher), "transfer": transfer}
    bench.task_type = Independent()
    found = bench.run("targets", needs, teacher=teacher, top_logits=2)
    assert "stored" not in found.result and isinstance(targets.load(found, "logits"), np.memmap)


def test_hidden_states_are_kept_in_half_precision(bench: Bench, transfer: Artefact) -> None:
    class Thinker(Says):
        def hidden(self, texts: Sequence[str]) -> Any:
            return lengths(texts).repeat(2, axis=1) * scale + 0.5

    scale = 1.0
    teacher = Speaker(lengths, Thinker)
    data = bench.store.find("data", "data1")
    assert data is not None
    needs = {"model": bench.run("teacher", {"data": data}, teacher=teacher), "transfer": transfer}
    found = bench.run("targets", needs, teacher=teacher, output="hidden")
    hidden = targets.load(found, "hidden")
    assert hidden.dtype == np.float16 and hidden.shape == (5, 4)
    assert hidden[:, 3].tolist() == [1.5, 2.5, 3.5, 4.5, 5.5]
    assert "confidence" not in found.result
    scale = 1e5
    with pytest.raises(HarnessError, match="'speaker' returned hidden states that are too large for float16"):
        bench.run("targets", needs, teacher=teacher, output="hidden")
