"""Sweeps in records: told once per way, whoever wrote the record and whatever else is in it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_grid import json_values

from pytest_ftbench.analysis import rate_sweeps, swept_rates
from pytest_ftbench.grid import Cell, CellRecord, Results
from pytest_ftbench.report import render

TOLD = {
    "rates": [1e-4, 1e-3, 1e-2],
    "scores": [10.5, 81.25, None],
    "losses": [2.0, 0.5, None],
    "chosen": 1e-3,
    "at_edge": False,
    "metric": "f1",
    "trials": 3,
    "extended": 1,
    "seconds": 30.5,
    "train_tokens": 3000,
    "seed": 1000,
    "validation": "held out",
    "validation_rows": 100,
    "validation_rows_tested": 0,
}


def record(sweep=None, method="lora", rank=8, train="squad", task="squad", seed=0, model="nano", quantization=None):
    cell = Cell(model, method, task, train, rank if method == "lora" else None, quantization, seed, seeded=True)
    return CellRecord.of(cell, scores={"f1": 50.0}, format_rate=1.0, extra={"provenance": {"sweep": sweep}})


def test_it_is_told_once_for_all_cells_of_a_way():
    records = [
        record(TOLD, method=method, seed=seed, task=task, train=train, quantization=quantization)
        for train in ("squad", "arc")
        for method in ("nopeft", "lora")
        for seed in (0, 1)
        for quantization in (None, "nf4")
        for task in ("squad", "arc")
    ]
    ways = [(sweep.key.train_task, sweep.key.method) for sweep in rate_sweeps(records)]
    assert ways == [("squad", "nopeft"), ("squad", "lora"), ("arc", "nopeft"), ("arc", "lora")]


def test_what_it_tells_is_what_was_recorded():
    (sweep,) = rate_sweeps([record(None, seed=1), record(TOLD)])
    assert list(sweep.trials) == TOLD["rates"]
    assert [trial.score for trial in sweep.trials.values()] == TOLD["scores"]
    assert [trial.failed for trial in sweep.trials.values()] == [False, False, True]
    assert (sweep.chosen, sweep.at_edge, sweep.extended) == (1e-3, False, 1)
    # of all trials together
    assert (sweep.seconds, sweep.tokens, sweep.rows, sweep.seed) == (30.5, 3000, 100, 1000)
    assert (sweep.judged_by, sweep.tested) == ("held out", 0)
    assert sweep.metric.label == "F1"
    (other,) = rate_sweeps([record(TOLD | {"metric": "bleu"})])
    assert other.metric.key == "bleu"


@pytest.mark.parametrize(
    "told", [None, 3, [], {}, {"rates": []}, {"rates": 3}, {"rates": [0, -1, None, "x", math.inf]}]
)
def test_what_is_no_sweep_is_none(told):
    assert rate_sweeps([record(told)]) == []
    assert rate_sweeps([CellRecord.of(Cell("nano", "base", "squad"), extra={"provenance": {"sweep": TOLD}})]) == []


def test_rates_of_all_sweeps_come_ascending_and_once():
    sweeps = rate_sweeps([record(TOLD), record(TOLD | {"rates": [3e-2, 1e-3]}, method="nopeft")])
    assert swept_rates(sweeps) == [1e-4, 1e-3, 1e-2, 3e-2]


absurd = st.dictionaries(st.sampled_from(sorted(TOLD)), json_values | st.floats() | st.lists(st.floats(), max_size=5))


@given(absurd, st.sampled_from([60, 80, 100]))
def test_whatever_a_record_says_the_report_stands_and_fits(changes, width):
    results = Results("small", [record(TOLD | changes), record(TOLD, method="nopeft")])
    lines = render(results, width)
    assert any("Learning rates tried" in line for line in lines)
    assert width < 80 or all(len(line) <= width for line in lines)
