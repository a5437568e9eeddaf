"""The embedded world: rows as sound as real ones, the same for a seed, in splits that don't overlap."""

import random
import re
from collections import Counter
from itertools import combinations, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ftbench import lab
from pytest_ftbench.lab.biographies import facts_of
from pytest_ftbench.lab.nature import THINGS, VALUES
from pytest_ftbench.lab.quiz import LETTERS, open_question, quiz, quiz_round
from pytest_ftbench.lab.stories import story
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
