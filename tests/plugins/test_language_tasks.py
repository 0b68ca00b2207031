"""The tasks `tweets` and `text-file`: how texts are cleaned, which of them stay, and generated tweets."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from harness.api import HarnessError, Unavailable, parameters_of
from harness.catalog import load
from harness.storage import arrow
from harness_tasks import emotion_sample, tweets_sample
from harness_tasks.cleaning import CLEANERS, Cleaning
from harness_tasks.emotion import Emotion
from harness_tasks.text_file import TextFile
from harness_tasks.tweets import Tweets

OFF: Mapping[str, Any] = dict.fromkeys(CLEANERS, False)


def texts(table: pa.Table) -> list[str]:
    assert table.column_names == ["text"] and table.schema.field("text").type == pa.string()
    return table["text"].to_pylist()  # type: ignore[no-any-return]


def table(*rows: str | None) -> pa.Table:
    return pa.table({"text": pa.array(rows, pa.string())})


# -- cleaning


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [
        ("html", "a &lt;3 &amp; <b class='x'>bold</b><br/><!-- no -->", "a <3 &  bold   "),
        ("html", "2 < 3 and 5 > 4", "2 < 3 and 5 > 4"),
        ("urls", "see https://t.co/Ab1?x=1 or www.a.org/b, ok", "see  or  ok"),
        ("urls", "FTP://a.b pic.twitter.com/x", " "),
        ("urls", "wwwhat http:// e.g. a.b", "wwwhat http:// e.g. a.b"),
        ("users", "@user hi @a_1! a@b.org @ home .@you", " hi ! a@b.org @ home ."),
        ("repeats", "sooooo coool!!! aa 10000 ... @@@@ 😀😀😀", "soo cool!! aa 10000 .. @@ 😀😀"),
        ("repeats", "SoOoO   x", "SoOoO   x"),
        ("punctuation", "it's 'fine', really: don’t #go_on 5% $3", "its  fine   really  dont  go on 5  $3"),
        ("non_alphanumerics", "it's $3 + 😀 क्षि é e\u0301 ❤️1\ufe0f\u20e3", "its  3     क्षि é e\u0301   1  "),
        ("spaces", "  a\t\n b\u00a0c \ufe0f \ufe0f d❤️ e\u200b f ", "a b c d❤️ e\u200b f"),
    ],
)  # fmt: skip
def test_one_step(step: str, before: str, after: str) -> None:
    assert CLEANERS[step](before) == after
    assert CLEANERS[step](after) == after  # nothing is left for a second time


def test_every_step_is_a_parameter() -> None:
    sound = {"html", "urls", "users", "repeats", "spaces"}
    on = {name for name in CLEANERS if parameters_of(Tweets())[name]}
    assert on == sound and len(CLEANERS) == 7
    assert {name: parameters_of(TextFile(train=Path("a.txt")))[name] for name in CLEANERS} == {
        name: name in sound for name in CLEANERS
    }


def test_steps_work_in_turn_and_are_counted() -> None:
    rows = table(
        "&lt;b&gt;soooo good  today", "@you see http://t.co/x &amp; @me", "plain old text", "", None, " \t "
    )
    found = Cleaning().clean(rows)
    # What an entity hides is no tag; "see &" is short.
    assert texts(found) == ["<b>soo good today", "plain old text"]
    assert arrow.cleaning(found) == {
        "texts": 6,
        "html": 2,
        "urls": 1,
        "users": 1,
        "repeats": 1,
        "spaces": 3,
        "empty": 3,
        "short": 1,
        "duplicates": 0,
    }


def test_no_step_changes_nothing() -> None:
    rows = ["  &amp; ", "<p>", "@a  b!!!!"]
    found = Cleaning(**OFF, shortest=1).clean(table(*rows))
    assert texts(found) == rows
    assert arrow.cleaning(found) == {"texts": 3, "empty": 0, "short": 0, "duplicates": 0}


def test_copies_are_dropped_that_only_cleaning_shows() -> None:
    found = Cleaning().clean(table("one two three", "one  two three", "@x one two three", "One two three"))
    assert texts(found) == ["one two three", "One two three"]
    assert arrow.cleaning(found)["duplicates"] == 2


@pytest.mark.parametrize(("shortest", "kept"), [(1, 4), (2, 3), (3, 2), (4, 1), (5, 0)])
def test_short_texts_are_dropped(shortest: int, kept: int) -> None:
    found = Cleaning(shortest=shortest).clean(table("a", "a b", "a b c", "a b c d", "@gone"))
    counts = arrow.cleaning(found)
    assert found.num_rows == kept and counts["short"] == 4 - kept and counts["empty"] == 1


def test_some_training_texts_whatever_their_order() -> None:
    rows = [f"text number {row}" for row in range(100)]
    cleaning = Cleaning(examples=30)
    split = dict.fromkeys(("train", "validation", "test"), table(*rows))
    found = cleaning.cleaned(split)
    assert [found[name].num_rows for name in split] == [30, 100, 100]
    assert arrow.cleaning(found["train"])["left_out"] == 70
    assert "left_out" not in arrow.cleaning(found["test"])
    kept = texts(found["train"])
    assert kept == [row for row in rows if row in kept] != rows[:30]
    backwards = cleaning.cleaned({"train": table(*reversed(rows))})
    assert texts(backwards["train"]) == kept[::-1]
    more = cleaning.cleaned({"train": table(*rows, *(f"other text {row}" for row in range(20)))})
    assert set(texts(more["train"])) & set(rows) <= set(kept)  # more texts only push some of them out
    assert Cleaning(examples=100).cleaned({"train": table(*rows)})["train"].num_rows == 100
    assert set(texts(Cleaning(examples=10).cleaned({"train": table(*rows)})["train"])) < set(kept)


# -- tweets


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return tmp_path


def raw(folder: Path, **splits: list[str]) -> None:
    (folder / "raw-tweets").mkdir()
    for split, rows in splits.items():
        lines = "".join(json.dumps({"text": text, "id": 1}) + "\n" for text in rows)
        (folder / "raw-tweets" / f"{split}.jsonl.gz").write_bytes(gzip.compress(lines.encode()))


def test_local_tweets(here: Path) -> None:
    raw(here, train=["@user a b c", "a b c", "x"], validation=["d e f"], test=["g h  i"])
    task = Tweets()
    source = task.resolve("auto")
    assert (source.name, source.origin) == ("local", "$HARNESS_DATA/raw-tweets")
    tables = task.read(source)
    assert {split: texts(part) for split, part in tables.items()} == {
        "train": ["a b c"],
        "validation": ["d e f"],
        "test": ["g h i"],
    }
    assert arrow.cleaning(tables["train"]) | {"texts": 3, "users": 1, "short": 1, "duplicates": 1} == (
        arrow.cleaning(tables["train"])
    )


def test_texts_cleaned_otherwise_are_other_data(here: Path) -> None:
    raw(here, train=["a b c"], validation=["d e f"], test=["g h i"])
    changes: list[dict[str, Any]] = [
        *({name: not parameters_of(Tweets())[name]} for name in CLEANERS),
        {"shortest": 2},
        {"examples": 1},
    ]
    prints = {
        Tweets(**change).resolve(source).fingerprint
        for change in ({}, *changes)
        for source in ("auto", "sample")
    }
    assert len(prints) == 2 * (1 + len(changes))
    assert Tweets(urls=True).resolve("auto") == Tweets().resolve("auto")


def test_tweets_without_data(here: Path) -> None:
    assert Tweets().resolve("auto").name == "sample"
    with pytest.raises(Unavailable, match="'tweets' has no cached copy of cardiffnlp/tweet_eval@b3a375"):
        Tweets().resolve("hub")


def test_tweets_of_the_hub(here: Path) -> None:
    folder = here / "cache" / "cardiffnlp___tweet_eval" / "sentiment" / "0.0.0" / Tweets.hub.revision
    folder.mkdir(parents=True)
    moods = {"names": ["negative", "neutral", "positive"], "_type": "ClassLabel"}
    info = {"features": {"text": {"dtype": "string", "_type": "Value"}, "label": moods}}
    (folder / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    for split in ("train", "validation", "test"):
        rows = pa.table({"text": [f"@user of {split} &amp; co", "x"], "label": [2, 0]})
        sink = str(folder / f"tweet_eval-{split}.arrow")
        with pa.OSFile(sink, "wb") as file, pa.ipc.new_stream(file, rows.schema) as writer:
            writer.write_table(rows)
    task = Tweets()
    source = task.resolve("auto")
    assert source.name == "hub" and task.cleaning() in source.fingerprint
    assert {split: texts(part) for split, part in task.read(source).items()} == {
        split: [f"of {split} & co"] for split in ("train", "validation", "test")
    }


def test_what_kind_of_task_they_are() -> None:
    for task in (Tweets(), TextFile(train=Path("a.txt"))):
        assert task.task_type == "language-modelling"
        assert (
            task.headline == "perplexity" and load().task_type_of(task).metric(task.headline).lower_is_better
        )


@pytest.mark.skipif("HARNESS_DATA" not in os.environ, reason="needs the real data")
def test_the_real_tweets_to_model() -> None:
    task = Tweets(examples=1000)
    tables = task.read(task.resolve("local"))
    assert tables["train"].num_rows == 1000
    assert arrow.cleaning(tables["train"])["texts"] == 111_912
    assert 3900 < tables["test"].num_rows <= 4000


# -- the sample of tweets


@pytest.fixture(scope="module")
def sample() -> dict[str, pa.Table]:
    return tweets_sample.corpus(np.random.default_rng(0))


def words(rows: pa.Table) -> list[list[str]]:
    return [re.findall(r"[a-z]+", text.lower()) for text in texts(Cleaning().clean(rows))]


def test_sample_shape(sample: dict[str, pa.Table]) -> None:
    assert {split: part.num_rows for split, part in sample.items()} == tweets_sample.SIZES
    again = tweets_sample.corpus(np.random.default_rng(0))
    assert all(part.equals(again[split]) for split, part in sample.items())
    cleaned = Tweets().cleaned(sample)
    assert {split: part.num_rows for split, part in cleaned.items()} == tweets_sample.SIZES
    every = [text for part in cleaned.values() for text in texts(part)]
    assert len(set(every)) == len(every)
    for part in cleaned.values():  # there is something for each step to find
        counts = arrow.cleaning(part)
        assert all(
            counts[step] >= 0.02 * part.num_rows for step in ("html", "urls", "users", "repeats", "spaces")
        )


def test_sample_has_the_words_of_emotion_that_its_training_split_lacks(sample: dict[str, pa.Table]) -> None:
    downstream = Emotion().sample(np.random.default_rng(0))

    def vocabulary(rows: pa.Table) -> set[str]:
        return {word for text in rows["text"].to_pylist() for word in re.findall(r"[a-z]{4,}", text.lower())}

    known, asked = vocabulary(downstream["train"]), vocabulary(downstream["test"])
    often = Counter(" ".join(downstream["test"]["text"].to_pylist()).split())
    unknown = {word for word in asked - known if often[word] > 1}
    assert len(unknown) > 30
    here = vocabulary(sample["train"])
    assert len(unknown & here) > 0.8 * len(unknown)
    assert len(asked & here) > 0.6 * len(asked & known)


def test_neighbours_tell_more_than_frequency(sample: dict[str, pa.Table]) -> None:
    """A word's probability given the word before it, against that of the word alone: bits a word."""
    train, test = words(sample["train"]), words(sample["test"])
    single = Counter(word for text in train for word in text)
    pairs = Counter(pair for text in train for pair in pairwise(text))
    total, size = sum(single.values()), len(single)

    def alone(word: str) -> float:
        return (single[word] + 1) / (total + size + 1)

    def after(before: str, word: str) -> float:
        return (pairs[before, word] + 5 * alone(word)) / (single[before] + 5)

    found = [(alone(word), after(before, word)) for text in test for before, word in pairwise(text)]
    bits_alone, bits_after = -np.log2(np.array(found)).mean(axis=0)
    assert bits_alone - bits_after > 2  # neighbours matter
    assert bits_after > 2  # and do not say it all


def test_far_words_tell_the_topic(sample: dict[str, pa.Table]) -> None:
    """A word of a feeling tells, further away, which other words of feelings there are."""
    feelings = {
        phrase: emotion
        for emotion, phrases in emotion_sample.words.FEELINGS.items()
        for phrase in phrases
        if " " not in phrase
    }
    same = other = 0
    for text in words(sample["train"]):
        found = [feelings[word] for word in text if word in feelings]
        for one, two in pairwise(found):
            same, other = same + (one == two), other + (one != two)
    assert same > 300 and same > 20 * other


# -- text-file


@pytest.fixture
def lines(here: Path) -> list[str]:
    rows = [f"line number {row} of all" for row in range(100)]
    (here / "all.txt").write_bytes(("\ufeff" + "\r\n".join(rows) + "\n \n").encode())
    (here / "all.txt.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    (here / "all.csv").write_text("\n".join(["id,tweet", *(f'{i},"{row}"' for i, row in enumerate(rows))]))
    (here / "all.jsonl").write_text("\n".join(json.dumps({"tweet": row, "label": 3}) for row in rows))
    (here / "all.jsonl.gz").write_bytes(gzip.compress((here / "all.jsonl").read_bytes()))
    parquet.write_table(pa.table({"tweet": rows}), here / "all.parquet")
    (here / "some.txt").write_text("\n".join(f"other line {row}" for row in range(10)))
    return rows


def read(task: TextFile) -> dict[str, list[str]]:
    task.check()
    return {split: texts(part) for split, part in task.read(task.resolve("auto")).items()}


@pytest.mark.parametrize("name", ["all.txt.gz", "all.csv", "all.jsonl", "all.jsonl.gz", "all.parquet"])
def test_formats(name: str, lines: list[str]) -> None:
    expected = read(TextFile(train=Path("all.txt")))
    assert {split: len(rows) for split, rows in expected.items()} == {
        "train": 80,
        "validation": 10,
        "test": 10,
    }
    assert sorted(text for rows in expected.values() for text in rows) == sorted(lines)
    assert read(TextFile(train=Path(name), text="tweet")) == expected


def test_carving(lines: list[str], here: Path) -> None:
    first = read(TextFile(train=Path("all.txt"), test_share=0.2))
    assert [len(first[split]) for split in ("train", "validation", "test")] == [70, 10, 20]
    other = read(TextFile(train=Path("all.txt"), test_share=0.2, split_seed=1))
    assert set(first["test"]) != set(other["test"])
    # Before they are carved, texts are cleaned: copies that only cleaning shows stand in no two splits.
    (here / "twice.txt").write_text("\n".join([*lines, *(f"@user  {line}" for line in reversed(lines))]))
    assert read(TextFile(train=Path("twice.txt"), test_share=0.2)) == first
    given = read(TextFile(train=Path("all.txt"), test=Path("some.txt")))
    assert [len(given[split]) for split in ("train", "validation", "test")] == [90, 10, 10]
    assert given["test"][0] == "other line 0"


def test_what_cleaning_did_is_told_where_it_was_done(lines: list[str]) -> None:
    task = TextFile(train=Path("all.txt"), test=Path("some.txt"), examples=40)
    tables = task.read(task.resolve("auto"))
    assert arrow.cleaning(tables["train"])["texts"] == 100
    assert arrow.cleaning(tables["train"])["left_out"] == 50
    assert arrow.cleaning(tables["validation"]) == {}
    assert arrow.cleaning(tables["test"])["texts"] == 10


def test_other_texts_are_other_data(lines: list[str]) -> None:
    def print_of(**parameters: Any) -> str:
        return TextFile(**{"train": Path("all.txt"), **parameters}).resolve("auto").fingerprint

    whole = {"validation": Path("some.txt"), "test": Path("all.csv")}
    different = [
        print_of(),
        print_of(split_seed=1),
        print_of(test_share=0.3),
        print_of(punctuation=True),
        print_of(shortest=4),
        print_of(examples=5),
        print_of(text="tweet"),
        print_of(test=Path("some.txt")),
        print_of(**whole),
    ]
    assert len(set(different)) == len(different)
    assert print_of(**whole) == print_of(**whole, split_seed=3, validation_share=0.5)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"train": "a.docx"},
            "cannot read the train file 'a.docx': unknown format; expected a file name that ends in .txt",
        ),
        ({"test": "a"}, "cannot read the test file 'a': unknown format"),
        ({"test": "./a.txt"}, "expected different files for train, validation and test"),
        ({"validation_share": 0.5, "test_share": 0.5}, "leaves nothing to train on"),
        ({"url": False}, "did you mean 'urls'"),
        ({"urls": "no"}, "must be true or false"),
        ({"shortest": 0}, "at least 1"),
        ({"examples": -1}, "at least 0"),
    ],
)
def test_mistakes_in_a_suite(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(HarnessError, match=re.escape(message)):
        load().build("task", {"use": "text-file", "train": "a.txt", **parameters})


def test_files_that_cannot_be_had(here: Path) -> None:
    def told(task: TextFile) -> str:
        with pytest.raises(HarnessError) as caught:
            task.read(task.resolve("auto"))
        return str(caught.value)

    (here / "latin.txt").write_bytes("one two three\nÜber alle Berge\n".encode("latin-1"))
    (here / "few.txt").write_text("one two three\nfour five six\n")
    (here / "short.txt").write_text("one\ntwo\n")
    (here / "cut.txt.gz").write_bytes(gzip.compress(b"one two three\n" * 99)[:-12])
    (here / "other.csv").write_text("tweets\na b c\n")
    assert told(TextFile(train=Path("away.txt"))).startswith("the train file 'away.txt' does not exist")
    assert told(TextFile(train=Path("latin.txt"))) == "latin.txt line 2 is not UTF-8; save the file as UTF-8"
    assert told(TextFile(train=Path("few.txt"))) == (
        "cannot carve a validation split out of few.txt: it has too few texts; "
        "add texts, or change the shares"
    )
    (here / "empty.txt").write_text("\n \n")
    (here / "good.txt").write_text("".join(f"one two word{n}\n" for n in range(40)))
    for files in ({"train": Path("empty.txt")}, {"train": Path("good.txt"), "test": Path("empty.txt")}):
        assert told(TextFile(**files)).startswith("cannot read empty.txt: it has no texts")
    assert told(TextFile(train=Path("short.txt"))) == (
        "cannot use short.txt: cleaning removed every text (2 texts, 2 short); "
        "lower shortest, or switch off a cleaning step"
    )
    assert "cannot read cut.txt.gz" in told(TextFile(train=Path("cut.txt.gz")))
    assert "no column 'tweet'; found: 'tweets'; did you mean 'tweets'?" in told(
        TextFile(train=Path("other.csv"), text="tweet")
    )
    for source in ("sample", "hub"):
        with pytest.raises(Unavailable, match=f"'text-file' has no {source} source: it reads the file a.txt"):
            TextFile(train=Path("a.txt")).resolve(source)


def test_a_file_that_changes_after_the_plan(here: Path, lines: list[str]) -> None:
    task = TextFile(train=Path("all.txt"))
    source = task.resolve("auto")
    (here / "all.txt").write_text("one two three\n")
    with pytest.raises(HarnessError, match="has changed since this run was planned"):
        task.read(source)
