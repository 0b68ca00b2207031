"""Texts a second of each augmenter, beside the loop that one would write first.

Run ``python tests/benchmarks/bench_augmenters.py [TEXTS]``. Times are CPU times of one process, the best of
three; the ratio to the loop, measured in the same run, is what to compare between machines.
"""

# ruff: noqa: T201

from __future__ import annotations

import random
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

import harness
from harness_augmenters.combine import Chain, Mix
from harness_augmenters.pos import PartOfSpeechReplace
from harness_augmenters.spans import NGram, Sentence
from harness_augmenters.words import Drop, Mask, Replace

Loop = Callable[[Sequence[str], np.random.Generator], Iterable[tuple[int, str]]]


def corpus(size: int) -> list[str]:
    """Texts of 2 to 36 words, 19 on average, with Zipf's frequencies, as tweets are."""
    generator = np.random.default_rng(0)
    words = np.array([f"{chr(97 + i % 26)}{i:x}" for i in range(15_000)])
    shares = 1 / np.arange(1, len(words) + 1)
    lengths = generator.integers(2, 37, size)
    flat = generator.choice(words, lengths.sum(), p=shares / shares.sum()).tolist()
    ends = np.cumsum(lengths).tolist()
    return [" ".join(flat[start:end]) + "." for start, end in zip([0, *ends], ends, strict=False)]


# -- loops, each word at a time, without a promise that anything changes -------------------------------------


def mask(texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
    draw = random.Random(0).random
    for row, text in enumerate(texts):
        yield row, " ".join("[MASK]" if draw() < 0.1 else word for word in text.split())


def mask_numpy(texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
    for row, text in enumerate(texts):
        yield row, " ".join("[MASK]" if generator.random() < 0.1 else word for word in text.split())


def drop(texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
    draw = random.Random(0).random
    for row, text in enumerate(texts):
        yield row, " ".join(word for word in text.split() if draw() >= 0.1)


def replace(texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
    draw = random.Random(0)
    counts = Counter(word for text in texts for word in text.split())
    flat = list(counts.elements())
    for row, text in enumerate(texts):
        yield (
            row,
            " ".join(draw.choice(flat) if draw.random() < 0.1 else word for word in text.split()),
        )


def ngram(texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
    draw = random.Random(0)
    for row, text in enumerate(texts):
        words = text.split()
        size = draw.randint(1, min(5, len(words)))
        start = draw.randint(0, len(words) - size)
        yield row, " ".join(words[start : start + size])


PAIRS: list[tuple[harness.Augmenter, Loop | None]] = [
    (Mask(), mask),
    (Mask(), mask_numpy),
    (Mask(copies=8), mask),
    (Replace(), replace),
    (Replace(copies=8), replace),
    (Drop(), drop),
    (NGram(), ngram),
    (Sentence(), None),
    (PartOfSpeechReplace(copies=8), None),
    (Chain((Mask(force=False), Replace(force=False), NGram(probability=0.25)), copies=8), None),
    (Mix((Mask(), Replace(), NGram()), copies=8), None),
    (Mix((Mask(), Replace(), NGram()), size=200_000), None),
]


def speed(work: Loop, texts: Sequence[str]) -> float:
    """New texts a second of CPU time, the best of three."""
    best = 0.0
    for _ in range(3):
        count = 0

        def counted() -> Iterator[tuple[int, str]]:
            nonlocal count
            for new in work(texts, np.random.default_rng(0)):
                count += 1
                yield new

        start = time.process_time()
        deque(counted(), maxlen=0)
        best = max(best, count / (time.process_time() - start))
    return best


def main() -> None:
    texts = corpus(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
    texts_of_sentences = [" ".join(texts[row : row + 3]) for row in range(0, len(texts), 3)]
    print(f"{len(texts):,} texts, {sum(len(text.split()) for text in texts) / len(texts):.1f} words each")
    for augmenter, loop in PAIRS:
        given = texts_of_sentences if isinstance(augmenter, Sentence) else texts
        ours = speed(augmenter, given)
        parameters = [name for name in ("copies", "size") if getattr(augmenter, name, None)]
        title = f"{augmenter.name} " + " ".join(f"{name}={getattr(augmenter, name)}" for name in parameters)
        ratio = ""
        if loop is not None:
            theirs = speed(loop, given)
            ratio = f"{ours / theirs:5.1f} times {loop.__name__} by a loop ({theirs:,.0f})"
        print(f"{title:22} {ours:10,.0f} texts/s  {ratio}")


if __name__ == "__main__":
    main()
