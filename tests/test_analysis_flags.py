"""Each validity check on small records: it fires where it should, and not just short of that."""

import math
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_compare import runs, trivials
from strategies_grid import json_values

from pytest_ftbench.analysis import (
    CHECKS,
    Standing,
    checkpoint_key,
    eval_tasks,
    flags,
    full_table,
    known_trivial,
    pooled,
    pooled_flags,
    set_flags,
    standing,
)
from pytest_ftbench.grid import Cell, CellRecord, Results, Thresholds, UserError

HEADLINE = {"arc": "macro_f1", "openmath": "solve_rate", "squad": "f1"}
INTERFACES = [f"V{number:02}" for number in range(1, 18)]


def cell(task="arc", score=0.5, train="arc", method="lora", rank=8, seed=0, model="nano", **measured):
    """A measured cell with nothing wrong but one seed."""
    key = HEADLINE.get(task, "score")
    made = Cell(model, method if train else "base", task, train, rank if train else None, seed=seed)
    given = {"n": 200, "scores": {key: score}, "format_rate": 1.0, "empty_rate": 0.0, "truncated_rate": 0.0}
    return CellRecord.of(made, **(given | measured))


def said(of, *beside, code, trivial=None, **thresholds):
    """What the check of that code says of the record ``of``, among records beside it; None: it doesn't fire."""
    (first, *_) = flags([of, *beside], trivial or {}, Thresholds(**thresholds))
    return next((finding.said for finding in first if finding.code == code), None)


def provenance(**told):
    return {"provenance": told}


def items(outputs, golds=None, scores=None, parsed=None):
    """Items of these outputs."""
    return [
        {
            "item": f"q{index}",
            "output": output,
            "gold": golds[index] if golds else "A",
            "parsed": parsed[index] if parsed else output,
            "score": scores[index] if scores else 0.0,
        }
        for index, output in enumerate(outputs)
    ]


def test_there_is_a_check_for_every_code():
    assert list(CHECKS) == INTERFACES
    assert all(check.title and check.find.__doc__.startswith(code) for code, check in CHECKS.items())


def test_a_cell_with_nothing_wrong_has_no_flag():
    seeds = [cell(score=0.8, seed=seed) for seed in (0, 1)]
    assert flags([*seeds, cell(train=None, score=0.3)], {}) == [(), (), ()]


def test_v01_is_for_what_was_trained_with_one_seed():
    assert said(cell(), code="V01")
    assert said(cell(), cell(seed=1), code="V01") is None
    assert said(cell(), cell(seed=1, rank=16), code="V01")
    assert said(cell(), cell(seed=1, status="failed"), code="V01")
    assert said(cell(train=None), code="V01") is None


@pytest.mark.parametrize(
    ("score", "n", "fires"),
    [(0.55, 200, True), (0.58, 200, True), (0.61, 200, False), (0.61, 50, True), (0.49, 9, False)],
)
def test_v02_is_for_an_improvement_that_so_many_items_cannot_tell(score, n, fires):
    base = cell("openmath", 0.5, None, n=n)
    assert bool(said(cell("openmath", score, "arc", n=n), base, code="V02")) == fires


def test_v02_is_for_a_best_cell_that_is_barely_best():
    best, second = cell("openmath", 0.55, rank=1), cell("openmath", 0.5, rank=2)
    assert said(best, second, code="V02") == (
        "0.550 is above 0.500 of the next best of its block on 200 items, where the 95 % interval of the difference "
        "is -0.047 to +0.146"
    )
    assert said(second, best, code="V02") is None
    assert said(cell("openmath", 0.8), second, code="V02") is None
    assert said(cell("openmath", 0.55, format_rate=0.1), second, code="V02") is None
    assert said(best, second, code="V02", confidence=0.5) is None


def test_v02_and_v03_take_no_other_seed_for_another_way():
    mine, again, other = (cell("openmath", s, rank=r, seed=k) for s, r, k in ((0.6, 1, 0), (0.55, 1, 1), (0.52, 2, 0)))
    assert said(mine, again, code="V02") is None
    assert "0.520 of the next best" in said(mine, again, other, code="V02")
    assert said(cell(format_rate=0.93), cell(seed=1, format_rate=0.99), code="V03") is None


def test_v02_pairs_the_items_that_both_were_tested_on():
    hits, fewer = [1.0] * 130 + [0.0] * 70, [1.0] * 115 + [0.0] * 85
    best = cell("openmath", 0.65, items=items(["x"] * 200, scores=hits))
    assert said(best, cell("openmath", 0.575, rank=2, items=items(["y"] * 200, scores=fewer)), code="V02") is None
    assert said(best, cell("openmath", 0.575, rank=2), code="V02")


@pytest.mark.parametrize(
    ("rate", "base", "fires"),
    [
        (0.899, 0.9, True),
        (0.9, 0.9, False),
        (0.95, 1.0, False),
        (0.949, 1.0, True),
        (1.0, 0.94, True),
        (None, 1.0, False),
    ],
)
def test_v03_is_for_a_low_format_rate_or_one_far_from_the_base(rate, base, fires):
    assert bool(said(cell(format_rate=rate), cell(train=None, format_rate=base), code="V03")) == fires


def test_v03_in_a_block_is_for_the_lower_of_two():
    low, high = cell(rank=1, format_rate=0.93), cell(rank=2, format_rate=0.99)
    assert "against the best of its block, 99 %" in said(low, high, code="V03")
    assert said(high, low, code="V03") is None
    assert said(cell(), cell(train=None, format_rate=0.1), code="V03") is None
    assert said(low, high, code="V03", format_gap=0.07) is None


@pytest.mark.parametrize(
    ("empty", "cut", "fires"), [(0.05, 0.05, False), (0.055, 0.0, True), (0.0, 0.055, True), (None, None, False)]
)
def test_v04_is_for_empty_outputs_and_for_those_cut_off(empty, cut, fires):
    assert bool(said(cell(empty_rate=empty, truncated_rate=cut), code="V04")) == fires


def test_v05_is_for_a_mean_that_one_item_makes():
    def timed(largest):
        return cell(latency_s={"samples": [1.0] * 30 + [largest]})

    assert said(timed(11.0), code="V05") == "one item makes 26.8 % of the mean latency"
    assert said(timed(9.9), code="V05") is None
    assert said(cell(latency_s={"samples": [1.0, 2.0, 9.0]}), code="V05") is None
    assert said(cell(latency_s={"samples": [-1.0] * 30 + [9.0]}), code="V05") is None


def test_v05_is_for_one_wild_number():
    golds, parsed = ["1"] * 10, ["2"] * 9 + ["1e6"]
    wild = cell("openmath", 0.0, items=items(parsed, golds, parsed=parsed))
    assert said(wild, code="V05") == "one item makes 100 % of the mean absolute difference"
    assert said(cell("openmath", 0.0, items=items(["2"] * 10, golds)), code="V05") is None
    assert said(cell("openmath", 0.0, items=items(["?"] * 10, golds)), code="V05") is None


@pytest.mark.parametrize(
    ("mine", "its", "fires"),
    [
        ("bfloat16", "float32", True),
        ("bf16", "torch.bfloat16", False),
        ("BF16", "bfloat16", False),
        ("Torch.BFloat16", "bf16", False),
        (None, "float32", False),
        ("bfloat16", None, False),
        (7, "float32", False),
    ],
)
def test_v06_is_for_another_dtype_and_unknown_is_none(mine, its, fires):
    assert bool(said(cell(eval_dtype=mine), cell(train=None, eval_dtype=its), code="V06")) == fires


def test_v06_compares_trainings_by_their_base_and_knows_a_declared_quantization():
    def trained(rank, **train):
        return cell(rank=rank, train=train)

    cells = [Cell("nano", "lora", "arc", "arc", rank) for rank in (1, 2, 3)]
    trainings = [
        {"dtype": "bfloat16+float32", "base_dtype": "bfloat16"},
        {"dtype": "bfloat16"},
        {"dtype": "float32"},
    ]
    records = [CellRecord.of(each, train=train) for each, train in zip(cells, trainings, strict=True)]
    assert ["V06" in [f.code for f in found] for found in flags(records, {})] == [False, False, True]
    # which of the two the weights are nobody says
    unsaid = CellRecord.of(cells[0], train={"dtype": "bfloat16+float32"})
    assert said(unsaid, records[1], CellRecord.of(cells[2], train={"dtype": "bfloat16"}), code="V06") is None
    quantized = CellRecord.of(Cell("nano", "lora", "arc", "arc", 4, "nf4"), eval_dtype="bfloat16+nf4")
    assert said(quantized, CellRecord.of(cells[0], eval_dtype="bfloat16"), code="V06") is None


def timed(tokens, cost, prompt=0.0, train="arc", **more):
    seconds = [prompt + cost * each for each in tokens]
    mean = sum(seconds) / len(seconds)
    return cell(
        train=train,
        latency_s={"mean": mean, "samples": seconds, "tokens": tokens} | more,
        output_tokens={"mean": sum(tokens) / len(tokens), "samples": tokens},
    )


def test_v07_is_for_a_gain_that_is_fewer_tokens():
    base = timed(list(range(20, 60)), 0.03, 0.1, train=None)
    assert said(timed([1] * 40, 0.03, 0.1), base, code="V07") == (
        "all of the latency difference is fewer tokens: 1.0 against 40 per answer"
    )
    assert "97 % of the latency difference is fewer tokens" in said(timed([1] * 40, 0.025, 0.07), base, code="V07")
    assert "more tokens" in said(timed([90] * 40, 0.03, 0.1), base, code="V07")


def test_v07_is_not_for_a_gain_per_token_nor_for_a_small_one():
    base = timed(list(range(20, 60)), 0.03, train=None)
    assert said(timed(list(range(20, 60)), 0.015), base, code="V07") is None
    assert said(timed(list(range(18, 58)), 0.03), base, code="V07") is None
    assert said(timed([1] * 40, 0.03), code="V07") is None
    # longer answers in less time
    assert said(timed([60] * 40, 0.01), base, code="V07") is None


def test_v07_without_samples_takes_the_time_per_token():
    def bare(mean, tokens, tpot=None, train="arc"):
        return cell(train=train, latency_s={"mean": mean, "tpot_median": tpot}, output_tokens={"mean": tokens})

    assert said(bare(0.06, 0.8), bare(1.14, 36.6, train=None), code="V07")
    assert said(bare(0.16, 1.0), bare(0.4, 10.0, 0.02, None), code="V07") is None
    assert said(bare(0.22, 1.0), bare(0.4, 10.0, 0.02, None), code="V07")


def test_v08_is_for_answers_that_are_the_bases():
    base = cell(train=None, items=items(["A"] * 100))
    same, nine, ten = (cell(items=items(["B"] * k + ["A"] * (100 - k))) for k in (0, 10, 11))
    assert said(same, base, code="V08") == "after training, the output is the base's in 100 % of the items"
    assert said(nine, base, code="V08")
    assert said(ten, base, code="V08") is None
    assert said(cell(items=items(["A"] * 99)), base, code="V08") is None


def test_v08_is_for_scores_that_are_the_bases_too():
    base = cell(train=None, items=items(["A"] * 100))
    assert said(cell(score=0.9, items=items(["A"] * 100)), base, code="V08") is None
    assert said(cell(score=0.51, items=items(["A"] * 100)), base, code="V08")


def test_v08_is_not_for_saying_nothing_as_the_base_does():
    base = cell(train=None, items=items([""] * 90 + ["A"] * 10))
    assert said(cell(items=items([""] * 90 + ["B"] * 10)), base, code="V08") is None
    assert said(cell(items=items([""] * 90 + ["A"] * 10)), base, code="V08")
    assert said(cell(items=items([""] * 100)), cell(train=None, items=items([""] * 100)), code="V08") is None


def test_v08_is_for_no_checkpoint_that_changed_anywhere():
    bases = [cell(task, train=None, items=items(["A"] * 100)) for task in ("arc", "openmath")]
    same, other = cell(items=items(["A"] * 100)), cell("openmath", items=items(["B"] * 100))
    assert said(same, *bases, code="V08")
    assert said(same, other, *bases, code="V08") is None


def test_v08_without_outputs_needs_scores_and_lengths_that_vary():
    varied, constant = [5, 6, 7, 90] * 25, [5] * 100

    def lengths(tokens, score=0.5, train="arc"):
        return cell(score=score, train=train, output_tokens={"samples": tokens})

    assert said(lengths(varied, 0.51), lengths(varied, train=None), code="V08")
    assert said(lengths(varied, 0.55), lengths(varied, train=None), code="V08") is None
    assert said(lengths([9] * 11 + varied[11:]), lengths(varied, train=None), code="V08") is None
    assert said(lengths(constant), lengths(constant, train=None), code="V08") is None


def test_v09_is_for_a_recipe_that_nobody_tuned():
    def by(recipe, **more):
        made = cell(extra=provenance(recipe={"name": recipe}, **more))
        made.train = {"learning_rate": 1e-5}
        return made

    assert "the learning rate 1e-05 is the published recipe's" in said(by("published"), code="V09")
    assert said(by("tuned"), code="V09") is None
    assert said(by("mine"), code="V09")
    sweep = {"rates": [1e-5, 1e-4, 1e-3], "chosen": 1e-4, "at_edge": False}
    assert said(by("tuned", sweep=sweep), code="V09") is None
    assert said(by("published", sweep=sweep), code="V09") is None
    leak = sweep | {"validation_rows_tested": 24}
    assert said(by("tuned", sweep=leak), code="V09").startswith("the learning rate was chosen on 24 of the items")
    edge = sweep | {"chosen": 1e-3, "at_edge": True}
    assert said(by("tuned", sweep=edge), code="V09") == (
        "the best learning rate, 0.001, lies at the edge of 1e-05 to 0.001: a better one may lie beyond"
    )
    assert said(by("tuned", sweep=sweep | {"chosen": 1e-5, "at_edge": None}), code="V09")
    assert said(by("tuned", sweep={"rates": [1e-5]}), code="V09")
    assert said(cell(train=None, extra=provenance(recipe={"name": "published"})), code="V09") is None


def test_v09_of_records_that_say_no_recipe_is_for_one_rate_of_several_ways():
    def at(rate, **way):
        made = cell(**way)
        made.train = {"learning_rate": rate}
        return made

    assert said(at(1e-5), at(1e-5, method="nopeft", rank=None), code="V09")
    assert said(at(1e-4), at(1e-5, method="nopeft", rank=None), code="V09") is None
    assert said(at(1e-5), code="V09") is None
    assert said(at(None), at(1e-5, rank=4), at(1e-5, rank=2), code="V09") is None


@pytest.mark.parametrize(
    ("method", "rank", "alpha", "fires"),
    [
        ("lora", 256, 16, True),
        ("lora", 161, 16, True),
        ("lora", 160, 16, False),
        ("dora", 512, 16, True),
        ("qlora", 8, 32, False),
        ("adalora", 256, 16, True),
        ("lora_of_mine", 1024, 16, True),
        ("rslora", 1024, 16, False),
        ("vera", 1024, 16, False),
        ("my_vera", 1024, 16, False),
        ("nopeft", None, None, False),
        ("lora", 256, None, False),
        ("lora", 256, 0, True),
    ],
)
def test_v10_is_for_lora_scaled_below_a_tenth(method, rank, alpha, fires):
    made = CellRecord.of(Cell("nano", method, "arc", "arc", rank), train={"alpha": alpha})
    assert bool(said(made, code="V10")) == fires


def test_v10_is_not_for_rslora_nor_below_the_suites_own_threshold():
    assert said(cell(rank=256), code="V10") is None
    made = CellRecord.of(Cell("nano", "lora", "arc", "arc", 256), train={"alpha": 16, "use_rslora": True})
    assert said(made, code="V10") is None
    made.train["use_rslora"] = False
    assert said(made, code="V10") == "alpha 16 over rank 256 scales the adapter by 0.0625; rsLoRA would by 1"
    assert said(made, code="V10", alpha_per_rank=0.05) is None


@pytest.mark.parametrize(
    ("train", "told", "fires"),
    [
        ({"targets_empty": 1}, {}, True),
        ({"targets_empty": 0, "targets_without_end": 0}, {"prompts_differ": 0}, False),
        ({"targets_without_end": 3}, {}, True),
        ({}, {"prompts_differ": 2}, True),
        ({"template": "aa"}, {"template": "bb"}, True),
        ({"template": "aa"}, {"template": "aa"}, False),
        ({"template": None}, {"template": "bb"}, False),
        ({"targets_empty": None}, {"prompts_differ": None}, False),
    ],
)
def test_v11_is_for_prompts_that_differ_and_targets_that_teach_no_end(train, told, fires):
    made = CellRecord.of(Cell("nano", "lora", "arc", "arc", 8), train=train, extra=provenance(**told))
    assert bool(said(made, code="V11")) == fires


def test_v12_is_for_test_items_in_the_training_set():
    found = {"exact": 2, "near": 3, "items": ["a", "b", "c", "d", "e"]}
    assert said(cell(extra=provenance(overlap=found)), code="V12") == (
        "5 of 200 test items are in the training set, 2 exactly and 3 nearly: a, b, c, …"
    )
    assert said(cell(extra=provenance(overlap=found)), code="V12", overlap=5) is None
    for none in (
        {"exact": 0, "near": 0, "items": []},
        {"exact": 0, "near": 0, "other_target": 3, "items": []},
        None,
        {},
        "many",
    ):
        assert said(cell(extra=provenance(overlap=none)), code="V12") is None


@pytest.mark.parametrize(("share", "fires"), [(80, False), (81, True), (100, True)])
def test_v13_is_for_predictions_of_one_class(share, fires):
    letters = ["C"] * share + ["A"] * (100 - share)
    assert bool(said(cell(items=items(letters, list("ABCD") * 25)), code="V13")) == fires


def test_v13_is_not_for_one_class_where_the_golds_are_of_one():
    assert said(cell(items=items(["C"] * 100, ["C"] * 90 + ["A"] * 10)), code="V13") is None
    assert said(cell(items=items(["C"] * 100, [f"{k}" for k in range(100)])), code="V13") is None
    assert said(cell(items=items(["C"] * 4, list("ABCD"))), code="V13") is None


def test_v13_reads_a_confusion_matrix_where_there_are_no_items():
    matrix = {gold: {"A": 5, "B": 0, "C": 45, "D": 0} for gold in "ABCD"}
    assert said(cell(extra={"confusion_matrix": matrix}), code="V13") == (
        "90 % of the predictions are C, which is right for 25 %"
    )
    assert said(cell(extra={"confusion_matrix": {g: {"A": 25, "C": 25} for g in "ABCD"}}), code="V13") is None
    assert said(cell(extra={"confusion_matrix": {"A": {"A": -9}, "B": 3, "C": {"C": "x"}}}), code="V13") is None


@pytest.mark.parametrize(
    ("none", "f1", "fires"),
    [
        (0.0, 50.0, True),
        (1.02, 50.0, False),
        (100.0, 0.0, True),
        (100.0, 80.0, False),
        (None, 50.0, False),
        (100, None, False),
    ],
)
def test_v13_is_for_never_or_always_abstaining(none, f1, fires):
    made = cell("squad", scores={"f1": 40.0, "no_ans_accuracy": none, "has_ans_f1": f1})
    assert bool(said(made, code="V13")) == fires


def test_v13_says_that_it_always_abstains_only_where_that_is_known():
    trivial = {"squad": {"always_abstain": {"f1": 40.0}}}
    some, nothing = ({"f1": f1, "no_ans_accuracy": 100} for f1 in (85.0, 40.0))
    assert said(cell("squad", scores=some), code="V13") is None
    assert said(cell("squad", scores=some), code="V13", trivial=trivial) is None
    assert "always abstains" in said(cell("squad", scores=nothing), code="V13", trivial=trivial)


@pytest.mark.parametrize(("abstained", "golds", "fires"), [(82, 50, True), (80, 50, False), (95, 90, False)])
def test_v13_is_for_abstaining_from_nearly_all(abstained, golds, fires):
    texts = [""] * abstained + ["iron"] * (100 - abstained)
    asked = ["gold"] * (100 - golds) + [""] * golds
    made = cell("squad", scores={"f1": 50.0, "no_ans_accuracy": 97.0, "has_ans_f1": 20.0}, items=items(texts, asked))
    assert said(made, code="V13") == ("82 % of the predictions abstain, which is right for 50 %" if fires else None)


def test_v13_is_for_a_class_that_no_gold_is():
    assert said(cell(items=items(["E"] * 100, list("ABCD") * 25)), code="V13") == (
        "100 % of the predictions are E, which is right for none"
    )
    matrix = {gold: {gold: 10, "unparsed": 90} for gold in "ABCD"}
    assert said(cell(extra={"confusion_matrix": matrix}), code="V13") is None


@pytest.mark.parametrize(
    ("merge", "fires"),
    [
        ({"relative_rms": 0.6, "max_logit_gap": 9.0, "logit_std": 1.0, "argmax_flips": 1.0}, False),
        ({"relative_rms": 0.61, "max_logit_gap": 0.0, "logit_std": 1.0, "argmax_flips": 0.0}, True),
        ({"relative_rms": None, "max_logit_gap": 9.0, "logit_std": 1.0, "argmax_flips": 1.0}, False),
        ({"relative_rms": "1e9", "max_logit_gap": 9.0, "logit_std": 1.0}, False),
        # whose adapter's own effect nobody knows
        ({"max_logit_gap": 0.5, "logit_std": 1.0, "argmax_flips": 0.1}, False),
        ({"max_logit_gap": 0.51, "logit_std": 1.0, "argmax_flips": 0.0}, True),
        ({"max_logit_gap": 1.0, "logit_std": 2.5, "argmax_flips": 0.0}, False),
        ({"max_logit_gap": 0.0, "logit_std": 1.0, "argmax_flips": 0.11}, True),
        ({"max_logit_gap": 1.0, "logit_std": 0.0, "argmax_flips": None}, False),
        (None, False),
    ],
)
def test_v14_is_for_merged_logits_that_differ(merge, fires):
    assert bool(said(cell(extra=provenance(merge=merge)), code="V14")) == fires


@pytest.mark.parametrize(("score", "fires"), [(0.05, True), (0.135, True), (0.145, False), (0.4, False)])
def test_v15_is_for_losing_in_domain_more_than_chance_takes(score, fires):
    base = cell("openmath", 0.215, None)
    assert bool(said(cell("openmath", score, "openmath"), base, code="V15")) == fires
    assert said(cell("openmath", score, "arc"), base, code="V15") is None


def test_v15_knows_what_is_unknown():
    base = cell("openmath", 0.215, None)
    assert said(cell("openmath", None, "openmath"), base, code="V15") is None
    assert said(cell("openmath", 0.0, "openmath"), code="V15") is None
    assert said(cell("openmath", 0.0, "openmath", n=None), base, code="V15") is None
    assert said(cell("juggling", 0.0, "juggling"), cell("juggling", 9.0, None), code="V15") is None
    assert said(cell("openmath", 0.0, "openmath", n=10), cell("openmath", 0.215, None, n=10), code="V15") is None


def test_v15_takes_accuracy_where_the_headline_is_missing_and_outputs_can_be_read():
    base = cell(train=None, scores={"macro_f1": None, "accuracy": 0.485})
    worse = {"macro_f1": None, "accuracy": 0.2}
    assert (
        said(cell(scores=worse), base, code="V15") == "training on this very task took the accuracy from 0.485 to 0.200"
    )
    assert said(cell(scores=worse, format_rate=0.1), base, code="V15") is None


def test_a_quantized_cell_without_a_quantized_base_is_compared_with_the_unquantized():
    base = cell("openmath", 0.5, None, latency_s={"mean": 1.0}, output_tokens={"mean": 40.0})

    def quantized(score, **more):
        made = cell("openmath", score, "openmath" if score < 0.5 else "arc", "qlora", **more)
        made.quantization = "nf4"
        return made

    assert "is above 0.500 of its unquantized base on 200 items" in said(quantized(0.55), base, code="V02")
    assert said(quantized(0.2), base, code="V15") == (
        "training on this very task took the solve rate from 0.500 of its unquantized base to 0.200"
    )
    short = quantized(0.55, latency_s={"mean": 0.05}, output_tokens={"mean": 2.0})
    assert said(short, base, code="V07").endswith("2.0 against 40 per answer of its unquantized base")
    own = cell("openmath", 0.3, None)
    own.quantization = "nf4"
    assert said(quantized(0.55), base, own, code="V02") is None


@pytest.mark.parametrize(
    ("timing", "fires"),
    [
        ({"cores_of_others": 0.5}, False),
        ({"cores_of_others": 0.6}, True),
        ({"cores_of_others": 12.0, "cores": 64.0, "threads": 16}, False),
        ({"cores_of_others": 48.5, "cores": 64.0, "threads": 16}, False),
        ({"cores_of_others": 48.6, "cores": 64.0, "threads": 16}, True),
        ({"cores_of_others": 0.6, "cores": 2.0, "threads": 4}, True),
        ({"cores_of_others": 0.6, "cores": 64.0}, True),
        ({"gpu_shared": True}, True),
        ({"gpu_throttled": True}, True),
        ({"gpu_shared": False, "gpu_throttled": None, "cores_of_others": None}, False),
        ({"workers": 2, "exclusive": False}, True),
        ({"workers": 2, "exclusive": True}, False),
        ({"workers": 1, "exclusive": False}, False),
        ({"gpu_shared": "yes"}, False),
    ],
)
def test_v16_is_for_company_on_the_device(timing, fires):
    assert bool(said(cell(latency_s=timing), code="V16")) == fires


@pytest.mark.parametrize(("score", "fires"), [(49.0, True), (48.0, True), (49.01, False), (None, False)])
def test_v17_is_for_what_beats_no_trivial_answerer(score, fires):
    trivial = {"squad": {"always_abstain": {"f1": 49.0}}}
    assert bool(said(cell("squad", score), code="V17", trivial=trivial)) == fires


@pytest.mark.parametrize(
    ("task", "score", "fires"),
    [
        ("arc", {"macro_f1": None, "accuracy": 0.2}, "accuracy 0.200, where majority class scores 0.275"),
        ("arc", {"macro_f1": None, "accuracy": 0.3}, None),
        ("arc", {"macro_f1": 0.2, "accuracy": 0.2}, None),
        ("squad", {"f1": None, "em": 30.0}, "EM 30.00, where always abstaining scores 49.00"),
        ("openmath", {"solve_rate": None, "abs_diff_mean": 23000.0}, "AbsDiff 23,000, where constant 0 scores 22,781"),
        ("openmath", {"solve_rate": None, "abs_diff_mean": 742.0}, None),
        ("openmath", {"solve_rate": 0.05, "abs_diff_mean": 23000.0}, None),
    ],
)
def test_v17_without_the_headline_takes_what_stands_in_for_it(task, score, fires):
    trivial = {
        "arc": {"majority_class": {"macro_f1": 0.1, "accuracy": 0.275}},
        "openmath": {"constant_0": {"solve_rate": 0.03, "abs_diff_mean": 22781.2}},
        "squad": {"always_abstain": {"f1": 49.0, "em": 49.0}},
    }
    assert said(cell(task, scores=score), code="V17", trivial=trivial) == fires
    assert (standing(cell(task, scores=score), trivial) is Standing.TRIVIAL) == (fires is not None)


def test_v02_without_the_headline_takes_accuracy():
    base = cell("arc", train=None, scores={"macro_f1": None, "accuracy": 0.485})
    mine = cell("arc", scores={"macro_f1": None, "accuracy": 0.495})
    assert said(mine, base, code="V02").startswith("accuracy 0.495 is above 0.485 of its base on 200 items")
    assert said(cell("arc", scores={"macro_f1": None, "accuracy": 0.7}), base, code="V02") is None


def test_a_check_that_is_off_says_nothing():
    assert said(cell(), code="V01", off=("V01",)) is None
    records = [cell()]
    set_flags(records, flags(records, {}, Thresholds(off=("V01",))))
    assert records[0].flags == []
    set_flags(records, flags(records, {}))
    assert records[0].flags == ["V01"]


@given(st.data())
def test_flags_move_no_rank(data):
    """Only what could not be read and what is trivial leaves a ranking, whatever else is found."""
    rates = st.floats(0, 1)
    records = [
        cell("openmath", data.draw(rates), rank=rank, format_rate=data.draw(rates), truncated_rate=data.draw(rates))
        for rank in range(1, 5)
    ]
    trivial = {"openmath": {"constant_0": {"solve_rate": 0.1}}}
    found = flags(records, trivial)
    for record, mine in zip(records, found, strict=True):
        codes = {finding.code for finding in mine}
        assert ("V17" in codes) == (standing(record, trivial) is Standing.TRIVIAL)
    rows = full_table(records, trivial).rows
    best = [row.cells["openmath"] for row in rows if row.cells["openmath"].best_score]
    ok = [row.cells["openmath"].score for row in rows if row.cells["openmath"].standing is Standing.OK]
    assert all(each.score == max(ok) for each in best)


@given(runs, trivials)
def test_no_record_is_too_strange(records, trivial):
    found = flags(records, trivial)
    assert len(found) == len(records)
    for record, mine in zip(records, found, strict=True):
        codes = [finding.code for finding in mine]
        assert codes == sorted(codes)
        assert len({(finding.code, finding.kind) for finding in mine}) == len(mine)
        assert set(codes) <= set(CHECKS)
        assert record.ok or not codes
        assert all(isinstance(f.said, str) and f.said and not math.isnan(f.size) for f in mine)
    means = pooled(records)
    for record, mine in zip(means, pooled_flags(means, trivial), strict=True):
        assert len({(finding.code, finding.kind) for finding in mine}) == len(mine)
        assert ("V17" in {finding.code for finding in mine}) == (
            standing(record, known_trivial(means, trivial).scores, eval_tasks(means)[record.eval_task])
            is Standing.TRIVIAL
        )


@given(runs, trivials)
def test_what_was_found_on_single_records_need_not_be_found_again(records, trivial):
    records = list(
        {(repr(record.seed), record.id, repr(checkpoint_key(record))): record for record in records}.values()
    )
    means = pooled(records)
    alone = {id(record): found for record, found in zip(records, flags(records, trivial), strict=True)}
    assert pooled_flags(means, trivial, alone=alone) == pooled_flags(means, trivial)


_WHERE = [
    "latency_s",
    "output_tokens",
    "train",
    "scores",
    "items",
    "confusion_matrix",
    "provenance",
    "seeds",
    "eval_dtype",
    "rank",
]
_KEYS = (
    ["mean", "samples", "tokens", "tpot_median", "workers", "exclusive", "cores_of_others", "gpu_shared", "dtype"],
    ["alpha", "learning_rate", "template", "targets_empty", "base_dtype", "macro_f1", "f1", "no_ans_accuracy"],
    ["recipe", "sweep", "overlap", "merge", "prompts_differ", "rates", "chosen", "name", "exact", "items", "at_edge"],
    ["abs_diff_mean", "abs_diff_median", "abs_diff_n", "max_logit_gap", "logit_std", "item", "gold", "parsed", "score"],
)
_known = st.sampled_from([key for keys in _KEYS for key in keys])
_any = st.recursive(
    json_values | st.floats() | st.sampled_from([10**400, -(10**400), 1e308, -1e308, 5e-324]),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(_known, inner, max_size=5),
    max_leaves=20,
)


@given(st.lists(st.dictionaries(st.sampled_from(_WHERE), _any), min_size=1, max_size=3), st.booleans())
def test_arbitrary_json_in_a_file_never_raises(changes, tuned):
    raw = [cell(task, train="arc" if tuned else None).to_json() for task in ("arc", "openmath", "squad")]
    for value, change in zip(raw, changes, strict=False):
        value.update(change)
    try:
        results = Results.from_json({"schema": 1, "cells": [*raw, cell("openmath", train=None).to_json()]})
    except UserError:
        return
    flags(results.cells, {})


@given(_any)
def test_thresholds_are_read_from_anything(value):
    # the one key that a threshold and what is drawn have in common
    assert replace(Thresholds.from_json(value), overlap=0) == Thresholds()
    assert isinstance(flags([cell()], {}, Thresholds.from_json({"format_rate": value, "off": value})), list)


def test_thresholds_survive_their_file():
    mine = Thresholds(off=("V01",), format_rate=0.5, overlap=3)
    assert Thresholds.from_json(mine.as_dict()) == mine
    assert Thresholds.from_json({"latency_change": 10**400, "overlap": 10**400}) == Thresholds()
    assert Thresholds.from_json({"off": ["V17", "V02", "V99"], "item_share": 7}) == Thresholds(off=("V02",))


def test_a_thousand_cells_are_checked_in_time():
    tokens = [5 + index % 90 for index in range(200)]
    letters = [f"{letter}" for letter in "ABCD" * 50]

    def measured(task, train, rank):
        made = cell(
            task, 0.0 if task == "squad" else rank / 1000, train, rank=rank, items=items(letters, letters[::-1])
        )
        made.latency_s = {"mean": 1.0, "samples": [0.01 * each for each in tokens], "tokens": tokens}
        made.output_tokens = {"mean": 49.0, "samples": tokens}
        return made

    tasks = ("arc", "openmath", "squad")
    records = [measured(task, train, rank) for rank in range(1, 112) for train in tasks for task in tasks]
    records += [measured(task, None, 1) for task in tasks]
    began = time.process_time()
    flags(records, {})
    assert time.process_time() - began < 3  # about 1 s of one core
