"""Words and clauses of the sample corpus of :mod:`harness_tasks.emotion_sample`, by emotion.

``FEELINGS`` complete "i feel ...", ``NOUNS`` complete "full of ...", and ``EVENTS`` are main clauses. The
other lists are neutral.
"""

from __future__ import annotations


def phrases(text: str) -> tuple[str, ...]:
    """Return the phrases of a comma-separated list, each with single spaces."""
    return tuple(" ".join(phrase.split()) for phrase in text.split(",") if phrase.strip())


FEELINGS = {
    "anger": phrases("""
        angry, furious, annoyed, irritated, mad, outraged, enraged, livid, bitter, resentful, hostile,
        frustrated, cranky, grumpy, irritable, agitated, aggravated, infuriated, offended, insulted, fed
        up, ticked off, cross, spiteful, vengeful, hateful, disgusted, indignant, seething, fuming,
        grouchy, exasperated, provoked, vicious, violent, irate, incensed, wronged, cheated, bothered,
        snappy, impatient with everyone, sick of his lies, ready to scream at someone, dissatisfied,
        jealous
        """),
    "fear": phrases("""
        afraid, scared, terrified, frightened, anxious, nervous, worried, panicked, fearful, uneasy,
        insecure, paranoid, shaky, apprehensive, alarmed, threatened, vulnerable, intimidated, petrified,
        horrified, tense, restless, unsafe, jittery, timid, hesitant, unsure of myself, distressed,
        pressured, on edge, spooked, helpless in the dark, trapped, suspicious, reluctant to go outside,
        wary, overwhelmed by dread, freaked out, haunted, stressed, cowardly, skittish, phobic,
        unprotected, worried sick, full of foreboding
        """),
    "joy": phrases("""
        happy, glad, joyful, cheerful, delighted, pleased, content, thrilled, excited, ecstatic, proud,
        optimistic, hopeful, relaxed, peaceful, elated, jubilant, blissful, merry, jolly, radiant, lively,
        energetic, confident, satisfied, triumphant, grateful, blessed, lucky, fabulous, wonderful,
        terrific, fantastic, playful, carefree, festive, euphoric, overjoyed, gleeful, sunny, inspired,
        successful, on top of the world, upbeat, refreshed, over the moon, tickled pink, fulfilled,
        invigorated, at ease
        """),
    "love": phrases("""
        loving, affectionate, tender, fond of her, romantic, devoted to him, caring, adored, cherished,
        passionate about him, smitten, infatuated, head over heels, enamoured, beloved, warm towards her,
        compassionate, sympathetic to them, doting, lovestruck, besotted, deeply attached to her, loved by
        my family, close to my sister, sweet on him, longing for his arms, attracted to her, amorous,
        faithful to her, treasured by my husband, supportive of my wife, nurturing, adoring,
        tenderhearted, embraced, sentimental about us, gentle with my baby, desired, so in love, intimate
        with my partner, nostalgic for our first kiss, soft for my grandma, lovesick, protective of my
        kids
        """),
    "sadness": phrases("""
        sad, unhappy, depressed, miserable, heartbroken, lonely, gloomy, hopeless, down, melancholy,
        empty, devastated, hurt, ashamed, guilty, worthless, rejected, abandoned, disappointed,
        discouraged, broken, homesick, sorrowful, mournful, tearful, dejected, despondent, numb, defeated,
        pathetic, useless, regretful, unloved, neglected, isolated, drained, crushed, forlorn, wretched,
        humiliated, blue, grief stricken, unwanted, low, burdened, glum, downcast, inadequate, like
        crying, lost without her
        """),
    "surprise": phrases("""
        surprised, amazed, astonished, shocked, stunned, astounded, dumbfounded, speechless, startled,
        flabbergasted, bewildered, taken aback, dazed, impressed, curious, gobsmacked, baffled, perplexed,
        thunderstruck, blindsided, incredulous, staggered, dumbstruck, caught off guard, puzzled,
        stupefied, floored, awestruck, confounded, thrown by the news, unprepared for this twist, wide
        eyed, unable to believe my eyes, mystified, jolted, struck by the coincidence, intrigued, agog,
        blown away by the reveal, lost for words
        """),
}

NOUNS = {
    "anger": phrases("""
        anger, rage, fury, resentment, hatred, contempt, hostility, spite, annoyance, outrage, bitterness,
        wrath, irritation, loathing, venom, indignation
        """),
    "fear": phrases("""
        fear, anxiety, panic, dread, terror, worry, nerves, fright, unease, horror, trepidation,
        apprehension, paranoia, stage fright, butterflies, alarm
        """),
    "joy": phrases("""
        joy, happiness, delight, bliss, pride, laughter, excitement, hope, glee, gratitude, cheer,
        contentment, energy, satisfaction, high spirits, merriment
        """),
    "love": phrases("""
        love, affection, tenderness, devotion, adoration, passion, fondness, romance, desire, warmth for
        him, kisses, longing for you, compassion, sweetness for her, hugs, infatuation
        """),
    "sadness": phrases("""
        sadness, grief, sorrow, misery, despair, loneliness, tears, heartache, regret, shame, guilt,
        emptiness, gloom, self pity, melancholy, anguish
        """),
    "surprise": phrases("""
        surprise, amazement, astonishment, disbelief, wonder, shock, bewilderment, curiosity, awe,
        incredulity, puzzlement, stupefaction
        """),
}

EVENTS = {
    "anger": phrases("""
        someone stole my bike, my neighbour blasted music till four again, he lied straight to my face,
        the airline lost my bags and refused to pay, my boss took credit for my work, a driver cut me off,
        she read my diary behind my back, they charged me twice and hung up on me, my roommate ate my
        lunch again, he slammed the door and swore at me, some idiot scratched my car and drove off, the
        referee robbed us, they cancelled my order without telling me, he keeps interrupting me, she
        mocked my accent, the landlord kept my deposit for nothing, people were kicking a cat, he broke
        his promise again, my ex is spreading rumours, a man pushed past my grandmother
        """),
    "fear": phrases("""
        there is a noise in the basement, the doctor wants more tests, someone is following me home, the
        plane dropped in the storm, i have to speak before a thousand people, a big spider is on my
        pillow, i heard footsteps in the attic, the brakes stopped working, my exam is tomorrow and i know
        nothing, the lump is getting bigger, a stranger tried my door handle, the earthquake shook our
        building, i might lose the house, the lift got stuck in the dark, a wolf stared at our tent, my
        son is late and his phone is off, the water keeps rising, i dreamt that i was falling, they found
        a bomb near our school, the surgeon starts at nine
        """),
    "joy": phrases("""
        we won the finals, i got the job, i passed all my exams, the sun is out and we are at the beach,
        my team scored in the last minute, i finished my first marathon, school is over, we danced until
        sunrise, my painting won a prize, they gave me a big raise, the tests came back clear, our holiday
        starts today, i got tickets for the concert, my garden is in full bloom, the band played my
        favourite song, i finally paid off my debts, i baked the perfect cake, my friends made me laugh so
        hard, i beat my own record, the kids built a snowman
        """),
    "love": phrases("""
        he held my hand all night, she kissed me under the lamp, my husband wrote me a poem, my daughter
        fell asleep in my arms, i can not stop thinking about her smile, we have been married for thirty
        years, he proposed on the bridge, my boyfriend brought me roses, i hugged my mum for a long time,
        i want to grow old with her, his eyes make my heart melt, my kitten purrs on my lap, we cuddled on
        the sofa, she is the one for me, i miss his lips on mine, our newborn squeezed my finger, we
        renewed our vows, he carries my photo in his wallet, i would do anything for my little brother, we
        shared our first kiss
        """),
    "sadness": phrases("""
        my dog died, she left me, i lost my job, we buried my grandfather, nobody came to my birthday, i
        failed the exam again, he does not love me any more, my best friend moved away, i cried myself to
        sleep, the doctors could not save her, i have no one to talk to, my parents are splitting up, they
        did not pick me, i ate alone again, i ruined my marriage, the letter said i was rejected, i miss
        my late father, i can not get out of bed, we had to sell our home, my flowers withered
        """),
    "surprise": phrases("""
        everyone jumped out from behind the sofa, i never expected him to show up, my long lost cousin
        knocked on the door, it turns out that we are twins, it suddenly snowed in july, i found a hundred
        year old letter in the wall, the magician guessed my number, out of nowhere he spoke fluent latin,
        she revealed that she is a spy, the quiet boy sang like a star, i opened the box and it was empty,
        a parrot greeted me by name, the ending made my jaw drop, who would have thought that she was
        ninety, the same stranger sat beside me in two countries, all the clocks stopped at once
        """),
}

OPENERS = phrases("""
    i feel, i feel, i feel, i feel, im feeling, i am feeling, i was feeling, i have been feeling, i still
    feel, i started to feel, i woke up feeling, i left feeling, i can say that i feel, i sit here feeling,
    i think i feel, i just feel, today i feel, i always end up feeling
    """)
DEGREES = phrases("""
    so, very, really, quite, pretty, rather, extremely, incredibly, totally, completely, absolutely, kind
    of, truly, terribly, utterly, deeply, a little, somewhat, more and more
    """)
DENIALS = phrases("""
    i am not {} at all, i dont feel {} any more, i no longer feel {}, i have never felt less {}, i am
    anything but {}, i feel far from {}, i can not say that i feel {}, i used to feel {} but not now
    """)
TURNS = phrases("""
    i was {} at first but now {}, i thought i would be {} but {}, everyone else seems {} and yet {}, i
    should be {} but {}, people expect me to be {} but {}, i went from feeling {} to the point where {}
    """)
DWELLS = phrases(
    "full of {}, filled with {}, overcome with {}, a lot of {}, nothing but {}, a wave of {}, so much {}"
)

PEOPLE = phrases("""
    my sister, my brother, a colleague, the teacher, my flatmate, our neighbour, the bus driver, an old
    friend, my cousin, the barber, my aunt, my uncle, the librarian, a tourist, the plumber, my manager,
    the waiter, a student, the postman, my dentist, the coach, my grandpa, the new intern, a nurse, the
    shop keeper, my landlady, the girl next door, a cyclist, the photographer, the chef
    """)
ACTS = phrases("""
    talked about, looked at, asked for, wrote about, carried, moved, repaired, sold, bought, drew,
    counted, cleaned, photographed, borrowed, measured, described, painted, found, packed, opened,
    ordered, printed, washed, weighed, unloaded, folded, mentioned, showed me, brought, picked up
    """)
THINGS = phrases("""
    a chair, the printer, some bread, the window, a map, two tickets, the kettle, a ladder, the report, an
    umbrella, the curtains, a suitcase, the recipe, my laptop, a blue shirt, the bicycle, some pencils, a
    calendar, the fridge, a bag of rice, the carpet, an envelope, the radio, some cables, a notebook, the
    schedule, a wooden box, the newspaper, a pair of shoes, the coffee machine, a lamp, the keyboard, old
    magazines, a jar of honey, the parking permit, a spreadsheet, the timetable, a sandwich
    """)
TIMES = phrases("""
    this morning, last night, on monday, on tuesday, at noon, after work, before lunch, in the afternoon,
    over the weekend, during the meeting, at the station, in the kitchen, at the office, in the
    supermarket, on the train, at the library, in the garden, by the river, near the school, in my room,
    on the bus, at the gym, in the car park, since yesterday, around eight, all week, for an hour, in
    september, at breakfast, during class
    """)
ASIDES = phrases("""
    and i do not know what else to write, as i said before, you know, to be honest, i guess, and that is
    all for now, while i type this, for some reason, and so on, i have to say, these days, and it is only
    wednesday, well, i suppose, as of today, like i told you, in my own way, just saying
    """)
TAGS = phrases(
    "monday, life, work, diary, mood, thoughts, today, blog, weekend, random, coffee, city, truth, feels"
)
