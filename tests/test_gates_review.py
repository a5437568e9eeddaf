"""What gates may never do in silence, and what they say that has to be true."""

import json
import math
from pathlib import Path

import numpy as np
import numpy.fft  # pytester forgets what a run within the process imports, and these can't be imported twice
import pytest
from plugin_project import SUITE, Project
from scipy import stats
from strategies_gates import SCORE, THEN, answered, only, outcome_of, score, seeds

from pytest_ftbench import GateWarning
from pytest_ftbench.analysis import Outcome, judge, judge_again, message
from pytest_ftbench.analysis.gate_words import gone_text
from pytest_ftbench.analysis.gates import gone
from pytest_ftbench.gate_settings import naming_the_file
from pytest_ftbench.grid import Cell, Gate, GateRule, Results, baseline_of
from pytest_ftbench.grid.baseline import Acceptance
from pytest_ftbench.report import render, render_acceptance, render_html, render_markdown

SMALL = "nano-lora-r8-squad-to-squad"
WARNING = f"{GateWarning.__module__}.GateWarning"
LARGE = "nano-lora-r64-squad-to-squad"


# cells that only the baseline has


def test_ways_of_the_baseline_that_the_suite_has_not_are_named_unless_no_rule_compares_them():
    then = [*seeds(THEN), *seeds(THEN, rank=64), *seeds(THEN, rank=16, status="failed")]
    assert gone(then, {SMALL}, Gate()) == [LARGE]
    assert gone(then, {SMALL, LARGE}, Gate()) == []
    assert gone(None, set(), Gate()) == []
    assert gone(then, {SMALL}, Gate(rules=(GateRule("score", cells=("*-r8-*",)),))) == []
    assert gone(then, {SMALL}, Gate(rules=(GateRule("score", limit=50, compares=False),))) == []


def test_what_only_the_baseline_has_is_said_in_a_sentence():
    assert gone_text([]) == ""
    assert gone_text(["a"]) == "A cell of the baseline is not in this suite, and nothing judges it: a."
    assert gone_text(list("abcde")).endswith("nothing judges them: a, b, c and 2 more.")


def test_every_report_says_what_only_the_baseline_has():
    results = Results("s", [], extra={"gates": [each.as_dict() for each in judge(seeds(THEN), seeds(THEN), SCORE)]})
    results.extra["gates_gone"] = [LARGE]
    for page in ("\n".join(render(results, 200)), render_markdown(results), render_html(results)):
        assert f"nothing judges it: {LARGE}." in page.replace("&#45;", "-")
    # whatever else a file holds there is nothing
    for bad in (None, 3, "text", [3, None, {}]):
        results.extra["gates_gone"] = bad
        assert "nothing judges" not in render_markdown(results)


def test_a_baseline_has_no_verdicts_of_the_run_that_it_was():
    results = Results("s", seeds(THEN), extra={"gates": [], "gates_gone": [LARGE], "other": 1})
    accepted = Acceptance("why", "now", "results.json", "0")
    assert baseline_of(results, accepted).extra == {"other": 1}


@pytest.fixture
def stored(pytester, monkeypatch):
    """Runs of pytest on stored results: this run's of one way, a baseline of two."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeini("[pytest]\n")
    for name, cells in (("now", seeds(THEN)), ("then", [*seeds(THEN), *seeds(THEN, rank=64)])):
        (pytester.path / f"{name}.json").write_text(json.dumps(Results("s", cells).to_json()))

    def run(*arguments):
        # warnings are errors in these tests, and a run within the process begins with that
        options = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-W", f"default::{WARNING}")
        return pytester.runpytest_inprocess(*options, *arguments)

    return run


def test_a_cell_that_only_the_baseline_has_is_a_warning_and_stays_in_the_results(stored, pytester):
    given = ("--ftbench-from", "now.json", "--ftbench-baseline", "then.json")
    outcome = stored(*given, "--ftbench-json", "judged.json")
    outcome.assert_outcomes(passed=1, warnings=1)
    outcome.stdout.fnmatch_lines([f"*GateWarning: {gone_text([LARGE])}*"])
    assert json.loads((pytester.path / "judged.json").read_text())["gates_gone"] == [LARGE]
    again = stored("--ftbench-from", "judged.json")
    again.assert_outcomes(passed=1, warnings=1)
    # who makes warnings errors reads it as one
    stored(*given, "-W", f"error::{WARNING}").assert_outcomes(failed=1)


def test_trainings_of_one_name_and_other_settings_are_judged_apart_and_none_is_lost(stored, pytester):
    apart = seeds(THEN)
    for rate, record in zip((1e-3, 1e-3, 1e-4), apart, strict=True):
        record.train["learning_rate"] = rate
    (pytester.path / "apart.json").write_text(json.dumps(Results("s", apart).to_json()))
    outcome = stored("--ftbench-from", "apart.json", "--ftbench-baseline", "now.json")
    outcome.assert_outcomes(failed=1)
    outcome.stdout.fnmatch_lines([f"{SMALL}+2: score*no baseline*"])
    assert gone(apart, {SMALL}, Gate()) == []
    assert gone(apart, set(), Gate()) == [SMALL]


@pytest.mark.torch
@pytest.mark.parametrize(
    ("options", "is_said"),
    [(("-k", "test_small"), True), (("test_cells.py::test_small",), True), (("--collect-only",), False)],
    ids=str,
)
def test_a_run_that_chooses_no_gate_of_its_suite_says_so(pytester, plugin_cache, options, is_said):
    gate = "[gate.score]\nfloor = 0\ncompare = false\n"
    test = "def test_small(cell): pass\ndef test_cell(result): pass"
    project = Project(pytester, plugin_cache, suite=SUITE + gate, test=test)
    said = "suite.toml: none of its gates was chosen, and nothing judges this run"
    assert (said in project.run(*options).outlines) is is_said


@pytest.mark.torch
def test_last_failed_judges_all_seeds_of_a_way_not_those_alone_whose_tests_failed(pytester, plugin_cache):
    small = SUITE.replace("lora = { ranks = [2] }\n", "").replace('["arc", "squad"]', '["arc"]')
    gate = '[gate]\nrerun = 0\n[gate.score]\ncells = "tuned"\nfloor = 100\ncompare = false\n'
    project = Project(pytester, plugin_cache, suite="seeds = [0, 1]\n" + small + gate)
    pytester.makepyfile(test_cells="def test_cell(result):\n    assert result.seed != 1")
    given = ("--ftbench-suite", "suite.toml", "--ftbench-cache", project.cache, "--ftbench-json", "results.json")
    for options in ((), ("--lf",)):
        pytester.runpytest_inprocess("-p", "no:hypothesispytest", *given, *options).assert_outcomes(
            failed=2, passed=0 if options else 2
        )
        (found,) = json.loads((pytester.path / "results.json").read_text())["gates"]
        assert found["seeds"] == [0, 2]


@pytest.mark.torch
def test_a_rule_that_is_for_no_cell_of_its_suite_is_named(pytester, plugin_cache):
    gate = '[gate.score]\ncells = ["in-domian", "base"]\n[gate.format_rate]\ncells = "*-to-squad"\n'
    project = Project(pytester, plugin_cache, suite=SUITE + gate)
    said = [line for line in project.run("--collect-only", "-q").outlines if line.startswith("suite.toml: gate")]
    assert said == ["suite.toml: gate.score is for none of its cells by 'in-domian'"]


def test_words_that_are_for_no_cell_are_found():
    gate = Gate(rules=(GateRule("score", cells=("tuned", "*-arc-*")), GateRule("tokens", cells=("in-domain",))))
    cell = Cell("nano", "lora", "squad", "squad", 8)
    assert gate.for_none_of([cell]) == [("score", "*-arc-*")]
    assert gate.for_none_of([Cell("nano", "base", "arc")]) == [
        ("score", "tuned"),
        ("score", "*-arc-*"),
        ("tokens", "in-domain"),
    ]
    assert Gate().for_none_of([cell]) == []


# what nobody knows


@pytest.mark.parametrize("metric", ["score", "format_rate"])
def test_answers_that_neither_run_knows_are_no_pass(metric):
    unknown = seeds((math.nan,) * 3, form=math.nan)
    found = outcome_of(judge(unknown, unknown, Gate()), metric)
    assert (found.outcome, found.action, found.why) == (Outcome.INCONCLUSIVE, "warn", "neither run knows it")


def test_a_baseline_that_is_not_where_the_gate_says_is_named(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    gate = Gate(rules=SCORE.rules, baseline=tmp_path / "baselines" / "typo.json")
    (found,) = naming_the_file(judge(seeds(THEN), None, gate), gate)
    assert f"There is no baseline: {Path('baselines', 'typo.json')} is not there." in message(found)
    assert naming_the_file([found], SCORE) == [found]
    floor = judge(seeds(THEN), None, Gate(rules=(GateRule("score", limit=50, compares=False),)))
    assert naming_the_file(floor, gate) == floor


# seeds exactly alike


def test_seeds_exactly_alike_lie_as_far_apart_as_one_answer_tells():
    found = score((50.0,) * 3, then=(200 / 3,) * 3, n=6)
    half = stats.norm.ppf(0.975) * (50 / 6) * math.sqrt(2 / 3)
    assert found.interval == (pytest.approx(-50 / 3 - half), pytest.approx(-50 / 3 + half))
    # of many items one answer is next to nothing
    assert score((84.0,) * 3, then=(90.0,) * 3, n=200).outcome is Outcome.FAIL
    assert score((90.0,) * 3, then=(90.5,) * 3, n=200).outcome is Outcome.PASS


@pytest.mark.parametrize(("now", "then"), [(1, 2), (1, 3), (2, 2)])
def test_one_answer_that_turns_by_chance_seldom_fails_a_small_suite(now, then):
    """One of 20 answers is the toss of a coin in each training: the largest step that matters, 5 points."""
    before = [seeds([90.0 + 5 * (way >> bit & 1) for bit in range(then)], n=20) for way in range(2**then)]
    failing = []
    for way in range(2**now):
        after = seeds([90.0 + 5 * (way >> bit & 1) for bit in range(now)], first=10, n=20)
        for baseline in before:
            found = outcome_of(judge(after, baseline, SCORE))
            # the fresh seed is one toss more
            again = [judge_again(found, after, baseline, SCORE, seeds((p,), first=50, n=20)) for p in (90.0, 95.0)]
            failing += [each.outcome is Outcome.FAIL for each in again]
    assert np.mean(failing) <= 0.05


# what would decide it


def test_a_drop_that_is_shown_and_smaller_than_matters_needs_what_tells_the_two_apart():
    then, now = answered(180, 20, full=100.0), answered(172, 28, full=100.0)
    found = outcome_of(judge(*(seeds((p,), train=None, items=[i]) for p, i in ((86.0, now), (90.0, then))), SCORE))
    assert (found.outcome, found.change) == (Outcome.INCONCLUSIVE, pytest.approx(-4))
    assert found.need.endswith("test items would tell it from 5 points")
    items = int(found.need.split()[1].replace(",", ""))
    # a true drop of 4 points of this kind, on so many items: normal, for they are thousands
    rng = np.random.default_rng(5)
    losses = rng.binomial(items, 8 / 200, 2_000) / items
    bound = 100 * (losses + stats.norm.ppf(0.95) * np.sqrt(losses * (1 - losses) / items))
    assert 0.8 <= np.mean(bound <= 5) <= 0.95


def test_what_no_number_of_items_tells_apart_is_said_so():
    then, now = answered(180, 20, full=100.0), answered(170, 30, full=100.0)
    rule = GateRule("score", allowed=5.0, effect=5.0)
    given = [seeds((p,), train=None, items=[i]) for p, i in ((85.0, now), (90.0, then))]
    found = outcome_of(judge(*given, Gate(rules=(rule,))))
    assert found.need == "more than 100,000 test items would be needed to tell it from 5 points"


# words


def test_nothing_is_no_less_than_nothing():
    same = only(seeds(THEN, first=10), seeds(THEN), "tokens")
    assert "+0 % [+0, +0]" in message(same)


def test_a_failure_is_decided_already():
    results = Results("s", [], extra={"gates": [score((50.0,) * 3).as_dict()]})
    assert "To decide it" not in render_markdown(results)
    one_more = [{**score((50.0,) * 3).as_dict(), "cell": f"nano-lora-r{rank}-squad-to-squad"} for rank in (1, 2, 3, 4)]
    assert "and 1 more cell:" in render_markdown(Results("s", [], extra={"gates": one_more}))


# times


def test_times_measured_several_times_anew_all_count():
    now, then = seeds(THEN, ms=15.0, first=10), seeds(THEN)
    gate = Gate(rules=(GateRule.usual("ms_per_token"),), rerun=2)
    (found,) = judge(now, then, gate)
    fast, slow = seeds(THEN, ms=10.0, first=10), seeds(THEN, ms=16.0, first=10)
    for fresh in ([*fast, *slow], [*slow, *fast]):
        again = judge_again(found, now, then, gate, fresh)
        assert again.now == pytest.approx(13)
    assert only(slow, then, "ms_per_token").outcome is Outcome.FAIL


# accepting


def test_cells_are_counted_in_one_way():
    then, now = (Results("s", [*seeds(THEN), *seeds((90.0,), train=None)]) for _ in range(2))
    said = render_acceptance(now, then)
    assert said[0].startswith("2 cells of suite s, 3 seeds")
    assert "2 in both" in said[1]
