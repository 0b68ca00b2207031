"""A generated corpus of short texts in six emotions, used if the real data is not available.

It has the difficulties of real tweets. Only some of the phrases for an emotion occur in the training split;
all of them occur in the other splits and in the unlabelled pool, so a model gains from knowing English or
from unlabelled texts. A denial ("i no longer feel ...") or a contrast ("i was ... but now ...") changes the
label, so word order matters. As in real data there are neutral clauses, typing errors, unbalanced classes,
and some wrong labels in the training split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness_tasks import emotion_words as words

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SIZES = {"train": 600, "validation": 300, "test": 700, "unlabelled": 6000}
SHARES = {"anger": 0.135, "fear": 0.12, "joy": 0.335, "love": 0.085, "sadness": 0.285, "surprise": 0.04}
UNKNOWN = 0.8  # probability that the training split lacks the rarest phrase; for the commonest it is 0
WRONG = 0.08  # share of training labels that are replaced by a random one
TYPOS = 0.02  # share of words with a typing error

# For an emotion, those whose phrases a text of it may deny.
DENIED = {"joy": ("sadness", "anger", "fear"), "sadness": ("joy", "love")}


class Dice:
    """Random choices from one generator, drawn in blocks because single draws are slow."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator
        self._block: list[float] = []

    def __call__(self) -> float:
        """Return a number in [0, 1)."""
        if not self._block:
            self._block = self._generator.random(4096).tolist()
        return self._block.pop()

    def pick(self, options: Sequence[str]) -> str:
        """Return one of the options, all equally likely."""
        return options[int(self() * len(options))]

    def pick_early(self, options: Sequence[str]) -> str:
        """Return one of the options; earlier ones are more likely, like the frequent words of a language."""
        return options[int(self() ** 3 * len(options))]

    def weighted(self, shares: Mapping[str, float]) -> str:
        """Return a key, with a probability in proportion to its share."""
        left = self() * sum(shares.values())
        for key, share in shares.items():
            left -= share
            if left < 0:
                return key
        return key

    def shuffled(self, options: Sequence[str]) -> list[str]:
        """Return the options in random order."""
        return sorted(options, key=lambda _: self())


Lexicon = Mapping[str, Sequence[str]]


class Writer:
    """A generator of texts, with the phrases of one lexicon for feelings, nouns and events."""

    def __init__(self, dice: Dice, feelings: Lexicon, nouns: Lexicon, events: Lexicon) -> None:
        self.dice, self.feelings, self.nouns, self.events = dice, feelings, nouns, events

    def text(self, emotion: str) -> str:
        """Return a text whose writer feels the emotion."""
        dice = self.dice
        roll = dice()
        if roll < 0.10 and emotion in DENIED:
            core = dice.pick(words.DENIALS).format(self.feeling(dice.pick(DENIED[emotion])))
        elif roll < 0.17:
            other = dice.pick([name for name in self.feelings if name != emotion])
            core = dice.pick(words.TURNS).format(self.feeling(other), self.statement(emotion))
        elif roll < 0.32:
            core = dice.pick_early(self.events[emotion])
        elif roll < 0.52:
            core = f"{dice.pick_early(self.events[emotion])} and {self.statement(emotion)}"
        else:
            core = self.statement(emotion)
        before = f"{self.aside()} and " if dice() < 0.45 else ""
        after = f" {self.ending()}" if dice() < 0.7 else ""
        return " ".join(map(self.typed, (before + core + after).split()))

    def feeling(self, emotion: str) -> str:
        """Return a phrase that completes "i feel"."""
        return self.dice.pick_early(self.feelings[emotion])

    def statement(self, emotion: str) -> str:
        """Return a clause that names the feeling."""
        dice = self.dice
        opener = dice.pick(words.OPENERS)
        if dice() < 0.2:
            return f"{opener} {dice.pick(words.DWELLS).format(dice.pick_early(self.nouns[emotion]))}"
        degree = f"{dice.pick(words.DEGREES)} " if dice() < 0.5 else ""
        return f"{opener} {degree}{self.feeling(emotion)}"

    def aside(self) -> str:
        """Return a neutral clause."""
        return " ".join(map(self.dice.pick, (words.PEOPLE, words.ACTS, words.THINGS, words.TIMES)))

    def ending(self) -> str:
        """Return a neutral ending: a time, a remark, a hashtag or a subordinate clause."""
        roll = self.dice()
        if roll < 0.3:
            return self.dice.pick(words.TIMES)
        if roll < 0.5:
            return self.dice.pick(words.ASIDES)
        if roll < 0.6:
            return f"#{self.dice.pick(words.TAGS)}"
        return f"{self.dice.pick(('while', 'because', 'when', 'and then', 'since'))} {self.aside()}"

    def typed(self, word: str) -> str:
        """Return the word, sometimes with one letter left out or two swapped."""
        if len(word) < 4 or self.dice() >= TYPOS:
            return word
        at = 1 + int(self.dice() * (len(word) - 2))
        return word[:at] + (word[at + 1 :] if self.dice() < 0.5 else word[at + 1] + word[at] + word[at + 2 :])


def corpus(generator: np.random.Generator) -> dict[str, pa.Table]:
    """Return tables train, validation and test with the columns text and label, and unlabelled with text."""
    import pyarrow as pa

    dice = Dice(generator)
    everything = [
        {emotion: dice.shuffled(phrases) for emotion, phrases in lexicon.items()}
        for lexicon in (words.FEELINGS, words.NOUNS, words.EVENTS)
    ]
    known = [
        {
            emotion: [p for rank, p in enumerate(phrases) if dice() >= UNKNOWN * rank / len(phrases)]
            for emotion, phrases in lexicon.items()
        }
        for lexicon in everything
    ]
    tables, written = {}, set()
    for split, size in SIZES.items():
        writer = Writer(dice, *(known if split == "train" else everything))
        labels = [dice.weighted(SHARES) for _ in range(size)]
        texts = []
        for label in labels:
            while (text := writer.text(label)) in written:  # no text occurs twice, in one split or in two
                pass
            written.add(text)
            texts.append(text)
        columns = {"text": texts}
        if split == "train":
            labels = [dice.weighted(SHARES) if dice() < WRONG else label for label in labels]
        if split != "unlabelled":
            columns["label"] = labels
        tables[split] = pa.table(columns)
    return tables
