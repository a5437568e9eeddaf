r"""Short passages on a few people with a question each, in SQuAD v2's row shape.

    {"title": "World job", "context": "Dalo keeps a goat. Brem works as a baker. …", "question": "Who keeps a goat?",
     "answer": "Dalo"}

Four questions in ten have no answer in the passage: mostly because it says of somebody else what is asked, which is
what makes such questions hard.
"""

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pytest_ftbench.lab.sample import Sample
from pytest_ftbench.lab.words import COLOURS, DISHES, FIRST_NAMES, JOBS, PETS, TOWNS

_UNANSWERABLE = 0.4
_MOST_FACTS = 8


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
    facts = _facts(rng, rng.choice((2, 3)), (2, 3, 4))
    return _asked(rng, facts, [(_without if rng.random() < _UNANSWERABLE else _with)(rng, facts) for _ in range(count)])


def contrast_round(rng: random.Random, count: int) -> list[Sample]:
    """A passage that says the same of several people, and questions on each of them: all that counts is who is who."""
    names = rng.sample(tuple(_RELATIONS), rng.choice((1, 1, 2)))
    facts = []
    for name in names:
        people = facts and [fact.person for fact in facts] or rng.sample(FIRST_NAMES, rng.choice((2, 3, 4)))
        values = rng.sample(_RELATIONS[name].values, len(people))
        facts += [_Fact(person, name, value) for person, value in zip(people, values, strict=True)]
    facts = rng.sample(facts, len(facts))
    return _asked(rng, facts, [_with(rng, facts, fact) for fact in rng.sample(facts, min(count, len(facts)))])


def _asked(rng: random.Random, facts: list[_Fact], asked: Sequence["_Asked"]) -> list[Sample]:
    """The samples of these questions on a passage that states these facts."""
    sentences = [rng.choice(_RELATIONS[fact.relation].stated).format(**fact._asdict()) for fact in facts]
    said = dict(zip(facts, sentences, strict=True))
    context, key = " ".join(sentences), f"passage {sorted(facts)}"
    samples = []
    for topic, question, answer, proof in asked:
        row = {"title": f"World {topic}", "context": context, "question": question, "answer": answer}
        thought = " ".join(said[fact] for fact in proof) or "The text does not say."
        samples.append(Sample(row, key, topic, thought, answer))
    return samples


def _facts(rng: random.Random, people: int, each: Sequence[int]) -> list[_Fact]:
    """So many people with so many facts each, at most eight, in no order; no value occurs twice in a passage."""
    facts: list[_Fact] = []
    for person in rng.sample(FIRST_NAMES, people):
        for name in rng.sample(tuple(_RELATIONS), rng.choice(each)):
            taken = {fact.value for fact in facts}
            value = rng.choice([value for value in _RELATIONS[name].values if value not in taken])
            facts.append(_Fact(person, name, value))
    facts = facts[:_MOST_FACTS]
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
    name = rng.choice([fact.relation for fact in facts])
    relation = _RELATIONS[name]
    known = {fact.person for fact in facts if fact.relation == name}
    people = list(dict.fromkeys(fact.person for fact in facts))
    others = [person for person in people if person not in known]
    jobs = [fact for fact in facts if fact.relation == "job" and fact.person in others]
    if jobs and relation.of_job and rng.random() < 0.25:
        return name, relation.of_job.format(job=rng.choice(jobs).value), "", ()
    if rng.random() < 0.15:
        value = rng.choice([value for value in relation.values if value not in {fact.value for fact in facts}])
        return name, relation.who.format(value=value), "", ()
    strangers = [person for person in FIRST_NAMES if person not in people]
    person = rng.choice(others) if others and rng.random() < 0.8 else rng.choice(strangers)
    return name, rng.choice(relation.asked).format(person=person), "", ()
