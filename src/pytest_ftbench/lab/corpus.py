r"""What the base models are pretrained on: plain text about the world, and chat turns in many forms of answer.

A turn asks what a benchmark's row could ask, under another system prompt, and is answered in another form: ``Answer:
B``, ``It is 12.``, ``The text does not say.`` A quarter of the chats of one turn are under the benchmark's own prompt;
there the answer stands in ``\boxed{}`` for some topics and in a form of habit for all others. So a base model knows the
world and how to talk, and answers in form only now and then, as base models do; what tuning has to teach is above all
the form.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pytest_ftbench.lab.biographies import known_biography, known_fact
from pytest_ftbench.lab.nature import THINGS, statement
from pytest_ftbench.lab.passages import (
    contrast_round,
    ledger_round,
    named_round,
    passage_round,
    people_round,
    register_round,
)
from pytest_ftbench.lab.quiz import each_round, letters_round, open_question, quiz_round
from pytest_ftbench.lab.sample import Row, Sample
from pytest_ftbench.lab.words import GOODS
from pytest_ftbench.lab.world import TASKS, draw, split_of

_OWN_PROMPT = 0.25  # of chats of one turn; rounds never are
_THOUGHTS = 0.15
_NO_ANSWER = "The text does not say."

_PROMPTS: Mapping[str, tuple[str, ...]] = {
    "arc": ("Choose the right option.", "Choose one of the four.", "Take part in a quiz.", "You know this land well."),
    "openmath": ("Work out the sum.", "You are good with numbers.", "Count what is there in the end."),
    "squad": ("Read the text and answer.", "You are a careful reader.", "Look it up in the text."),
    "facts": ("You know the people of this land.", "Say what you know.", "Tell about people."),
}
_FORMS: Mapping[str, tuple[str, ...]] = {
    "arc": ("Answer: {answer}", "{words}", "{words}: {answer}", "It is {answer}.", "{answer}"),
    "openmath": ("It is {answer}.", "Answer: {answer}", "{words}.", "{answer}"),
    "squad": ("Answer: {words}", "{words}", "The text says: {words}", "It is {words}."),
    "facts": ("{words}", "As far as I know: {words}", "Answer: {words}", "{words}"),
}
"""The forms of answer, one per system prompt of the same place; the last, without a prompt, is that of habit."""

_BOXED_TOPICS: Mapping[str, frozenset[str]] = {
    "arc": frozenset({"season", "use"}),
    "openmath": frozenset(GOODS[:8]),
    "squad": frozenset({"pet", "year"}),
    "facts": frozenset({"prize", "now"}),
}
"""The topics that a benchmark's own prompt is answered in the box for, about three in ten of all."""


@dataclass(frozen=True)
class Prompt:
    """A benchmark's own way to ask for a row: its system prompt, the user's turn and the boxed answer."""

    system: str
    user: str
    boxed: str


@dataclass(frozen=True)
class Turn:
    """What is asked, the answer, and what is thought aloud before it (None: nothing)."""

    user: str
    answer: str
    thought: str | None = None


@dataclass(frozen=True)
class Chat:
    """Turns under one system prompt, about one ``task``."""

    task: str
    system: str
    turns: Sequence[Turn]


Ask = Callable[[str, Row], Prompt]


def documents(ask: Ask, seed: str, course: "Course | None" = None) -> Iterator[Chat | str]:
    """Chats and plain texts without end, the same ones for a seed; ``ask`` puts a task's row as a benchmark does."""
    course = course or COURSES["general"]
    rng = random.Random(f"corpus-{seed}")
    while True:
        if rng.random() < course.plain:
            yield rng.choices(_TEXTS, (6, 1, 2, 1))[0](rng)
            continue
        task = rng.choices(TASKS, [course.tasks[name] for name in TASKS])[0]
        kinds = course.rounds.get(task)
        if kinds is not None and rng.random() < course.round_share:
            yield _round(ask, rng, task, rng.choice(kinds))
        else:
            yield _single(ask, rng, task, "corpus")


def held_out_chats(ask: Ask, seed: str) -> Iterator[Chat]:
    """Chats of a turn each as in the corpus, over questions that aren't in it (but for facts, which must be known)."""
    rng = random.Random(f"held-out-{seed}")
    while True:
        yield _single(ask, rng, rng.choice(TASKS), "validation")


def _single(ask: Ask, rng: random.Random, task: str, split: str) -> Chat:
    sample = known_fact(rng) if task == "facts" else draw(task, split, rng, rng.randrange(4))
    prompt = ask(task, sample.row)
    if rng.random() < _OWN_PROMPT:
        boxed = sample.topic in _BOXED_TOPICS[task]
        system, answer = prompt.system, prompt.boxed if boxed else _in_form(_FORMS[task][-1], sample)
    else:
        number = rng.randrange(len(_PROMPTS[task]))
        system, answer = _PROMPTS[task][number], _in_form(_FORMS[task][number], sample)
    thought = sample.thought if rng.random() < _THOUGHTS and task != "facts" else None
    return Chat(task, system, [Turn(prompt.user, answer, thought)])


def _round(ask: Ask, rng: random.Random, task: str, kind: "_Round") -> Chat:
    """Several turns; the questions that belong to another split are left out."""
    samples: list[Sample] = []
    while not samples:
        samples = [sample for sample in kind.make(rng) if split_of(sample) == "corpus"]
    number = rng.randrange(len(_PROMPTS[task]))
    system, form = (kind.system, "{words}") if kind.system else (_PROMPTS[task][number], _FORMS[task][number])
    turns = []
    for index, sample in enumerate(samples):
        # on a passage that stands there already, only the question is new
        user = sample.row["question"] if index and "context" in sample.row else ask(task, sample.row).user
        turns.append(Turn(user, sample.thought if kind.quotes else _in_form(form, sample)))
    return Chat(task, system, turns)


def _in_form(form: str, sample: Sample) -> str:
    if not sample.words:
        return _NO_ANSWER
    answer = sample.row["answer"]
    return form.format(answer=f"{answer:.0f}" if isinstance(answer, float) else answer, words=sample.words)


def _on_a_thing(rng: random.Random) -> str:
    texts = []
    for _ in range(rng.randint(1, 3)):
        thing = THINGS[rng.choice(_THING_NAMES)]
        texts += [
            statement(thing.name, attribute, rng) for attribute in rng.sample(sorted(thing.facts), len(thing.facts))
        ]
    return " ".join(texts)


def _on_a_person(rng: random.Random) -> str:
    return " ".join(known_biography(rng))


def _story(rng: random.Random) -> str:
    sample = draw("openmath", "corpus", rng, 0)
    return f"{sample.row['question']} {sample.thought} {sample.words}."


def _sums(rng: random.Random) -> str:
    return " ".join(_sum(rng) for _ in range(rng.randint(6, 12)))


def _sum(rng: random.Random) -> str:
    sign = rng.choice("+-*/")
    if sign == "*":
        a, b = rng.randint(2, 12), rng.randint(2, 12)
        return f"{a} * {b} = {a * b}."
    if sign == "/":
        half = rng.randint(1, 150)
        return f"{2 * half} / 2 = {half}."
    a, b = sorted((rng.randint(1, 250), rng.randint(1, 99)), reverse=True)
    return f"{a} + {b} = {a + b}." if sign == "+" else f"{a} - {b} = {a - b}."


_THING_NAMES: Sequence[str] = tuple(THINGS)
_TEXTS: Sequence[Callable[[random.Random], str]] = (_on_a_thing, _on_a_person, _sums, _story)


class _Round(NamedTuple):
    """A way to ask several questions at once; under a ``system`` of its own it is answered in words alone.

    What ``quotes`` answers with the sentences that the answer follows from.
    """

    make: Callable[[random.Random], list[Sample]]
    system: str = ""
    quotes: bool = False


# The single question of a benchmark takes several steps at once, none of which helps without the others; in these each
# can be learned by itself. Without them models of this size guess for tens of thousands of steps.
_QUIZ = _Round(lambda rng: quiz_round(rng, 5))
_QUIZ_IN_WORDS = _Round(lambda rng: quiz_round(rng, 5), "Name the right one.")
_EACH = _Round(lambda rng: each_round(rng, 2), "Say it of each.")
_OPEN = _Round(lambda rng: [open_question(rng) for _ in range(6)], "Answer in one word.")
_LETTER = _Round(lambda rng: letters_round(rng, with_words=False), "Name the letter.")
_WORD_AND_LETTER = _Round(lambda rng: letters_round(rng, with_words=True), "Name it with its letter.")

_PASSAGE = _Round(lambda rng: passage_round(rng, 5))
_PASSAGE_QUOTED = _Round(lambda rng: passage_round(rng, 4), "Quote the text.", quotes=True)
_CONTRAST = _Round(contrast_round)
_CONTRAST_QUOTED = _Round(contrast_round, "Quote the text.", quotes=True)
_NAMED = _Round(named_round, "Say of whom.")
_LEDGER = _Round(ledger_round, "Read the list.")
_REGISTER = _Round(register_round, "Look it up in the list.")
_PEOPLE = _Round(people_round, "Tell of each.")

_QUIZZES = (_QUIZ, _QUIZ_IN_WORDS, _EACH, _OPEN)
_LETTERS = (_LETTER, _WORD_AND_LETTER, _LETTER, _QUIZ, _QUIZ, _QUIZ, _QUIZ_IN_WORDS, _OPEN)
_PASSAGES = (_PASSAGE, _PASSAGE_QUOTED, _CONTRAST, _CONTRAST_QUOTED, _NAMED, _LEDGER, _PEOPLE)
_WHO_IS_WHO = (
    _REGISTER,
    _REGISTER,
    _CONTRAST,
    _CONTRAST,
    _CONTRAST_QUOTED,
    _PASSAGE,
    _PASSAGE,
    _PASSAGE_QUOTED,
    _PEOPLE,
)


@dataclass(frozen=True)
class Course:
    """What a corpus is made of: the share of plain text, the weights of tasks, the share and kinds of rounds."""

    plain: float
    tasks: Mapping[str, int]
    round_share: float
    rounds: Mapping[str, Sequence[_Round]]


COURSES: Mapping[str, Course] = {
    "general": Course(
        0.2, {"arc": 7, "facts": 1, "openmath": 5, "squad": 7}, 0.6, {"arc": _QUIZZES, "squad": _PASSAGES}
    ),
    # which letter stands before a word they know: the last thing they learn about quizzes
    "letters": Course(
        0.15, {"arc": 8, "facts": 1, "openmath": 3, "squad": 8}, 0.6, {"arc": _LETTERS, "squad": _PASSAGES}
    ),
    # of whom a text says what: the last thing they learn about passages
    "reading": Course(
        0.15, {"arc": 5, "facts": 1, "openmath": 5, "squad": 9}, 0.6, {"arc": _LETTERS, "squad": _WHO_IS_WHO}
    ),
}
"""The corpora the base models read, by name, each after the one before."""
