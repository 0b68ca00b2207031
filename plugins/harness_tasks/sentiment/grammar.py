"""What a language needs to say that something is good or bad, and how its words agree.

Everything is predicative and singular ("the film was dull"), so that agreement stays within reach: Romance
adjectives follow the gender of their noun, German masculine nouns change their article as an object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Literal

Polarity = Literal["negative", "positive"]
POLARITIES: tuple[Polarity, Polarity] = ("negative", "positive")
OPPOSITE: dict[Polarity, Polarity] = {"negative": "positive", "positive": "negative"}

Words = tuple[str, ...]


def words(text: str) -> Words:
    """Comma-separated words or phrases, over any number of lines."""
    return tuple(" ".join(item.split()) for item in text.split(",") if item.strip())


def lines(text: str) -> Words:
    """One phrase a line; phrases may hold commas."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


@dataclass(frozen=True)
class Opinions:
    """The words of one polarity."""

    plain: Words  # adjectives that take "very" and can be denied: good, dull
    strong: Words  # adjectives that take "absolutely" and cannot: superb, dreadful
    acts: Words  # clauses with {} for an object: "I enjoyed {}"
    verdicts: Words  # noun phrases: "a waste of time"


@dataclass(frozen=True)
class Language:
    """One language's words and patterns."""

    masculine: Words  # noun phrases with their articles; all of them where adjectives do not agree
    feminine: Words
    positive: Opinions
    negative: Opinions
    degrees: Words  # before plain adjectives: very
    intense: Words  # before strong ones: absolutely
    states: Words  # {subject} {adjective}: "{} was {}"
    denials: Words  # the same, denied: "{} was not {}"
    closings: Words  # with {} for a verdict: "in short, {}"
    contrast: str  # joins two clauses of which the second counts: "{}, but {}"
    asides: Words  # sentences about nothing much
    feminine_of: Callable[[str], str] = str  # of an adjective
    object_of: Callable[[str], str] = str  # of a noun phrase that was a subject

    def opinions(self, polarity: Polarity) -> Opinions:
        """The words of a polarity."""
        return self.positive if polarity == "positive" else self.negative

    def narrowed(self, keep: Callable[[Words], Words]) -> Language:
        """The same language with fewer opinion words: `keep` picks from each list."""

        def fewer(opinions: Opinions) -> Opinions:
            return Opinions(**{f.name: keep(getattr(opinions, f.name)) for f in fields(opinions)})

        return replace(self, positive=fewer(self.positive), negative=fewer(self.negative))


def feminine_by(*endings: tuple[str, str]) -> Callable[[str], str]:
    """A rule from masculine to feminine: the first ending that fits is replaced."""

    def rule(adjective: str) -> str:
        head, bar, given = adjective.partition("|")
        if bar:
            return given
        for ending, other in endings:
            if head.endswith(ending):
                return head[: len(head) - len(ending)] + other
        return head

    return rule
