"""How often gates are wrong: a short run of the simulation whose table is in the documentation, over the real code."""

import sys
from pathlib import Path

import numpy as np
import pytest
from strategies_gates import answered

from pytest_ftbench.grid import Gate, GateRule

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch):
    """The folder of the simulation, to be imported from."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    for name in ("gate_error_rates", "gate_world", "seed_spread"):
        sys.modules.pop(name, None)


@pytest.fixture
def cells(scripts, tmp_path):
    """36 cells, their seeds twice as far apart as the embedded suite's."""
    import json

    from gate_world import places

    def measured(train, task, rank):
        mean, training, noise = (85.0, 2.0, 20.0) if train == task else (33.0, 1.0, 10.0)
        answers = {"mean": mean, "training_stddev": training, "noise_stddev": noise}
        form = {"mean": 97.0 if train == task else 40.0, "training_stddev": 1.0, "noise_stddev": 10.0}
        way = f"nano-lora-r{rank}-{train}-to-{task}"
        return {"way": way, "train_task": train, "eval_task": task, "answers": answers, "in_form": form}

    tasks = ("arc", "openmath", "squad")
    found = [measured(train, task, rank) for train in tasks for rank in (8, 32) for task in tasks]
    (tmp_path / "spread.json").write_text(json.dumps({"cells": found}))
    return places(tmp_path / "spread.json")


def test_runs_without_a_change_raise_few_alarms_and_drops_of_15_points_are_caught(cells):
    from gate_error_rates import rates

    assert len({cell.way for cell in cells}) == 36
    alarms, caught = rates(cells, items=200, seeds=3, drops=(0, 15), runs=20, gate=Gate(), seed=1)
    # at most one in ten, and at least nine in ten
    assert alarms.hits <= 2
    assert caught.hits >= 18
    # a gate that asks for less is wrong more often: the simulation can tell
    sharp = Gate(rules=(GateRule("score", effect=0.0),), correction="none", alpha=0.3, rerun=0)
    assert rates(cells, items=200, seeds=3, drops=(0,), runs=3, gate=sharp, seed=1)[0].hits == 3


def test_the_table_names_what_is_promised_and_a_promise_that_is_not_kept_is_an_error(cells, tmp_path, capsys):
    from gate_error_rates import Rate, main, rows

    assert (200, 3, 1.0, 40) in rows(10, only=False)
    assert len(rows(10, only=False)) == 14
    words = ["--spread", str(tmp_path / "spread.json"), "--runs", "1", "--only"]
    assert main([*words, "--check"]) == 0
    assert "| 200 | 3 | 1 × | 4 | 0.0 % (0.0–60.2) |" in capsys.readouterr().out
    wild = (tmp_path / "spread.json").read_text().replace('"training_stddev": 2.0', '"training_stddev": 20.0')
    (tmp_path / "spread.json").write_text(wild)
    assert main([*words, "--check"]) == 1
    assert main(words) == 0
    assert main(["--spread", str(tmp_path / "none.json")]) == 2
    # Clopper and Pearson's, by hand: no hit of ten, all of ten
    assert Rate(0, 10).interval == (0, pytest.approx(1 - 0.025 ** (1 / 10)))
    assert Rate(10, 10).interval == (pytest.approx(0.025 ** (1 / 10)), 1)


def test_made_runs_vary_as_they_were_told_to(cells):
    from gate_world import World

    rng = np.random.default_rng(3)
    index = next(number for number, cell in enumerate(cells) if cell.train == cell.task == "squad")
    scores, forms = [], []
    for _ in range(150):
        world = World(cells[index : index + 1], 200, 5.0, rng)
        records = list(world.way(0, range(2)))
        scores.append([record.scores["f1"] for record in records])
        forms.append([100 * record.format_rate for record in records])
        assert all(record.format_rate >= record.scores["f1"] / 100 - 1e-9 for record in records)
        assert all(record.complete for record in records)
    assert np.mean(scores) == pytest.approx(85, abs=1)
    assert np.mean(forms) == pytest.approx(97, abs=1)
    # two seeds of one test set: 2² between trainings and 20² over 200 items
    apart = np.sqrt(np.mean(np.diff(scores, axis=1) ** 2) / 2)
    assert apart == pytest.approx(np.sqrt(4 + 400 / 200), rel=0.15)
    seeds = range(60)
    kept, dropped = (world.run(seeds, drops) for drops in (None, {cells[index].way: 0.15}))
    means = [np.mean([record.scores["f1"] for record in each]) for each in (kept, dropped)]
    assert means[0] - means[1] == pytest.approx(15, abs=1.5)


def test_components_of_answers_made_from_known_ones_are_found(scripts):
    from seed_spread import components

    rng = np.random.default_rng(4)
    found = [
        components(
            50 + rng.normal(0, 20, (1, 200)) + rng.normal(0, 3, (6, 1)) + rng.normal(0, 15, (6, 200)),
        )
        for _ in range(60)
    ]
    training, noise = np.sqrt(np.mean(np.square(found), axis=0))
    assert training == pytest.approx(3, rel=0.15)
    assert noise == pytest.approx(15, rel=0.03)
    # that every seed answers alike is no variance, whatever the items are like
    assert components(np.repeat(rng.normal(50, 20, (1, 200)), 4, axis=0)) == (pytest.approx(0), pytest.approx(0))


def test_the_spread_of_a_results_file_is_written_way_by_way(scripts, tmp_path, capsys):
    import json

    from seed_spread import main
    from strategies_gates import seeds

    from pytest_ftbench.grid import Results

    right = (180, 176, 184)
    items = [answered(count, 200 - count, full=100.0) for count in right]
    cells = seeds([count / 2 for count in right], items=items) + seeds((50.0,), rank=16)
    (tmp_path / "results.json").write_text(json.dumps(Results("mine", cells).to_json()))
    assert main([str(tmp_path / "results.json"), "-o", str(tmp_path / "spread.json")]) == 0
    (found,) = json.loads((tmp_path / "spread.json").read_text())["cells"]
    assert (found["way"], found["seeds"], found["items"]) == ("nano-lora-r8-squad-to-squad", 3, 200)
    assert found["score"] == {"mean": 90, "stddev": 2}
    assert found["answers"]["mean"] == 90
    assert found["in_form"] == {"mean": 100, "training_stddev": 0, "noise_stddev": 0}
    assert "| in-domain | 1 | 90.0 |" in capsys.readouterr().out
    assert main([str(tmp_path / "none.json")]) == 1
    assert "none.json" in capsys.readouterr().err
