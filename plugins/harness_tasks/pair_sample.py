"""Generated corpora of pairs of texts, used if those of GLUE are not available.

The two texts of a pair mean the same in other words, mean the opposite, or are about different things. A
model must compare the two texts to find out, although a denial in the second text is a hint, as in the real
data (Gururangan et al., 2018, N18-2017). Some words are missing from the training split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

from harness_tasks.emotion_sample import Dice
from harness_tasks.sentiment.corpus import Writer, partly
from harness_tasks.sentiment.en import ENGLISH
from harness_tasks.sentiment.grammar import OPPOSITE, POLARITIES, Polarity

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SIZES = {"train": 2000, "validation": 400, "test": 800, "unlabelled": 2000}
Relation = Literal["same", "opposite", "other"]
Style = Literal["statements", "questions", "answer"]
_C = TypeVar("_C")  # the specification of a pair
DENIED = {"same": 0.15, "opposite": 0.65, "other": 0.15}  # share of second texts with a denial
# By grade: two things with opposite opinions; two with the same opinion; one thing with opposite opinions;
# one thing with the same opinion; one thing in the same words.
SCORES = (0, 1, 2, 4, 5)
QUESTIONS = ("is it true that {} ?", "do people say that {} ?", "why is it that {} ?", "who says that {} ?")
ASKED = ("what was {} like ?", "how was {} ?", "what did you think of {} ?", "how would you describe {} ?")


def corpus(
    labels: Mapping[str, Sequence[Relation]], style: Style, separator: str, generator: np.random.Generator
) -> dict[str, pa.Table]:
    """Return tables by split of pairs, with equally likely labels; `labels` has the relations of each label.

    In the style "answer" the second text answers the question ("same"), or is about something else.
    """

    def chosen(dice: Dice) -> tuple[str, Relation]:
        label = dice.pick(tuple(labels))
        return label, labels[label][int(dice() * len(labels[label]))]

    def pair(writer: Writer, of: tuple[str, Relation]) -> tuple[str, str]:
        return _pair(writer, of[1], style)

    return _tables(separator, generator, chosen, pair, lambda dice, of: of[0])


def graded(separator: str, generator: np.random.Generator) -> dict[str, pa.Table]:
    """Return tables by split of pairs with a score of similarity from 0 to 5, with noise as of annotators.

    Scores are below 1.5 for pairs about two things. For pairs about one thing they are about 2 if the
    opinions are opposite, about 4 if they are the same, and about 5 if the words are the same too.
    """
    return _tables(separator, generator, lambda dice: int(dice() * 5), _alike, _score)


def _tables(
    separator: str,
    generator: np.random.Generator,
    choose: Callable[[Dice], _C],
    pair: Callable[[Writer, _C], tuple[str, str]],
    label: Callable[[Dice, _C], str | float],
) -> dict[str, pa.Table]:
    """Return tables by split of different pairs.

    `choose` draws the specification of a pair, `pair` writes its two texts, and `label` returns its label.
    """
    import pyarrow as pa

    dice = Dice(generator)
    known, everything = partly(ENGLISH, dice)
    tables: dict[str, pa.Table] = {}
    written: set[str] = set()
    for split, size in SIZES.items():
        writer = Writer(dice, known if split == "train" else everything)
        texts, found = [], []
        for _ in range(size):
            chosen = choose(dice)
            while (text := separator.join(pair(writer, chosen))) in written:
                pass
            written.add(text)
            texts.append(text)
            found.append(label(dice, chosen))
        columns = {"text": texts} if split == "unlabelled" else {"text": texts, "label": found}
        tables[split] = pa.table(columns)
    return tables


def _score(dice: Dice, grade: int) -> float:
    """Return the mean score of five simulated annotators for a pair of a grade."""
    said = [SCORES[grade] + int(dice() * 3) - 1 for _ in range(5)]
    return sum(min(max(score, 0), 5) for score in said) / 5


def _alike(writer: Writer, grade: int) -> tuple[str, str]:
    """Return a pair of one of five grades, whose scores are in SCORES."""
    dice, language = writer.dice, writer.language
    noun = second = dice.pick(language.masculine)
    while grade < 2 and second == noun:
        second = dice.pick(language.masculine)
    polarity = POLARITIES[dice() < 0.5]
    other = OPPOSITE[polarity] if grade in (0, 2) else polarity
    if grade < 4:
        return _state(writer, noun, polarity, 0.15), _state(writer, second, other, 0.15)
    adjective = writer.adjective(polarity, feminine=False)
    first, again = (dice.pick(language.states) for _ in range(2))
    return writer.about(first, noun, adjective), writer.about(again, noun, adjective)


def _pair(writer: Writer, relation: Relation, style: Style) -> tuple[str, str]:
    dice = writer.dice
    noun = dice.pick(writer.language.masculine)
    polarity = POLARITIES[dice() < 0.5]
    second = noun
    while relation == "other" and second == noun:
        second = dice.pick(writer.language.masculine)
    wanted = OPPOSITE[polarity] if relation == "opposite" else polarity
    other = _state(writer, second, wanted, DENIED[relation])
    if style == "answer":
        return dice.pick(ASKED).format(noun), other
    first = _state(writer, noun, polarity, 0.15)
    if style == "questions":
        return dice.pick(QUESTIONS).format(first), dice.pick(QUESTIONS).format(other)
    return first, other


def _state(writer: Writer, noun: str, polarity: Polarity, denied: float) -> str:
    dice, language = writer.dice, writer.language
    if dice() < denied:
        adjective = dice.pick_early(language.opinions(OPPOSITE[polarity]).plain)
        return writer.about(dice.pick(language.denials), noun, adjective)
    return writer.about(dice.pick(language.states), noun, writer.adjective(polarity, feminine=False))
