"""Words that leave two labels open, by hand and against scipy."""

from __future__ import annotations

from collections import Counter

import pytest
from scipy.stats import entropy

from harness.diagnose import contested
from harness.diagnose.contested import Contested, turned_on


def rows(**labels: dict[str, int]) -> list[tuple[str, str]]:
    """Texts `it is WORD`, of each word as many of each label as is said."""
    return [
        (f"It is {word}!", label)
        for word, each in labels.items()
        for label, n in each.items()
        for _ in range(n)
    ]


TRAIN = rows(
    glad={"joy": 80},
    gloomy={"sadness": 78, "joy": 2},
    hated={"anger": 32, "sadness": 20},
    odd={"fear": 9, "surprise": 4, "joy": 4},  # three labels
    rare={"fear": 5, "surprise": 4},  # nine texts
    leaning={"fear": 16, "anger": 5},  # under a quarter
)


def test_a_text_turns_on_the_word_that_tells_most() -> None:
    hated = Contested("hated", ("anger", 32), ("sadness", 20))
    texts = {
        "it is HATED, it is": hated,
        "hated but glad": None,  # of these "glad" tells more
        "it is glad": None,
        "odd": None,
        "rare": None,
        "leaning": None,
        "never seen": None,
        "": None,
    }
    assert dict(zip(texts, turned_on(TRAIN, list(texts)), strict=True)) == texts
    # Where another word of the text tells more, that one decides.
    assert turned_on(TRAIN + rows(enraged={"anger": 30}), ["hated and enraged"]) == [None]


def test_a_word_that_leaves_what_most_texts_are_is_not_contested() -> None:
    even = rows(even={"good": 20, "bad": 20}, fine={"good": 20}, poor={"bad": 20})
    assert turned_on(even, ["it is even"]) == [None]
    assert turned_on([], ["it is even"]) == [None]
    # Where one of two labels is rare, a word that makes it as likely as the other tells much.
    skewed = rows(even={"good": 20, "bad": 20}, fine={"good": 960})
    assert turned_on(skewed, ["it is even"]) == [Contested("even", ("good", 20), ("bad", 20))]


def test_what_a_word_tells_is_a_divergence_tempered_by_all_labels() -> None:
    prior = {"a": 0.5, "b": 0.3, "c": 0.2}
    counts = Counter(a=2, b=18)
    tempered = [(2 + 5) / 30, (18 + 3) / 30, (0 + 2) / 30]
    told = contested._divergence(counts, prior)
    assert told == pytest.approx(entropy(tempered, list(prior.values())))
    assert contested._divergence(Counter(a=50, b=30, c=20), prior) == pytest.approx(0, abs=1e-12)
