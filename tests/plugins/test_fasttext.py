"""The fasttext student: its hashed n-grams and its module, against what they say they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import torch

from harness import catalog
from harness.api import Examples
from harness.featurise.featuriser import Featuriser
from harness.testing.checks import check_component, check_imports
from harness_students.fasttext import FastText
from harness_students.ngrams import HashedNgrams

BUCKETS = 1_000_003
SMALL = FastText(epochs=1, min_examples=0, batch_size=8, buckets=50, width=4)


@pytest.fixture(scope="module")
def installed() -> catalog.Catalog:
    return catalog.load()


@pytest.mark.parametrize(
    "student",
    [SMALL, FastText(epochs=1, min_examples=0, buckets=30, word_ngrams=1, max_characters=0)],
    ids=repr,
)
def test_conformance(student: FastText, installed: catalog.Catalog) -> None:
    check_component(student, installed)
    check_imports(student)


def word(text: str) -> int:
    return crc32(text.encode(), 1) % BUCKETS + 2


def words(text: str) -> int:
    number = 0
    for each in text.split():
        number = (number * 116_049_371 + crc32(each.encode(), 1)) % 2**32
    return number % BUCKETS + 2


def piece(text: str) -> int:
    return crc32(text.encode()) % BUCKETS + 2


def test_words_and_their_ngrams() -> None:
    made = HashedNgrams(BUCKETS, words=3, min_characters=3, max_characters=4, longest=128)
    (found,) = made.encode(["Oh cat  sat!"])
    pieces = {
        "oh": ["<oh", "oh>", "<oh>"],
        "cat": ["<ca", "cat", "at>", "<cat", "cat>"],
        "sat": ["<sa", "sat", "at>", "<sat", "sat>"],
        "!": ["<!>"],
    }
    expected = [number for each, parts in pieces.items() for number in (word(each), *map(piece, parts))]
    expected += [words(text) for text in ("oh cat", "cat sat", "sat !", "oh cat sat", "cat sat !")]
    assert found == expected


def test_words_alone() -> None:
    made = HashedNgrams(BUCKETS, words=1, min_characters=3, max_characters=0, longest=2)
    assert made.encode(["the cat sat", "", "[MASK] cat", "é"]) == [
        [word("the"), word("cat")],
        [1],
        [1, word("cat")],
        [word("é")],
    ]


def test_brackets_alone_are_no_pieces() -> None:
    made = HashedNgrams(BUCKETS, words=1, min_characters=1, max_characters=2, longest=9)
    assert made.encode(["a"])[0] == [word("a"), piece("a"), piece("<a"), piece("a>")]


def test_every_process_hashes_alike() -> None:
    code = "from harness_students.ngrams import *; print(HashedNgrams(99, 2, 3, 5, 9).encode(['a cat sat']))"
    made = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert made == {f"{HashedNgrams(99, 2, 3, 5, 9).encode(['a cat sat'])}\n"}


def test_saved_and_loaded(tmp_path: Path) -> None:
    made = HashedNgrams(50, 2, 3, 5, 9)
    made.save(tmp_path)
    loaded = Featuriser.load(tmp_path)
    assert isinstance(loaded, HashedNgrams)
    assert loaded.encode(["some words"]) == made.encode(["some words"])
    assert loaded.size == made.size == 52


def test_the_module_averages() -> None:
    torch.manual_seed(0)
    module = SMALL.module(52, 3).eval()
    table, layer = module.embedding.weight, module.output  # type: ignore[union-attr]
    ids = [7, 9, 9]
    mean = table.detach().numpy()[ids].mean(axis=0)  # type: ignore[union-attr,operator]
    expected = layer.weight.detach().numpy() @ mean + layer.bias.detach().numpy()  # type: ignore[union-attr,operator]
    found = module(torch.tensor([[*ids, 0, 0]])).detach().numpy()[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_published_size() -> None:
    size = FastText().featuriser(Examples([], ())).size
    assert sum(p.numel() for p in FastText().module(size, 6).parameters()) == 200_086


def test_lengths_that_contradict() -> None:
    with pytest.raises(ValueError, match="expected min_characters of at most max_characters, 3, got 4"):
        FastText(min_characters=4, max_characters=3).check()
