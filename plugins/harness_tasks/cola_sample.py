"""A generated corpus of acceptable and unacceptable English sentences, used if CoLA is not available.

About a third of the sentences have one error: the verb does not agree with its subject (another noun may be
between the two), two words are swapped, a pronoun has the wrong case, or a verb or adjective has the wrong
form. Some nouns, verbs and adjectives are missing from the training split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness_tasks.emotion_sample import Dice

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SIZES = {"train": 3000, "validation": 400, "test": 800, "unlabelled": 4000}
WRONG = 0.36  # share of unacceptable sentences
UNKNOWN = 0.7  # probability that the training split lacks a list's rarest word; for its commonest it is 0


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PEOPLE = _split("""
    boy girl teacher student doctor artist lawyer writer farmer singer driver player king nurse pilot lover
    neighbor painter officer actor baker tailor sailor soldier linguist professor waiter guest stranger owner
    """)
THINGS = _split("""
    book letter picture house garden car table song story apple window door bottle gift lamp chair paper ring
    ticket stone coat plant bridge clock map mirror ladder basket guitar boat
    """)
PLACES = _split("park city kitchen station forest valley school village market harbor castle tower")
# base form, simple past, participle, and a regular past form, which is wrong
ACTIONS = tuple(
    tuple(verb.split("/"))
    for verb in _split("""
        see/saw/seen/seed break/broke/broken/breaked write/wrote/written/writed take/took/taken/taked
        find/found/found/finded buy/bought/bought/buyed draw/drew/drawn/drawed steal/stole/stolen/stealed
        choose/chose/chosen/choosed hide/hid/hidden/hided sell/sold/sold/selled throw/threw/thrown/throwed
        give/gave/given/gived hold/held/held/holded lose/lost/lost/losed build/built/built/builded
        bring/brought/brought/bringed forget/forgot/forgotten/forgetted keep/kept/kept/keeped
        shake/shook/shaken/shaked know/knew/known/knowed tear/tore/torn/teared
        """)
)
QUALITIES = _split("""
    tall small old young strong weak rich poor kind loud quick slow bright dark cold warm clean short proud
    great fair clever sharp calm plain smart
    """)
MANNERS = _split("quickly slowly quietly often never carefully gladly always rarely suddenly")
FIXED = ("the", "near", "than", "by", "in", "has", "have")
PRONOUNS = {"he": "him", "she": "her", "they": "them", "we": "us"}  # subject and object


class Writer:
    """A generator of sentences from lists of words, with one error if asked for."""

    def __init__(
        self, dice: Dice, lists: Mapping[str, Sequence[str]], actions: Sequence[tuple[str, ...]]
    ) -> None:
        self.dice, self.lists, self.actions = dice, lists, actions

    def sentence(self, right: bool) -> str:
        """Return a sentence, with one error if `right` is false."""
        wrong = "" if right else self.dice.pick(("agreement", "order", "case", "form", "form"))
        makers = {
            "agreement": (self.copula, self.present),
            "case": (self.past_pronoun, self.object_pronoun),
            "form": (self.past, self.perfect, self.comparison),
        }
        choice = makers.get(wrong, sum(makers.values(), ()))
        words = choice[int(self.dice() * len(choice))](wrong).split()
        if self.dice() < 0.3:
            words += ["in", "the", self.word("places")]
        if wrong == "order":
            # Only function words are swapped: an adverb may come before or after its verb.
            fixed = [at for at, word in enumerate(words[:-1]) if word in FIXED]
            at = fixed[int(self.dice() * len(fixed))]
            words[at], words[at + 1] = words[at + 1], words[at]
        return " ".join([words[0].capitalize(), *words[1:]]) + "."

    def word(self, kind: str) -> str:
        """Return a word of a list; earlier ones are more likely."""
        return self.dice.pick_early(self.lists[kind])

    def action(self) -> tuple[str, ...]:
        """Return the forms of a verb."""
        return self.actions[int(self.dice() ** 2 * len(self.actions))]

    def noun(self, kind: str, plural: bool) -> str:
        """Return a noun with its article, sometimes with an adjective."""
        quality = f"{self.word('qualities')} " if self.dice() < 0.3 else ""
        return f"the {quality}{self.word(kind)}{'s' if plural else ''}"

    def subject(self, plural: bool) -> str:
        """Return a person as a subject, sometimes with a noun of the other number near it."""
        near = f" near {self.noun('things', not plural)}" if self.dice() < 0.4 else ""
        return self.noun("people", plural) + near

    def copula(self, wrong: str) -> str:
        """Return a clause such as "the boy is tall"."""
        plural = self.dice() < 0.5
        looks_plural = plural != (wrong == "agreement")
        verb = self.dice.pick(("are", "were", "have been") if looks_plural else ("is", "was", "has been"))
        return f"{self.subject(plural)} {verb} {self.word('qualities')}"

    def present(self, wrong: str) -> str:
        """Return a clause such as "the boy sees the book"."""
        plural = self.dice() < 0.5
        ending = "" if plural != (wrong == "agreement") else "s"
        return f"{self.subject(plural)} {self.action()[0]}{ending} {self.noun('things', self.dice() < 0.5)}"

    def past_pronoun(self, wrong: str) -> str:
        """Return a clause such as "he saw the book"."""
        pronoun = self.dice.pick(tuple(PRONOUNS))
        who = PRONOUNS[pronoun] if wrong == "case" else pronoun
        return f"{who} {self.manner()}{self.action()[1]} {self.noun('things', self.dice() < 0.5)}"

    def object_pronoun(self, wrong: str) -> str:
        """Return a clause such as "the boy saw her"."""
        pronoun = self.dice.pick(tuple(PRONOUNS))
        whom = pronoun if wrong == "case" else PRONOUNS[pronoun]
        return f"{self.subject(self.dice() < 0.5)} {self.manner()}{self.action()[1]} {whom}"

    def past(self, wrong: str) -> str:
        """Return a clause such as "the boy saw the book"."""
        verb = self.action()[3 if wrong == "form" else 1]
        return f"{self.subject(self.dice() < 0.5)} {self.manner()}{verb} {self.noun('things', False)}"

    def perfect(self, wrong: str) -> str:
        """Return a clause such as "the book has been seen by the boy"."""
        verb = self.action()[3 if wrong == "form" else 2]
        return f"{self.noun('things', False)} has been {verb} by {self.noun('people', self.dice() < 0.5)}"

    def comparison(self, wrong: str) -> str:
        """Return a clause such as "the boy is taller than the girl"."""
        quality = self.word("qualities")
        more = f"{quality}{'r' if quality.endswith('e') else 'er'}"
        than = f"than {self.noun('people', False)}"
        return f"{self.noun('people', False)} is {f'more {more}' if wrong == 'form' else more} {than}"

    def manner(self) -> str:
        """Return an adverb, or nothing."""
        return f"{self.word('manners')} " if self.dice() < 0.3 else ""


def corpus(generator: np.random.Generator) -> dict[str, pa.Table]:
    """Return tables train, validation and test with the columns text and label, and unlabelled with text."""
    import pyarrow as pa

    dice = Dice(generator)

    def known(count: int) -> list[int]:
        return [rank for rank in range(count) if dice() >= UNKNOWN * rank / count]

    lists = {"people": PEOPLE, "things": THINGS, "places": PLACES, "qualities": QUALITIES, "manners": MANNERS}
    fewer = {name: tuple(words[rank] for rank in known(len(words))) for name, words in lists.items()}
    some = Writer(dice, fewer, [ACTIONS[rank] for rank in known(len(ACTIONS))])
    every = Writer(dice, lists, ACTIONS)
    tables: dict[str, pa.Table] = {}
    written: set[str] = set()
    for split, size in SIZES.items():
        writer = some if split == "train" else every
        texts, labels = [], []
        for _ in range(size):
            right = dice() >= WRONG
            while (text := writer.sentence(right)) in written:  # no text occurs twice
                pass
            written.add(text)
            texts.append(text)
            labels.append("acceptable" if right else "unacceptable")
        columns = {"text": texts} if split == "unlabelled" else {"text": texts, "label": labels}
        tables[split] = pa.table(columns)
    return tables
