r"""Short passages on a few people with a question each, in SQuAD v2's row shape.

    {"title": "World pet", "context": "Vakse lives with a sheep. Drobe is a baker. …",
     "question": "Which animal does Vakse keep?", "answer": "sheep"}

Four questions in ten have no answer in the passage: half of these ask what it says of nobody, most others what it says
of somebody else only, which is what makes them hard.
"""

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pytest_ftbench.lab.sample import Sample
from pytest_ftbench.lab.words import COLOURS, DISHES, FIRST_NAMES, JOBS, PETS, TOWNS

_UNANSWERABLE = 0.4
_UNSAID = 0.5  # of these: what the passage says of nobody


class _Relation(NamedTuple):
    """How a relation is stated, asked of a person, asked for its person, and asked of whoever has a given job."""

    values: tuple[str, ...]
    stated: tuple[str, ...]
    asked: tuple[str, ...]
    who: str
    of_job: str


class _Fact(NamedTuple):
    person: str
    relation: str
    value: str


_RELATIONS: Mapping[str, _Relation] = {
    "birth": _Relation(
        TOWNS,
        ("{person} was born in {value}.", "The birthplace of {person} is {value}."),
        ("Where was {person} born?", "In which town was {person} born?"),
        "Who was born in {value}?",
        "Where was the {job} born?",
    ),
    "job": _Relation(
        JOBS,
        ("{person} works as a {value}.", "{person} is a {value}."),
        ("What does {person} work as?", "Which job does {person} have?"),
        "Who works as a {value}?",
        "",
    ),
    "pet": _Relation(
        PETS,
        ("{person} keeps a {value}.", "{person} lives with a {value}.", "A {value} lives with {person}."),
        ("Which animal does {person} keep?", "Which animal lives with {person}?"),
        "Who keeps a {value}?",
        "Which animal does the {job} keep?",
    ),
    "house": _Relation(
        COLOURS,
        ("The house of {person} is {value}.", "{person} has a house that is {value}."),
        ("What colour is the house of {person}?", "Which colour has the house of {person}?"),
        "Whose house is {value}?",
        "What colour is the house of the {job}?",
    ),
    "dish": _Relation(
        DISHES,
        ("{person} likes {value}.", "For dinner {person} cooks {value}."),
        ("What does {person} like to eat?", "What does {person} cook?"),
        "Who cooks {value}?",
        "What does the {job} like to eat?",
    ),
    "year": _Relation(
        tuple(str(year) for year in range(1801, 1900)),
        ("{person} came to the land in {value}.", "{person} arrived in {value}.", "In {value}, {person} arrived."),
        ("When did {person} arrive?", "In which year did {person} come?"),
        "Who arrived in {value}?",
        "When did the {job} arrive?",
    ),
    "move": _Relation(
        TOWNS,
        ("{person} now lives in {value}.", "Today the home of {person} is in {value}."),
        ("Where does {person} live now?", "In which town does {person} live?"),
        "Who lives in {value} now?",
        "Where does the {job} live now?",
    ),
}


def passage(rng: random.Random) -> Sample:
    """A passage, a question on it, and the span that answers it ('' where none does)."""
    return passage_round(rng, 1)[0]


def passage_round(rng: random.Random, count: int) -> list[Sample]:
    """Several questions on one passage."""
    facts = _facts(rng)
    return _asked(rng, facts, [(_without if rng.random() < _UNANSWERABLE else _with)(rng, facts) for _ in range(count)])


def contrast_round(rng: random.Random) -> list[Sample]:
    """A passage that says the same of two to four people, and a question on each: all that counts is who is who."""
    facts = _alike(rng)
    return _asked(rng, facts, [_with(rng, facts, fact) for fact in rng.sample(facts, len(facts))])


def named_round(rng: random.Random) -> list[Sample]:
    """The same with the person's name before each answer."""
    facts = _alike(rng)
    asked = []
    for fact in rng.sample(facts, len(facts)):
        question = rng.choice(_RELATIONS[fact.relation].asked).format(person=fact.person)
        asked.append((fact.relation, question, f"{fact.person}: {fact.value}", (fact,)))
    return _asked(rng, facts, asked)


def ledger_round(rng: random.Random) -> list[Sample]:
    """A list of people and what is noted beside their names, asked for name by name."""
    return _listed(rng, _alike(rng), "ledger", "{person}: {value}.", "{person}?", "{person}: {value}")


def register_round(rng: random.Random) -> list[Sample]:
    """A list of people with what is noted after or before their names, asked for person by person.

    Unlike a ledger's, its questions have a name inside, where it is written as in the list: a word that opens a text is
    another token than inside it.
    """
    facts = _alike(rng)
    entry = rng.choice(("{person}: {value}.", "{value}: {person}."))
    return _listed(rng, facts, "register", entry, "And {person}?", "{value}")


def _listed(rng: random.Random, facts: list[_Fact], topic: str, entry: str, question: str, answer: str) -> list[Sample]:
    """A list with an entry for each fact, and a question on each; the last three say how a fact is put."""
    context = " ".join(entry.format(**fact._asdict()) for fact in facts)
    samples = []
    for fact in rng.sample(facts, len(facts)):
        asked, told = (text.format(**fact._asdict()) for text in (question, answer))
        row = {"title": f"World {topic}", "context": context, "question": asked, "answer": told}
        samples.append(Sample(row, f"passage {sorted(facts)}", topic, told, told))
    return samples


def _alike(rng: random.Random) -> list[_Fact]:
    """Facts of two to four people in one relation."""
    name = rng.choice(tuple(_RELATIONS))
    people = rng.sample(FIRST_NAMES, rng.choice((2, 3, 4)))
    values = rng.sample(_RELATIONS[name].values, len(people))
    return [_Fact(person, name, value) for person, value in zip(people, values, strict=True)]


def people_round(rng: random.Random) -> list[Sample]:
    """A passage, and for each of its people the question what it says of them."""
    facts = _facts(rng)
    said = _stated(rng, facts)
    samples = []
    people = list(dict.fromkeys(fact.person for fact in facts))
    for person in rng.sample(people, len(people)):
        told = " ".join(sentence for fact, sentence in said.items() if fact.person == person)
        question = f"What does the text say of {person}?"
        row = {"title": "World people", "context": " ".join(said.values()), "question": question, "answer": told}
        samples.append(Sample(row, f"passage {sorted(facts)}", "people", told, told))
    return samples


def _asked(rng: random.Random, facts: list[_Fact], asked: Sequence["_Asked"]) -> list[Sample]:
    """The samples of these questions on a passage that states these facts."""
    said = _stated(rng, facts)
    context, key = " ".join(said.values()), f"passage {sorted(facts)}"
    samples = []
    for topic, question, answer, proof in asked:
        row = {"title": f"World {topic}", "context": context, "question": question, "answer": answer}
        thought = " ".join(said[fact] for fact in proof) or "The text does not say."
        samples.append(Sample(row, key, topic, thought, answer))
    return samples


def _stated(rng: random.Random, facts: list[_Fact]) -> dict[_Fact, str]:
    """The sentence that states each fact, in the order of the facts."""
    return {fact: rng.choice(_RELATIONS[fact.relation].stated).format(**fact._asdict()) for fact in facts}


def _facts(rng: random.Random) -> list[_Fact]:
    """Four to seven facts of two or three people, most of them alone in their relation, in no order.

    No value occurs twice in a passage.
    """
    people = rng.sample(FIRST_NAMES, rng.choice((2, 3)))
    names = rng.sample(tuple(_RELATIONS), rng.choice((3, 4, 5)))
    names += rng.sample(names, rng.choice((1, 2)))
    facts: list[_Fact] = []
    for name in names:
        person = rng.choice([p for p in people if all((fact.person, fact.relation) != (p, name) for fact in facts)])
        taken = {fact.value for fact in facts}
        facts.append(_Fact(person, name, rng.choice([v for v in _RELATIONS[name].values if v not in taken])))
    return rng.sample(facts, len(facts))


_Asked = tuple[str, str, str, Sequence[_Fact]]
"""The relation asked about, the question, the answer, the facts it follows from."""


def _with(rng: random.Random, facts: list[_Fact], fact: _Fact | None = None) -> _Asked:
    fact = fact or rng.choice(facts)
    relation = _RELATIONS[fact.relation]
    job = next((other for other in facts if other.person == fact.person and other.relation == "job"), None)
    if job is not None and relation.of_job and rng.random() < 0.3:
        return fact.relation, relation.of_job.format(job=job.value), fact.value, (job, fact)
    if rng.random() < 0.15:
        return fact.relation, relation.who.format(value=fact.value), fact.person, (fact,)
    return fact.relation, rng.choice(relation.asked).format(person=fact.person), fact.value, (fact,)


def _without(rng: random.Random, facts: list[_Fact]) -> _Asked:
    """What nothing is said of, or what is said of another person only, or who has what nobody has."""
    people = list(dict.fromkeys(fact.person for fact in facts))
    stated = {fact.relation for fact in facts}
    absent = [name for name in _RELATIONS if name not in stated]
    name = rng.choice(absent if rng.random() < _UNSAID else sorted(stated))
    relation = _RELATIONS[name]
    others = [person for person in people if (person, name) not in {(fact.person, fact.relation) for fact in facts}]
    jobs = [fact for fact in facts if fact.relation == "job" and fact.person in others]
    if jobs and relation.of_job and rng.random() < 0.25:
        return name, relation.of_job.format(job=rng.choice(jobs).value), "", ()
    if rng.random() < 0.15:
        value = rng.choice([value for value in relation.values if value not in {fact.value for fact in facts}])
        return name, relation.who.format(value=value), "", ()
    strangers = [person for person in FIRST_NAMES if person not in people]
    person = rng.choice(others) if others and rng.random() < 0.8 else rng.choice(strangers)
    return name, rng.choice(relation.asked).format(person=person), "", ()
