"""The baseline that results make: it says what gates need to know, no more, and git can compare it."""

import copy
import difflib
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from strategies_compare import TRIVIAL, record
from strategies_hostile import hostile_results
from strategies_items import MAKERS, measured, suite_records

from pytest_ftbench.analysis import compare
from pytest_ftbench.analysis.gates import judge
from pytest_ftbench.analysis.items import item_table
from pytest_ftbench.grid import (
    GATE_METRICS,
    Acceptance,
    Gate,
    GateRule,
    Results,
    UserError,
    acceptance,
    baseline_of,
    baseline_text,
)
from pytest_ftbench.report import render_acceptance

FIRST = Acceptance("it is what we have", "2026-11-20T10:00:00+00:00", "results.json", "ab" * 32)
RUN = {
    "git_sha": "0123456789abcdef",
    "dirty": True,
    "packages": {"torch": "2.13.0"},
    "device_name": "Chip A",
    "checks": {"off": []},
    "hygiene": ["a row"],
    "gate": {"rules": []},
}


def results(records=None, **rest):
    return Results("mine", suite_records() if records is None else records, dict(RUN), TRIVIAL, **rest)


def stored(found, accepted=FIRST):
    """What reading a baseline's file gives."""
    return Results.from_json(json.loads(baseline_text(baseline_of(found, accepted))))


def whole(task):
    """A record as a run writes it, with all that gates read and all that they don't."""
    answers = [
        item | {"output": "I think that it is this.", "tokens": 7}
        for item in MAKERS[task](0.7, np.random.default_rng(3), 60)
    ]
    made, known = measured(task, answers, "squad", "lora", 8), record(task)
    made.memory_gib, made.eval_dtype, made.truncated_rate = known.memory_gib, known.eval_dtype, 1 / 3
    made.train = known.train | {"losses": [1.0, 0.5], "seconds": 12.3456789, "learning_rate": 2e-4}
    made.latency_s = {
        "mean": 0.123456789,
        "tpot_median": 0.0123456789,
        "tpot": [0.0123456789] * 3,
        "n": 3,
        "workers": 1,
    }
    made.latency_s |= {"samples": [0.1] * 3, "ttft": [0.01] * 3, "stddev": 0.1}
    made.output_tokens = {"mean": 7.0, "median": 7.0, "samples": [7] * 60}
    made.flags, made.curve = ["V01"], [{"epoch": 1.0, "scores": {"f1": 1.0}}]
    said = {"checkpoint": "c" * 32, "recipe": {"learning_rate": 2e-4}, "overlap": {"exact": 0, "items": []}}
    made.extra = {"provenance": known.extra["provenance"] | said, "ours": {"b": 1, "a": 2}}
    return made


@pytest.mark.parametrize("task", MAKERS)
def test_items_are_what_they_were_for_every_paired_test(task):
    before = whole(task)
    (after,) = stored(results([before])).cells
    was, now = item_table(before), item_table(after)
    assert now.keys == was.keys
    for name in ("scores", "clusters", "golds", "parsed"):
        np.testing.assert_array_equal(getattr(now, name), getattr(was, name))
    assert (now.golds is not None) == (task == "arc")


@pytest.mark.parametrize("task", MAKERS)
def test_nothing_that_is_compared_differs_but_by_the_seventh_digit_of_times(task):
    before = whole(task)
    then = stored(results([before]))
    (change,) = compare([before], then.cells, then.trivial).changes
    assert [delta.refusal for delta in change.deltas.values()] == [None] * 5
    for measure, delta in change.deltas.items():
        assert delta.then == (delta.now if measure != "ms_per_token" else pytest.approx(delta.now, rel=1e-5)), measure
    assert change.standing_then is change.standing_now


def run(chance, seeds, **rest):
    """The records of a run with so many seeds, with tokens and peaks of memory."""
    found = []
    for seed in range(seeds):
        for one in suite_records(10 * chance + seed, n=60, ranks=(8,), tasks=("arc", "squad")):
            if seed and one.train_task is None:
                continue
            one.id, one.seed = f"{one.id}-s{seed}" if one.train_task else one.id, seed if one.train_task else 0
            rng = np.random.default_rng(100 * chance + seed)
            one.items = [item | {"output": "x", "tokens": int(rng.integers(2, 9))} for item in one.items]
            tokens = [item["tokens"] for item in one.items]
            one.output_tokens = {"mean": float(np.mean(tokens)), "samples": tokens}
            one.format_rate = float(np.mean([item["parsed"] is not None for item in one.items]))
            one.memory_gib = {"eval_process": rng.random(), "train_process": rng.random() if one.train_task else None}
            one.extra = {"provenance": {"device_name": "Chip A", "checkpoint": f"{one.id} {chance}"} | rest}
            found.append(one)
    return found


ALL_METRICS = Gate(rules=tuple(GateRule.usual(metric) for metric in GATE_METRICS), seed_stddev=3.0)


def words(verdicts):
    """What verdicts say in words; those on times have numbers in them that the file rounds."""
    return [
        {key: value for key, value in verdict.as_dict().items() if not isinstance(value, float) and key != "interval"}
        for verdict in verdicts
    ]


def numbers(verdicts, timed):
    """The numbers of verdicts on times, or of all others."""
    shown = [verdict for verdict in verdicts if (verdict.kind == "timing") is timed]
    each = [(v.was, v.now, v.change, v.p, v.adjusted, *(v.interval or ())) for v in shown]
    return [value for values in each for value in values if value is not None]


def assert_alike(verdicts, others):
    assert words(verdicts) == words(others)
    assert numbers(verdicts, timed=False) == numbers(others, timed=False)
    assert numbers(verdicts, timed=True) == pytest.approx(numbers(others, timed=True), rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("seeds", [(1, 1), (1, 3), (2, 2)])
def test_every_verdict_against_the_baseline_is_the_one_against_the_results(seeds):
    then, now = run(1, seeds[0]), run(2, seeds[1])
    before = stored(Results("mine", then))
    verdicts = judge(now, before.cells, ALL_METRICS, TRIVIAL)
    assert_alike(verdicts, judge(now, then, ALL_METRICS, TRIVIAL))
    kinds = {verdict.kind for verdict in verdicts if verdict.outcome in ("pass", "fail")}
    assert kinds >= {"evaluation", "timing", "peak", "training"}


def test_a_run_that_gives_the_very_answers_passes_against_its_own_baseline():
    verdicts = judge(run(1, 1), stored(Results("mine", run(1, 1))).cells, ALL_METRICS, TRIVIAL)
    assert {verdict.outcome for verdict in verdicts} == {"pass"}
    same = [verdict for verdict in verdicts if verdict.metric in ("score", "format_rate", "tokens")]
    assert {verdict.why for verdict in same} == {"every answer is the same as then"}


def test_answers_are_the_very_same_as_far_as_both_keep_them():
    then, now = run(1, 1), run(1, 1)
    before = stored(Results("mine", then)).cells

    def says(records):
        verdicts = judge(now, records, ALL_METRICS)
        return next(each.why for each in verdicts if (each.cell, each.metric) == (now[0].id, "score"))

    now[0].items[0]["output"] = "y"
    assert says(then) != says(before) == "every answer is the same as then"
    now[0].items[0]["parsed"] = "E"
    assert says(before) != "every answer is the same as then"


def test_refusals_are_those_against_the_results():
    then = run(1, 1, template="old")
    now = run(1, 1, template="new")
    verdicts = judge(now, stored(Results("mine", then)).cells, ALL_METRICS)
    assert_alike(verdicts, judge(now, then, ALL_METRICS))
    assert any(verdict.outcome == "incomparable" for verdict in verdicts)


def test_what_names_a_training_and_where_it_comes_from_stays_as_it_was():
    before = whole("squad")
    (after,) = stored(results([before])).cells
    for name in ("id", "model", "method", "rank", "train_task", "eval_task", "seed", "status", "n", "scores"):
        assert getattr(after, name) == getattr(before, name), name
    for name in ("format_rate", "empty_rate", "truncated_rate", "memory_gib", "eval_dtype", "flags"):
        assert getattr(after, name) == getattr(before, name), name
    # settings are told apart by how they are written
    assert repr(after.train["learning_rate"]) == repr(before.train["learning_rate"])
    said, was = (each.extra["provenance"] for each in (after, before))
    assert said == {key: value for key, value in was.items() if key != "overlap"}
    assert after.extra["ours"] == {"a": 2, "b": 1}


def test_no_text_of_an_answer_is_kept_nor_what_is_computed_anew():
    found = results([whole("squad"), whole("arc")], extra={"gates": [{}], "other": 1})
    text, kept = baseline_text(baseline_of(found, FIRST)), stored(found)
    assert "I think" not in text
    assert set(kept.provenance) == {"baseline", "git_sha", "dirty", "packages", "device_name"}
    assert kept.extra == {"other": 1}
    for cell in kept.cells:
        assert cell.curve == []
        assert not {"losses"} & set(cell.train)
        assert not {"ttft", "stddev"} & set(cell.latency_s)
        assert set(cell.output_tokens) == {"mean", "median"}
    assert set(kept.cells[0].items[0]) == {"item", "score", "parsed", "tokens"}


def test_counts_of_tokens_stay_where_items_have_none():
    alone = measured("squad", [{"item": "a", "score": 100.0}], output_tokens={"mean": 4.0, "samples": [4]})
    assert stored(results([alone])).cells[0].output_tokens == {"mean": 4.0, "samples": [4]}


def test_results_are_left_as_they_were():
    found = results([whole("arc")])
    before = copy.deepcopy(found.to_json())
    baseline_text(baseline_of(found, FIRST))
    assert found.to_json() == before


def test_reasons_accumulate_and_each_file_names_the_one_it_replaces():
    found = results()
    assert acceptance(found) is None
    one = stored(found)
    said = acceptance(one)
    assert said["reason"] == "it is what we have"
    assert (said["replaces"], said["history"]) == (None, [])
    assert said["from"] == {"file": "results.json", "sha256": "ab" * 32}
    assert said["git_sha"] == RUN["git_sha"]
    second = Acceptance("better", "2026-11-21T10:00:00+00:00", "r.json", "c" * 64, "d" * 64, acceptance(one))
    two = stored(found, second)
    third = Acceptance("best", "2026-11-22T10:00:00+00:00", "r.json", "e" * 64, "f" * 64, acceptance(two))
    said = acceptance(stored(found, third))
    assert [each["reason"] for each in said["history"]] == ["it is what we have", "better"]
    assert [each["accepted"][:10] for each in said["history"]] == ["2026-11-20", "2026-11-21"]
    assert (said["reason"], said["replaces"]) == ("best", "f" * 64)


def test_a_baseline_of_a_baseline_is_the_same_but_for_what_it_says_of_itself():
    one = stored(results([whole("arc"), whole("squad")]))
    two = stored(one, Acceptance("again", "2026-11-21T10:00:00+00:00", "mine.json", "c" * 64))
    assert two.provenance.pop("baseline") != one.provenance.pop("baseline")
    assert two == one


def test_one_other_answer_is_a_diff_of_a_few_lines():
    first, second = suite_records(), suite_records()
    cell = next(each for each in second if each.id == "nano-nopeft-squad-to-squad")
    cell.items[17]["score"] = 0.0 if cell.items[17]["score"] else 100.0
    cell.scores["f1"] += 0.5
    one = baseline_text(baseline_of(results(first), FIRST)).splitlines()
    again = Acceptance("an answer", "2026-11-21T10:00:00+00:00", "r.json", "c" * 64, "d" * 64, {"reason": "first"})
    two = baseline_text(baseline_of(results(second), again)).splitlines()
    lines = [line for line in difflib.unified_diff(one, two, n=0, lineterm="") if re.match(r"[-+](?![-+])", line)]
    assert len(lines) <= 16
    assert sum("scores" in line for line in lines) == 2
    assert sum('"item"' in line for line in lines) == 2


def test_a_line_is_a_fact_or_ten_items():
    text = baseline_text(baseline_of(results([whole("arc")]), FIRST))
    lines = text.splitlines()
    assert sum('"item":' in line for line in lines) == 6
    assert {line.count('"item":') for line in lines} == {0, 10}
    assert '   "format_rate": 0.99,' in lines
    assert '   "reason": "it is what we have",' in lines
    assert '   "device_name": "Chip A",' not in lines
    assert '  "device_name": "Chip A"' in lines


def test_keys_have_one_order_whatever_the_file_said():
    found = results([whole("arc")], extra={"b": 1, "a": 2})
    found.cells[0].extra = {"z": 1, **found.cells[0].extra}
    one = baseline_text(baseline_of(found, FIRST))
    found.extra, found.cells[0].extra = {"a": 2, "b": 1}, {**found.cells[0].extra}
    found.cells[0].extra["z"] = found.cells[0].extra.pop("z")
    assert baseline_text(baseline_of(found, FIRST)) == one


def test_cells_that_were_not_measured_are_named_and_left_out():
    lost = whole("arc")
    lost.id, lost.status = "lost", "failed"
    accepted = Acceptance("so it is", "2026-11-20T10:00:00+00:00", "r.json", "a" * 64, left_out=("lost",))
    kept = stored(results([lost, whole("squad")]), accepted)
    assert [cell.id for cell in kept.cells] == ["nano-lora-r8-squad-to-squad"]
    assert acceptance(kept)["left_out"] == ["lost"]
    with pytest.raises(UserError, match=r"r\.json: has no measured cell"):
        baseline_of(results([lost]), accepted)


@settings(max_examples=50)
@given(hostile_results(4))
def test_whatever_results_hold_the_file_can_be_read_and_reviewed(found):
    try:
        baseline = baseline_of(found, FIRST)
    except UserError:
        assert not any(cell.ok for cell in found.cells)
        return
    text = baseline_text(baseline)
    assert all(char.isprintable() or char == "\n" for char in text)
    text.encode()
    kept = Results.from_json(json.loads(text))
    assert [cell.id for cell in kept.cells] == [cell.id for cell in found.cells if cell.ok]
    assert baseline_text(kept) == text


@settings(max_examples=50)
@given(hostile_results(4), hostile_results(4))
def test_whatever_two_runs_hold_what_changes_is_told_in_lines(before, after):
    for each in (before, after):
        for cell in each.cells[:1]:
            cell.status = "ok"
    if not (before.cells and after.cells):
        return
    then = baseline_of(before, FIRST)
    now = baseline_of(
        after, Acceptance("next", "2026-11-21T10:00:00+00:00", "r.json", "c" * 64, before=acceptance(then))
    )
    lines = render_acceptance(now, then)
    assert any(line.startswith("in place of the one accepted on 2026-11-20 (it is what we have)") for line in lines)
    assert all(line.isprintable() for line in lines)
