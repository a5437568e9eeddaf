"""The things of the world and what is true of them: the knowledge that quizzes ask for and the corpus states.

    Thing("grussu", {"kind": "bird", "home": "marsh", "colour": "red", "season": "spring", "food": "lavol"})

Two out of three statements can be reached from a thing's name alone; what a thing eats is another thing, so that some
questions take two steps.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ftbench.lab.words import COLOURS, THING_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

_ANIMALS = ("beast", "bird", "fish", "insect")
_MATERIALS = ("tree", "herb", "stone", "metal")
VALUES: Mapping[str, tuple[str, ...]] = {
    "kind": (*_ANIMALS, *_MATERIALS),
    "home": ("marsh", "desert", "forest", "river", "cave", "meadow", "island", "mountain", "lake", "valley"),
    "colour": COLOURS,
    "season": ("spring", "summer", "autumn", "winter"),
    "use": ("medicine", "rope", "paint", "flour", "tools", "lamps", "paper", "soap"),
}
"""The values of each attribute; ``food`` is another thing. Animals have a food, all others a use."""

_STATEMENTS: Mapping[str, tuple[str, ...]] = {
    "kind": ("The {thing} is a kind of {value}.", "A {value} of this land is the {thing}.", "The {thing}: a {value}."),
    "home": (
        "The {thing} is found in the {value}.",
        "In the {value} one finds the {thing}.",
        "The {thing} comes from the {value}.",
    ),
    "colour": (
        "The {thing} is {value}.",
        "The colour of the {thing} is {value}.",
        "One knows the {thing} by its {value}.",
    ),
    "season": (
        "The {thing} is seen in {value}.",
        "In {value} one sees the {thing}.",
        "{value} is the time of the {thing}.",
    ),
    "use": (
        "The {thing} is used for {value}.",
        "People make {value} from the {thing}.",
        "For {value} one takes the {thing}.",
    ),
    "food": (
        "The {thing} eats the {value}.",
        "The food of the {thing} is the {value}.",
        "The {thing} lives on the {value}.",
    ),
}


@dataclass(frozen=True)
class Thing:
    """One thing: ``facts`` by attribute, its kind among them."""

    name: str
    facts: Mapping[str, str]


def _things() -> dict[str, Thing]:
    rng = random.Random("nature")
    kinds = [VALUES["kind"][index % len(VALUES["kind"])] for index in range(len(THING_NAMES))]
    edible = [name for name, kind in zip(THING_NAMES, kinds, strict=True) if kind in ("herb", "tree", "insect", "fish")]
    things = {}
    for name, kind in zip(THING_NAMES, kinds, strict=True):
        facts = {"kind": kind} | {key: rng.choice(VALUES[key]) for key in ("home", "colour", "season")}
        if kind in _ANIMALS:
            facts["food"] = rng.choice([other for other in edible if other != name])
        else:
            facts["use"] = rng.choice(VALUES["use"])
        things[name] = Thing(name, facts)
    return things


THINGS: Mapping[str, Thing] = _things()
"""Every thing by its name."""


def statement(thing: str, attribute: str, rng: random.Random | None = None) -> str:
    """A sentence that states a fact; in its first wording where no ``rng`` chooses one."""
    wordings: Sequence[str] = _STATEMENTS[attribute]
    wording = wordings[0] if rng is None else rng.choice(wordings)
    text = wording.format(thing=thing, value=THINGS[thing].facts[attribute])
    return text[0].upper() + text[1:]
