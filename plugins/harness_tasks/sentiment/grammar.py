"""Words, patterns and rules of agreement with which a language expresses that something is good or bad.

All sentences are predicative and singular ("the film was dull"), which keeps agreement simple: Romance
adjectives follow the gender of their noun, and German masculine nouns change their article as an object.
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
    """Return the words or phrases of a comma-separated list, which may have several lines."""
    return tuple(" ".join(item.split()) for item in text.split(",") if item.strip())


def lines(text: str) -> Words:
    """Return the phrases of a text with one phrase per line; phrases may contain commas."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


@dataclass(frozen=True)
class Opinions:
    """The words of one polarity."""

    plain: Words  # adjectives that can follow "very" or "not": good, dull
    strong: Words  # adjectives that can follow "absolutely" but not "not": superb, dreadful
    acts: Words  # clauses with {} for an object: "I enjoyed {}"
    verdicts: Words  # noun phrases: "a waste of time"


@dataclass(frozen=True)
class Language:
    """One language's words and patterns."""

    masculine: Words  # noun phrases with their articles; all of them if adjectives do not agree
    feminine: Words  # the same for feminine nouns
    positive: Opinions
    negative: Opinions
    degrees: Words  # words before plain adjectives: very
    intense: Words  # words before strong adjectives: absolutely
    states: Words  # patterns of a subject and an adjective: "{} was {}"
    denials: Words  # the same with a denial: "{} was not {}"
    closings: Words  # patterns with {} for a verdict: "in short, {}"
    contrast: str  # pattern of two clauses, of which the second determines the label: "{}, but {}"
    asides: Words  # neutral sentences
    feminine_of: Callable[[str], str] = str  # returns the feminine form of an adjective
    object_of: Callable[[str], str] = str  # returns the object form of a noun phrase

    def opinions(self, polarity: Polarity) -> Opinions:
        """Return the words of a polarity."""
        return self.positive if polarity == "positive" else self.negative

    def narrowed(self, keep: Callable[[Words], Words]) -> Language:
        """Return the language with the opinion words that `keep` selects from each list."""

        def fewer(opinions: Opinions) -> Opinions:
            return Opinions(**{f.name: keep(getattr(opinions, f.name)) for f in fields(opinions)})

        return replace(self, positive=fewer(self.positive), negative=fewer(self.negative))


def feminine_by(*endings: tuple[str, str]) -> Callable[[str], str]:
    """Return a function from masculine to feminine adjectives, which replaces the first ending that fits."""

    def rule(adjective: str) -> str:
        head, bar, given = adjective.partition("|")
        if bar:
            return given
        for ending, other in endings:
            if head.endswith(ending):
                return head[: len(head) - len(ending)] + other
        return head

    return rule
