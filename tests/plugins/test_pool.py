"""Unlabelled texts: from the task, a file or a folder, alone and in combinations."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import harness
from harness.api import Examples
from harness.testing.tiny import CheckContext
from harness_augmenters.combine import Chain, Mix
from harness_augmenters.pool import Unlabelled
from harness_augmenters.spans import NGram
from harness_augmenters.words import Drop, Mask, Replace

TRAIN = [f"training text number {number} of many" for number in range(60)]
POOL = [f"pool text {number} is here" for number in range(300)]


def drawn(
    augmenter: harness.Augmenter,
    context: CheckContext,
    pool: Sequence[str] = (),
    train: Sequence[str] = TRAIN,
) -> list[tuple[int, str]]:
    augmenter.check()
    return list(augmenter.draw(Examples(train, ("a", "b")), pool, context))


def texts_of(made: list[tuple[int, str]]) -> list[str]:
    assert {row for row, _ in made} <= {-1}
    return [text for _, text in made]


# -- where texts come from


def test_the_tasks_own_texts_each_once_in_random_order(context: CheckContext) -> None:
    found = texts_of(drawn(Unlabelled(), context, POOL))
    assert found != POOL and sorted(found) == sorted(POOL)
    assert found == texts_of(drawn(Unlabelled(), context, tuple(POOL)))
    assert found != texts_of(drawn(Unlabelled(), replace(context, seed=1), POOL))


def test_a_smaller_size_is_a_part_of_a_larger(context: CheckContext) -> None:
    sizes = {size: texts_of(drawn(Unlabelled(size=size), context, POOL)) for size in (1, 40, 300, 999)}
    assert [len(found) for found in sizes.values()] == [1, 40, 300, 300]
    assert sizes[40] == sizes[999][:40]


def test_punctuation_is_set_apart_where_words_are_wanted(context: CheckContext) -> None:
    pool = ["Off to @user's… in #Venice, It's 3.5 km!! https://t.co/aB-1?x=2"]
    made = drawn(Unlabelled(words=True), context, pool)
    assert made == [(-1, "Off to @user's … in #Venice , It's 3.5 km ! ! https://t.co/aB-1?x=2")]
    assert drawn(Unlabelled(), context, pool) == [(-1, pool[0])]


def test_called_it_gives_nothing() -> None:
    assert list(Unlabelled()(TRAIN, np.random.default_rng(0))) == []


def test_a_task_without_unlabelled_texts(context: CheckContext) -> None:
    with pytest.raises(harness.Unavailable, match="the task has no split `unlabelled`; add that split"):
        drawn(Unlabelled(), context)


@pytest.mark.parametrize(
    "name", ["a.txt", "a.TXT", "a.txt.gz", "a.jsonl", "a.jsonl.gz", "a.csv", "a.parquet"]
)
def test_files(name: str, tmp_path: Path, context: CheckContext) -> None:
    texts, path = ["one, two", "naïve café 🙂", "three"], tmp_path / name
    if ".parquet" in name:
        parquet.write_table(pa.table({"body": texts}), path)
    else:
        lines = {
            ".txt": ["\ufeff" + texts[0], texts[1] + "\r", " ", texts[2]],
            ".jso": [json.dumps({"body": text, "id": 1}) for text in texts],
            ".csv": ["id,body", *(f'1,"{text}"' for text in texts)],
        }[name[1:5].lower()]
        data = "\n".join(lines).encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    found = texts_of(drawn(Unlabelled(file=str(path), column="body"), context, POOL))
    assert sorted(found) == sorted(texts)


def test_files_stand_in_the_current_folder(
    tmp_path: Path, context: CheckContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("one\ntwo\n")
    assert sorted(texts_of(drawn(Unlabelled(file="a.txt"), context))) == ["one", "two"]


def test_a_split_of_a_local_folder(
    tmp_path: Path, context: CheckContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    (tmp_path / "tweets").mkdir()
    for split in ("train", "unlabelled"):
        (tmp_path / "tweets" / f"{split}.csv").write_text(f"text\nof {split}\n")
    found = [texts_of(drawn(Unlabelled(folder="tweets", split=s), context)) for s in ("train", "unlabelled")]
    assert found == [["of train"], ["of unlabelled"]]
    with pytest.raises(
        harness.Unavailable,
        match="cannot find the split 'test' in the folder 'tweets'; found: train, unlabelled",
    ):
        Unlabelled(folder="tweets", split="test").base()
    with pytest.raises(
        harness.Unavailable,
        match=r"cannot find the folder 'tweet' in HARNESS_DATA \(.*\); did you mean 'tweets'",
    ):
        Unlabelled(folder="tweet").base()
    monkeypatch.delenv("HARNESS_DATA")
    with pytest.raises(harness.Unavailable, match="cannot find the folder 'tweets': HARNESS_DATA is not set"):
        Unlabelled(folder="tweets").base()


def test_the_base_is_the_files_bytes(tmp_path: Path) -> None:
    assert Unlabelled().base() == ""
    for name, text in (("a.txt", "one"), ("b.txt", "one"), ("c.txt", "two")):
        (tmp_path / name).write_text(text)
    bases = [Unlabelled(file=str(tmp_path / name)).base() for name in ("a.txt", "b.txt", "c.txt")]
    assert bases[0] == bases[1] != bases[2] and all(bases)
    (tmp_path / "a.txt").write_text("six")
    assert Unlabelled(file=str(tmp_path / "a.txt")).base() != bases[0]
    path = str(tmp_path / "c.txt")
    assert bases[2] in Mix((Mask(), Chain((Unlabelled(file=path), Mask()))), copies=1).base()
    assert Mix((Mask(), Unlabelled()), copies=1).base() == ""


def test_files_that_cannot_be_had(tmp_path: Path, context: CheckContext) -> None:
    (tmp_path / "tweets.txt").write_bytes(b"caf\xe9")
    (tmp_path / "blank.txt").write_text("\n \n")
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(b"one\n" * 99)[:-12])
    with pytest.raises(harness.Unavailable, match=r"does not exist \(looked in .*did you mean 'tweets.txt'"):
        Unlabelled(file=str(tmp_path / "tweet.txt")).base()
    with pytest.raises(harness.Unavailable, match="does not exist"):
        Unlabelled(file=str(tmp_path / "nowhere" / "tweet.txt")).base()
    for name, message in (
        ("tweets.txt", "tweets.txt line 1 is not UTF-8; save"),
        ("blank.txt", "blank.txt: it has no texts"),
        ("cut.txt.gz", "cannot read .*cut.txt.gz: "),
    ):
        with pytest.raises(harness.HarnessError, match=message):
            drawn(Unlabelled(file=str(tmp_path / name)), context)


@pytest.mark.parametrize(
    ("augmenter", "message"),
    [
        (
            Unlabelled(file="a.pdf"),
            r"cannot read the file 'a.pdf': unknown format; expected a file name that ends in .txt, ",
        ),
        (Unlabelled(file="a.txt", folder="b"), "either file or folder"),
        (Chain((Mask(), Unlabelled())), "unlabelled brings its own texts, so it cannot follow another"),
        (Chain((Mask(), Mix((Unlabelled(), Mask()), copies=1))), "mix brings its own texts"),
    ],
)
def test_what_cannot_be(augmenter: harness.Augmenter, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        augmenter.check()


# -- in combinations


def test_a_chain_changes_the_pools_texts(context: CheckContext) -> None:
    chain = Chain((Unlabelled(size=50), NGram(4, 4), Mask(1.0)), copies=2)
    found = texts_of(drawn(chain, context, POOL))
    assert found == ["[MASK] [MASK] [MASK] [MASK]"] * 100
    kept = texts_of(drawn(Chain((Unlabelled(), Mask(0.0, force=False))), context, POOL))
    assert sorted(kept) == sorted(POOL)  # a member that makes nothing of a text lets it through
    assert list(chain(TRAIN, np.random.default_rng(0))) == []
    replaced = texts_of(drawn(Chain((Unlabelled(), Replace(1.0))), context, ["text A many", "pool"]))
    words = {word for text in TRAIN for word in text.split()}
    assert set(replaced[0].split()) | set(replaced[1].split()) <= words | {"A", "pool"}


def test_a_mix_of_a_size_has_the_pools_share(context: CheckContext) -> None:
    mix = Mix((Mask(), Unlabelled(), NGram()), (1, 3, 1), size=200)
    found = drawn(mix, context, POOL)
    assert context.warnings == []
    assert found == drawn(mix, context, POOL)
    assert len(found) == len({text for _, text in found}) == 200
    assert [row for row, _ in found].count(-1) == 120
    assert all(text in POOL for row, text in found if row < 0)
    assert sum("[MASK]" in text for _, text in found) > 20
    assert {row for row, _ in found[120:]} <= set(range(60))


def test_a_mix_makes_up_for_a_small_pool(context: CheckContext) -> None:
    pool = ["new one", "NEW  one", TRAIN[3].upper(), "new two"]
    found = drawn(Mix((Drop(0.5), Unlabelled()), (1, 9), size=100), context, pool)
    assert len(found) == 100
    given = [text for row, text in found if row < 0]
    assert len(given) == 2 and {text.lower().split()[1] for text in given} == {"one", "two"}
    assert context.warnings == ["mix: unlabelled has only 2 of the 90 texts of its share"]
    alone = drawn(Mix((Unlabelled(), Drop()), (1, 0), size=100), context, pool)
    assert len(alone) == 2
    assert context.warnings[-1].startswith("mix made only 2 of 100 new texts: ")


def test_a_mix_says_which_chain_has_too_little(context: CheckContext) -> None:
    chain = Chain((Unlabelled(), Mask(1.0)))
    found = drawn(Mix((chain, NGram()), copies=1), context, ["a b", "c d"])
    assert sum(row < 0 for row, _ in found) == 1  # both are the same when they are masked
    share = len(TRAIN) // 2
    assert context.warnings == [f"mix: chain (unlabelled, mask) has only 1 of the {share} texts of its share"]


def test_a_mix_never_gives_what_the_pool_gave(context: CheckContext) -> None:
    found = drawn(Mix((Unlabelled(), NGram()), size=4), context, ["a", "b"], ["A b C"])
    assert {text for _, text in found[:2]} == {"a", "b"}
    assert len({text for _, text in found[2:]} & {"C", "A b", "b C"}) == 2


def test_a_mix_of_copies_has_the_pools_share(context: CheckContext) -> None:
    train = [f"{text} {number}" for text in TRAIN for number in range(100)]
    pool = [f"{text} {number}" for text in POOL for number in range(100)]
    found = drawn(Mix((Mask(), Unlabelled()), (1, 3), copies=2), context, pool, train)
    rows = Counter(row < 0 for row, _ in found)
    assert rows[True] == 9000
    assert abs(rows[False] - 3000) < 5 * np.sqrt(12_000 * 0.25 * 0.75)


def test_several_files_in_one_mix(tmp_path: Path, context: CheckContext) -> None:
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("".join(f"{name} {number}\n" for number in range(500)))
    members = tuple(Unlabelled(file=str(tmp_path / f"{name}.txt")) for name in "ab")
    found = texts_of(drawn(Mix(members, (3, 1), size=400), context))
    assert Counter(text[0] for text in found) == {"a": 300, "b": 100}


@dataclass(frozen=True)
class Brings(harness.Augmenter):
    """A stranger's: texts of its own, and of training texts with what they say."""

    name = "brings"

    def draw(self, train: Examples, unlabelled: Sequence[str], context: Any) -> Iterator[tuple[int, str]]:
        yield from ((-1, f"brought {number}") for number in range(10))
        yield from ((row, train.texts[row] + end) for row in (1, 2) for end in ("", "!"))


def test_combinations_take_a_stranger_that_draws(context: CheckContext) -> None:
    assert Counter(row for row, _ in drawn(Chain((Brings(), Mask(0.0, force=False))), context)) == {
        -1: 10,
        1: 1,  # what is as its training text is left out
        2: 1,
    }
    found = drawn(Mix((Brings(), Mask()), size=16), context)
    assert [row for row, _ in found].count(-1) == 8 and len(found) == 16
    nested = drawn(Mix((Mix((Brings(), Mask()), size=16), Drop()), size=20), context)
    assert Counter(row < 0 for row, _ in nested) == {True: 8, False: 12}
