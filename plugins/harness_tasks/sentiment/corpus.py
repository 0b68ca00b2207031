"""A generated corpus of opinions, used if the real reviews are not available.

Only some opinion words occur in the training split; all of them occur in the other splits and in the
unlabelled pool, so a model gains from knowing the language or from unlabelled texts. Denials ("was not
dull") and contrasts ("..., but ...") change the label, so word order matters. As in real data there are
neutral sentences, typing errors, and some wrong labels in the training split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness_tasks.emotion_sample import Dice
from harness_tasks.sentiment.grammar import OPPOSITE, POLARITIES, Language, Polarity, Words

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

LANGUAGES = ("en", "nl", "fr", "de", "it", "es")
UNKNOWN = 0.8  # probability that the training split lacks a list's rarest word; for its commonest it is 0
WRONG = 0.03  # share of training labels that are replaced by a random one
TYPOS = 0.02  # share of words with a typing error


@dataclass(frozen=True)
class Plan:
    """The number, length and balance of the texts to generate."""

    sizes: Mapping[str, int]  # texts by split; `unlabelled` has no labels
    clauses: tuple[int, int] = (1, 3)  # minimum and maximum number of opinions per text
    fragments: float = 0.0  # share of training texts that are a phrase only: "utterly superb"
    mixed: float = 0.0  # share of a text's opinions with the opposite polarity, always less than half
    positive: float = 0.5  # share of positive texts


def language(code: str) -> Language:
    """Return the language with an ISO 639-1 code in LANGUAGES."""
    from harness_tasks.sentiment.de import GERMAN
    from harness_tasks.sentiment.en import ENGLISH
    from harness_tasks.sentiment.es import SPANISH
    from harness_tasks.sentiment.fr import FRENCH
    from harness_tasks.sentiment.it import ITALIAN
    from harness_tasks.sentiment.nl import DUTCH

    known = {"en": ENGLISH, "nl": DUTCH, "fr": FRENCH, "de": GERMAN, "it": ITALIAN, "es": SPANISH}
    return known[code]


class Writer:
    """A generator of opinions in one language."""

    def __init__(self, dice: Dice, language: Language) -> None:
        self.dice, self.language = dice, language

    def text(self, polarity: Polarity, plan: Plan) -> str:
        """Return a text of sentences, most of them of the polarity."""
        dice, (least, most) = self.dice, plan.clauses
        count = least + int(dice() * (most - least + 1))
        others = min(sum(dice() < plan.mixed for _ in range(count)), (count - 1) // 2)
        flipped = [OPPOSITE[polarity]] * others + [polarity] * (count - others)
        sentences = [self.sentence(p) for p in sorted(flipped, key=lambda _: dice())]
        while dice() < 0.4 and len(sentences) < 2 * count:
            sentences.insert(int(dice() * (len(sentences) + 1)), dice.pick(self.language.asides))
        return self.typed(" . ".join(sentences))

    def fragment(self, polarity: Polarity) -> str:
        """Return a phrase that is not a sentence."""
        if self.dice() < 0.3:
            return self.typed(self.dice.pick_early(self.language.opinions(polarity).verdicts))
        return self.typed(self.adjective(polarity, feminine=False))

    def sentence(self, polarity: Polarity) -> str:
        """Return an opinion, with a probability of 0.14 in contrast to the opposite one."""
        if self.dice() < 0.14:
            return self.language.contrast.format(self.clause(OPPOSITE[polarity]), self.clause(polarity))
        return self.clause(polarity)

    def clause(self, polarity: Polarity) -> str:
        """Return an opinion as a state, a denied state, an act or a verdict."""
        dice, language = self.dice, self.language
        opinions = language.opinions(polarity)
        roll = dice()
        if roll < 0.15:
            return dice.pick(language.closings).format(dice.pick_early(opinions.verdicts))
        feminine = dice() * len(language.masculine + language.feminine) >= len(language.masculine)
        noun = dice.pick(language.feminine if feminine else language.masculine)
        if roll < 0.32:
            return self.about(dice.pick_early(opinions.acts), noun)
        if roll < 0.46:
            denied = dice.pick_early(language.opinions(OPPOSITE[polarity]).plain)
            return self.about(dice.pick(language.denials), noun, self.agreeing(denied, feminine))
        return self.about(dice.pick(language.states), noun, self.adjective(polarity, feminine))

    def about(self, pattern: str, noun: str, *rest: str) -> str:
        """Return the pattern with the noun as its subject or object."""
        return pattern.format(noun if pattern.startswith("{}") else self.language.object_of(noun), *rest)

    def adjective(self, polarity: Polarity, feminine: bool) -> str:
        """Return an adjective, half of the time with a word for its degree."""
        dice, opinions = self.dice, self.language.opinions(polarity)
        strong = dice() < 0.4
        adjective = self.agreeing(dice.pick_early(opinions.strong if strong else opinions.plain), feminine)
        degrees = self.language.intense if strong else self.language.degrees
        return f"{dice.pick(degrees)} {adjective}" if dice() < 0.5 else adjective

    def agreeing(self, adjective: str, feminine: bool) -> str:
        """Return the adjective's form for a masculine or a feminine noun."""
        return self.language.feminine_of(adjective) if feminine else adjective.partition("|")[0]

    def typed(self, text: str) -> str:
        """Return the text with typing errors in some words: a letter left out, or two swapped."""
        return " ".join(self._slip(word) if self.dice() < TYPOS else word for word in text.split())

    def _slip(self, word: str) -> str:
        if len(word) < 4:
            return word
        at = 1 + int(self.dice() * (len(word) - 2))
        return word[:at] + (word[at + 1 :] if self.dice() < 0.5 else word[at + 1] + word[at] + word[at + 2 :])


def partly(language: Language, dice: Dice) -> tuple[Language, Language]:
    """Return the language for training, which lacks some opinion words, and the whole language."""
    # Shuffle, so that words of one stem or one strength are not all frequent or all rare.
    everything = language.narrowed(lambda listed: tuple(dice.shuffled(listed)))

    def keep(listed: Words) -> Words:
        return tuple(word for rank, word in enumerate(listed) if dice() >= UNKNOWN * rank / len(listed))

    return everything.narrowed(keep), everything


def corpus(language: Language, plan: Plan, generator: np.random.Generator) -> dict[str, pa.Table]:
    """Return tables of the plan's sizes with the columns text and label; unlabelled has only text."""
    import pyarrow as pa

    dice = Dice(generator)
    known, everything = partly(language, dice)
    tables: dict[str, pa.Table] = {}
    written: set[str] = set()
    for split, size in plan.sizes.items():
        writer = Writer(dice, known if split == "train" else everything)
        texts, labels = [], []
        for _ in range(size):
            polarity = POLARITIES[dice() < plan.positive]
            tries = 0
            while True:  # no text occurs twice, in one split or in two
                alone = split == "train" and tries < 3 and dice() < plan.fragments
                text = writer.fragment(polarity) if alone else writer.text(polarity, plan)
                if text not in written:
                    break
                tries += 1
            written.add(text)
            texts.append(text)
            wrong = split == "train" and dice() < WRONG
            labels.append(POLARITIES[dice() < plan.positive] if wrong else polarity)
        columns = {"text": texts} if split == "unlabelled" else {"text": texts, "label": labels}
        tables[split] = pa.table(columns)
    return tables
