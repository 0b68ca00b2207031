"""Reviews: the real corpora, stars, balanced subsets, texts in two splits; films at length."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from harness.api import HarnessError, Unavailable
from harness.catalog import load
from harness.parameters import ParameterErrors
from harness.sources import DatasetTask
from harness_tasks.carving import folded
from harness_tasks.derived import balanced, without_shared
from harness_tasks.reviews import CLASSES, Imdb, Reviews, TweetsSentiment

DATA = Path(os.environ.get("HARNESS_DATA") or "absent").absolute()
needs_reviews = pytest.mark.skipif(
    not (DATA / "reviews").is_dir(), reason="needs the real reviews in $HARNESS_DATA/reviews"
)
SPLITS = ("train", "validation", "test")


def counts(tables: Mapping[str, pa.Table]) -> list[dict[str, int]]:
    return [dict(Counter(tables[split]["label"].to_pylist())) for split in SPLITS]


def read(task: DatasetTask, source: str = "local") -> Mapping[str, pa.Table]:
    return task.read(task.resolve(source))


def texts(table: pa.Table) -> set[str]:
    return {folded(text) for text in table["text"].to_pylist()}


def table(*rows: tuple[str, str]) -> pa.Table:
    return pa.table({"text": [text for text, _ in rows], "label": [label for _, label in rows]})


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return tmp_path


def write(folder: Path, rows: list[dict[str, Any]], splits: tuple[str, ...] = SPLITS) -> None:
    folder.mkdir(parents=True)
    for split in splits:
        lines = [json.dumps({**row, "text": f"{split} {row['text']}"}) for row in rows]
        (folder / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")


# -- real data


@needs_reviews
@pytest.mark.parametrize("language", ["en", "fr", "de"])
def test_the_real_books(language: Any) -> None:
    assert counts(read(Reviews(language=language))) == [
        {"negative": 900, "positive": 900},
        {"negative": 100, "positive": 100},
        {"negative": 1000, "positive": 1000},
    ]


@needs_reviews
@pytest.mark.parametrize(
    ("language", "corpus", "train", "test"),
    [
        ("en", "semeval16-restaurants", (409, 45, 931), (130, 26, 389)),
        ("nl", "semeval16-restaurants", (427, 80, 608), (167, 16, 244)),
        ("fr", "semeval16-restaurants", (648, 55, 534), (260, 33, 227)),
        ("es", "semeval16-restaurants", (345, 59, 923), (179, 30, 421)),
        ("nl", "semeval16-mobilephones", (109, 49, 707), (43, 11, 194)),
        ("en", "opener-hotel", (330, 0, 880), (95, 0, 252)),
        ("es", "opener-hotel", (178, 0, 851), (52, 0, 244)),
        ("en", "customer-reviews", (956, 0, 1680), (273, 0, 480)),
    ],
)
def test_the_other_real_corpora(language: Any, corpus: str, train: Any, test: Any) -> None:
    classes = ("negative", "neutral", "positive")
    three = read(Reviews(language, corpus, neutral=True))
    two = read(Reviews(language, corpus))
    for split, expected in (("train", train), ("test", test)):
        known = {name: count for name, count in zip(classes, expected, strict=True) if count}
        assert Counter(three[split]["label"].to_pylist()) == known
        known.pop("neutral", None)
        assert Counter(two[split]["label"].to_pylist()) == known


@needs_reviews
def test_a_thousand_of_each_real_split() -> None:
    assert counts(read(Reviews(balanced=1000))) == [{"negative": 500, "positive": 500}] * 3
    tables = read(Reviews(balanced=900, drop_shared=True))
    assert counts(tables) == [{"negative": 450, "positive": 450}] * 3
    assert not texts(tables["train"]) & texts(tables["test"])
    assert not texts(tables["validation"]) & texts(tables["test"])
    assert not texts(tables["train"]) & texts(tables["validation"])


@needs_reviews
def test_real_books_share_texts_until_they_are_dropped() -> None:
    kept, dropped = read(Reviews("fr")), read(Reviews("fr", drop_shared=True))
    assert len(texts(kept["train"]) & texts(kept["test"])) >= 47
    assert not texts(dropped["train"]) & texts(dropped["test"])
    assert dropped["test"].equals(kept["test"])


# -- what is done to them


def test_stars(data: Path) -> None:
    rows = [{"text": f"text {stars}", "label": stars} for stars in (1, 2, 3, 4, 5)]
    write(data / "reviews" / "en.mine", rows)
    assert counts(read(Reviews(corpus="mine")))[0] == {"negative": 2, "positive": 2}
    three = read(Reviews(corpus="mine", neutral=True))
    assert counts(three)[2] == {"negative": 2, "neutral": 1, "positive": 2}


def test_labels_of_another_kind(data: Path) -> None:
    write(data / "reviews" / "en.mine", [{"text": "a", "label": "positive"}, {"text": "b", "label": "bad"}])
    with pytest.raises(
        HarnessError, match=r"unknown label 'bad' in the train split of .*en\.mine; expected neg"
    ):
        read(Reviews(corpus="mine"))


def test_balanced_takes_the_same_rows_wherever_they_stand() -> None:
    rows = [(f"text {n}", "a" if n < 30 else "b") for n in range(50)]
    tables = {split: table(*((f"{split} {text}", label) for text, label in rows)) for split in SPLITS}
    backwards = {split: part.take(pa.array(range(49, -1, -1))) for split, part in tables.items()}
    first, second = balanced(tables, 20, 0), balanced(backwards, 20, 0)
    assert counts(first) == [{"a": 10, "b": 10}] * 3
    assert all(texts(first[split]) == texts(second[split]) for split in SPLITS)
    assert texts(first["train"]) != texts(balanced(tables, 20, 1)["train"])


def test_balanced_fills_validation_up_from_training_alone() -> None:
    train = table(*((f"text {n}", "ab"[n % 2]) for n in range(40)))
    few = table(("one", "a"), ("two", "b"))
    parts = balanced({"train": train, "validation": few, "test": few}, 20, 0)
    assert counts(parts) == [{"a": 10, "b": 10}, {"a": 10, "b": 10}, {"a": 1, "b": 1}]
    assert not texts(parts["train"]) & texts(parts["validation"])
    assert {"one", "two"} <= texts(parts["validation"])


def test_shared_texts_are_dropped_from_what_is_learnt() -> None:
    parts = without_shared(
        {
            "train": table(("In  test", "a"), ("in validation", "a"), ("new", "a"), ("new", "a")),
            "validation": table(("in validation", "a"), ("in test", "b")),
            "test": table(("in test", "a"), ("in test", "a")),
        }
    )
    found = {split: part["text"].to_pylist() for split, part in parts.items()}
    assert found == {"train": ["new", "new"], "validation": ["in validation"], "test": ["in test"] * 2}


def test_other_rows_are_other_data(data: Path) -> None:
    write(data / "reviews" / "en.mine", [{"text": f"{n}", "label": n % 5 + 1} for n in range(20)])
    mine = {"corpus": "mine"}
    given: list[dict[str, Any]] = [
        {}, {"neutral": True}, {"drop_shared": True}, {"balanced": 4}, {"balanced": 4, "split_seed": 1},
    ]  # fmt: skip
    prints = {Reviews(**mine, **more).resolve("local").fingerprint for more in given}
    assert len(prints) == len(given)
    assert len({Reviews(language=code).resolve("sample").fingerprint for code in ("en", "it")}) == 2


def test_without_data(data: Path) -> None:
    assert Reviews("it").resolve("auto").name == "sample"
    with pytest.raises(Unavailable, match=r"reviews/it\.cls-books does not exist"):
        Reviews("it").resolve("local")
    with pytest.raises(Unavailable, match="no data set on the hub"):
        Reviews().resolve("hub")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"language": "pt"}, "language"),
        ({"corpus": "../../etc"}, "expected corpus to be a name such as 'cls-books'"),
        ({"balanced": 2}, "at least 3"),
        ({"balanced": True}, "integer"),
        ({"corpora": "x"}, "unknown; did you mean 'corpus'"),
    ],
)
def test_parameters(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterErrors, match=message):
        load().build("task", {"use": "reviews", **table})


# -- imdb


def test_films_without_a_validation_split(data: Path) -> None:
    write(data / "imdb", [{"text": f"{n}", "label": n % 2} for n in range(40)], ("train", "test"))
    tables = read(Imdb(validation_share=0.2))
    assert counts(tables) == [
        {"negative": 16, "positive": 16},
        {"negative": 4, "positive": 4},
        {"negative": 20, "positive": 20},
    ]
    assert Imdb().resolve("local").fingerprint != Imdb(split_seed=1).resolve("local").fingerprint


def test_films_with_one(data: Path) -> None:
    write(data / "imdb", [{"text": f"{n}", "label": ("neg", "pos")[n % 2]} for n in range(10)])
    assert counts(read(Imdb())) == [{"negative": 5, "positive": 5}] * 3
    assert Imdb().resolve("local") == Imdb(split_seed=1).resolve("local")


# -- tweets


def test_tweets_keep_their_neutral_class_unless_told_otherwise(data: Path) -> None:
    rows = [{"text": f"{name} {n}", "label": name} for name in CLASSES for n in range(4)]
    write(data / "tweets-sentiment-umsab" / "it", rows)
    three, two = TweetsSentiment(language="it"), TweetsSentiment(language="it", neutral=False)
    assert counts(read(three)) == [{"negative": 4, "neutral": 4, "positive": 4}] * 3
    assert counts(read(two)) == [{"negative": 4, "positive": 4}] * 3
    assert three.resolve("local").fingerprint != two.resolve("local").fingerprint
    sample = read(TweetsSentiment(language="it"), "sample")
    assert sample["train"].equals(read(Reviews(language="it"), "sample")["train"])


@pytest.mark.skipif(not (DATA / "tweets-sentiment-umsab").is_dir(), reason="needs the real tweets")
def test_the_real_italian_tweets() -> None:
    split = ("train", 613), ("validation", 108), ("test", 290)
    tables = read(TweetsSentiment(language="it"))
    assert {name: Counter(tables[name]["label"].to_pylist()) for name, _ in split} == {
        name: dict.fromkeys(CLASSES, count) for name, count in split
    }
