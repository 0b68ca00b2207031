"""Words of the generated tweets with names."""

from __future__ import annotations


def _each(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST = _each(
    """
    Emma Liam Olivia Noah Ava Mia Lucas Sofia Ethan Chloe Jack Grace Omar Layla Ivan Nina Carlos Maria
    Kenji Yuki Ahmed Fatima Pierre Elise Hans Greta Luca Giulia Ravi Priya Chen Mei Kwame Ama Sven Astrid
    Diego Lucia Patrick Siobhan Dmitri Olga Tariq Zainab Mateo Camila Jonas Freya Rose Will Mark Hope
    Summer Chase Daisy Drew Frank Art
    """
)
LAST = _each(
    """
    Ashton Bennett Carver Dalton Ellison Fletcher Garner Holloway Ingram Jarvis Keller Langley Mercer
    Norwood Osborne Prescott Quinn Radley Sawyer Thornton Underwood Vance Whitaker Yates Zimmer Okafor
    Nakamura Petrov Haddad Moreau Lindqvist Rossi Schmidt Kowalski Fernandez Silva Banerjee Nguyen Mbeki
    Larsen Stone Brooks Young King Bell Woods Banks Price Love Day
    """
)
STEMS = _each(
    """
    Ash Brook Cal Dun East Fair Glen Hart Iver King Lang Mill Nor Oak Pem Quar Red Stan Thorn Up Ver West
    Yar Zel Cor Lin Mar Tor Bel Hal
    """
)
ENDINGS = _each("ton ville field mouth bury ford haven wick stead dale port burgh")
MARKS = _each(
    """
    Nexora Zentrik Lumina Quantis Veloxa Orbita Brightline Hexacorp Solvana Pixelon Trivanta Kestrel
    Novatek Arcadia Stratus Verdant Helix Monarch Apex Cobalt Vertex Onyx Falcon Aurora Tempest Echo
    """
)
FIRMS = _each("Corp Inc Labs Motors Bank Foods Airlines Media Group Systems Energy Studios")
MODELS = _each("Pro Max Mini X3 S7 One Air 2 360 Plus Z10 Lite")
TEAMS = _each("Rovers United Hawks Tigers City Wolves Bulls Raptors Wanderers Athletic Sharks Kings")
PLACES = _each("Stadium Arena Airport Park Hall Museum Station Bridge Hospital University Square Mall")
EVENTS = _each("Festival Marathon Expo Summit Awards Open Cup Parade Conference Carnival")
QUALITIES = _each(
    """
    Silent Broken Golden Midnight Electric Hidden Crimson Lonely Frozen Burning Wild Distant Hollow Velvet
    Savage Paper Neon Lost Second Last
    """
)
THINGS = _each(
    """
    River Mirror Crown Garden Shadow Ocean Engine Lantern Tower Winter Promise Machine Harbor Secret
    Kingdom Letter Storm Island Dancer Stranger
    """
)

# The context of a name of each kind; {} is the name.
AROUND: dict[str, tuple[str, ...]] = {
    "person": (
        "met {} at the coffee shop today",
        "{} just made my day",
        "cant believe {} said that on tv",
        "happy birthday to my best friend {} !",
        "why is {} always late ?",
        "saw {} walking the dog again",
        "{} and i are going for lunch",
        "ask {} , she knows everything",
        "interview with {} starts in ten minutes",
    ),
    "place": (
        "just landed in {} and it is raining",
        "anyone in {} want to hang out ?",
        "moving to {} next month",
        "the weather in {} is so nice",
        "driving from {} all night",
        "i miss the food in {}",
        "trains to {} are delayed again",
        "good morning {} !",
    ),
    "facility": (
        "stuck in the queue at {}",
        "great show at {} last night",
        "meet me in front of {} at noon",
        "parking near {} is impossible",
        "they are rebuilding {} again",
    ),
    "company": (
        "{} just lost my order again",
        "got a job at {} !!",
        "{} shares are falling",
        "never flying with {} again",
        "customer service of {} is the worst",
        "{} is hiring two hundred people",
        "thanks {} for the refund",
    ),
    "team": (
        "{} won again !!",
        "come on {} , one more goal",
        "what a game by {} tonight",
        "{} need a new coach",
        "tickets for {} are sold out",
    ),
    "band": (
        "listening to {} on repeat",
        "{} are playing live tomorrow",
        "the new single of {} is so good",
        "who wants to see {} with me ?",
    ),
    "product": (
        "my {} battery died again",
        "just bought a {} and love it",
        "selling my old {} , like new",
        "the screen of my {} is broken",
        "is the new {} worth the money ?",
    ),
    "film": (
        "going to the cinema to see {}",
        "{} made me cry , best movie this year",
        "the trailer for {} is out",
        "{} was way too long",
    ),
    "show": (
        "watching {} with my sister",
        "no spoilers for {} please !",
        "new season of {} starts tonight",
        "the last episode of {} was crazy",
    ),
    "event": (
        "who is going to {} this weekend ?",
        "volunteering at {} again",
        "{} was cancelled because of the storm",
        "signed up for {} !",
    ),
}
BEFORE = (
    "so tired today but",
    "ok so",
    "omg",
    "LOL",
    "breaking :",
    "not gonna lie ,",
    "guess what !",
    "two hours of sleep and",
    "Monday again ...",
    "well ,",
    "to be honest",
    "right now :",
    "my mom says",
    "last night :",
)
AFTER = (
    "... what a week",
    "and i have so much work to do",
    "haha",
    "so excited for the weekend",
    "but first i need some coffee",
    "i really need a break",
    "and nobody told me",
    "this is the best day ever",
    "smh",
    "what do you guys think ?",
    "can not wait until Friday",
    "and it is only Tuesday",
    "while my phone is at 2 %",
)
PLAIN = (
    "i should be sleeping but here i am",
    "so much homework and so little time",
    "Good Morning everyone , have a nice day",
    "why does it always rain on my day off ?",
    "this coffee is Amazing",
    "nothing better than a long walk in the park",
    "my head hurts so bad right now",
    "I just want Pizza and a movie",
    "people who talk in the library ... WHY",
    "the bus is late again and i am cold",
    "can someone do my laundry please ?",
    "New shoes , new me",
    "THIS IS SO GOOD",
    "what a game last night , wow",
    "my summer starts now , no more work",
    "will you ever learn ? i hope so",
    "Rose petals everywhere , so pretty",
    "mark my words , it will snow",
)
TAGS = _each("tbt love win fail monday nowplaying truth happy food lol weekend blessed")
HANDLES = _each("sunny dave kat mike luv star ninja coffee gamer queen dj real the its big")
