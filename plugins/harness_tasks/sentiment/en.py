"""English opinions, on films and on what else people review."""

from __future__ import annotations

from dataclasses import replace

from harness_tasks.sentiment.grammar import Language, Opinions, lines, words

ENGLISH = Language(
    masculine=words("""
        the book, the hotel, the room, the service, the meal, the phone, the camera, the delivery, the
        product, the restaurant, the food, the wine, the story, the staff, the battery, the screen, the
        breakfast, the design
        """),
    feminine=(),
    positive=Opinions(
        plain=words("""
            good, nice, pleasant, enjoyable, clever, charming, funny, entertaining, engaging,
            impressive, likable, moving, smart, witty, fresh, elegant, graceful, compelling, satisfying,
            inventive, thoughtful, lively, tender, rewarding, convincing, original, refreshing,
            absorbing, reliable, warm
            """),
        strong=words("""
            wonderful, superb, brilliant, fantastic, marvelous, excellent, delightful, magnificent,
            outstanding, terrific, dazzling, exquisite, gorgeous, masterful, splendid, stunning,
            unforgettable, fabulous, breathtaking, flawless, sublime, glorious, perfect, irresistible
            """),
        acts=lines("""
            i loved {}
            i enjoyed {}
            {} won me over
            i would recommend {} to anyone
            i admired {}
            {} exceeded my hopes
            i was delighted by {}
            {} made me smile
            i cannot praise {} enough
            {} deserves every award
            i adored {}
            {} is worth every penny
            i am thrilled with {}
            {} left me enchanted
            i fell in love with {}
            {} lives up to the hype
            """),
        verdicts=words("""
            a gem, a triumph, a real treat, a joy, a pleasant surprise, a small miracle, a delight, a
            masterpiece, a winner, a pleasure from start to finish, a feast for the senses, a bargain, a
            revelation, a treasure, a breath of fresh air, a success
            """),
    ),
    negative=Opinions(
        plain=words("""
            bad, boring, dull, silly, predictable, clumsy, tedious, shallow, flat, bland, weak,
            annoying, sloppy, tiresome, pretentious, confusing, slow, stale, lifeless, disappointing,
            cheap, careless, forgettable, contrived, noisy, dreary, muddled, unpleasant, lazy,
            unconvincing
            """),
        strong=words("""
            terrible, awful, horrible, dreadful, atrocious, appalling, pathetic, disastrous, unbearable,
            worthless, abysmal, ridiculous, dismal, idiotic, hideous, disgusting, excruciating,
            unwatchable, hopeless, insufferable, lousy, wretched, useless, disgraceful
            """),
        acts=lines("""
            i hated {}
            i regret {}
            {} let me down
            i would warn everyone about {}
            i loathed {}
            {} fell short of my hopes
            i was annoyed by {}
            {} made me yawn
            i cannot forgive {}
            {} deserves no praise
            i despised {}
            {} is a drain on your wallet
            i am fed up with {}
            {} left me cold
            i lost patience with {}
            {} fails on every level
            """),
        verdicts=words("""
            a mess, a failure, a waste of time, a bore, a letdown, a missed opportunity, a chore, a
            disaster, a flop, an insult to everyone, a headache, a rip-off, a disgrace, a train wreck, a
            waste of money, an embarrassment
            """),
    ),
    degrees=words("very, really, quite, rather, so, pretty"),
    intense=words("absolutely, simply, truly, utterly"),
    states=words("{} was {}, {} is {}, i found {} {}, {} seemed {}"),
    denials=words("{} was not {}, {} is not {}, {} was never {}, {} is hardly {}, {} was anything but {}"),
    closings=words("in short: {}, what can i say: {}, this is {}, it turned out to be {}, for me it was {}"),
    contrast="{} , but {}",
    asides=lines("""
        we went on a tuesday
        my sister chose it
        i read about it in the paper
        it was raining that day
        a friend gave it to me
        we stayed for two nights
        it arrived in a box
        i had never heard of it before
        my colleague had mentioned it
        we were there in the summer
        it is the second part of a series
        i took the train home
        """),
)

FILMS = replace(
    ENGLISH,
    masculine=words("""
        the film, the movie, the plot, the acting, the script, the dialogue, the direction, the story,
        the ending, the comedy, the drama, the thriller, the soundtrack, the cast, the premise, the
        performance, the remake, the camera work, the sequel, the documentary
        """),
    asides=lines("""
        it runs for two hours
        the story is set in a small town
        the director made one film before
        we saw it on a tuesday
        it opens with a long shot of the sea
        the lead plays a young lawyer
        it is based on a novel
        a second part is planned
        most scenes take place at night
        it was shot in black and white
        the hero returns to his village
        my neighbour had told me about it
        """),
)
