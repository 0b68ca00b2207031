"""A generated corpus of tweets with names, used if the real data is not available.

It has the difficulties of real tweets. Names are built from lists of words. The training split uses only a
part of each list, so most names of the other splits are new, but their contexts are not; a model gains from
unlabelled tweets or from knowing names. The same word can be a person in one tweet and a place or a company
in another. Some tweets are all in lower case or in capitals, and some names are hashtags. Mentions and other
capitalised words are not names. Nine of ten words are outside of names, types are unbalanced, and a few
names of the training split are not tagged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness_tasks import ner_words as words
from harness_tasks.emotion_sample import Dice

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SIZES = {"train": 1200, "validation": 300, "test": 600, "unlabelled": 4000}
KNOWN = 0.5  # share of the parts of names that the training split uses
PLAIN = 0.3  # share of tweets without a name
LOWER, UPPER = 0.18, 0.04  # shares of tweets that are all in lower case, or in capitals
HASHTAG = 0.08  # share of names that are hashtags
MISSED = 0.04  # share of the training split's names that are not tagged

Tweet = tuple[list[str], list[str]]  # words and tags


@dataclass(frozen=True)
class Scheme:
    """The kinds of names in a corpus: their types, their shares, and how mentions are tagged."""

    types: Mapping[str, str]  # by kind of name, the type in the tags
    shares: Mapping[str, float]  # by kind, its share of all names
    mentions: str = ""  # type of both words of "@ name"; "": "@name" is one word, and not a name


WNUT17 = Scheme(
    {
        "person": "person",
        "place": "location",
        "facility": "location",
        "company": "corporation",
        "team": "group",
        "band": "group",
        "product": "product",
        "film": "creative-work",
        "show": "creative-work",
    },
    {
        "person": 0.34,
        "place": 0.22,
        "facility": 0.06,
        "company": 0.11,
        "team": 0.08,
        "band": 0.05,
        "product": 0.07,
        "film": 0.04,
        "show": 0.03,
    },
)
BTC = Scheme(
    {"person": "PER", "place": "LOC", "facility": "LOC", "company": "ORG", "team": "ORG", "band": "ORG"},
    {"person": 0.4, "place": 0.19, "facility": 0.05, "company": 0.2, "team": 0.1, "band": 0.06},
    mentions="PER",
)
WNUT16 = Scheme(
    {
        "person": "person",
        "place": "geo-loc",
        "facility": "facility",
        "company": "company",
        "team": "sportsteam",
        "band": "musicartist",
        "product": "product",
        "film": "movie",
        "show": "tvshow",
        "event": "other",
    },
    {
        "person": 0.3,
        "place": 0.19,
        "facility": 0.07,
        "company": 0.12,
        "team": 0.04,
        "band": 0.05,
        "product": 0.07,
        "film": 0.03,
        "show": 0.03,
        "event": 0.1,
    },
)


class Writer:
    """A generator of tweets, with names built from the given parts."""

    def __init__(self, dice: Dice, scheme: Scheme, parts: Mapping[str, Sequence[str]], missed: float) -> None:
        self.dice, self.scheme, self.parts, self.missed = dice, scheme, parts, missed

    def tweet(self) -> Tweet:
        """Return a tweet, usually with a name."""
        dice = self.dice
        tokens, tags = self.opening()
        if dice() < PLAIN:
            self.add(dice.pick(words.PLAIN), tokens, tags)
        else:
            kind = dice.weighted(self.scheme.shares)
            before, _, after = dice.pick(words.AROUND[kind]).partition("{}")
            self.add(before, tokens, tags)
            self.name(kind, tokens, tags)
            self.add(after, tokens, tags)
        if dice() < 0.75:
            self.add(dice.pick(words.AFTER), tokens, tags)
        if dice() < 0.25:
            self.add(f"#{dice.pick(words.TAGS)}", tokens, tags)
        if dice() < 0.2:
            self.add(f"http://t.co/{int(dice() * 16**6):06x}", tokens, tags)
        case = dice()
        if case < LOWER:
            tokens = [token.lower() for token in tokens]
        elif case < LOWER + UPPER:
            tokens = [token.upper() for token in tokens]
        elif dice() < 0.6:
            tokens[0] = tokens[0][:1].upper() + tokens[0][1:]
        return tokens, tags

    def opening(self) -> Tweet:
        """Return the beginning of a tweet: at times a mention, and at times a phrase."""
        dice = self.dice
        tokens: list[str] = []
        tags: list[str] = []
        if dice() < 0.25:
            handle = f"{dice.pick(words.HANDLES)}{dice.pick(('_', ''))}{dice.pick(words.HANDLES)}"
            if dice() < 0.5:
                handle += str(int(dice() * 100))
            if self.scheme.mentions:
                tokens += ["@", handle]
                tags += [f"B-{self.scheme.mentions}"] * 2
            else:
                self.add(f"@{handle}", tokens, tags)
        if dice() < 0.5:
            self.add(dice.pick(words.BEFORE), tokens, tags)
        return tokens, tags

    def add(self, text: str, tokens: list[str], tags: list[str]) -> None:
        """Append words that are not names."""
        new = text.split()
        tokens += new
        tags += ["O"] * len(new)

    def name(self, kind: str, tokens: list[str], tags: list[str]) -> None:
        """Append a name of this kind, sometimes as a hashtag, or without its tags."""
        new = self.made(kind).split()
        if self.dice() < HASHTAG:
            new = ["#" + "".join(new)]
        label = self.scheme.types[kind]
        tokens += new
        if self.dice() < self.missed:
            tags += ["O"] * len(new)
        else:
            tags += [f"B-{label}"] + [f"I-{label}"] * (len(new) - 1)

    def made(self, kind: str) -> str:
        """Return a name of this kind."""
        dice, roll = self.dice, self.dice()
        town = f"{self.part('STEMS')}{dice.pick(words.ENDINGS)}"
        match kind:
            case "person":
                if roll < 0.4:
                    return self.part("FIRST")
                return f"{self.part('FIRST')} {self.part('LAST')}" if roll < 0.85 else self.part("LAST")
            case "place":
                return f"{dice.pick(('New', 'Lake', 'North', 'Port'))} {town}" if roll < 0.2 else town
            case "facility":
                return f"{town if roll < 0.6 else self.part('LAST')} {dice.pick(words.PLACES)}"
            case "company":
                return self.part("MARKS") if roll < 0.5 else f"{self.part('MARKS')} {dice.pick(words.FIRMS)}"
            case "team":
                return f"{town} {dice.pick(words.TEAMS)}" if roll < 0.7 else town
            case "band":
                return f"The {self.part('QUALITIES')} {self.part('THINGS')}s"
            case "product":
                return f"{self.part('MARKS')} {dice.pick(words.MODELS)}"
            case "event":
                return f"{town} {dice.pick(words.EVENTS)}"
        if roll < 0.5:
            return f"The {self.part('QUALITIES')} {self.part('THINGS')}"
        return f"{self.part('THINGS')} of the {self.part('THINGS')}"

    def part(self, name: str) -> str:
        """Return a part of names, from the list of this name."""
        return self.dice.pick(self.parts[name])


def corpus(scheme: Scheme, generator: np.random.Generator) -> dict[str, pa.Table]:
    """Return tables train, validation and test with the columns tokens and tags, and unlabelled with text."""
    import pyarrow as pa

    dice = Dice(generator)
    names = ("FIRST", "LAST", "STEMS", "MARKS", "QUALITIES", "THINGS")
    everything = {name: dice.shuffled(getattr(words, name)) for name in names}
    known = {name: parts[: round(KNOWN * len(parts))] for name, parts in everything.items()}
    tables, written = {}, set()
    for split, size in SIZES.items():
        training = split == "train"
        writer = Writer(dice, scheme, known if training else everything, MISSED if training else 0.0)
        tweets: list[Tweet] = []
        while len(tweets) < size:
            tweet = writer.tweet()
            text = " ".join(tweet[0])
            if text.lower() not in written:  # no text occurs twice, in one split or in two
                written.add(text.lower())
                tweets.append(tweet)
        if split == "unlabelled":
            tables[split] = pa.table({"text": [" ".join(tokens) for tokens, _ in tweets]})
        else:
            columns = {name: [tweet[i] for tweet in tweets] for i, name in enumerate(("tokens", "tags"))}
            tables[split] = pa.table(columns)
    return tables
