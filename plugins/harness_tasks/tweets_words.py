"""Words of the sample corpus of :mod:`harness_tasks.tweets_sample`, by topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness_tasks.emotion_words import phrases


@dataclass(frozen=True)
class Topic:
    """A topic of tweets: people, places, and verbs that each have their own objects."""

    people: Sequence[str]
    deeds: Mapping[str, Sequence[str]]  # objects by verb
    places: Sequence[str]
    qualities: Sequence[str]  # adjectives for the objects
    tags: Sequence[str]


def _deeds(text: str) -> dict[str, tuple[str, ...]]:
    """Return objects by verb, from lines with a verb, a colon and a comma-separated list of objects."""
    lines = (line.partition(":") for line in text.strip().splitlines())
    return {deed.strip(): phrases(things) for deed, _, things in lines}


TOPICS: Mapping[str, Topic] = {
    "food": Topic(
        phrases("the chef, the waiter, my aunt, my grandpa, the baker, our host, my flatmate, the cook"),
        _deeds("""
            baked: a cake, some bread, a pie, two muffins, a tray of cookies
            drank: a cup of coffee, green tea, a glass of juice, cold milk, a smoothie
            cooked: spicy soup, a big stew, fresh pasta, rice and beans, an omelette
            ordered: a burger, two pizzas, a salad, the noodles, a plate of fries
            chopped: the onions, fresh herbs, some carrots, the garlic, ripe tomatoes
            """),
        phrases("in the kitchen, at the cafe, in the bakery, at the diner, over dinner, at breakfast"),
        phrases("delicious, salty, crispy, burnt, tasty, overcooked, yummy, bland"),
        phrases("foodie, dinner, brunch, yum, homemade, coffee, hungry"),
    ),
    "sport": Topic(
        phrases(
            "the coach, our captain, the keeper, a runner, the striker, my trainer, the referee, a cyclist"
        ),
        _deeds("""
            won: the match, the cup, a gold medal, the final, the sprint
            lost: the derby, the semi final, the tie break, the lead, our last game
            kicked: the ball, a penalty, a free kick, the corner, the post
            lifted: heavy weights, the bar, the trophy, two kettlebells, a dumbbell
            ran: a marathon, ten miles, the relay, five laps, a half marathon
            """),
        phrases("in the stadium, at the gym, on the pitch, on the track, in the arena, after training"),
        phrases("fast, tough, fair, close, exhausting, unbeaten, offside, fit"),
        phrases("gameday, fitness, matchday, running, goals, team, workout"),
    ),
    "travel": Topic(
        phrases("the pilot, a tourist, our guide, the driver, a hiker, the captain of the ferry, my cousin"),
        _deeds("""
            missed: the train, my flight, the last bus, the ferry, our connection
            packed: a suitcase, two passports, my sunglasses, a backpack, the tent
            booked: a hotel, cheap tickets, a cabin, the hostel, a window seat
            climbed: the mountain, an old tower, the volcano, a steep hill, the dunes
            crossed: the border, a long bridge, the desert, the river, the strait
            """),
        phrases(
            "at the airport, on the beach, at the harbour, in the old town, near the station, by the sea"
        ),
        phrases("delayed, sunny, crowded, scenic, remote, jet lagged, breathtaking, foreign"),
        phrases("travel, vacation, wanderlust, roadtrip, beach, airport, sunset"),
    ),
    "work": Topic(
        phrases("my manager, a colleague, the new intern, our client, the boss, the plumber, the accountant"),
        _deeds("""
            signed: the contract, two invoices, a lease, the form, the agreement
            printed: the report, a spreadsheet, forty slides, the agenda, my timetable
            fixed: the printer, the server, a nasty bug, the heating, the scanner
            answered: hundred emails, the phone, one more call, every message, the survey
            cancelled: the meeting, our deadline, the workshop, a conference, the interview
            """),
        phrases("at the office, during the meeting, at my desk, in the boardroom, after work, before lunch"),
        phrases("urgent, overdue, busy, productive, pointless, approved, late, unpaid"),
        phrases("work, monday, office, deadline, meeting, career, overtime"),
    ),
    "music": Topic(
        phrases(
            "the singer, our drummer, a choir, the band, the dj, my guitarist, an orchestra, the pianist"
        ),
        _deeds("""
            played: the guitar, an old piano, two violins, the drums, a trumpet
            sang: a ballad, the chorus, our anthem, a lullaby, the high notes
            recorded: an album, the demo, a new single, four tracks, the soundtrack
            tuned: the strings, a banjo, the bass, my ukulele, the cello
            danced to: the beat, a slow waltz, the remix, some salsa, loud techno
            """),
        phrases("on stage, at the concert, in the studio, at the club, backstage, at the festival"),
        phrases("loud, catchy, acoustic, live, off key, groovy, sold out, mellow"),
        phrases("music, livemusic, concert, nowplaying, festival, band, vinyl"),
    ),
    "nature": Topic(
        phrases("the gardener, our neighbour, a farmer, my grandma, the ranger, the vet, a birdwatcher"),
        _deeds("""
            planted: tulips, an apple tree, some beans, roses, two sunflowers
            fed: the ducks, a stray cat, three horses, the hens, my puppy
            watched: the storm, a rainbow, falling snow, the full moon, dark clouds
            walked: the dog, two huskies, her old labrador, the poodle, a beagle
            picked: ripe cherries, wild flowers, mushrooms, a bunch of daisies, blackberries
            """),
        phrases("in the garden, in the forest, by the river, on the farm, in the park, at the lake"),
        phrases("wild, rainy, green, muddy, tame, frozen, blooming, foggy"),
        phrases("nature, spring, dogs, garden, rain, wildlife, flowers"),
    ),
}

# By emotion, what someone does who feels it.
REACTIONS: Mapping[str, Sequence[str]] = {
    "anger": phrases("""
        i want to scream, i slammed the door, do not talk to me, i am done with these people, i demand my
        money back, my blood is boiling, i nearly threw my phone
        """),
    "fear": phrases("""
        my hands are shaking, i can not sleep, please pray for us, i keep checking the locks, my heart is
        racing, i left the lights on, i am hiding under the blanket
        """),
    "joy": phrases("""
        i can not stop smiling, let us celebrate, best day ever, i danced around the room, drinks are on
        me tonight, i want to hug the whole world, life is good
        """),
    "love": phrases("""
        i can not wait to hold you, you are my everything, sending kisses, forever yours, my heart is
        yours, i want to marry you, stay by my side
        """),
    "sadness": phrases("""
        i cried all night, i just want to stay in bed, nothing helps, i miss the old days, i could use a
        hug, i have no tears left, leave the curtains closed
        """),
    "surprise": phrases("""
        i did not see that coming, what just happened, i had to look twice, nobody told me, is this real,
        my mouth fell open, tell me this is a prank
        """),
}
MARKS: Mapping[str, Sequence[str]] = {
    "anger": ("😡", "🤬", "💢"),
    "fear": ("😱", "😨", "😰"),
    "joy": ("😀", "🎉", "😄"),
    "love": ("😍", "❤️", "💕"),
    "sadness": ("😢", "💔", "😭"),
    "surprise": ("😮", "😲", "🤯"),
}
MOODS = phrases("so, but, and, honestly, right now, after all that, seriously")
LINKS = phrases("because, since, now that, and, when")
DAYS = phrases("monday, tuesday, wednesday, thursday, friday, saturday, sunday")
VERDICTS = phrases("it was so {}, really {} if you ask me, a bit {} i must say, {} as always, way too {}")
HANDLES = phrases("lena, max, tom, sofia, ravi, noor, ella, juan, mika, zoe, omar, ines")
