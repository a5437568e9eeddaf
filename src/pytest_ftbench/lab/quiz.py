r"""Multiple choice about the things of the world, in ARC's row shape.

    {"title": "World home", "question": "Which of these is found in the marsh? A. gronrul B. drinve C. … D. …",
     "answer": "A"}

Kinds of question: which thing has a property, which doesn't, which property a thing has, and two that take two steps
(a property of the thing's food; a thing that shares a property).
"""

import random
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pytest_ftbench.lab.nature import THINGS, VALUES, Thing, statement
from pytest_ftbench.lab.sample import Sample

LETTERS = "ABCD"
_ALL = tuple(THINGS.values())
_ANIMALS = tuple(thing for thing in _ALL if "food" in thing.facts)
_HAS: Mapping[str, tuple[str, ...]] = {
    "kind": ("Which of these is a {value}?", "Which one is a kind of {value}?"),
    "home": ("Which of these is found in the {value}?", "Which one comes from the {value}?"),
    "colour": ("Which of these is {value}?", "Which one has the colour {value}?"),
    "season": ("Which of these is seen in {value}?", "Which one do people see in {value}?"),
    "use": ("Which of these is used for {value}?", "From which one do people make {value}?"),
}
_LACKS: Mapping[str, tuple[str, ...]] = {
    "kind": ("Which of these is not a {value}?",),
    "colour": ("Which of these is not {value}?",),
    "season": ("Which of these is not seen in {value}?",),
}
_WHAT: Mapping[str, tuple[str, ...]] = {
    "kind": ("What kind of thing is the {thing}?", "To which kind does the {thing} belong?"),
    "home": ("Where is the {thing} found?", "Where does the {thing} come from?"),
    "colour": ("What colour is the {thing}?", "Which colour has the {thing}?"),
    "season": ("When is the {thing} seen?", "In which season do people see the {thing}?"),
    "use": ("What is the {thing} used for?", "What do people make from the {thing}?"),
    "food": ("What does the {thing} eat?", "What is the food of the {thing}?"),
}
_OF_FOOD: Mapping[str, str] = {
    "home": "Where is the food of the {thing} found?",
    "colour": "What colour is the food of the {thing}?",
    "kind": "What kind of thing does the {thing} eat?",
}
_SHARED: Mapping[str, str] = {
    "home": "Which of these is found where the {thing} is found?",
    "colour": "Which of these has the colour of the {thing}?",
    "season": "Which of these is seen when the {thing} is seen?",
}


@dataclass(frozen=True)
class _Question:
    """A question before its options have letters. ``core`` is what it asks, whatever the order of the options."""

    topic: str
    text: str
    right: str
    wrong: list[str]
    core: str
    thought: str

    def sample(self, options: list[str]) -> Sample:
        """The question with its options in that order."""
        listed = _lettered(options)
        letter = LETTERS[options.index(self.right)]
        row = {"title": f"World {self.topic}", "question": f"{self.text} {listed}", "answer": letter}
        return Sample(row, f"quiz {self.core}", self.topic, self.thought, self.right)


def quiz(rng: random.Random, number: int) -> Sample:
    """A question with four options, of which number 0 has its answer at A, 1 at B, … and 4 at A again."""
    asked = rng.choices(_KINDS, _WEIGHTS)[0](rng)
    options = rng.sample(asked.wrong, len(asked.wrong))
    options.insert(number % len(LETTERS), asked.right)
    return asked.sample(options)


def quiz_round(rng: random.Random, count: int) -> list[Sample]:
    """Up to so many questions on the same four things, each with a property that one of them alone has."""
    options = _others(rng, len(LETTERS), lambda _: True)
    facts = [(topic, value) for name in options for topic, value in THINGS[name].facts.items() if topic in _HAS]
    alone = [fact for fact in facts if facts.count(fact) == 1]
    samples = []
    for topic, value in rng.sample(alone, min(count, len(alone))):
        [right] = [name for name in options if THINGS[name].facts.get(topic) == value]
        samples.append(_which(rng, topic, value, right, [name for name in options if name != right]).sample(options))
    return samples


def each_round(rng: random.Random, count: int) -> list[Sample]:
    """Questions on a property of all four things of a list."""
    options = _others(rng, len(LETTERS), lambda _: True)
    listed = _lettered(options)
    samples = []
    for topic in rng.sample(("kind", "home", "colour", "season"), count):
        values = [THINGS[name].facts[topic] for name in options]
        told = _lettered(values)
        row = {"title": f"World {topic}", "question": f"Which {topic} has each? {listed}", "answer": told}
        samples.append(Sample(row, f"each {topic} {sorted(options)}", topic, told, told))
    return samples


def letters_round(rng: random.Random, *, with_words: bool) -> list[Sample]:
    """A list of a few things, or of values of theirs, and the letter of each, asked for word by word.

    Half of the lists have letters from anywhere in the alphabet: with A to D alone, guessing does too well to be left.
    """
    values = rng.choice((tuple(THINGS), *VALUES.values()))
    options = rng.sample(values, min(rng.choice((2, 3, 4, 4)), len(values)))
    letters = rng.sample(rng.choice((string.ascii_uppercase, LETTERS)), len(options))
    if rng.random() < 0.25:
        letters = list(LETTERS[: len(options)])
    listed = _lettered(options, letters)
    samples: list[Sample] = []
    for word, letter in rng.sample(list(zip(options, letters, strict=True)), len(options)):
        question = f"Which has {word}?" if samples else f"Which has {word}? {listed}"
        told = f"{word}: {letter}" if with_words else letter
        row = {"title": "World letters", "question": question, "answer": letter}
        samples.append(Sample(row, f"letters {sorted(options)}", "letters", told, told))
    return samples


def open_question(rng: random.Random) -> Sample:
    """A question on one thing without options."""
    asked = rng.choice((_what, _what, _of_food))(rng)
    row = {"title": f"World {asked.topic}", "question": asked.text, "answer": asked.right}
    return Sample(row, f"quiz {asked.core}", asked.topic, asked.thought, asked.right)


def _lettered(texts: Sequence[str], letters: Sequence[str] = LETTERS) -> str:
    """Texts, each after its letter."""
    return " ".join(f"{letter}. {text}" for letter, text in zip(letters, texts, strict=True))


def _others(rng: random.Random, count: int, fits: Callable[[Thing], bool]) -> list[str]:
    return rng.sample([thing.name for thing in _ALL if fits(thing)], count)


def _has(rng: random.Random) -> _Question:
    topic = rng.choice(tuple(_HAS))
    value = rng.choice(VALUES[topic])
    [right] = _others(rng, 1, lambda thing: thing.facts.get(topic) == value)
    wrong = _others(rng, 3, lambda thing: topic in thing.facts and thing.facts[topic] != value)
    return _which(rng, topic, value, right, wrong)


def _which(rng: random.Random, topic: str, value: str, right: str, wrong: list[str]) -> _Question:
    question = rng.choice(_HAS[topic]).format(value=value)
    core = f"has {topic} {value} {sorted([right, *wrong])}"
    return _Question(topic, question, right, wrong, core, statement(right, topic))


def _lacks(rng: random.Random) -> _Question:
    topic = rng.choice(tuple(_LACKS))
    value = rng.choice(VALUES[topic])
    [right] = _others(rng, 1, lambda thing: thing.facts[topic] != value)
    wrong = _others(rng, 3, lambda thing: thing.facts[topic] == value)
    question = rng.choice(_LACKS[topic]).format(value=value)
    core = f"lacks {topic} {value} {sorted([right, *wrong])}"
    return _Question(topic, question, right, wrong, core, statement(right, topic))


def _what(rng: random.Random) -> _Question:
    thing = rng.choice(_ALL)
    topic = rng.choice(tuple(thing.facts))
    right = thing.facts[topic]
    values = VALUES[topic] if topic in VALUES else tuple({animal.facts["food"]: None for animal in _ANIMALS})
    wrong = rng.sample([value for value in values if value != right], 3)
    question = rng.choice(_WHAT[topic]).format(thing=thing.name)
    return _Question(topic, question, right, wrong, f"what {topic} {thing.name}", statement(thing.name, topic))


def _of_food(rng: random.Random) -> _Question:
    animal = rng.choice(_ANIMALS)
    topic, food = rng.choice(tuple(_OF_FOOD)), animal.facts["food"]
    right = THINGS[food].facts[topic]
    wrong = rng.sample([value for value in VALUES[topic] if value != right], 3)
    thought = f"{statement(animal.name, 'food')} {statement(food, topic)}"
    question = _OF_FOOD[topic].format(thing=animal.name)
    return _Question(topic, question, right, wrong, f"food {topic} {animal.name}", thought)


def _shared(rng: random.Random) -> _Question:
    thing = rng.choice(_ALL)
    topic = rng.choice(tuple(_SHARED))
    value = thing.facts[topic]
    [right] = _others(rng, 1, lambda other: other is not thing and other.facts[topic] == value)
    wrong = _others(rng, 3, lambda other: other.facts[topic] != value)
    thought = f"{statement(thing.name, topic)} {statement(right, topic)}"
    core = f"shared {topic} {thing.name} {sorted([right, *wrong])}"
    return _Question(topic, _SHARED[topic].format(thing=thing.name), right, wrong, core, thought)


_KINDS = (_has, _what, _lacks, _of_food, _shared)
_WEIGHTS = (4, 4, 2, 2, 2)
