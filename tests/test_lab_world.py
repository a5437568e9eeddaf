"""The embedded world: rows as sound as real ones, the same for a seed, in splits that don't overlap."""

import random
import re
from collections import Counter
from itertools import combinations, islice

import pytest

from pytest_ftbench import lab
from pytest_ftbench.lab.biographies import facts_of
from pytest_ftbench.lab.corpus import COURSES, Prompt, documents
from pytest_ftbench.lab.nature import THINGS
from pytest_ftbench.lab.passages import register_round
from pytest_ftbench.lab.quiz import letters_round
from pytest_ftbench.lab.words import DISHES, FIRST_NAMES, JOBS
from pytest_ftbench.tasks import get_task

UNSEEN = [name for name in lab.TASKS if not get_task(name).recalls]
COUNT = 400
SHINGLE, NEAR = 5, 0.8  # of words, and the Jaccard index from which texts are near duplicates (Lee et al. 2022)


def text_of(row):
    return f"{row.get('context', '')} {row['question']}".strip()


def shingles(text):
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[start : start + SHINGLE]) for start in range(max(1, len(words) - SHINGLE + 1))}


def nearest(ones, others):
    """The largest Jaccard index of a text of one side and one of the other, and the two."""
    by_shingle = {}
    sets = [shingles(text) for text in others]
    for index, some in enumerate(sets):
        for shingle in some:
            by_shingle.setdefault(shingle, set()).add(index)
    best = (0.0, "", "")
    for text in ones:
        mine = shingles(text)
        shared = Counter(index for shingle in mine for index in by_shingle.get(shingle, ()))
        for index, count in shared.items():
            best = max(best, (count / (len(mine) + len(sets[index]) - count), text, others[index]))
    return best


@pytest.mark.parametrize("split", lab.SPLITS[1:])
@pytest.mark.parametrize("name", lab.TASKS)
def test_rows_have_all_that_their_task_asks_of_them(name, split):
    task = get_task(name)
    for row in lab.rows(name, split, 200):
        assert {column: type(row[column]) for column in task.columns} == dict(task.columns)
        assert task.problem(row) is None
        [item] = task.score([task.target(row)], [row])["items"]
        assert item["score"] == (100 if name == "squad" else 1)


@pytest.mark.parametrize("name", lab.TASKS)
def test_a_seed_makes_the_same_rows_and_fewer_are_a_part_of_more(name):
    rows = lab.rows(name, "train", 60)
    assert lab.rows(name, "train", 60) == rows
    assert lab.rows(name, "train", 25) == rows[:25]
    assert lab.rows(name, "train", 60, seed=1) != rows


@pytest.mark.parametrize("name", lab.TASKS)
def test_as_many_rows_as_asked_for_are_distinct(name):
    rows = lab.rows(name, "test", 3000)
    assert len({text_of(row) for row in rows}) == len({row["id"] for row in rows}) == 3000
    # options that changed places make no new question
    assert len({" ".join(sorted(text_of(row).split())) for row in rows}) == 3000


@pytest.mark.parametrize(("one", "other"), list(combinations(lab.SPLITS, 2)))
@pytest.mark.parametrize("name", UNSEEN)
def test_no_question_of_one_split_is_nearly_in_another(name, one, other):
    texts = [[text_of(row) for row in lab.rows(name, split, COUNT)] for split in (one, other)]
    # the measure sees what it is for: the same texts with a word more
    assert nearest([f"{text} indeed" for text in texts[0]], texts[0])[0] >= NEAR
    similarity, *pair = nearest(*texts)
    assert similarity < NEAR, pair


@pytest.mark.parametrize("name", UNSEEN)
def test_no_question_is_in_another_split_with_other_numbers_or_its_options_in_another_order(name):
    def skeleton(row):
        return " ".join(sorted(re.sub(r"\d+", "#", text_of(row)).split()))

    splits = [{skeleton(row) for row in lab.rows(name, split, COUNT)} for split in lab.SPLITS]
    for one, other in combinations(splits, 2):
        assert not one & other


@pytest.mark.parametrize(("one", "other"), list(combinations(lab.SPLITS[1:], 2)))
def test_facts_are_the_same_in_two_splits_and_asked_for_in_other_words(one, other):
    rows, others = lab.rows("facts", one, 120), lab.rows("facts", other, 120)
    assert [row["answer"] for row in rows] == [row["answer"] for row in others]
    assert not {row["question"] for row in rows} & {row["question"] for row in others}


def held_out(name):
    return [row for split in lab.SPLITS[1:] for row in lab.rows(name, split, 1000)]


@pytest.mark.parametrize("course", COURSES)
def test_nothing_held_out_is_in_what_the_corpus_really_holds(course):
    """Rounds and plain text as well, which rows of the corpus split know nothing of."""

    def ask(_, row):
        return Prompt("", text_of(row), "")

    some = list(islice(documents(ask, "0-0", COURSES[course]), 6000))
    turns = [(chat.system, turn.user) for chat in some if not isinstance(chat, str) for turn in chat.turns]
    assert not {user for _, user in turns} & {text_of(row) for name in UNSEEN for row in held_out(name)}
    # of questions without options there are so few that only the split keeps them apart
    bare = {user for system, user in turns if system == "Answer in one word."}
    assert len(bare) > 300
    assert not bare & {row["question"].partition(" A. ")[0] for row in held_out("arc")}
    everything = " ".join([*(user for _, user in turns), *(text for text in some if isinstance(text, str))])
    assert not [person for person in {row["person"] for row in held_out("facts")} if person in everything]


def test_nobody_whom_facts_ask_for_is_in_the_corpus():
    known = {row["person"] for row in lab.rows("facts", "corpus", 1000)}
    asked = {row["person"] for row in lab.rows("facts", "train", 3000)}
    assert len(known) > 100
    assert not known & asked


def test_a_fact_is_one_of_its_person():
    for row in lab.rows("facts", "test", 200):
        assert row["answer"] in facts_of(row["person"]).values()
        assert row["person"] in row["question"]
    # two people share names at most by halves, so that a fact names its person
    assert len({row["person"] for row in lab.rows("facts", "test", 600)}) == 100


def test_the_answers_of_arc_are_balanced():
    for count in (4, 100, 400):
        letters = Counter(row["answer"] for row in lab.rows("arc", "test", count))
        assert set(letters.values()) == {count // 4}


def options_of(row):
    return dict(re.findall(r"([A-D])\. (\w+)", row["question"]))


def test_exactly_the_right_option_of_a_quiz_has_what_is_asked_for():
    asked = Counter()
    for row in lab.rows("arc", "test", COUNT):
        topic = row["title"].removeprefix("World ")
        found = re.match(r"Which (?:of these|one) is (not )?(?:a |a kind of )?(\w+)\? A\.", row["question"])
        if not found or topic not in ("kind", "colour"):
            continue
        negated, value = found.groups()
        fits = [
            letter for letter, name in options_of(row).items() if (THINGS[name].facts[topic] == value) != bool(negated)
        ]
        assert fits == [row["answer"]]
        asked[bool(negated)] += 1
    assert min(asked[True], asked[False]) > 10


@pytest.mark.parametrize("with_words", [True, False])
def test_the_letter_told_is_the_one_before_the_word(with_words):
    alphabet = set()
    for seed in range(200):
        first, *others = letters_round(random.Random(seed), with_words=with_words)
        letters = {word: letter for letter, word in re.findall(r"([A-Z])\. (\w+)", first.row["question"])}
        assert len(letters) == 1 + len(others)
        for sample in (first, *others):
            word = re.match(r"Which has (\w+)\?", sample.row["question"])[1]
            assert sample.words == (f"{word}: {letters[word]}" if with_words else letters[word])
        alphabet |= set(letters.values())
    assert len(alphabet) == 26


def test_a_register_says_of_each_what_is_noted_beside_the_name():
    for seed in range(200):
        samples = register_round(random.Random(seed))
        notes = [frozenset(entry.split(": ")) for entry in samples[0].row["context"].removesuffix(".").split(". ")]
        people = [re.fullmatch(r"And (\w+)\?", sample.row["question"])[1] for sample in samples]
        told = [frozenset({person, sample.words}) for person, sample in zip(people, samples, strict=True)]
        assert Counter(told) == Counter(notes)


def test_the_food_of_an_animal_has_what_the_answer_says():
    rows = [row for row in lab.rows("arc", "test", 1000) if "the food of the" in row["question"]]
    assert len(rows) > 20
    for row in rows:
        food = THINGS[re.search(r"the food of the (\w+)", row["question"])[1]].facts["food"]
        topic = row["title"].removeprefix("World ")
        if topic != "food":
            assert options_of(row)[row["answer"]] == THINGS[food].facts[topic]


def told(sentence, total):
    """What is there after a sentence of a story, worked out from its words alone."""
    number = int((re.findall(r"\d+", sentence) or ["0"])[0])
    if re.search(r"doubles|as many again|twice as many", sentence):
        return total * 2
    if re.search(r"triples|three times as many", sentence):
        return total * 3
    if re.search(r"[Hh]alf", sentence):
        return total / 2
    if re.search(r" of them to | loses | takes | sells ", sentence):
        return total - number
    return total + number


def test_the_number_of_a_story_is_what_its_sentences_add_up_to():
    steps = Counter()
    for row in lab.rows("openmath", "test", COUNT):
        first, *events, _ = re.findall(r"[^.?]+[.?]", row["question"])
        numbers = [int(number) for number in re.findall(r"\d+", first)]
        total = numbers[0] * (numbers[1] if len(numbers) > 1 else 1)
        for event in events:
            total = told(event, total)
        assert row["answer"] == total
        steps[len(events)] += 1
    assert set(steps) == {1, 2, 3}


def test_a_third_to_a_half_of_the_questions_on_passages_have_no_answer():
    for split in lab.SPLITS:
        rows = lab.rows("squad", split, COUNT)
        assert 1 / 3 < sum(not row["answer"] for row in rows) / COUNT < 1 / 2


def test_an_answer_stands_in_its_passage_and_the_question_doesnt_have_it():
    for row in lab.rows("squad", "test", COUNT):
        assert row["answer"] in row["context"]
        if row["answer"]:
            assert not re.search(rf"\b{row['answer']}\b", row["question"])


def test_what_somebody_likes_is_answered_from_what_is_said_of_them():
    answered = unanswered = 0
    for row in lab.rows("squad", "test", 1000):
        found = re.fullmatch(r"What does (\w+) (?:like to eat|cook)\?", row["question"])
        if found:
            dishes = "|".join(DISHES)
            said = re.findall(rf"(?:{found[1]} likes|For dinner {found[1]} cooks) ({dishes})\.", row["context"])
            assert row["answer"] == (said[0] if said else "")
            answered += bool(said)
            unanswered += not said
    assert min(answered, unanswered) > 10


def test_words_of_one_kind_are_distinct():
    assert len(set(FIRST_NAMES)) == len(FIRST_NAMES)
    assert len(set(JOBS)) == len(JOBS)
    assert not {name.lower() for name in FIRST_NAMES} & set(THINGS)


@pytest.mark.parametrize(("task", "split"), [("poetry", "test"), ("arc", "exam")])
def test_a_task_or_split_that_isnt_there_is_a_key_error(task, split):
    with pytest.raises(KeyError):
        lab.rows(task, split, 1)


def test_more_facts_than_there_are_people_are_refused():
    with pytest.raises(ValueError, match="the world has"):
        lab.rows("facts", "test", 10**6)
