"""The words of the world: invented names for people, towns and things, and a small stock of plain English."""

import random

_CONSONANTS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z")
_CLUSTERS = ("br", "dr", "gr", "kr", "pl", "st", "tr")
_VOWELS = ("a", "e", "i", "o", "u")
_CODAS = ("", "", "", "", "", "l", "n", "r", "s", "m")
_SHORTEST = 5  # of four letters, too many mean something


def _invented(kind: str, count: int, ending: str = "") -> tuple[str, ...]:
    """That many distinct words of two syllables and an ending, always the same ones for a kind."""
    rng = random.Random(f"words-{kind}")
    found: dict[str, None] = {}
    while len(found) < count:
        first = rng.choice(_CONSONANTS + _CLUSTERS) + rng.choice(_VOWELS) + rng.choice(_CODAS)
        word = first + rng.choice(_CONSONANTS) + rng.choice(_VOWELS) + rng.choice(_CODAS) + ending
        if len(word) >= _SHORTEST + len(ending):
            found[word] = None
    return tuple(found)


FIRST_NAMES = tuple(name.capitalize() for name in _invented("first names", 80))
SURNAMES = tuple(name.capitalize() for name in _invented("surnames", 120, "sen"))
TOWNS = tuple(
    name.capitalize() + suffix
    for name, suffix in zip(_invented("towns", 40), (" Bay", "", "", " Hill", "", "", " Ford", "") * 5, strict=True)
)
THING_NAMES = _invented("things", 120)
COMPANIES = tuple(
    name.capitalize() + suffix
    for name, suffix in zip(_invented("companies", 32), (" Mills", " Lines", " Works", " Press") * 8, strict=True)
)

JOBS = (
    "baker",
    "smith",
    "sailor",
    "weaver",
    "teacher",
    "miller",
    "doctor",
    "painter",
    "farmer",
    "tailor",
    "mason",
    "guard",
)
PETS = ("dog", "cat", "goat", "pony", "hen", "rabbit", "duck", "fox", "mouse", "sheep")
DISHES = ("soup", "bread", "rice", "stew", "cheese", "cake", "beans", "pie")
COLOURS = ("red", "blue", "green", "white", "black", "yellow", "grey", "brown")
SUBJECTS = ("geology", "music", "history", "botany", "physics", "law", "medicine", "poetry", "logic", "painting")
PRIZES = ("silver", "golden", "river", "summer", "winter", "city", "harvest", "crown")
GOODS = (
    *("plums", "melons", "figs", "lemons", "pears", "nuts", "eggs", "coins", "stamps", "books", "cups", "ropes"),
    *("lamps", "bells", "stones", "shells", "beads", "cards", "pots", "nails", "keys", "maps", "hats", "loaves"),
)
BOXES = ("boxes", "bags", "jars", "crates", "baskets", "trays")
