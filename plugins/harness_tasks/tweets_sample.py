"""A generated corpus of tweets without labels, used if the real data is not available.

Hidden words can be predicted from their context only. A tweet has a topic, from which its people, verbs,
objects, places, verdicts and hashtags come, and each verb has its own objects. Or a tweet has one of the six
emotions of :mod:`harness_tasks.emotion_sample`: its event, its feeling and its reaction are of one emotion,
in the words of that corpus, including those that its training split lacks. So a language model of these
texts learns which words are similar before it sees a label. Names of days agree within a tweet. URLs,
@names, HTML entities, stretched words and emoji give the cleaning steps something to do.
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
FELT = 0.5  # share of tweets about a feeling; the others are about a topic


class Tweeter:
    """A generator of tweets about topics, and about feelings with the phrases of the emotion corpus."""

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self.feeling = Writer(dice, emotion_words.FEELINGS, emotion_words.NOUNS, emotion_words.EVENTS)

    def text(self) -> str:
        """Return a tweet."""
        dice = self.dice
        text = self.felt() if dice() < FELT else self.lived()
        if dice() < 0.15:
            text = f"@{dice.pick(words.HANDLES)}{int(dice() * 100)} {text}"
        if dice() < 0.1:
            text += f" https://t.co/{int(dice() * 16**6):06x}"
        return text

    def felt(self) -> str:
        """Return a text about an event, a feeling and a reaction, all of one emotion."""
        dice = self.dice
        emotion = dice.pick(tuple(words.REACTIONS))
        event = dice.pick(emotion_words.EVENTS[emotion])
        statement = self.feeling.statement(emotion)
        if dice() < 0.4:  # a second word for the feeling
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
        """Return a text about what someone did, on one topic."""
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
        """Return the word, sometimes with its last letter repeated."""
        return word + word[-1] * 3 if self.dice() < 0.08 else word


def corpus(generator: np.random.Generator) -> dict[str, pa.Table]:
    """Return tables train, validation and test with the column text."""
    import pyarrow as pa

    tweeter = Tweeter(Dice(generator))
    tables, written = {}, set()
    for split, size in SIZES.items():
        texts: list[str] = []
        while len(texts) < size:
            text = tweeter.text()
            if (core := " ".join(w for w in text.split() if w[0] != "@" and "://" not in w)) not in written:
                written.add(core)  # after cleaning, no text occurs twice, in one split or in two
                texts.append(text)
        tables[split] = pa.table({"text": texts})
    return tables
