"""Logits in fewer bytes: what is read is close to what was stored, and a student learns the same from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.api import Examples
from harness.storage.logits import CLASSES, REST, VALUES, Logits, packed
from harness.task_types.classification import Classification, softmax
from harness.testing.tiny import CheckContext
from harness_losses.soft import SoftTargets
from harness_students.words import Mlp


def drawn(rows: int, classes: int, scale: float = 3.0) -> Any:
    return np.random.default_rng(0).normal(0, scale, (rows, classes)).astype(np.float32)


def test_all_logits_in_half_of_the_bytes() -> None:
    logits = drawn(50, 4)
    arrays = packed(logits, np.float16, 2)  # four classes are not more than twice two
    assert set(arrays) == {VALUES} and arrays[VALUES].nbytes == 50 * 4 * 2
    found = Logits(arrays, 4)
    assert found.shape == (50, 4) and len(found) == 50 and found.dtype == np.float32
    assert found[:].dtype == np.float32 and np.allclose(found, logits, rtol=1e-3)
    assert np.array_equal(packed(logits, np.float32)[VALUES], logits)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_largest_keep_their_probabilities(dtype: Any) -> None:
    logits = drawn(40, 150)
    arrays = packed(logits, dtype, 20)
    width = np.dtype(dtype).itemsize
    assert sum(array.nbytes for array in arrays.values()) == 40 * (20 * (width + 2) + width)
    found, before = softmax(Logits(arrays, 150).astype(np.float64)), softmax(logits.astype(np.float64))
    assert np.array_equal(found.argmax(1), before.argmax(1))
    kept = arrays[CLASSES].astype(np.int64)
    one, other = (np.take_along_axis(each, kept, 1) for each in (found, before))
    assert np.allclose(one, other, rtol=0.02 if dtype == np.float16 else 1e-4)
    np.put_along_axis(found, kept, 0.0, axis=1)
    assert np.allclose(found.max(1), found.sum(1) / 130) and (one.min(1) >= found.max(1)).all()


@pytest.mark.parametrize("rows", [3, slice(2, 9), np.array([5, 0, 5]), slice(0, 0), (slice(None), 7)])
def test_rows_are_read_as_from_an_array(rows: Any) -> None:
    found = Logits(packed(drawn(12, 30), np.float32, 5), 30)
    assert np.array_equal(found[rows], np.asarray(found)[rows])
    assert np.array_equal(-found, -np.asarray(found))


def test_rows_of_zeros_stay_zeros() -> None:
    logits = drawn(6, 30)
    logits[[1, 4]] = 0.0  # words that a teacher did not read
    arrays = packed(logits, np.float16, 5)
    assert not arrays[REST][[1, 4]].any()
    assert Logits(arrays, 30).any(axis=1).tolist() == logits.any(axis=1).tolist()
    with pytest.raises(ValueError, match="expected axis 1, got 0"):
        Logits(arrays, 30).any(axis=0)


def test_a_student_learns_the_same(tmp_path: Path) -> None:
    context = CheckContext(tmp_path)
    generator = np.random.default_rng(0)
    gold = generator.integers(0, 40, 3000)
    noise = generator.integers(0, 200, (3000, 4))
    texts = [f"c{g} " + " ".join(f"w{n}" for n in row) for g, row in zip(gold, noise, strict=True)]
    teacher = generator.normal(0, 1, (3000, 40)).astype(np.float32)
    teacher[np.arange(3000), np.where(generator.random(3000) < 0.85, gold, (gold + 1) % 40)] += 5
    names = tuple(f"class {number:02}" for number in range(40))
    held_out = Examples(texts[2000:], names, gold[2000:], task_type=Classification())

    def accuracy(logits: Any) -> float:
        transfer = Examples(texts[:2000], names, None, logits, task_type=Classification())
        model = Mlp(epochs=15, min_examples=0).fit(transfer, held_out, SoftTargets(), context)
        return float((model.predict(held_out.texts).argmax(1) == held_out.labels).mean())

    whole = accuracy(teacher[:2000])
    assert whole > 0.8
    for dtype, most in ((np.float16, None), (np.float32, 10), (np.float16, 10)):
        assert accuracy(Logits(packed(teacher[:2000], dtype, most), 40)) == pytest.approx(whole, abs=0.02)
