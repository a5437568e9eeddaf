"""Overlap of training and test rows: what counts as the same, against a comparison of every pair with every other."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ftbench import lab
from pytest_ftbench.tasks import get_task
from pytest_ftbench.tasks.overlap import THRESHOLD, likeness, overlap, same_words, shingles, words

ARC, OPENMATH, SQUAD = map(get_task, ("arc", "openmath", "squad"))

LONG = "A farmer has twelve red hens and seven brown ones and he sells three of them each day until none is left"
PASSAGE = "The canal was dug in 1820 by the brothers Amsel, who owned the mill and most of the land to the east of it."

# few words, so that rows are alike often
vocabulary = st.sampled_from([*"34+-?!'.²猫犬", "cat", "Cat", "dog", "3.5", "hen"])
phrases = st.lists(vocabulary, max_size=12).map(" ".join)
math_rows = st.lists(st.fixed_dictionaries({"question": phrases, "answer": st.sampled_from([1.0, 2.0])}), max_size=8)
span_rows = st.lists(
    st.fixed_dictionaries({"context": phrases, "question": phrases, "answer": st.sampled_from(["cat", "dog"])}),
    max_size=6,
)


KINDS = ["exact", "near", "other_target", "passages"]


def brute(task, train, test):
    """What overlap is to find, by its definition and pair by pair: the kind of each test row that is found."""
    kinds = {}
    for item, row in enumerate(test):
        mine = [words(part) for part in task.parts(row)]
        for other in train:
            theirs = [words(part) for part in task.parts(other)]
            like = [likeness(shingles(a), shingles(b)) for a, b in zip(mine, theirs, strict=True)]
            same = task.gold(row) == task.gold(other)
            seen = {"exact": mine == theirs and same, "near": min(like) >= THRESHOLD and same}
            seen |= {"other_target": mine == theirs, "passages": len(like) > 1 and like[0] >= THRESHOLD}
            kinds.setdefault(item, set()).update(kind for kind in KINDS if seen[kind])
    return {item: min(some, key=KINDS.index) for item, some in kinds.items() if some}


def kinds_of(found):
    return {item: kind for kind in KINDS for item in getattr(found, kind)}


@given(math_rows, math_rows)
def test_what_is_found_is_what_comparing_every_pair_finds(train, test):
    assert kinds_of(overlap(OPENMATH, train, test)) == brute(OPENMATH, train, test)


@given(span_rows, span_rows)
def test_of_rows_with_a_passage_too(train, test):
    assert kinds_of(overlap(SQUAD, train, test)) == brute(SQUAD, train, test)


@given(math_rows)
def test_every_row_is_found_in_itself_and_points_to_a_row_of_its_words(rows):
    found = overlap(OPENMATH, rows, rows)
    assert sorted(found.exact) == list(range(len(rows)))
    assert found.near == {}
    for item, place in found.exact.items():
        assert words(rows[item]["question"]) == words(rows[place]["question"])


@given(phrases, phrases)
def test_likeness_is_symmetric_and_one_for_the_same(one, other):
    a, b = shingles(words(one)), shingles(words(other))
    assert likeness(a, b) == likeness(b, a)
    assert 0 <= likeness(a, b) <= likeness(a, a) == 1


def row(question, answer=5.0):
    return {"question": question, "answer": answer}


@pytest.mark.parametrize(
    ("question", "answer", "kind"),
    [
        (LONG, 5.0, "exact"),
        (LONG.upper() + " ?", 5.0, "exact"),
        (LONG, 7.0, "other_target"),
        (LONG.replace("farmer", "woman"), 5.0, "near"),
        (LONG.replace("farmer", "woman"), 7.0, None),
        (LONG.replace("twelve", "nine").replace("hens", "geese").replace("sells", "eats"), 5.0, None),
        ("How many hens?", 5.0, None),
    ],
)
def test_a_question_is_the_same_in_other_dress_and_another_with_another_answer(question, answer, kind):
    assert kinds_of(overlap(OPENMATH, [row(LONG)], [row(question, answer)])) == ({0: kind} if kind else {})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *[("3 + 1", "3 - 1"), ("1.5 x", "15 x"), ("2^3", "2 3"), ("f(x)", "f'(x)"), ("f'(x)", "f''(x)"), ("5!", "5")],
        *[("3²", "32"), (".5", "5"), ("(2n)!", "(2n)"), ("n!", "n"), ("5!!", "5!")],
    ],
)
def test_symbols_and_points_tell_problems_apart(one, other):
    assert kinds_of(overlap(OPENMATH, [row(one)], [row(other)])) == {}


@pytest.mark.parametrize(
    ("one", "other"),
    [("f'(x)", "f’(x)"), ("f''(x)", "f″(x)"), ("3²", "3^2"), ("It’s", "It's"), ("5 .", "5"), ("日 本", "日本")],
)
def test_other_dress_of_the_same_words(one, other):
    assert words(one) == words(other)


def test_scripts_without_spaces_are_compared_by_characters():
    text = "農夫は赤い鶏を十二羽と茶色の鶏を七羽飼っていて毎日三羽を売る何日後にいなくなるか"
    assert kinds_of(overlap(OPENMATH, [row(text)], [row(text.replace("農", "漁"))])) == {0: "near"}


def arc(question, answer):
    return {"question": question, "answer": answer}


@pytest.mark.parametrize(
    ("question", "answer", "kind"),
    [
        ("Which is a mixture? A. iron B. gold C. helium D. salad", "D", "exact"),
        ("Which is a mixture? 1. gold 2. salad 3. iron 4. helium", "2", "exact"),
        ("Which is a mixture? (A) gold (B) salad (C) iron (D) helium", "B", "exact"),
        ("Which is a mixture? A. iron B. gold C. helium D. salad", "B", "other_target"),
        ("Which is an element? A. gold B. soup C. mud D. air", "B", None),
    ],
)
def test_options_are_the_same_in_any_order_and_numbering(question, answer, kind):
    train = [arc("Which is a mixture? A. gold B. salad C. iron D. helium", "B")]
    assert kinds_of(overlap(ARC, train, [arc(question, answer)])) == ({0: kind} if kind else {})


def test_a_span_is_the_same_with_an_article_and_without():
    asked = {"context": PASSAGE, "question": "Who dug the canal?", "answer": "the brothers Amsel"}
    assert kinds_of(overlap(SQUAD, [asked], [{**asked, "answer": "brothers Amsel"}])) == {0: "exact"}
    assert kinds_of(overlap(SQUAD, [asked], [{**asked, "answer": "Amsel"}])) == {0: "other_target"}


def test_rows_of_one_make_take_no_longer_than_others():
    def some(count, first):
        make = "A train with {} wagons leaves at {} and carries {} tons of coal over {} miles to the town of its owner"
        return [row(make.format(n, n + 7919, n + 104729, n + 1299709)) for n in range(first, first + count)]

    begun = time.perf_counter()
    assert kinds_of(overlap(OPENMATH, some(10_000, 0), some(500, 20_000))) == {}
    assert time.perf_counter() - begun < 10  # 0.5 s on an idle core; every pair with every other takes a minute


def test_two_questions_about_one_passage_share_it_and_are_no_duplicates():
    asked = {"context": PASSAGE, "question": "Who dug the canal?", "answer": "the brothers Amsel"}
    train = [{**asked, "question": "When was it dug?", "answer": "1820"}, {**asked, "context": "Other."}]
    found = overlap(SQUAD, train, [asked])
    assert (found.exact, found.near, found.passages) == ({}, {}, {0: 0})
    assert overlap(SQUAD, [*train, asked], [asked]).exact == {0: 2}


def test_a_task_that_recalls_is_tested_on_its_training_rows_on_purpose():
    facts = lab.rows("facts", "train", 5)
    assert kinds_of(overlap(get_task("facts"), facts, facts)) == {}


def test_another_tasks_question_is_found_by_its_very_words():
    train, test = [{"question": "What is it? A. x", "answer": "A"}], [row("what is it a x"), row("What is it?")]
    assert same_words(ARC, train, OPENMATH, test).exact == {0: 0}


@pytest.mark.parametrize("name", ["arc", "openmath", "squad"])
def test_the_embedded_world_has_no_test_row_in_training(name):
    found = overlap(get_task(name), lab.rows(name, "train", 1500), lab.rows(name, "test", 200))
    assert kinds_of(found) == {}


def test_ten_thousand_rows_take_seconds():
    train, test = lab.rows("squad", "train", 10_000), lab.rows("squad", "test", 200)
    begun = time.perf_counter()
    overlap(SQUAD, train, test)
    assert time.perf_counter() - begun < 10  # 1-2 s on an idle core
