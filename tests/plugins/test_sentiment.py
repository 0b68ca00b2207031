"""The generated corpora: opinions in six languages, sentences right and wrong, pairs of texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from harness.api import PAIR_SEPARATOR
from harness.sources import DatasetTask
from harness_tasks.glue import Cola, GluePair, Mnli, Mrpc, Qnli, Qqp, Rte, Sst2, Sst2Sentences
from harness_tasks.reviews import Imdb, Reviews
from harness_tasks.sentiment.corpus import LANGUAGES, Plan, corpus, language
from harness_tasks.sentiment.grammar import POLARITIES, Language

LISTS = ("plain", "strong", "acts", "verdicts")
REVIEWS = [Reviews(language=code) for code in LANGUAGES]  # type: ignore[arg-type]
SENTIMENT: list[DatasetTask] = [Sst2(), Sst2Sentences(), Imdb(), *REVIEWS]
PAIRS: list[GluePair] = [Mrpc(), Qqp(), Mnli(), Qnli(), Rte()]
GENERATED = [*SENTIMENT, *PAIRS, Cola()]


def title(value: object) -> str:
    return f"{value.name}-{getattr(value, 'language', '')}" if isinstance(value, DatasetTask) else str(value)


def generated(task: DatasetTask) -> dict[str, pa.Table]:
    return dict(task.read(task.resolve("sample")))


@cache
def _read(name: str) -> dict[str, pa.Table]:
    (task,) = (task for task in GENERATED if title(task) == name)
    return generated(task)


def read(task: DatasetTask) -> dict[str, pa.Table]:
    """The same, generated once for all tests."""
    return _read(title(task))


def columns(table: pa.Table) -> tuple[list[str], list[str]]:
    return table["text"].to_pylist(), table["label"].to_pylist()


def accuracy(tables: dict[str, pa.Table], ngrams: int = 1) -> float:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model: Any = make_pipeline(
        TfidfVectorizer(ngram_range=(1, ngrams)), LogisticRegression(C=10, max_iter=500)
    )
    return float(model.fit(*columns(tables["train"])).score(*columns(tables["test"])))


@pytest.mark.parametrize("task", GENERATED, ids=title)
def test_a_sample_is_always_the_same(task: DatasetTask) -> None:
    first = generated(task)
    second = read(task)
    assert first.keys() == second.keys() == {"train", "validation", "test", "unlabelled"}
    assert all(first[split].equals(second[split]) for split in first)


@pytest.mark.parametrize("task", GENERATED, ids=title)
def test_no_text_stands_twice(task: DatasetTask) -> None:
    texts = [text for table in read(task).values() for text in table["text"].to_pylist()]
    assert len(set(texts)) == len(texts)
    assert all(
        text and text == " ".join(text.split()) and "|" not in text and "{" not in text for text in texts
    )


@pytest.mark.parametrize("task", SENTIMENT, ids=title)
def test_classes_are_balanced(task: DatasetTask) -> None:
    for split, table in read(task).items():
        if split != "unlabelled":
            counts = Counter(table["label"].to_pylist())
            assert set(counts) == set(POLARITIES)
            assert 0.4 < counts["positive"] / table.num_rows < 0.6


@pytest.mark.parametrize("task", SENTIMENT, ids=title)
def test_bags_of_words_do_well_but_not_too_well(task: DatasetTask) -> None:
    assert 0.7 < accuracy(read(task)) < 0.85


@pytest.mark.parametrize(
    ("task", "low", "high"),
    [(Cola(), 0.68, 0.8), (Mrpc(), 0.6, 0.75), (Mnli(), 0.6, 0.8), (Qnli(), 0.7, 0.9)],
    ids=title,
)  # fmt: skip
def test_bags_of_words_do_not_suffice(task: DatasetTask, low: float, high: float) -> None:
    assert low < accuracy(read(task)) < high


def test_two_thirds_of_sentences_are_acceptable() -> None:
    for split, table in read(Cola()).items():
        if split != "unlabelled":
            assert 0.58 < Counter(table["label"].to_pylist())["acceptable"] / table.num_rows < 0.72


@pytest.mark.parametrize("task", PAIRS, ids=title)
def test_pairs_are_two_texts(task: GluePair) -> None:
    tables = read(task)
    assert all(text.count(PAIR_SEPARATOR) == 1 for text in tables["test"]["text"].to_pylist())
    assert set(tables["train"]["label"].to_pylist()) == set(task.relations) == set(task.class_names)


@pytest.mark.parametrize("code", LANGUAGES)
def test_training_lacks_words_that_the_pool_and_the_test_have(code: str) -> None:
    tables = read(Reviews(language=code))  # type: ignore[arg-type]
    everything = {split: " ".join(table["text"].to_pylist()) for split, table in tables.items()}
    known = language(code)
    adjectives = [
        word.partition("|")[0]
        for polarity in POLARITIES
        for word in (*known.opinions(polarity).plain, *known.opinions(polarity).strong)
        if len(word) > 5
    ]
    unseen = [word for word in adjectives if word not in everything["train"]]
    assert 0.15 < len(unseen) / len(adjectives) < 0.65
    assert sum(word in everything["unlabelled"] for word in unseen) > 0.9 * len(unseen)
    assert sum(word in everything["test"] for word in unseen) > 0.3 * len(unseen)


@pytest.mark.parametrize("code", LANGUAGES)
def test_lexicons(code: str) -> None:
    known = language(code)
    listed = [word for p in POLARITIES for name in LISTS for word in getattr(known.opinions(p), name)]
    assert len(set(listed)) == len(listed) > 100
    assert all(act.count("{}") == 1 for p in POLARITIES for act in known.opinions(p).acts)
    assert all(closing.count("{}") == 1 for closing in known.closings)
    assert all(pattern.count("{}") == 2 for pattern in (*known.states, *known.denials))


@pytest.mark.parametrize(
    ("code", "masculine", "feminine"),
    [
        ("fr", "merveilleux", "merveilleuse"), ("fr", "bon|bonne", "bonne"), ("fr", "agréable", "agréable"),
        ("fr", "réussi", "réussie"), ("fr", "superficiel", "superficielle"), ("fr", "long|longue", "longue"),
        ("fr", "exceptionnel", "exceptionnelle"), ("fr", "brouillon|brouillonne", "brouillonne"),
        ("it", "noioso", "noiosa"), ("it", "elegante", "elegante"), ("it", "banale", "banale"),
        ("es", "acogedor", "acogedora"), ("es", "encantador", "encantadora"), ("es", "soso", "sosa"),
        ("es", "original", "original"), ("es", "superficial", "superficial"), ("nl", "mooi", "mooi"),
    ],
)  # fmt: skip
def test_adjectives_agree(code: str, masculine: str, feminine: str) -> None:
    assert language(code).feminine_of(masculine) == feminine


def test_german_objects() -> None:
    objects: Callable[[str], str] = language("de").object_of
    assert [objects(noun) for noun in ("der Film", "die Kamera", "das Buch")] == [
        "den Film",
        "die Kamera",
        "das Buch",
    ]
    texts = read(Reviews(language="de"))["unlabelled"]["text"].to_pylist()
    assert any("liebe den Film" in text for text in texts)
    assert not any("liebe der Film" in text for text in texts)


def test_fragments_and_mixtures() -> None:
    known: Language = language("en")
    sizes = {"train": 200, "validation": 10, "test": 10}
    short = corpus(known, Plan(sizes, clauses=(1, 1), fragments=1.0), np.random.default_rng(0))
    long = corpus(known, Plan(sizes, clauses=(5, 9), mixed=0.3), np.random.default_rng(0))

    def words(table: pa.Table) -> float:
        return sum(len(text.split()) for text in table["text"].to_pylist()) / table.num_rows

    assert words(short["train"]) < 5 < words(short["test"]) < 15 < 30 < words(long["test"])
