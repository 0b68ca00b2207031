"""Sets of texts as hashes of 8 bytes, against Python's own sets."""

from __future__ import annotations

import random

import numpy as np
import pytest

from harness.storage import hashes
from harness.storage.hashes import Hashes, fresh, hashes_of


def test_case_and_white_space_do_not_count() -> None:
    found = hashes_of(["A  b", " a\tB ", "ab", "\ud800"])
    assert found.dtype == np.uint64 and found[0] == found[1] and len(set(found.tolist())) == 3


@pytest.mark.parametrize("longest", [1 << 22, 64])
def test_a_set_is_that_of_python(monkeypatch: pytest.MonkeyPatch, longest: int) -> None:
    monkeypatch.setattr(hashes, "_LONGEST", longest)
    generator = random.Random(0)
    own, seen = Hashes(), set[str]()
    for _ in range(200):
        block = [f"text {generator.randrange(4_000)}" for _ in range(generator.randrange(40))]
        expected = []
        for text in block:
            expected.append(text not in seen)
            seen.add(text)
        keys = hashes_of(block)
        assert own.unseen(keys).tolist() == expected
        own.add(keys)
    assert len(own) == len(seen)
    lengths = [len(run) for run in own._runs]
    assert sum(lengths) == len(seen) and max(lengths) <= longest and len(lengths) < len(seen) / 20
    assert not own.missing(hashes_of(seen)).any() and own.missing(hashes_of(["other"])).all()


def test_a_copy_grows_on_its_own() -> None:
    own = Hashes(["a", "b"])
    other = own.copy()
    other.add(hashes_of(["c"]))
    assert (len(own), len(other)) == (2, 3)


@pytest.mark.parametrize(("most", "expected"), [(None, "bcda"), (3, "bcd"), (0, "")])
def test_fresh_texts_are_those_that_were_not_seen(most: int | None, expected: str) -> None:
    seen = Hashes(["x"])
    made = [(0, "b"), (1, "X"), (2, "c"), (3, "B"), (4, "d"), (5, "c"), (6, "a")]
    assert "".join(text for _, text in fresh(made, seen, most)) == expected
    assert len(seen) == 1 + len(expected)  # texts that were not asked for are not seen
