"""A little invented world: rows for each task, made from a seed, as many distinct ones as asked.

Its rows have the very columns of the real data sets, so prompts, scorers and splits are the same for both.
"""

import random
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

Row = dict[str, Any]

_KINDS = {
    "fruit": ("plum", "melon", "fig", "quince", "cherry", "lemon", "grape", "pear"),
    "metal": ("iron", "copper", "tin", "silver", "zinc", "lead", "nickel", "gold"),
    "bird": ("heron", "finch", "owl", "crane", "wren", "raven", "stork", "gull"),
    "tool": ("hammer", "chisel", "saw", "plane", "rasp", "clamp", "drill", "vise"),
    "fabric": ("linen", "wool", "felt", "denim", "silk", "tweed", "velvet", "canvas"),
}
_PEOPLE = ("Arel", "Bruna", "Cado", "Delin", "Emra", "Falk", "Gisa", "Hano", "Ilva", "Joren", "Kesta", "Luno")
_TOWNS = ("Marsa", "Nelt", "Oskar Bay", "Pirm", "Quell", "Rosten", "Sarn", "Tolby", "Ulm Ford", "Varna")
_JOBS = ("baker", "smith", "sailor", "weaver", "teacher", "miller", "doctor", "painter")
_PETS = ("dog", "cat", "goat", "pony", "hen", "rabbit")
_LETTERS = "ABCD"


def rows(task: str, count: int, seed: int = 0) -> list[Row]:
    """The first ``count`` distinct rows of a task in this world.

    Raises KeyError for a task the world knows nothing of.
    """
    make = _MAKERS[task]
    rng = random.Random(f"{task}-{seed}")
    return list(islice(_distinct(lambda: make(rng)), count))


def _distinct(make: Callable[[], Row]) -> Iterator[Row]:
    seen: set[str] = set()
    while True:
        row = make()
        if row["question"] + row.get("context", "") not in seen:
            seen.add(row["question"] + row.get("context", ""))
            yield {"id": f"world-{len(seen)}", **row}


def _arc(rng: random.Random) -> Row:
    kind, *others = rng.sample(sorted(_KINDS), 4)
    words = [rng.choice(_KINDS[name]) for name in (kind, *others)]
    order = rng.sample(range(4), 4)
    options = " ".join(f"{letter}. {words[index]}" for letter, index in zip(_LETTERS, order, strict=True))
    article = "a" if kind in ("fabric", "metal") else "the"
    text = f"Which of these names {article} {kind}? {options}"
    return {"title": f"World {kind}", "question": text, "answer": _LETTERS[order.index(0)]}


def _openmath(rng: random.Random) -> Row:
    person, thing = rng.choice(_PEOPLE), rng.choice(_KINDS["fruit"])
    first, second = rng.randint(2, 60), rng.randint(2, 40)
    if rng.random() < 0.5:
        text = f"{person} has {first} {thing}s and buys {second} more. How many {thing}s does {person} have now?"
        return {"question": text, "answer": float(first + second)}
    text = f"{person} had {first + second} {thing}s and gave {second} away. How many {thing}s are left?"
    return {"question": text, "answer": float(first)}


def _squad(rng: random.Random) -> Row:
    people = rng.sample(_PEOPLE, 2)
    towns, jobs, pets = rng.sample(_TOWNS, 2), rng.sample(_JOBS, 2), rng.sample(_PETS, 2)
    facts = [
        f"{person} lives in {town}, works as a {job} and keeps a {pet}."
        for person, town, job, pet in zip(people, towns, jobs, pets, strict=True)
    ]
    asked = rng.randrange(2)
    known = {
        f"Where does {people[asked]} live?": towns[asked],
        f"What does {people[asked]} work as?": jobs[asked],
        f"Which animal does {people[asked]} keep?": pets[asked],
    }
    question = rng.choice(list(known))
    if rng.random() < 0.4:
        stranger = rng.choice([name for name in _PEOPLE if name not in people])
        return _passage(facts, question.replace(people[asked], stranger), "")
    return _passage(facts, question, known[question])


def _passage(facts: list[str], question: str, answer: str) -> Row:
    return {"title": "World", "context": " ".join(facts), "question": question, "answer": answer}


_MAKERS: dict[str, Callable[[random.Random], Row]] = {"arc": _arc, "openmath": _openmath, "squad": _squad}
TASKS = tuple(_MAKERS)
"""The tasks the world has rows for."""
