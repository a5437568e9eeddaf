"""The rows that choose learning rates: never tested on, never trained on, and the same for all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_ml_rows import SPLIT, fact_rows, squad_rows, write

from pytest_ftbench import lab
from pytest_ftbench.grid import DataSpec, UserError
from pytest_ftbench.ml.rows import RowSource, in_validation_share
from pytest_ftbench.tasks import TASK_NAMES, get_task


def source(folder, count=1000, train_samples=None, test_samples=None):
    return RowSource(DataSpec(str(folder), train_samples, test_samples), count)


@pytest.mark.parametrize("name", TASK_NAMES)
def test_the_world_has_a_split_for_it(name):
    task, rows = get_task(name), RowSource(DataSpec("embedded", 24, 20), 30)
    validation = rows.validation(task)
    assert rows.train(task) == RowSource(DataSpec("embedded", 24, 20)).train(task)
    others = [*rows.train(task), *rows.test(task)]
    assert not {task.question(row) for row in validation} & {task.question(row) for row in others}
    if task.recalls:
        # the facts that were taught, asked for in words of neither training nor test
        assert [row["answer"] for row in validation] == [row["answer"] for row in rows.train(task)]
    else:
        assert validation == lab.rows(name, "validation", 30)


@pytest.mark.parametrize("name", TASK_NAMES)
@pytest.mark.parametrize("tested", [True, False])
def test_a_file_of_them_is_taken_and_nothing_is_kept_from_training(tmp_path, name, tested):
    task = get_task(name)
    splits = ("train", "test", "validation") if tested else ("train", "validation")
    for split in splits:
        write(tmp_path, split, task, lab.rows(name, split, 40))
    rows = source(tmp_path)
    assert rows.train(task) == RowSource(DataSpec(str(tmp_path), None, None)).train(task)
    assert rows.validation(task) == lab.rows(name, "validation", 40)
    assert len(source(tmp_path, 7).validation(task)) == 7


@pytest.mark.parametrize("name", SPLIT)
@pytest.mark.parametrize("tested", [True, False])
def test_without_one_a_tenth_of_the_groups_is_kept_from_training(tmp_path, name, tested):
    task, every = get_task(name), lab.rows(name, "train", 400)
    write(tmp_path, "train", task, every)
    if tested:
        write(tmp_path, "test", task, lab.rows(name, "test", 30))
    rows = source(tmp_path)
    train, validation, test = rows.train(task), rows.validation(task), rows.test(task)
    groups = [{task.group(row) for row in some} for some in (train, validation, test)]
    assert groups[0].isdisjoint(groups[1])
    assert groups[2].isdisjoint(groups[0] | groups[1])
    assert 0.05 < len(groups[1]) / (len(groups[0]) + len(groups[1])) < 0.16
    assert [row for row in every if row in train or row in validation or (not tested and row in test)] == every
    # where rates are not chosen, all of them are trained on
    plain = RowSource(DataSpec(str(tmp_path), None, None))
    assert [row for row in plain.train(task) if not in_validation_share(task, row)] == train
    assert plain.test(task) == test


@given(st.integers(20, 60), st.integers(1, 4))
def test_no_passage_straddles_training_and_validation(passages, each):
    task = get_task("squad")
    for row in squad_rows(passages, each):
        same = [other for other in squad_rows(passages, each) if other["context"] == row["context"]]
        assert len({in_validation_share(task, other) for other in same}) == 1


def test_how_many_are_trained_on_stays_where_the_file_has_more(tmp_path):
    task = get_task("arc")
    write(tmp_path, "train", task, lab.rows("arc", "train", 300))
    assert len(source(tmp_path, 10, train_samples=100).train(task)) == 100
    assert len(source(tmp_path, 10, train_samples=100).validation(task)) == 10


def shouted(rows):
    """The same rows in other letters, with other marks between the words."""
    return [row | {"question": f"  {row['question'].upper()} !"} for row in rows]


@pytest.mark.parametrize("written", [list, shouted])
def test_rows_of_a_validation_file_that_are_tested_or_trained_on_are_left_out(tmp_path, written):
    task, every = get_task("arc"), lab.rows("arc", "train", 60)
    write(tmp_path, "train", task, every[:20])
    write(tmp_path, "test", task, every[20:30])
    write(tmp_path, "validation", task, written(every[10:]))
    assert source(tmp_path).validation(task) == written(every[30:])
    # also by whoever trains on fewer, or tests on one
    assert source(tmp_path, 1000, 1, 1).validation(task) == written(every[30:])


def test_a_passage_that_is_trained_on_judges_nothing(tmp_path):
    task, every = get_task("squad"), squad_rows(40, 2)
    write(tmp_path, "train", task, every[:30])
    write(tmp_path, "test", task, [row for row in every if row["context"] == "On 39."])
    write(tmp_path, "validation", task, every)
    judged = source(tmp_path, 18).validation(task)
    assert {row["context"] for row in judged} == {f"On {number}." for number in range(30, 39)}


def test_without_a_test_file_what_is_tested_does_not_judge_either(tmp_path):
    task, every = get_task("arc"), lab.rows("arc", "train", 300)
    write(tmp_path, "train", task, every[:100])
    write(tmp_path, "validation", task, shouted(every))
    assert source(tmp_path).validation(task) == shouted(every[100:])


@pytest.mark.parametrize("name", SPLIT)
def test_how_many_are_tested_decides_nothing(tmp_path, name):
    task, every = get_task(name), lab.rows(name, "train", 400)
    write(tmp_path, "train", task, every)
    write(tmp_path, "test", task, every[:100])
    chosen = source(tmp_path, 20).validation(task)
    assert chosen
    assert source(tmp_path, 20, test_samples=1).validation(task) == chosen
    assert source(tmp_path, 20, train_samples=30).validation(task) == chosen


def test_of_what_is_recalled_hardly_any_choose_nothing_either(tmp_path):
    task = get_task("facts")
    write(tmp_path, "train", task, fact_rows(40))
    write(tmp_path, "validation", task, fact_rows(5, "At which school was {}?"))
    with pytest.raises(UserError, match=r"validation-facts\.jsonl: has too few rows .* \(5 that"):
        source(tmp_path).check_validation([task])
    # where there is no more to recall, that is enough
    write(tmp_path, "train", task, fact_rows(5))
    assert len(source(tmp_path).validation(task)) == 5


@pytest.mark.parametrize("count", [0, 1, 19])
def test_hardly_any_rows_choose_nothing(tmp_path, count):
    task, every = get_task("arc"), lab.rows("arc", "train", 60)
    write(tmp_path, "train", task, every[:20])
    write(tmp_path, "test", task, every[20:30])
    path = write(tmp_path, "validation", task, every[: 30 + count][::-1])
    with pytest.raises(UserError) as raised:
        source(tmp_path).check_validation([task])
    assert str(raised.value) == (
        f"{path}: has too few rows to choose learning rates by ({count} that are neither trained on nor tested on); "
        "have 20 or more, of no other file, in validation-ai2_arc.parquet."
    )
    if count:
        assert len(source(tmp_path, count).validation(task)) == count


def test_a_validation_file_that_is_the_training_file_is_noticed(tmp_path):
    task = get_task("arc")
    for split in ("train", "validation"):
        write(tmp_path, split, task, lab.rows("arc", "train", 200))
    with pytest.raises(UserError, match=r"validation-ai2_arc\.jsonl: has too few rows .* \(0 that are neither"):
        source(tmp_path).check_validation([task])


def test_what_is_not_there_is_said_elsewhere(tmp_path):
    source(tmp_path / "nowhere").check_validation([get_task("arc")])
    source(tmp_path).check_validation([get_task("arc")])
    RowSource(DataSpec("hub"), 100).check_validation([get_task("arc")])


def test_a_record_tells_which_rows_judged(tmp_path):
    arc, facts = get_task("arc"), get_task("facts")
    write(tmp_path, "train", arc, lab.rows("arc", "train", 400))
    rows = source(tmp_path)
    count = len(rows.validation(arc))
    assert rows.judges(arc) == {"validation": "held out", "validation_rows": count, "validation_rows_tested": 0}
    write(tmp_path, "validation", arc, lab.rows("arc", "validation", 30))
    told = {"validation": "validation split", "validation_rows": 30, "validation_rows_tested": 0}
    assert source(tmp_path).judges(arc) == told
    # of facts in a single wording, the items that are tested
    write(tmp_path, "train", facts, fact_rows(40))
    told = {"validation": "tested items", "validation_rows": 40, "validation_rows_tested": 40}
    assert source(tmp_path).judges(facts) == told
    write(tmp_path, "validation", facts, fact_rows(40))
    assert source(tmp_path).judges(facts) == told
    write(tmp_path, "test", facts, fact_rows(40, "What did {} study?"))
    assert source(tmp_path).judges(facts) == told | {"validation": "training rows", "validation_rows_tested": 0}
    write(tmp_path, "validation", facts, fact_rows(40, "At which school was {}?"))
    assert source(tmp_path).judges(facts) == told | {"validation": "validation split", "validation_rows_tested": 0}


def test_what_is_recalled_is_judged_by_what_was_taught(tmp_path):
    task, every = get_task("facts"), fact_rows(60)
    write(tmp_path, "train", task, every)
    rows = source(tmp_path, 10, train_samples=20)
    assert len(rows.train(task)) == 20
    taught = [row["answer"] for row in rows.train(task)]
    assert len(rows.validation(task)) == 10
    assert {row["answer"] for row in rows.validation(task)} < set(taught)
    # by another wording, where there is a file of it
    write(tmp_path, "validation", task, fact_rows(60, "At which school was {}?"))
    asked = source(tmp_path, 100, train_samples=20).validation(task)
    assert [row["answer"] for row in asked] == taught
    assert not {row["question"] for row in asked} & {row["question"] for row in every}


def test_where_none_are_left_to_hold_out_the_file_to_add_is_named(tmp_path):
    task = get_task("arc")
    few = [row for row in lab.rows("arc", "train", 30) if not in_validation_share(task, row)]
    write(tmp_path, "train", task, few)
    write(tmp_path, "test", task, lab.rows("arc", "test", 3))
    with pytest.raises(UserError, match=r"train-ai2_arc.jsonl: has too few rows .* in validation-ai2_arc.parquet"):
        source(tmp_path).validation(task)


def test_more_than_the_world_has_is_said_with_its_key():
    with pytest.raises(UserError, match=r"sweep.validation_samples: asks for too many"):
        RowSource(DataSpec("embedded", 24, 20), 10**5).validation(get_task("facts"))


def test_a_hub_split_that_is_tested_on_judges_nothing(monkeypatch):
    asked = []

    def hub_rows(task, split, source):
        asked.append(split)
        theirs = task.hub.splits.get(split)
        return None if theirs is None else lab.rows(task.name, theirs if theirs != "train_1M" else "train", 400)

    monkeypatch.setattr("pytest_ftbench.ml.hub.hub_rows", hub_rows)
    rows = RowSource(DataSpec("hub"), 100)
    for name in SPLIT:
        task = get_task(name)
        tested = {task.group(row) for row in rows.test(task)}
        judged = {task.group(row) for row in rows.validation(task)}
        assert judged.isdisjoint(tested | {task.group(row) for row in rows.train(task)})
    # arc's own split judges; squad's serves as the test rows
    arc, squad = get_task("arc"), get_task("squad")
    assert all(row["id"].startswith("world-validation") for row in rows.validation(arc))
    assert all(row["id"].startswith("world-train") for row in rows.validation(squad))
