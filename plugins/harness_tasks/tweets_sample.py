"""Generated tweets without labels, for where the real ones are not at hand.

What is hidden can be told from what stands around it, and by nothing else. A tweet has a topic: who does
something, what it is done to, where, with which verdict and hashtag all come from it, and each verb has
objects of its own. Or it has one of the six emotions that :mod:`harness_tasks.emotion_sample` has: what
happened, how one feels and what one does then are of one emotion, in the very words of that corpus, those
included that its training split lacks. A model of these texts so learns which words are alike before it
sees a label. Names of days agree within a tweet. Addresses, @names, entities, stretched words and emoji are
there for steps of cleaning to find.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_tasks import emotion_words
from harness_tasks import tweets_words as words
from harness_tasks.emotion_sample import Dice, Writer

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SIZES = {"train": 4000, "validation": 500, "test": 500}
FELT = 0.5  # of tweets are about a feeling, the others about a topic


class Tweeter:
    """Writes tweets, of feelings with the phrases of the corpus for emotions."""

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self.feeling = Writer(dice, emotion_words.FEELINGS, emotion_words.NOUNS, emotion_words.EVENTS)

    def text(self) -> str:
        """One tweet."""
        dice = self.dice
        text = self.felt() if dice() < FELT else self.lived()
        if dice() < 0.15:
            text = f"@{dice.pick(words.HANDLES)}{int(dice() * 100)} {text}"
        if dice() < 0.1:
            text += f" https://t.co/{int(dice() * 16**6):06x}"
        return text

    def felt(self) -> str:
        """What happened, how it feels and what follows, of one emotion."""
        dice = self.dice
        emotion = dice.pick(tuple(words.REACTIONS))
        event = dice.pick(emotion_words.EVENTS[emotion])
        statement = self.feeling.statement(emotion)
        if dice() < 0.4:  # a second word for it
            statement += f" and {self.stretched(dice.pick(emotion_words.FEELINGS[emotion]))}"
        roll = dice()
        if roll < 0.4:
            core = f"{statement} {dice.pick(words.LINKS)} {event}"
        elif roll < 0.7:
            core = f"{event} {dice.pick(words.MOODS)} {statement}"
        else:
            core = f"{statement} {self.feeling.ending()}"
        if dice() < 0.5:
            core += f"{dice.pick(('.', '!', '!!!', ' ...', ','))} {dice.pick(words.REACTIONS[emotion])}"
        if dice() < 0.3:
            core += f" {dice.pick(words.MARKS[emotion])}"
        return core

    def lived(self) -> str:
        """What someone did, of one topic."""
        dice = self.dice
        topic = words.TOPICS[dice.pick(tuple(words.TOPICS))]
        deed = dice.pick(tuple(topic.deeds))
        thing = dice.pick(topic.deeds[deed])
        who = dice.pick((*topic.people, "i", "we"))
        day = dice.pick(words.DAYS)
        core = f"{who} {deed} {thing} {dice.pick(topic.places)}"
        if dice() < 0.35:
            core = f"{dice.pick(('happy', 'it is', 'finally'))} {day} ! {core}"
        elif dice() < 0.3:
            core += f" on {day}"
        roll = dice()
        if roll < 0.35:
            verdict = dice.pick(words.VERDICTS).format(self.stretched(dice.pick(topic.qualities)))
            core += f", {verdict}"
        elif roll < 0.6:  # another deed of the topic, or another thing
            other = dice.pick(tuple(topic.deeds))
            core += f" {dice.pick(('and', 'and then', '&amp;'))} {other} {dice.pick(topic.deeds[other])}"
        if dice() < 0.6:
            core += f" #{dice.pick(topic.tags)}"
        return core

    def stretched(self, word: str) -> str:
        """The word, now and then with its last letter drawn out."""
        return word + word[-1] * 3 if self.dice() < 0.08 else word


def corpus(generator: np.random.Generator) -> dict[str, pa.Table]:
    """Tables train, validation and test with the column text."""
    import pyarrow as pa

    tweeter = Tweeter(Dice(generator))
    tables, written = {}, set()
    for split, size in SIZES.items():
        texts: list[str] = []
        while len(texts) < size:
            text = tweeter.text()
            if (core := " ".join(w for w in text.split() if w[0] != "@" and "://" not in w)) not in written:
                written.add(core)  # no text stands in two splits, or twice in one, once it is cleaned
                texts.append(text)
        tables[split] = pa.table({"text": texts})
    return tables
