r"""Arithmetic stories of one to four steps, in OpenMath's row shape.

    {"question": "Pusas has 16 coins. Then Pusas loses 3 coins. How many coins does Pusas have now?", "answer": 13.0}

Every number on the way is whole and below a thousand. What a split keeps together is the text without its numbers.
"""

import random
import re
from collections.abc import Callable

from pytest_ftbench.lab.sample import Sample
from pytest_ftbench.lab.words import BOXES, FIRST_NAMES, GOODS, TOWNS

_LARGEST = 999
_GAINS = (
    "{other} gives {person} {n} more.",
    "Then {person} finds {n} {goods}.",
    "{person} buys {n} {goods} in {town}.",
    "In {town}, {other} brings {n} {goods}.",
)
_LOSSES = (
    "{person} gives {n} of them to {other}.",
    "Then {person} loses {n} {goods}.",
    "{other} takes {n} of the {goods}.",
    "{person} sells {n} {goods} in {town}.",
)
_DOUBLINGS = ("Then the number doubles.", "{other} brings as many again.", "In {town}, {person} gets twice as many.")
_TRIPLINGS = ("Then there are three times as many.", "In {town} the number triples.")
_HALVINGS = ("{person} gives half of them to {other}.", "Half of the {goods} are lost in {town}.")
_ENDS = ("How many {goods} are there in the end?", "What is the number of {goods} now?")
_OWNERS_END = "How many {goods} does {person} have now?"

_Step = tuple[str, str, int]
"""What happens, the sum it makes, what is there after it."""


def story(rng: random.Random) -> Sample:
    """A story and its number."""
    person, other = rng.sample(FIRST_NAMES, 2)
    goods, town = rng.choice(GOODS), rng.choice(TOWNS)
    sentences, sums = [], []
    begun, done, total = _start(rng)
    sentences.append(begun)
    sums += [done] if done else []
    for _ in range(rng.choices((1, 2, 3), (5, 4, 2))[0]):
        text, done, total = _event(rng, total)
        sentences.append(text)
        sums.append(done)
    owned = begun.startswith("{person}")
    sentences.append(rng.choice((*_ENDS, _OWNERS_END, _OWNERS_END) if owned else _ENDS))
    question = " ".join(sentences).format(person=person, other=other, goods=goods, town=town)
    row = {"question": question, "answer": float(total)}
    return Sample(row, "story " + re.sub(r"\d+", "#", question), goods, ". ".join(sums) + ".", f"{total} {goods}")


def _start(rng: random.Random) -> _Step:
    if rng.random() < 0.3:
        boxes, each = rng.randint(2, 9), rng.randint(2, 12)
        kind = rng.choice(BOXES)
        text = f"{{person}} has {boxes} {kind} with {each} {{goods}} each."
        return text, f"{boxes} * {each} = {boxes * each}", boxes * each
    count = rng.randint(2, 99)
    return rng.choice((f"{{person}} has {count} {{goods}}.", f"There are {count} {{goods}} in {{town}}.")), "", count


def _event(rng: random.Random, total: int) -> _Step:
    possible: list[Callable[[random.Random, int], _Step]] = []
    possible += [_gain] * 3 * (total + 2 <= _LARGEST)
    possible += [_loss] * 3 * (total > 2)
    possible += [_multiple] * (total * 3 <= _LARGEST)
    possible += [_half] * (total % 2 == 0 and total > 2)
    return rng.choice(possible)(rng, total)


def _gain(rng: random.Random, total: int) -> _Step:
    n = rng.randint(2, min(99, _LARGEST - total))
    return rng.choice(_GAINS).replace("{n}", str(n)), f"{total} + {n} = {total + n}", total + n


def _loss(rng: random.Random, total: int) -> _Step:
    n = rng.randint(2, min(99, total - 1))
    return rng.choice(_LOSSES).replace("{n}", str(n)), f"{total} - {n} = {total - n}", total - n


def _multiple(rng: random.Random, total: int) -> _Step:
    times = rng.choice((2, 2, 3))
    text = rng.choice(_DOUBLINGS if times == 2 else _TRIPLINGS)
    return text, f"{total} * {times} = {total * times}", total * times


def _half(rng: random.Random, total: int) -> _Step:
    return rng.choice(_HALVINGS), f"{total} / 2 = {total // 2}", total // 2
