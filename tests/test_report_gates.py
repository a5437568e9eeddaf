"""Verdicts of gates as a reader sees them: the same in each medium, the worst first, and nothing in them acts."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_grid import json_values
from strategies_hostile import hostile
from test_report_html import check
from test_report_markdown import check_harmless, tables
from test_report_text import TRIVIAL, record

from pytest_ftbench.analysis.gate_verdict import Kind, Outcome, Verdict
from pytest_ftbench.grid import GATE_METRICS, Cell, Results
from pytest_ftbench.grid.gates import ACTIONS
from pytest_ftbench.report import encodable, render, render_html, render_markdown
from pytest_ftbench.report.github import LIMIT, size
from pytest_ftbench.report.verdicts import counted, read_verdicts, told, worst_first

ORDER = [Outcome.FAIL, Outcome.INCOMPARABLE, Outcome.MISSING, Outcome.INCONCLUSIVE, Outcome.PASS]
WORDS = {Outcome.MISSING: "no baseline"}
METRICS = ("score", "format_rate", "ms_per_token", "train_memory", "eval_memory")
TASKS = ("arc", "squad", "openmath")
HOME = "nano-lora-r8-squad-to-squad"


def verdict(outcome=Outcome.FAIL, cell=HOME, metric="score", **given):
    """A change of a score from 91.3 by -17.1 points, unless said otherwise."""
    usual = {"kind": Kind.TRAINING, "action": "pass" if outcome is Outcome.PASS else "fail", "limit": "no drop shown"}
    usual |= {"was": 91.3, "now": 74.2, "unit": "points", "change": -17.1, "change_unit": "points"}
    usual |= {"interval": (-22.04, -12.16), "seeds": (3, 3), "n": 200}
    return Verdict(cell, metric, outcome=outcome, **(usual | given))


def results(verdicts, *cells):
    return Results("small", list(cells), trivial=TRIVIAL, extra={"gates": [each.as_dict() for each in verdicts]})


def terminal(verdicts, *cells, width=100, **rest):
    """The lines of the section."""
    lines = render(results(verdicts, *cells), width, **rest)
    start = lines.index("Gates")
    end = lines.index("Reasons") if "Reasons" in lines else len(lines)
    return lines[start:end]


def family():
    """Five metrics of 36 cells, one of each outcome in turn."""
    ways = [("lora", 8), ("lora", 32), ("nopeft", None)]
    cells = [
        Cell("nano", method, task, train, rank).way for method, rank in ways for train in TASKS for task in TASKS
    ] + [Cell(model, "base", task).way for model in ("nano", "micro", "mini") for task in TASKS]
    assert len(cells) == 36
    units = {name: (GATE_METRICS[name].unit, GATE_METRICS[name].change) for name in METRICS}
    return [
        verdict(ORDER[(i + j) % 5], cell, metric, unit=units[metric][0], change_unit=units[metric][1], why=f"{i}, {j}")
        for i, cell in enumerate(cells)
        for j, metric in enumerate(METRICS)
    ]


numbers = st.none() | st.floats() | st.floats(-100, 100) | st.integers() | st.just(10**400)
texts = hostile | st.text(max_size=30)
verdicts = st.builds(
    Verdict,
    cell=st.sampled_from([HOME, "nano-base-to-arc"]) | texts,
    metric=st.sampled_from(list(GATE_METRICS)) | texts,
    kind=st.sampled_from(Kind),
    outcome=st.sampled_from(Outcome),
    action=st.sampled_from(ACTIONS),
    limit=texts,
    was=numbers,
    now=numbers,
    unit=st.sampled_from(["points", "ms", "GiB", "tokens"]) | texts,
    change=numbers,
    change_unit=st.sampled_from(["points", "%"]) | texts,
    interval=st.none() | st.tuples(numbers, numbers),
    p=numbers,
    adjusted=numbers,
    n=st.none() | st.integers(),
    seeds=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    why=texts,
    need=texts | st.just(""),
    rerun=texts | st.just(""),
)
FINITE, SHARES = st.floats(-1e9, 1e9), st.floats(0, 1)
CELLS = (
    record(),
    record(task="arc", score=0.5),
    record(train=None, task="arc", score=0.3, format_rate=0.2),
    record(train=None, status="failed", error="out of memory"),
)


# reading


@given(
    st.lists(
        st.builds(replace, verdicts, was=FINITE, now=FINITE, change=FINITE, p=SHARES, adjusted=SHARES, n=st.just(7))
    )
)
def test_verdicts_are_read_as_they_were_written(given_):
    known = [replace(each, interval=(-1.0, 2.0), cell=f"c{each.cell}") for each in given_]
    assert read_verdicts([each.as_dict() for each in known]) == (known, "")


@given(st.lists(json_values | verdicts.map(Verdict.as_dict)) | json_values)
def test_what_is_no_verdict_is_left_out_and_that_is_said(value):
    found, problem = read_verdicts(value)
    assert all(isinstance(each, Verdict) for each in found)
    left_out = len(value) - len(found) if isinstance(value, list) else value is not None
    assert bool(problem) == bool(left_out)
    if isinstance(value, list) and problem:
        assert f"{left_out} of {len(value)}" in problem


@pytest.mark.parametrize(
    "wrong",
    [
        *({key: [1]} for key in ("cell", "metric", "kind", "outcome", "action", "limit", "was", "change", "p", "why")),
        *(
            {"was": "9"},
            {"n": "9"},
            {"n": -1},
            {"seeds": [1, "2"]},
            {"now": True},
            {"interval": 3},
            {"interval": [1]},
            {"seeds": None},
            {"seeds": [1]},
        ),
        *({"outcome": "passed"}, {"action": "stop"}, {"kind": ""}, {"cell": ""}, {"cell": " \n"}, {"need": None}),
    ],
)
def test_one_wrong_part_makes_an_entry_none(wrong):
    good = verdict().as_dict()
    assert read_verdicts([good | wrong, good]) == (
        [verdict()],
        "Of what the results hold under 'gates' 1 of 2 is no verdict: left out.",
    )
    for key in wrong:
        assert read_verdicts([{name: value for name, value in good.items() if name != key}])[0] == []


def test_a_number_that_is_none_is_unknown_and_so_is_its_interval():
    (found,), problem = read_verdicts([verdict().as_dict() | {"was": float("nan"), "interval": [float("-inf"), 3]}])
    assert (found.was, found.interval, found.now, problem) == (None, None, 74.2, "")


# order and words


@given(st.lists(verdicts))
def test_the_worst_come_first(given_):
    known, _ = read_verdicts([each.as_dict() for each in given_])
    found = worst_first(known)
    assert sorted(map(id, found)) == sorted(map(id, known))
    assert [ORDER.index(each.outcome) for each in found] == sorted(ORDER.index(each.outcome) for each in found)
    for outcome in ORDER:
        mine = [each for each in found if each.outcome is outcome]
        assert [ACTIONS.index(each.action) for each in mine] == sorted(ACTIONS.index(each.action) for each in mine)


def test_failures_stand_by_how_far_they_fail_in_what_matters_of_their_metric():
    slower = verdict(metric="ms_per_token", change=60.0)  # 2.4 times what matters, which is 25 %
    small, large = verdict(change=-6.0), verdict(change=-17.1)  # 1.2 and 3.4 times
    better = verdict(change=4.0)
    floor = verdict(kind=Kind.LIMIT, was=None, change=None)
    assert worst_first([better, small, slower, floor, large]) == [floor, large, slower, small, better]


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ([], "No gate was judged."),
        ([verdict()], "1 of 1 gate fails."),
        ([verdict(Outcome.PASS)], "The only gate passes."),
        ([verdict(Outcome.PASS)] * 72, "All 72 gates pass."),
        ([verdict()] * 2 + [verdict(Outcome.PASS)], "2 of 3 gates fail, 1 passes."),
        ([verdict(Outcome.MISSING)] * 3, "3 gates: 3 without a baseline (counted as failed)."),
        (
            [
                verdict(),
                verdict(Outcome.INCONCLUSIVE, action="warn"),
                verdict(Outcome.INCONCLUSIVE),
                verdict(Outcome.INCOMPARABLE, action="skip"),
                *[verdict(Outcome.PASS)] * 2,
            ],
            "1 of 6 gates fails, 1 incomparable (skipped), 2 inconclusive (1 counted as failed, 1 warned), 2 pass.",
        ),
    ],
)
def test_gates_are_counted_in_a_sentence(given_, said):
    assert counted(given_) == said


def test_what_many_verdicts_have_in_common_is_said_once_and_passes_are_not_told_of():
    lost = {"why": "the baseline does not have this cell", "need": "accept a baseline", "p": None}
    some = [
        verdict(Outcome.MISSING, f"nano-base-to-{task}", metric, **lost) for task in "abcde" for metric in METRICS[:2]
    ]
    again = verdict(Outcome.PASS, rerun="it failed before; with 2 fresh seeds it is -1 points", why="Within chance.")
    given_ = [verdict(Outcome.PASS, why="all is well"), verdict(why="17 points!"), *some, again, verdict(p=0.0004)]
    timed = {"kind": Kind.TIMING, "n": 90, "p": 0.02, "adjusted": 0.25, "action": "warn"}
    assert list(told([*given_, verdict(Outcome.INCONCLUSIVE, metric="ms_per_token", **timed)])) == [
        f"{HOME} score: fail. Allowed: no drop shown. 17 points!",
        "nano-base-to-a score, format_rate; nano-base-to-b score, format_rate; nano-base-to-c score, format_rate; "
        "and 2 more cells: missing baseline, counted as failed. The baseline does not have this cell. To decide it: "
        "accept a baseline.",
        f"{HOME} score: pass. Within chance. It failed before; with 2 fresh seeds it is -1 points.",
        f"{HOME} score: fail. Over 3 and 3 seeds: p <0.001.",
        f"{HOME} ms_per_token: inconclusive, warned. Over 90 prompts: p 0.250 among all comparisons, 0.020 by itself.",
    ]


# the terminal


def test_a_verdict_in_the_terminal():
    given_ = [verdict(why="Seeds agree."), verdict(Outcome.PASS, metric="ms_per_token", unit="ms", change_unit="%")]
    lines = terminal(given_, *CELLS, width=160)
    assert lines[:2] == ["Gates", "1 of 2 gates fails, 1 passes. -v lists those that pass."]
    row = "nano LoRA 8 SQuAD v2 SQuAD v2 score fail 91.3 74.2 -17.1 pt [-22.0, -12.2] no drop shown"
    assert row in [" ".join(line.split()) for line in lines]
    assert f"{HOME} score: fail. Allowed: no drop shown. Seeds agree." in lines
    assert not any("ms/tok" in line.split()[:8] for line in lines if line.startswith("nano "))
    detailed = terminal(given_, *CELLS, width=160, detail=True)
    row = "nano LoRA 8 SQuAD v2 SQuAD v2 ms/tok pass 91.30 74.20 -17.1 % [-22.0, -12.2] no drop shown"
    assert row in [" ".join(line.split()) for line in detailed]


def test_without_any_baseline_there_are_no_columns_of_changes():
    lost = [verdict(Outcome.MISSING, was=None, change=None, interval=None, why="there is no baseline")]
    lines = terminal(lost, width=80)
    (headings,) = (line.split() for line in lines if line.startswith("Model"))
    assert headings[-4:] == ["Verdict", "Was", "Now", "Allowed"]


def test_the_interval_of_a_floor_is_that_of_what_is_measured():
    floor = verdict(kind=Kind.LIMIT, was=None, change=None, interval=(72.0, 76.5), limit="at least 80 points")
    row = "nano LoRA 8 SQuAD v2 SQuAD v2 score fail – 74.2 – [72.0, 76.5] at least 80 points"
    assert row in [" ".join(line.split()) for line in terminal([floor], width=160)]


@pytest.mark.parametrize("width", [80, 100, 160])
def test_36_cells_of_five_metrics_in_a_terminal(width):
    given_ = family()
    lines = terminal(given_, width=width)
    assert max(map(len, lines)) <= width
    assert [line for line in lines if line.endswith("…")] == []
    rows = [line for line in lines if line.startswith(("nano ", "micro ", "mini "))]
    shown = [
        word
        for line in rows
        for word in ("fail", "incomparable", "no baseline", "inconclusive")
        if f" {word} " in f"{line} "
    ]
    assert len(shown) == 144
    # in their order, and 36 of each
    assert shown == ["fail"] * 36 + ["incomparable"] * 36 + ["no baseline"] * 36 + ["inconclusive"] * 36
    assert "Allowed: " in " ".join(lines) or any("Allowed" in line for line in lines)
    detailed = terminal(given_, width=width, detail=True)
    assert sum(" pass " in f"{line} " for line in detailed if line.startswith(("nano ", "micro ", "mini "))) == 36


def test_names_that_have_no_room_in_columns_are_ids_and_nothing_is_cut():
    cells = [
        Cell(f"{size}-some-organisation-a-rather-long-name", "lora", task, "openmath", 1024, "nf4").way
        for size in ("nano", "micro")
        for task in TASKS
    ]
    limit = "no rise shown, 25 % matters, at most 100 tokens"
    large = {"was": 12345.6, "now": 1e9, "change": 1234567.8, "change_unit": "%", "interval": (-123456.7, 2345678.9)}
    lines = terminal(
        [verdict(cell=cell, metric="tokens", unit="tokens", limit=limit, **large) for cell in cells], width=80
    )
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line.endswith("…")] == []
    assert any(line.split()[:2] == ["Cell", "Metric"] for line in lines)
    named = {line.split()[0] for line in lines if "tokens" in line.split()[1:2] and line.startswith(("nano", "micro"))}
    assert len(named - set(cells)) == 6
    wide = terminal([verdict(cell=cell) for cell in cells], width=160)
    assert any(line.split()[:5] == ["Model", "Method", "r", "Quant", "Trained"] for line in wide)


def test_colour_and_encoding_change_no_column():
    for width in (80, 160):
        lines = terminal(family(), *CELLS, width=width, detail=True)
        coloured = render(results(family(), *CELLS), width, color=True, detail=True)
        plain = [re.sub(r"\x1b\[\d*m", "", line) for line in coloured]
        assert lines == plain[plain.index("Gates") : plain.index("Reasons")]
        ascii_lines = list(encodable(lines, "ascii"))
        assert [len(line) for line in ascii_lines] == [len(line) for line in lines]
        assert all(line.isascii() and "\\" not in line for line in ascii_lines)
        assert "".join(ascii_lines).count("?") == "".join(lines).count("?")


@given(st.lists(verdicts, max_size=6), st.sampled_from([80, 100, 160]), st.booleans())
def test_no_verdict_breaks_the_page_of_a_terminal(given_, width, detail):
    lines = render(results(given_, *CELLS), width, detail=detail)
    assert max(map(len, lines)) <= width
    assert all(line.isprintable() for line in lines)


# Markdown


def test_a_comment_begins_with_the_gates_and_has_15_rows_of_them_on_top():
    text = render_markdown(results(family(), *CELLS))
    lines = text.split("\n")
    assert lines[0].startswith("### ")
    assert lines[2].startswith("**36 of 180 gates fail, 36 incomparable (counted as failed), ")
    before = text.partition("<details")[0]
    (top,) = tables(before)
    assert len(top) == 16
    assert top[0][:7] == ["Model", "Method", "r", "Trained on", "Tested on", "Metric", "Verdict"]
    assert {row[6] for row in top[1:]} == {"fail"}
    assert text.index("The other 165 gates") < text.index("cells: ")
    # all others are folded: 129 that don't pass, 36 that do
    others = next(found for found in tables(text) if len(found) > 100)
    assert sum(len(row[6]) > 0 for row in others[1:]) == 165
    assert size(text) <= LIMIT
    check_harmless(text)


def test_each_of_few_failures_says_why_unfolded():
    text = render_markdown(results([verdict(why="Seeds agree", need="a fix"), verdict(Outcome.PASS)], *CELLS))
    before = text.partition("<details")[0]
    assert f"- {HOME} score: fail. Allowed: no drop shown. Seeds agree. To decide it: a fix." in before
    assert "<summary>Gates that pass: 1</summary>" in text


@given(st.lists(verdicts, max_size=20))
def test_nothing_in_a_verdict_acts_in_markdown(given_):
    text = render_markdown(results(given_, *CELLS[:1]))
    check_harmless(text)
    assert size(text) <= LIMIT
    assert all(len({len(row) for row in table}) == 1 for table in tables(text))
    assert [len(found) for found in tables(text.partition("<details")[0] + "\n")][:1] <= [16]


# the page


def test_a_page_begins_with_the_gates():
    page = check(render_html(results(family())))
    assert next(text for place, text in page.words if place == "h2") == "Gates"
    assert "36 of 180 gates fail" in page.text
    captions = [text for place, text in page.words if place == "caption"]
    assert captions[:2] == ["Gates that don't pass", "Gates that pass"]
    cells = [text for place, text in page.words if place in ("td", "th")]
    for outcome in ORDER:
        assert cells.count(WORDS.get(outcome, str(outcome))) == 36
    assert "Gates that pass: 36" in page.text


@given(st.lists(verdicts, max_size=6))
def test_nothing_in_a_verdict_acts_on_a_page(given_):
    check(render_html(results(given_)))


# all of them


def everywhere(found):
    """The report in each medium."""
    return ["\n".join(render(found, 160)), render_markdown(found), render_html(found)]


def test_the_marks_of_cells_stay_visible():
    odd = [
        verdict(Outcome.INCONCLUSIVE, "nano-base-to-arc", was=30.0, now=29.5),
        verdict(Outcome.INCONCLUSIVE, "nano-base-to-squad", now=None),
    ]
    lines = terminal(odd, *CELLS, width=160)
    assert any(" ".join(line.split()).startswith("nano Base – – ARC score inconclusive") for line in lines)
    assert any("29.5 INVALID" in line for line in lines)
    assert any("91.3 failed" in line for line in lines)
    assert any(line.startswith("INVALID: under half") for line in lines)
    assert "29.5 INVALID" in render_markdown(results(odd, *CELLS))
    text = check(render_html(results(odd, *CELLS))).text
    assert re.search(r"29\.5\s+INVALID", text)


def test_results_without_gates_have_no_section():
    for text in everywhere(Results("small", list(CELLS[:1]), trivial=TRIVIAL)):
        assert "Gates" not in text


def test_gates_of_which_none_was_judged_are_not_passed_over_in_silence():
    for found in (results([]), Results("small", [], {"gate": {"rules": []}})):
        assert all("No gate was judged." in text for text in everywhere(found))


def test_what_cannot_be_read_is_told_everywhere():
    found = replace(results([]), extra={"gates": [verdict().as_dict(), 3]})
    for text in everywhere(found):
        assert "1 of 2 is no verdict" in " ".join(text.split())
    for text in everywhere(replace(found, extra={"gates": "none"})):
        assert "is no list" in text
