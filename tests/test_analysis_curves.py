"""Learning curves of records: grouped, aligned, judged point by point, and never more than was recorded."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ftbench.analysis import Standing, curve_epochs, full_table, learning_curves, training_curves
from pytest_ftbench.grid import Cell, CellRecord

TRIVIAL = {"squad": {"always_abstain": {"f1": 49.0}}}


def point(epoch, score=60.0, key="f1", **measured):
    """A readable point of a curve."""
    given = {"epoch": epoch, "scores": {key: score}, "format_rate": 1.0, "empty_rate": 0.0}
    return given | {"loss": 1 / epoch, "seconds": 10.0 * epoch} | measured


def record(*curve, task="squad", train="squad", method="lora", rank=8, model="nano", **measured):
    """A measured cell with these points."""
    cell = Cell(model, method if train else "base", task, train, rank if train and method == "lora" else None)
    given = {"scores": {"f1": 60.0}, "format_rate": 1.0, "curve": list(curve)}
    return CellRecord.of(cell, **(given | measured))


def base(score=5.0, **measured):
    """The untuned model's cell."""
    return record(train=None, **({"scores": {"f1": score}} | measured))


def curve(*records, trivial=TRIVIAL):
    """The points of the only curve."""
    ((one,),) = [group.curves for group in learning_curves(records, trivial)]
    return one.points


def test_without_a_curve_there_is_none():
    assert learning_curves([record(), base()], TRIVIAL) == []


def test_curves_are_grouped_by_what_was_trained_and_tested_on():
    records = [
        record(point(1), train=train, task=task, method=method)
        for train in ("squad", "arc")
        for method in ("nopeft", "lora")
        for task in ("squad", "arc")
    ]
    groups = learning_curves([*records, record(train="squad", task="openmath")], {})
    assert [(group.train_task, group.task.name) for group in groups] == [
        ("squad", "squad"),
        ("squad", "arc"),
        ("arc", "squad"),
        ("arc", "arc"),
    ]
    for group in groups:
        assert [one.key.method for one in group.curves] == ["nopeft", "lora"]
        assert {one.key.train_task for one in group.curves} == {group.train_task}


def test_ranks_ascend_whatever_order_they_ran_in():
    (group,) = learning_curves([record(point(1), rank=rank) for rank in (64, 8, 256)], {})
    assert [one.key.rank for one in group.curves] == [8, 64, 256]


def test_the_epochs_of_all_curves_are_the_columns():
    groups = learning_curves([record(point(3), point(10)), record(point(1), point(10.5), method="nopeft")], {})
    assert curve_epochs(groups) == [1, 3, 10, 10.5]


def test_points_ascend_whatever_order_they_are_in():
    assert list(curve(record(point(30), point(3), point(10)))) == [3, 10, 30]


def test_the_untuned_model_is_epoch_0_where_it_was_tested():
    points = curve(record(point(3)), base(55.0))
    assert list(points) == [0, 3]
    assert (points[0].score, points[0].loss, points[0].seconds) == (55.0, None, None)
    quantized = CellRecord.of(Cell("nano", "base", "squad", quantization="nf4"), scores={"f1": 5.0})
    assert 0 not in curve(record(point(3)))
    assert 0 not in curve(record(point(3)), base(task="arc"))
    assert 0 not in curve(record(point(3)), base(model="other"))
    assert 0 not in curve(record(point(3)), quantized)


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_an_untuned_model_that_was_not_measured_is_no_point(status):
    assert 0 not in curve(record(point(3)), base(status=status))


@pytest.mark.parametrize(("embedder", "epochs"), [("bag-of-words", [0, 3]), ("Org/A", [3])])
def test_an_untuned_model_scored_by_another_embedder_is_no_point(embedder, epochs):
    def cell(embedder, train, *points):
        said = {"provenance": {"embedder": embedder}}
        return record(*points, task="facts", train=train, scores={"cosine": 0.4}, extra=said)

    trivial = {"facts": {"most_typical_fact": {"cosine": 0.5}}}
    points = curve(cell(embedder, None), cell("bag-of-words", "facts", point(3, 0.4, "cosine")), trivial=trivial)
    assert list(points) == epochs
    # whose the trivial answerer's score is, nobody knows where embedders differ
    assert points[3].standing is (Standing.TRIVIAL if len(epochs) > 1 else Standing.OK)


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_a_cell_that_was_not_measured_has_no_curve(status):
    assert learning_curves([record(point(3), status=status)], TRIVIAL) == []


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ({}, Standing.OK),
        ({"format_rate": 0.499}, Standing.INVALID),
        ({"format_rate": 0.5}, Standing.OK),
        ({"empty_rate": 0.501}, Standing.INVALID),
        ({"format_rate": None, "empty_rate": None}, Standing.OK),
        ({"score": 49.0}, Standing.TRIVIAL),
        ({"score": 1.0, "format_rate": 0.1}, Standing.INVALID),
        ({"score": None}, Standing.OK),
    ],
)
def test_a_point_is_judged_as_a_cell_is(measured, expected):
    # by its own numbers: the record's own are those of the end
    points = curve(record(point(3, **measured), point(10), format_rate=1.0), base(1.0, format_rate=0.1))
    assert [points[epoch].standing for epoch in (0, 3, 10)] == [Standing.INVALID, expected, Standing.OK]


@pytest.mark.parametrize("epoch", [None, "3", True, math.nan, math.inf, 0, -1, [3]])
def test_a_point_whose_epoch_is_none_is_left_out(epoch):
    assert list(curve(record(point(3), {**point(3), "epoch": epoch}))) == [3]


@pytest.mark.parametrize("value", [None, "3", True, math.nan, [1]])
def test_what_is_no_number_is_unknown(value):
    points = curve(record({"epoch": 3, "scores": {"f1": value}, "loss": value, "seconds": value}, {"epoch": 4}))
    for epoch in (3, 4):
        assert (points[epoch].score, points[epoch].loss, points[epoch].seconds) == (None, None, None)


def test_a_training_is_told_once_however_many_tasks_it_was_tested_on():
    records = [
        base(),
        record(point(3), point(10)),
        record(point(3), task="arc"),
        record(point(10), task="arc", method="nopeft"),
        record(point(3), train="arc"),
    ]
    groups = learning_curves(records, TRIVIAL)
    # methods in order of first appearance
    lora, nopeft = training_curves(groups, "squad")
    assert {epoch: (p.loss, p.seconds) for epoch, p in lora.points.items()} == {3: (1 / 3, 30.0), 10: (1 / 10, 100.0)}
    assert list(nopeft.points) == [10]
    assert len(training_curves(groups, "arc")) == 1


@given(st.lists(st.tuples(st.floats(1, 50), st.floats(0, 100), st.floats(0, 1)), min_size=1, max_size=5))
def test_a_curve_that_ends_in_its_record_ends_in_the_tables_score(measured):
    points = [point(epoch, score, format_rate=rate) for epoch, score, rate in sorted(measured)]
    end = points[-1]
    one = record(*points, scores=end["scores"], format_rate=end["format_rate"])
    last = curve(one)[end["epoch"]]
    (row,) = full_table([one], TRIVIAL).rows
    assert (last.score, last.standing) == (row.cells["squad"].score, row.cells["squad"].standing)
