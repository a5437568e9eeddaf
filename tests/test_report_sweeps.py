"""The table of learning rates as a reader sees it."""

import pytest
from test_analysis_sweeps import TOLD, record

from pytest_ftbench.grid import Results
from pytest_ftbench.report import render

TITLE = "Learning rates tried, and what each reached on validation rows"
EDGE = TOLD | {"rates": [2e-5, 6.32e-5, 1e-4], "scores": [1.0, 2.0, 3.0], "losses": [1.0] * 3, "chosen": 1e-4}
EDGE |= {"at_edge": True, "extended": 0}


def part(*records, width=100):
    """The lines from the table's title on."""
    lines = render(Results("small", list(records)), width)
    assert all(len(line) <= width for line in lines)
    return lines[lines.index(TITLE) :]


def test_without_a_sweep_there_is_no_table():
    assert TITLE not in render(Results("small", [record()]))


def test_each_way_has_its_rates_the_one_chosen_and_what_it_cost():
    lines = part(record(EDGE, method="nopeft"), record(TOLD))
    assert lines[2].split() == [
        "Model",
        "Method",
        "r",
        "2e-5",
        "6.3e-5",
        "1e-4",
        "1e-3",
        "1e-2",
        "Trials",
        "Seconds",
        "Tokens",
    ]
    assert lines[4] == "Trained on SQuAD v2: validation F1 ↑"
    assert lines[5].split() == ["nano", "NoPeft", "–", "1.00", "2.00", "3.00✓!", "3", "30.5", "3.00K"]
    assert lines[6].split() == ["nano", "LoRA", "8", "10.50", "81.25✓", "×", "2+1", "30.5", "3.00K"]


def test_a_rate_that_was_not_tried_leaves_its_column_empty():
    lines = part(record(EDGE, method="nopeft"), record(TOLD))
    column = lines[2].index("6.3e-5")
    assert lines[6][column : column + 6].strip() == ""


def test_under_it_stands_what_its_marks_mean_and_no_others():
    def said(*records):
        return " ".join(" ".join(part(*records)).split())

    both = said(record(EDGE, method="nopeft"), record(TOLD))
    assert "✓ the rate that was chosen." in both
    assert "! it is the lowest or highest that was tried" in both
    assert "× its training diverged." in both
    assert "In all 6 trials of 2 ways to tune, 61 s, 6.00K training tokens, seed 1000, validation rows 100." in both
    alone = said(record(EDGE))
    assert "×" not in alone
    assert "In all 3 trials of 1 way to tune, 30 s" in alone or "In all 3 trials of 1 way to tune, 31 s" in alone
    assert "seed 1000" not in said(record(EDGE | {"seed": None}))


@pytest.mark.parametrize("width", [80, 100])
def test_rates_that_do_not_fit_side_by_side_go_on_below(width):
    rates = [10 ** (-5 + index / 8) for index in range(24)]
    many = TOLD | {"rates": rates, "scores": [50.0] * 24, "losses": [1.0] * 24, "chosen": rates[3], "trials": 24}
    lines = part(record(many), width=width)
    assert sum(line.startswith("Model") for line in lines) > 1
    assert sum(line.count("50.00") for line in lines) == 24


def test_rates_that_look_alike_are_told_apart():
    close = TOLD | {"rates": [1.23e-3, 1.24e-3, 1.3e-3], "chosen": 1.24e-3}
    assert part(record(close))[2].split()[3:6] == ["1.23e-3", "1.24e-3", "1.3e-3"]


def test_it_says_by_which_rows_rates_were_chosen():
    def said(*records):
        return " ".join(" ".join(part(*records)).split())

    both = said(record(TOLD), record(TOLD | {"validation": "tested items"}, train="facts", task="facts"))
    assert "SQuAD v2: rates were chosen by a tenth of the training rows, left out of all training here" in both
    assert "Facts: rates were chosen by items that are tested, for want of others" in both
    assert "rates were chosen by" not in said(record(TOLD | {"validation": "validation split"}))
    assert "rates were chosen by" not in said(record(TOLD | {"validation": ["held out"]}))


def test_it_says_what_was_the_same_for_all_and_what_was_not():
    said = " ".join(" ".join(part(record(TOLD))).split())
    assert "tried at as many planned rates, around one that is usual for its method (ten times" in said
    assert "a best one at the edge adds some" in said
