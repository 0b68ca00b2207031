"""Microseconds a text to count a vocabulary and to look up ids: many texts at once, and one text at a time.

    python tests/benchmarks/bench_featurising.py [--texts 16000] [--record]

The texts are tweets of the emotion task, and book reviews if HARNESS_DATA has them. One thread; the ways take
turns, and the least CPU time of five turns counts.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from report import machine, record, say

TURNS = 5


def texts_of(name: str) -> list[str]:
    """The training texts of a folder of HARNESS_DATA; none without it."""
    path = Path(os.environ.get("HARNESS_DATA", ""), name, "train.jsonl.gz")
    if not path.is_file():
        return []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def tweets() -> list[str]:
    """The training texts of the emotion task."""
    from harness_tasks.emotion import Emotion

    task = Emotion()
    return task.read(task.resolve("auto"))["train"]["text"].to_pylist()  # type: ignore[no-any-return]


def ways(texts: Sequence[str]) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """By what is made: how many texts at once make it, and how one text at a time does."""
    from harness.featurise.featuriser import Featuriser, Words
    from harness.featurise.words import words_of
    from harness_students.ngrams import HashedNgrams
    from harness_teachers.word_features import WordFeatures

    words, ngrams = Words.fit(texts, 5000), HashedNgrams(20_000, 2, 3, 5, 128)
    sizes = {"affixes": 1000, "shapes": 250, "letters": 250, "characters": 12, "longest": 256}
    features = WordFeatures.fit(texts, 4000, **sizes)

    def plain_fit() -> None:
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(words_of(text))
        sorted(counts, key=lambda word: (-counts[word], word))

    def ids(made: Featuriser) -> tuple[Callable[[], Any], Callable[[], Any]]:
        def one_at_a_time() -> None:
            encoded = made.encode(texts)
            np.fromiter((number for each in encoded for number in each), dtype=np.int32)

        return lambda: made.tokens(texts), one_at_a_time

    fit = lambda: Words.fit(texts, 5000), plain_fit
    return {"fit": fit, "words": ids(words), "n-grams": ids(ngrams), "tagged words": ids(features)}


def least(work: Callable[[], Any]) -> float:
    """The CPU seconds of one run."""
    clock = time.process_time()
    work()
    return time.process_time() - clock


def main() -> None:
    """Measure in turns, print, and record if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--texts", type=int, default=16_000)
    parser.add_argument("--record", action="store_true", help="append to results/featurising.jsonl")
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    for name, texts in {"tweets": tweets(), "reviews": texts_of("reviews/en.cls-books")}.items():
        texts = texts[: arguments.texts]
        for what, pair in ways(texts).items() if texts else ():
            turns = [[least(way) for way in pair] for _ in range(TURNS)]
            many, one = (1e6 * min(turn[way] for turn in turns) / len(texts) for way in (0, 1))
            found[f"{name}, {what}"] = {"many_us": round(many, 2), "one_us": round(one, 2)}
            times = f"{one / many:.1f} times"
            say(f"{name:8s} {what:13s} {many:7.2f} µs a text, {one:7.2f} one at a time: {times}")
    if arguments.record:
        record("featurising", {**machine(), "us": found})


if __name__ == "__main__":
    main()
