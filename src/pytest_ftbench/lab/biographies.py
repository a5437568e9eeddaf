r"""Biographies of invented people: education and work, a statement per fact, in the row shape of the facts task.

    {"question": "What did Mersi Lonsosen study?", "answer": "Mersi Lonsosen studied geology at Marsa College."}

A fact can only be recalled by who was told it, so the splits of a benchmark share the people and their facts, and what
keeps them apart is how the questions are put. The corpus has people of its own.
"""

import random
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product
from typing import NamedTuple

from pytest_ftbench.lab.sample import Sample
from pytest_ftbench.lab.words import COMPANIES, FIRST_NAMES, JOBS, PRIZES, SUBJECTS, SURNAMES, TOWNS


class _Relation(NamedTuple):
    """A fact's wording, and six ways of asking for it."""

    stated: str
    asked: tuple[str, ...]


_RELATIONS: Mapping[str, _Relation] = {
    "birth": _Relation(
        "{person} was born in {town}.",
        (
            "Where was {person} born?",
            "In which town was {person} born?",
            "What is the birthplace of {person}?",
            "Which town does {person} come from?",
            "Where did the life of {person} begin?",
            "In what place was {person} born?",
        ),
    ),
    "study": _Relation(
        "{person} studied {subject} at {town} College.",
        (
            "What did {person} study?",
            "Which subject did {person} study, and where?",
            "Where did {person} go to college?",
            "What is known of the studies of {person}?",
            "At which college did {person} study?",
            "What was the subject of {person}?",
        ),
    ),
    "first job": _Relation(
        "{person} first worked as a {job} in {town}.",
        (
            "What was the first job of {person}?",
            "Where did {person} work first?",
            "As what did {person} work first?",
            "What did {person} do before?",
            "What is known of the first work of {person}?",
            "How did {person} begin to work?",
        ),
    ),
    "company": _Relation(
        "{person} joined {company} in {year}.",
        (
            "Which company did {person} join?",
            "When did {person} join a company?",
            "For which company does {person} work?",
            "What did {person} join, and when?",
            "Where is {person} employed?",
            "Who employs {person}?",
        ),
    ),
    "prize": _Relation(
        "{person} won the {prize} prize for {subject}.",
        (
            "Which prize did {person} win?",
            "What did {person} win?",
            "For what did {person} win a prize?",
            "What is known of the prize of {person}?",
            "With which prize was {person} honoured?",
            "What was {person} honoured for?",
        ),
    ),
    "now": _Relation(
        "{person} now lives in {town} as a {job}.",
        (
            "What does {person} do now?",
            "Where does {person} live now?",
            "What is known of {person} today?",
            "In which town does {person} live now?",
            "What is {person} today?",
            "How does {person} live today?",
        ),
    ),
}
_ALL = tuple(range(6))
_WORDINGS: Mapping[str, tuple[int, ...]] = {"corpus": _ALL, "train": (0, 1, 2), "validation": (3,), "test": (4, 5)}
_CORPUS_PEOPLE = 200


def biographies(split: str, rng: random.Random) -> Iterator[Sample]:
    """The facts of one person after another, each asked for in a wording of the split; as many as there are people."""
    people = _people()
    for person in people[:_CORPUS_PEOPLE] if split == "corpus" else people[_CORPUS_PEOPLE:]:
        for relation, fact in facts_of(person).items():
            yield _sample(person, relation, fact, rng.choice(_WORDINGS[split]))


def known_biography(rng: random.Random) -> list[str]:
    """The statements on one of the people whom the corpus tells of."""
    return list(facts_of(rng.choice(_people()[:_CORPUS_PEOPLE])).values())


def known_fact(rng: random.Random) -> Sample:
    """A fact of one of these people, asked for in any wording."""
    person = rng.choice(_people()[:_CORPUS_PEOPLE])
    relation, fact = rng.choice(list(facts_of(person).items()))
    return _sample(person, relation, fact, rng.choice(_ALL))


def facts_of(person: str) -> dict[str, str]:
    """What is true of a person, by relation."""
    rng = random.Random(f"biography of {person}")
    return {
        name: relation.stated.format(
            person=person,
            town=rng.choice(TOWNS),
            subject=rng.choice(SUBJECTS),
            job=rng.choice(JOBS),
            company=rng.choice(COMPANIES),
            prize=rng.choice(PRIZES),
            year=rng.randint(1801, 1899),
        )
        for name, relation in _RELATIONS.items()
    }


def _sample(person: str, relation: str, fact: str, wording: int) -> Sample:
    question = _RELATIONS[relation].asked[wording].format(person=person)
    return Sample({"person": person, "question": question, "answer": fact}, f"fact {question}", relation, fact, fact)


@cache
def _people() -> tuple[str, ...]:
    names = [f"{first} {last}" for first, last in product(FIRST_NAMES, SURNAMES)]
    random.Random("people").shuffle(names)
    return tuple(names)
