"""OpenMath: every finite number survives its target, and what parses as a number."""

import math
import sys
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_ftbench import tasks
from pytest_ftbench.tasks.openmath import TASK, number_text, parse_number, read_number

LARGEST = sys.float_info.max
NO_NUMBER = r"""nan
inf
-inf
\infty
1e999
1/0
\frac{1}{0}
10^{999999999}
3,5
0,125
1,23
1,2,3
1,234,5
100,00
3 or 4
3 \text{ or } 4
3 and 4
2 3
1 23
3-4
2+3
3:4
12:30
\pm 5
--5
1.2.3
5!
1010_2
0x10
1_000
(3, 4)
[0, 5]
5x
5 x
3i
2\pi
x
x > 5
x >= 5
x != 5
x = 5, y = 6
x = 5 or x = 6
5 = x
5 hours 30 minutes
3 or more
cat
twelve
\frac{1}{
\frac{1}
\sqrt{-4}
\sqrt[0]{4}
__import__('os')
{1}{2}
1(2)
$3$4$"""
finite = st.floats(allow_nan=False, allow_infinity=False)


def row(answer):
    return {"question": "How many?", "answer": answer}


def boxes(*contents):
    return [f"\\boxed{{{content}}}" for content in contents]


@given(finite | st.integers(-(2**1000), 2**1000))
@example(1e16)
@example(-0.0)
@example(5e-324)
@example(LARGEST)
def test_every_finite_number_comes_back_from_its_target(number):
    target = TASK.target(row(number))
    assert parse_number(target) == float(number)
    assert TASK.score([target], [row(number)])["scores"]["solve_rate"] == 1


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (12.0, "12"),
        (12, "12"),
        (0.5, "0.5"),
        (-0.0, "0"),
        (987654321.0, "987654321"),
        (1e16, "10000000000000000"),
        (-2.25, "-2.25"),
        (1e-7, "0.0000001"),
        (0.1, "0.1"),
        (1e22, "1" + 22 * "0"),
    ],
)
def test_a_target_is_written_without_exponent_or_trailing_zero(number, text):
    assert TASK.target(row(number)) == f"\\boxed{{{text}}}"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,234", 1234),
        ("1{,}234", 1234),
        (r"1\,234", 1234),
        (r"1,\!234", 1234),
        ("1 234", 1234),
        ("1\u00a0234", 1234),
        ("1\u202f234", 1234),
        ("12,345,678.9", 12345678.9),
        (r"\frac{3}{4}", 0.75),
        (r"\dfrac{3}{4}", 0.75),
        (r"\tfrac{3}{4}", 0.75),
        (r"\frac34", 0.75),
        (r"\frac 3 4", 0.75),
        (r"\frac{1,000}{4}", 250),
        (r"-\frac{1}{2}", -0.5),
        (r"\frac{-1}{2}", -0.5),
        (r"\frac{\sqrt{4}}{2}", 1),
        (r"1\frac{1}{2}", 1.5),
        (r"-1\frac{1}{2}", -1.5),
        ("1 1/2", 1.5),
        ("3/4", 0.75),
        ("-3/4", -0.75),
        ("½", 0.5),
        ("1½", 1.5),
        ("x = 5", 5),
        ("x = y = 5", 5),
        ("f(1, 2) = 5", 5),
        (r"\approx 3.14", 3.14),
        ("12 cm", 12),
        ("12cm", 12),
        (r"12\text{ cm}", 12),
        (r"12\text{cm}", 12),
        (r"12 \text{ cm}^2", 12),
        ("12 square meters", 12),
        ("3 km/h", 3),
        (r"\frac{1}{2} \text{ cup}", 0.5),
        (r"\$12", 12),
        (r"-\$1,234.50", -1234.5),
        ("$12$", 12),
        (r"\(12\)", 12),
        (r"50\%", 50),
        ("50 percent", 50),
        (r"90^\circ", 90),
        (r"90^{\circ}", 90),
        ("90°", 90),
        (r"2 \times 10^{3}", 2000),
        (r"2 \cdot 10^3", 2000),
        ("3 × 10^8 m/s", 3e8),
        ("10^3", 1000),
        ("10²", 100),
        ("2^{-1}", 0.5),
        ("1e3", 1000),
        ("1E-3", 0.001),
        (r"\sqrt{16}", 4),
        (r"2\sqrt{16}", 8),
        (r"\sqrt[3]{8}", 2),
        ("−5", -5),
        ("- 5", -5),
        ("+5", 5),
        ("１２", 12),
        ("٣٤", 34),
        (".5", 0.5),
        ("5.", 5),
        ("(5)", 5),
        ("{5}", 5),
        (r"\left(5\right)", 5),
        (r"\boxed{5}", 5),
        ("5 million", 5_000_000),
        (r"\$2.5 \text{ billion}", 2.5e9),
    ],
)
def test_a_number_is_read_in_the_ways_that_models_write_it(text, number):
    assert read_number(text) == pytest.approx(number, rel=1e-12)
    assert parse_number(f"So it is $\\boxed{{{text}}}$.") == pytest.approx(number, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    ["", " ", "9" * 400, "9" * 5000, *NO_NUMBER.splitlines()],
)
def test_what_is_no_single_finite_number_is_a_format_failure(text):
    assert read_number(text) is None


@given(st.text(max_size=40) | st.lists(st.sampled_from([*"0159 .,/^{}()=-e$%x", r"\frac", r"\sqrt", "½"])).map("".join))
def test_any_text_is_read_as_a_finite_number_or_as_nothing(text):
    number = read_number(text)
    assert number is None or math.isfinite(number)


@pytest.mark.parametrize("unit", ["1", "1,", "1 ", "12 a ", "1*", "(", "a1", "m ", "\\frac{", "^{1}", "1/", "{", "-"])
def test_long_boxes_are_read_fast(unit):
    start = time.perf_counter()
    read_number(unit * 50_000)
    read_number((unit * 1000)[:1000])
    assert time.perf_counter() - start < 1


def test_solved_means_within_the_tolerance_and_silence_is_never_solved():
    outputs = [*boxes("1.00009", "1.0002", ""), "1", r"\boxed{1"]
    scored = TASK.score(outputs, [row(1.0)] * 5)
    assert [item["score"] for item in scored["items"]] == [1, 0, 0, 0, 0]
    assert [item["parsed"] for item in scored["items"]] == ["1.00009", "1.0002", None, None, None]
    assert scored["scores"]["solve_rate"] == 0.2
    assert scored["scores"]["abs_diff_n"] == 2
    assert scored["format_rate"] == 0.4


def test_differences_are_averaged_over_parsed_outputs_only():
    scored = TASK.score([*boxes("0", "10", "200"), "nothing"], [row(0), row(0), row(0), row(10**6)])
    assert scored["scores"]["abs_diff_mean"] == 70
    assert scored["scores"]["abs_diff_median"] == 10
    assert scored["scores"]["abs_diff_n"] == 3


def test_without_a_parsed_output_differences_are_unknown():
    scored = TASK.score(["nothing"], [row(1.0)])
    assert scored["scores"] == {"solve_rate": 0, "abs_diff_mean": None, "abs_diff_median": None, "abs_diff_n": 0}
    assert TASK.score([], []) == {
        "scores": {"solve_rate": None, "abs_diff_mean": None, "abs_diff_median": None, "abs_diff_n": 0},
        "format_rate": 0,
        "items": [],
    }


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=5))
@example([(LARGEST, -LARGEST)] * 2)
def test_differences_never_overflow(pairs):
    outputs = boxes(*(number_text(number) for number, _ in pairs))
    scores = TASK.score(outputs, [row(gold) for _, gold in pairs])["scores"]
    assert all(type(score) in (int, float) and math.isfinite(score) for score in scores.values())


def test_the_trivial_answerer_says_0():
    assert TASK.trivial([row(1.0), row(2.0)]) == {"constant_0": [r"\boxed{0}"] * 2, "empty_output": [""] * 2}


@pytest.mark.parametrize(("answers", "median"), [([3.0], "3"), ([9.0, 1.0, 2.5], "2.5"), ([4.0, 1.0, 2.0, 100.0], "2")])
def test_the_median_of_the_training_rows_is_an_answer_of_one_of_them(answers, median):
    outputs = TASK.trivial([row(5.0)], [row(answer) for answer in answers])
    assert outputs["train_median"] == [rf"\boxed{{{median}}}"]
    assert list(outputs) == ["constant_0", "train_median", "empty_output"]


@pytest.mark.parametrize("name", tasks.TASK_NAMES)
def test_whoever_says_nothing_scores_nothing_in_any_task(name):
    task = tasks.get_task(name)
    rows = [
        {"context": "It is so.", "question": "Is it?", "answer": answer}
        for answer in ([1.0] if name == "openmath" else ["A"])
    ]
    outputs = task.trivial(rows)["empty_output"]
    outcome = task.score(outputs, rows)
    assert (outputs, outcome["format_rate"], outcome["scores"][task.headline.key]) == ([""], 0.0, 0.0)


def test_a_row_of_the_hub_is_used_if_its_answer_is_a_number():
    native = {"problem": "Half?", "generated_solution": "…", "problem_source": "math"}
    assert TASK.from_hub({**native, "expected_answer": r"\frac{1}{2}"}) == {"question": "Half?", "answer": 0.5}
    assert TASK.from_hub({**native, "expected_answer": "x + 1"}) is None


@pytest.mark.parametrize("answer", [math.nan, math.inf, -math.inf, True, None, "5", 10**400])
def test_an_answer_that_is_no_finite_number_is_reported(answer):
    assert TASK.problem(row(answer))[0] == "answer"


def test_an_empty_question_is_reported_and_an_integer_is_fine():
    assert TASK.problem({"question": "", "answer": 1.0})[0] == "question"
    assert TASK.problem(row(5)) is None


def test_the_task_is_found_by_its_name_and_ranks_differences_upside_down():
    assert tasks.get_task("openmath") is TASK
    assert TASK.headline.key == "solve_rate"
    assert [metric.key for metric in TASK.metrics if not metric.higher_is_better] == [
        "abs_diff_mean",
        "abs_diff_median",
    ]
    assert [turn["role"] for turn in TASK.messages(row(1.0))] == ["system", "user"]
