"""Questions answered from records: what is claimed is true of them, what can't be claimed isn't, nothing breaks."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies_compare import foreign_records, trivials
from strategies_grid import json_values
from strategies_items import measured, span_items, suite_records

from pytest_ftbench.analysis import ANSWERED_BY, answers
from pytest_ftbench.analysis.ladder import ladders
from pytest_ftbench.analysis.material import Material
from pytest_ftbench.analysis.pareto import fronts
from pytest_ftbench.analysis.wording import cap
from pytest_ftbench.grid import QUESTIONS, STUDIES, Cell, CellRecord, Results
from pytest_ftbench.report import render

TRIVIAL = {"squad": {"always_abstain": {"f1": 30.0}}}


def squad(score, method="lora", rank=None, train="squad", model="nano", latency=0.1, memory=None, **rest):
    """A cell on 200 items of SQuAD, of which so many percent are right, without the items."""
    train = None if method == "base" else train
    given = {"scores": {"f1": score}, "n": 200, "format_rate": 1.0, "latency_s": {"mean": latency}}
    given |= {
        "output_tokens": {"mean": 10.0},
        "memory_gib": dict(zip(("train_allocated", "eval_allocated"), memory or (), strict=False)),
    }
    return CellRecord.of(_cell(model, method, rank, train), **(given | rest))


def _cell(model, method, rank, train):
    return Cell(model, method, "squad", train, rank)


def results(*records, questions=None, trivial=TRIVIAL):
    return Results("mine", list(records), {} if questions is None else {"questions": list(questions)}, trivial)


def answer(name, *records, **rest):
    (found,) = answers(results(*records, questions=[name], **rest))
    return found


def said(found):
    return " ".join(found.sentences)


def test_every_question_has_an_answerer_and_every_study_its_questions():
    assert set(ANSWERED_BY) == set(QUESTIONS)
    assert {name for study in STUDIES.values() for name in study} == set(QUESTIONS)
    assert [len(study) for study in STUDIES.values()] == [8, 9, 3, 4]


def test_a_suites_questions_are_numbered_as_listed_and_what_cant_be_answered_says_what_is_missing():
    found = answers(
        results(squad(50, "base"), squad(90, "nopeft"), questions=["memory-ladder", "is-tuning-worth-it", "no-such"])
    )
    assert [(each.id, each.label, bool(each.missing)) for each in found] == [
        ("memory-ladder", "Q1", True),
        ("is-tuning-worth-it", "Q2", False),
    ]
    assert "training memory" in found[0].missing


def test_records_without_questions_are_asked_what_they_can_answer():
    found = answers(results(squad(50, "base"), squad(90, "nopeft")))
    assert [each.label for each in found] == ["Q1", "Q9"]
    assert not any(each.missing for each in found)
    assert answers(results()) == []


def test_a_difference_is_claimed_where_its_interval_excludes_zero_and_only_there():
    assert "SQuAD v2: tuning is better, NoPeft +40.00 (95 % +31" in said(
        answer("is-tuning-worth-it", squad(50, "base"), squad(90, "nopeft"))
    )
    assert "SQuAD v2: tuning is worse" in said(answer("is-tuning-worth-it", squad(90, "base"), squad(50, "nopeft")))
    assert "no difference is shown, NoPeft +2.00" in said(
        answer("is-tuning-worth-it", squad(50, "base"), squad(52, "nopeft"))
    )


@pytest.mark.parametrize("changes", [{"format_rate": 0.2}, {"scores": {"f1": 29.0}}])
def test_a_cell_that_may_not_be_ranked_wins_nothing_and_is_shown_with_its_mark(changes):
    marked = squad(99, "lora", 8, memory=(1, 1), **changes)
    others = [squad(50, "base", memory=(None, 2)), squad(70, "nopeft", memory=(3, 2))]
    mark = "INVALID" if "format_rate" in changes else "<trivial"
    full = answer("adapters-with-memory-to-spare", *others, marked)
    assert "the only adapter can't be ranked (NoPeft 70.00)" in said(full)
    assert "from 3 GiB NoPeft 70.00" in said(ladder := answer("memory-ladder", *others, marked))
    assert f"not ranked (SQuAD v2: LoRA r8 {'99.00' if mark == 'INVALID' else '29.00'} {mark})" in said(ladder)
    assert "SQuAD v2: NoPeft (1 dominated, 1 not ranked)" in said(answer("pareto-fronts", *others, marked))
    best = answer("is-tuning-worth-it", *others, marked)
    assert "NoPeft +20.00" in said(best)
    lines = render(results(*others, marked), 120)
    assert all(
        mark in line
        for line in lines[lines.index("Questions") :]
        if "LoRA r8 " in line and "GiB" not in line and "99.00" in line
    )


def test_of_many_comparisons_each_has_to_be_clearer():
    base, tuned = squad(50, "base"), squad(60.5, "lora", 8)
    material = Material.of(results(base, tuned))
    assert material.gap(tuned, base).shown == 1
    assert material.gap(tuned, base, comparisons=20).shown == 0


def solved(rate, method="lora", rank=None):
    """A cell on 200 items of OpenMath, without the items."""
    cell = Cell("nano", method, "openmath", None if method == "base" else "openmath", rank)
    return CellRecord.of(cell, scores={"solve_rate": rate}, n=200, format_rate=1.0)


@pytest.mark.parametrize(
    ("name", "reference", "claim"),
    [
        ("is-tuning-worth-it", "base", "is better"),
        ("adapters-when-memory-is-short", "base", "is better"),
        ("adapters-with-memory-to-spare", "nopeft", "is worse"),
        ("best-learner", None, "is shown to be better than"),
    ],
)
def test_of_many_that_are_no_better_the_luckiest_is_not_called_better(name, reference, claim):
    rng = np.random.default_rng(7)
    claimed = []
    for _ in range(150):
        rates = rng.binomial(200, 0.5, 13) / 200
        cells = [solved(rate, "lora", rank) for rank, rate in enumerate(rates[1:], 1)]
        cells += [solved(rates[0], reference)] if reference else []
        claimed.append(claim.removeprefix("is ") in said(answer(name, *cells)))
    assert np.mean(claimed) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(claimed))


def test_untuned_is_what_a_ladder_stands_on():
    cells = [squad(80, "base"), squad(50, "lora", 8, memory=(2, 1)), squad(60, "nopeft", memory=(5, 1))]
    found = said(answer("memory-ladder", *cells))
    assert "no way of tuning scores more than the untuned Base 80.00" in found
    assert "more memory for no better score (SQuAD v2: LoRA r8 and NoPeft)" in found
    (ladder,) = ladders(Material.of(results(*cells, squad(90, "lora", 16, memory=(3, 1)))))
    assert [(rung.record.rank, rung.step.second.method) for rung in ladder.rungs] == [(16, "base")]
    # where there is nothing below, nothing has to be better
    assert "below 2 GiB nothing, from 2 GiB LoRA r8 50.00, from 5 GiB" in said(answer("memory-ladder", *cells[1:]))


def test_a_larger_model_is_one_with_more_parameters_tuned_itself_or_not():
    small = [squad(40, "base"), squad(60, "nopeft")]
    large = [squad(80, "base", model="micro"), squad(90, "nopeft", model="micro")]
    assert answer("tuned-or-larger", *small, *large).missing
    small[1].train, large[1].train = {"total_params": 9e5}, {"total_params": 4e6}
    found = answer("tuned-or-larger", *small, *large)
    assert "untuned micro: SQuAD v2: the tuned one is worse, nano NoPeft 60.00" in said(found)
    assert "micro NoPeft" not in said(found)


def test_forgetting_is_counted_among_what_could_be_forgotten():
    cells = [squad(60, "base"), squad(10, "nopeft", train="arc"), squad(20, "lora", 8, train="arc")]
    found = said(answer("robust-transfer", *cells))
    assert "NoPeft 1 of 1 and LoRA 1 of 1" in found
    assert "as 0.1 of the 2 that could be compared would" in found
    cells[0] = squad(20, "base")
    for name in ("robust-transfer", "cross-task-transfer"):
        found = said(answer(name, *cells))
        assert "Nothing can be said" in found
        assert " of 2" not in found
        assert "there is nothing to forget" in found


def test_equals_on_a_front_stand_in_reading_order():
    for ranks in ((8, 16), (16, 8)):
        cells = [squad(60, "lora", rank) for rank in ranks]
        assert "LoRA r8 and LoRA r16" in said(answer("pareto-fronts", *cells))


def test_ties_for_the_best_are_all_named():
    cells = [squad(60, "lora", rank) for rank in (8, 16, 32)]
    found = answer("adapters-with-memory-to-spare", squad(80, "nopeft"), *cells)
    assert "full fine-tuning is better than the best of 3, LoRA r8 (= r16, r32), +20.00" in said(found)
    assert found.table.rows[0][1].text == "LoRA r8 (= r16, r32)"


def test_too_few_ranks_can_show_nothing_and_ranks_that_order_scores_do():
    few = answer("does-rank-matter", *(squad(60 + rank, "lora", rank) for rank in (1, 2, 3)))
    assert "r = +1.00 over 3 ranks, exact p = 0.33: so few ranks can't show any" in said(few)
    many = answer("does-rank-matter", *(squad(60 + rank, "lora", rank) for rank in range(1, 7)))
    assert "exact p = 0.003: the score rises with the rank" in said(many)
    mixed = answer(
        "does-rank-matter", *(squad(score, "lora", rank + 1) for rank, score in enumerate((61, 64, 62, 63, 61.5)))
    )
    assert "no evidence either way" in said(mixed)
    unranked = answer("does-rank-matter", *(squad(10 + rank, "lora", rank) for rank in range(1, 7)))
    assert "of which nothing follows (6 of 6 cells are INVALID or <trivial)" in said(unranked)


def test_forgetting_is_named_where_the_interval_excludes_zero():
    records = suite_records(seed=3, ranks=(8,))
    target = next(
        i for i, r in enumerate(records) if r.method == "nopeft" and (r.train_task, r.eval_task) == ("arc", "squad")
    )
    items = span_items(0.05, np.random.default_rng(1), 200, 120)
    records[target] = measured("squad", items, "arc", "nopeft")
    found = answer("cross-task-transfer", *records, trivial={})
    assert re.search(r"Forgetting is shown in \d of 12 cells \(NoPeft ARC to SQuAD v2 -\d+", said(found))
    robust = answer("robust-transfer", *records, trivial={})
    counts = {row[0].text: [entry.text for entry in row[1:4]] for row in robust.table.rows}
    assert int(counts["NoPeft"][1]) >= 1


def test_what_can_no_longer_be_read_is_not_called_forgotten():
    base, tuned = squad(60, "base"), squad(5, "nopeft", train="arc", format_rate=0.1)
    assert "no longer can in 1 (NoPeft ARC to SQuAD v2)" in said(answer("cross-task-transfer", base, tuned))


def test_a_front_holds_what_nothing_dominates():
    cells = [
        squad(90, "nopeft", latency=0.3, memory=(4, 2)),
        squad(80, "lora", 8, latency=0.2, memory=(2, 2)),
        squad(79, "lora", 16, latency=0.25, memory=(3, 2)),
        squad(95, "lora", 32, latency=0.1, memory=(3, 1), format_rate=0.1),
        squad(60, "base", latency=0.2, memory=(None, 1)),
    ]
    (front,) = fronts(Material.of(results(*cells)))
    assert [point.record.rank or point.record.method for point in front.front] == ["nopeft", 8, "base"]
    assert [(point.record.rank, point.by.rank, point.open) for point in front.dominated] == [(16, 8, True)]
    assert [record.rank for record in front.unranked] == [32]
    assert front.axes == ("score", "latency", "memory")


@given(st.lists(st.tuples(*[st.integers(31, 36)] * 3), min_size=1, max_size=12))
def test_a_front_is_that_of_brute_force(points):
    cells = [
        squad(score, "lora", rank, latency=latency, memory=(1, memory))
        for rank, (score, latency, memory) in enumerate(points, 1)
    ]
    (front,) = fronts(Material.of(results(*cells)))
    better = [(score, -latency, -memory) for score, latency, memory in points]
    dominated = {
        rank
        for rank, mine in enumerate(better, 1)
        if any(all(a >= b for a, b in zip(other, mine, strict=True)) and other != mine for other in better)
    }
    assert {point.record.rank for point in front.dominated} == dominated


def test_a_ladder_climbs_only_to_what_is_better():
    cells = [
        squad(50, "base"),
        squad(56, "lora", 8, memory=(1.2341, 1)),
        squad(55, "lora", 16, memory=(2, 1)),
        squad(90, "nopeft", memory=(5, 1)),
        squad(99, "lora", 32, memory=(0.5, 1), format_rate=0.3),
    ]
    (ladder,) = ladders(Material.of(results(*cells)))
    assert [(rung.record.rank, rung.memory_gib, rung.step.shown) for rung in ladder.rungs] == [
        (8, 1.2341, 0),
        (None, 5, 1),
    ]
    assert [record.rank for record in ladder.not_worth] == [16]
    found = said(answer("memory-ladder", *cells))
    assert "(allocated on the device; steps corrected for 3 comparisons)" in found
    assert "below 1.24 GiB the untuned Base 50.00" in found
    assert "from 1.24 GiB LoRA r8 56.00 (not shown to be better), from 5 GiB NoPeft" in found


@given(st.floats(1e-6, 1e6))
def test_a_cap_is_never_below_what_has_to_fit(value):
    assert value <= float(cap(value)) * (1 + 1e-9)
    assert float(cap(value)) <= value * 1.011


def test_qlora_and_quantized_answers_are_held_against_their_counterparts():
    plain, small = squad(80, "lora", 8, memory=(2, 2)), squad(40, "lora", 8, memory=(2, 1))
    small.quantization = "nf4"
    found = answer("quantized-answers", plain, small)
    assert "shown to be worse in 1 of 1 cell (SQuAD v2 LoRA r8 nf4 -40.00" in said(found)
    assert "Memory of answering: -50.0 %." in said(found)
    found = answer("qlora-or-lora", plain, squad(78, "qlora", 8, memory=(1, 2)))
    assert "worse in 0 of 1 cell and better in 0" in said(found)
    assert "Memory of training: -50.0 %." in said(found)


def of_reasoning(word, score):
    return results(
        squad(score, "base", extra={"provenance": {"reasoning": word, "items": "abc"}}),
        questions=["reasoning-on-or-off"],
    )


def test_reasoning_is_judged_by_two_runs_and_one_says_what_is_missing():
    (alone,) = answers(of_reasoning("on", 80))
    assert "--ftbench-reasoning" in alone.missing
    assert "here it was on, and untuned answers took 10 tokens" in alone.missing
    (both,) = answers(of_reasoning("on", 80), other=of_reasoning("off", 50))
    assert "With reasoning on instead of off the score is shown to be worse in 0 of 1 cell and better in 1" in said(
        both
    )
    cut = of_reasoning("off", 50)
    cut.cells[0].truncated_rate = 0.5
    (flagged,) = answers(of_reasoning("on", 80), other=cut)
    assert "V04" in flagged.table.rows[0][-1].text
    (same,) = answers(of_reasoning("on", 80), other=of_reasoning("on", 50))
    assert same.missing


def curve(*points, rank=4):
    listed = [
        {"epoch": e, "step": e, "seconds": e, "loss": 1 / e, "scores": {"f1": s}, "format_rate": 1.0} for e, s in points
    ]
    cell = squad(points[-1][1], "lora", rank, curve=listed)
    cell.train = {"seconds": 10.0 * rank, "steps": 9}
    return cell


def test_epochs_to_learn_are_those_at_which_a_score_was_first_seen():
    cells = [curve((1, 40.0), (3, 95.0), (10, 80.0)), curve((1, 40.0), (3, 50.0), rank=8)]
    found = answer("epochs-to-learn", *cells)
    assert "90 % of a full score was first seen: SQuAD v2 90.00: LoRA r4 after epoch 3, not reached by LoRA r8" in said(
        found
    )
    assert "quickest LoRA r4 80.00 in 40 s, slowest LoRA r8 50.00 in 80 s" in said(answer("cost-of-learning", *cells))
    assert "LoRA r4 80.00, shown to be better than LoRA r8" in said(answer("best-learner", *cells))
    cells[0].format_rate = 0.1
    assert "only LoRA r8 50.00 can be ranked: 80 s" in said(answer("cost-of-learning", *cells))
    assert "LoRA r8 50.00, not ranked: LoRA r4 80.00 INVALID" in said(answer("best-learner", *cells))


def test_the_report_ends_with_the_questions_and_says_what_is_missing():
    lines = render(results(squad(50, "base"), squad(90, "nopeft"), questions=STUDIES["tune-or-scale"]), 100)
    text = " ".join(line.strip() for line in lines[lines.index("Questions") :])
    assert [f"Q{index} " in text for index in range(1, 9)] == [True] * 8
    assert "The records can't answer this; missing: full fine-tuning (nopeft) and an adapter" in text


@settings(max_examples=30)
@given(st.lists(foreign_records(), max_size=6), trivials, st.sampled_from([80, 100, 160]), json_values)
def test_no_record_breaks_an_answer_or_its_page(records, trivial, width, asked):
    everything = Results("x", records, {"questions": list(QUESTIONS)}, trivial)
    for each in answers(everything):
        assert each.missing or each.sentences
        assert each.table is None or all(len(row) == len(each.table.headings) for row in each.table.rows)
    for line in render(everything, width):
        assert len(line) <= width
        assert line.isprintable()
    render(replace(everything, provenance={"questions": asked}), width)


FIELDS = (
    "scores",
    "n",
    "format_rate",
    "latency_s",
    "output_tokens",
    "memory_gib",
    "train",
    "curve",
    "items",
    "extra",
    "rank",
)


@st.composite
def spoiled_studies(draw):
    """A study in which everything is known, but for a field of some cells that is anything, or holds anything."""
    cells = [
        *(squad(50, "base", model=model, memory=(None, 2)) for model in ("nano", "micro")),
        squad(90, "nopeft", memory=(4, 2)),
        *(squad(70 + rank, method, rank, memory=(rank, 2)) for method in ("lora", "qlora") for rank in (1, 2, 3)),
        squad(40, "lora", 8, train="arc", memory=(1, 1)),
        replace(squad(60, "lora", 2, memory=(2, 1)), quantization="nf4"),
        curve((1, 40.0), (3, 95.0), rank=9),
    ]
    for cell in draw(st.lists(st.sampled_from(cells), min_size=1, max_size=4)):
        field = draw(st.sampled_from(FIELDS))
        whole = getattr(cell, field)
        if isinstance(whole, dict) and whole:
            setattr(cell, field, whole | {draw(st.sampled_from(sorted(whole))): draw(json_values | st.just(10**400))})
        elif field == "curve" and whole:
            setattr(
                cell, field, [whole[0] | {draw(st.sampled_from(sorted(set(whole[0]) - {"scores"}))): draw(json_values)}]
            )
        elif field in ("n", "format_rate"):
            setattr(cell, field, draw(json_values | st.floats() | st.just(10**400)))
        elif field == "rank":
            cell.rank = draw(st.text(max_size=9) | st.integers() | st.floats() | st.just(10**400))
    return cells


@settings(max_examples=30)
@given(spoiled_studies(), st.sampled_from([80, 100, 160]))
def test_no_field_of_a_study_breaks_an_answer_or_its_page(cells, width):
    everything = results(*cells, questions=QUESTIONS)
    assert [each.label for each in answers(everything)] == [f"Q{index + 1}" for index in range(len(QUESTIONS))]
    assert all(len(line) <= width and line.isprintable() for line in render(everything, width))


@settings(max_examples=15)
@given(st.text(min_size=1, max_size=300))
def test_names_of_any_kind_neither_break_a_table_nor_run_over_it(name):
    cells = [
        squad(50, "base", model=name),
        squad(90, "nopeft", model=name),
        squad(70, name, 8, model=name),
        squad(70, name, 9, model=name),
    ]
    for width in (80, 160):
        lines = render(results(*cells, questions=QUESTIONS), width)
        assert all(len(line) <= width and line.isprintable() for line in lines)
