"""Boxes: balanced text comes out as it went in, the last complete box wins, hostile text is read fast."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ftbench.tasks.boxed import box, boxed, itemised, mean, scored, unwrapped

plain = st.text(st.characters(exclude_characters="{}\\"), max_size=12).filter(lambda text: "</think>" not in text)
balanced = st.recursive(plain, lambda inner: st.lists(inner, max_size=4).map(lambda parts: "{" + "".join(parts) + "}"))
markup = st.lists(
    st.sampled_from(["\\", "{", "}", "\\boxed{", "\\boxed ", "boxed", "</think>", "\\text{", "$", " ", "x", "\\{"]),
    max_size=30,
).map("".join)


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"So \boxed{B}.", "B"),
        (r"\boxed{A} or rather \boxed{B}", "B"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{}", ""),
        (r"\boxed {x}", "x"),
        ("\\boxed\n\t{x}", "x"),
        (r"\boxed{A} then \boxed{B", "A"),
        (r"\boxed{3 and \boxed{4}", "4"),
        (r"\boxed{\boxed{5}}", r"\boxed{5}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{a\}b}", r"a\}b"),
        (r"\boxed{a\\}", r"a\\"),
        (r"\\boxed{A}", "A"),
        ("{ \\boxed{A}", "A"),
        ("} \\boxed{A} }", "A"),
        ("\\boxed{two\nlines}", "two\nlines"),
        (r"<think>\boxed{A}</think> \boxed{B}", "B"),
        (r"<think>x</think> \boxed{A} </think> \boxed{B}", "B"),
        (r"<think>\boxed{A}, never closed", "A"),
        (r"<think>\boxed{A}</think> so A", None),
    ],
)
def test_the_last_complete_box_after_thinking_is_read(text, content):
    assert boxed(text) == content


@pytest.mark.parametrize(
    "text",
    ["", "B", r"\boxed", r"\boxed{", r"\boxed{A", r"\boxed{A\}", r"\boxed{{A}", r"\boxed A", "boxed{A}", r"\fbox{A}"],
)
def test_where_there_is_no_complete_box_there_is_none(text):
    assert boxed(text) is None


@given(balanced)
def test_balanced_text_comes_out_of_a_box_as_it_went_in(text):
    assert boxed(box(text)) == text


@given(plain, balanced, plain)
def test_the_last_of_two_boxes_wins(before, text, after):
    assert boxed(before + box("first") + after + box(text) + after) == text


@given(markup | st.text())
def test_any_text_without_an_end_of_thinking_can_be_boxed(text):
    assert (boxed(box(text)) is None) <= ("</think>" in text)


@given(markup | st.text())
def test_no_text_raises(text):
    content = boxed(text)
    assert content is None or content in text
    assert isinstance(unwrapped(text), str)


@pytest.mark.parametrize(
    "unit", ["\\boxed{", "\\boxed", "\\boxed ", "\\", "{", "}", "{}", "\\{", "\\text{", "\\boxed{\\text{x}", "<think>"]
)
def test_hostile_text_takes_linear_time(unit):
    text = unit * (100_000 // len(unit))
    start = time.perf_counter()
    boxed(text)
    boxed("\\boxed{" + text + "}")
    unwrapped(text)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        (r" \text{C} ", "C"),
        (r"\textbf{(C)}", "(C)"),
        (r"\mathrm{C}. bread", "C. bread"),
        ("$C$", "C"),
        ("$$ C $$", "C"),
        (r"\(C\)", "C"),
        (r"\[ \text{C} \]", "C"),
        (r"$\text{\textbf{C}}$", "C"),
        (r"\boxed{C}", "C"),
        ("$", "$"),
        ("$5", "$5"),
        (r"\textcolor{red}", r"\textcolor{red}"),
    ],
)
def test_text_wrappers_come_off(text, inside):
    assert unwrapped(text) == inside


def test_a_gap_keeps_words_apart():
    assert unwrapped(r"12\text{cm}", gap=" ") == "12 cm"


def test_items_are_named_by_their_rows_id_or_else_by_position():
    items = itemised(["x", "y", "z"], [{"id": "q7"}, {}, {"id": None}], lambda output, row: (output, None, 0.0))
    assert [item["item"] for item in items] == ["q7", "1", "2"]
    assert scored({"score": None}, items)["format_rate"] == 0


def test_outputs_that_do_not_pair_up_with_examples_are_refused():
    with pytest.raises(ValueError, match="2 outputs can't be scored against 1 examples: they must pair up"):
        itemised(["x", "y"], [{}], lambda output, row: (output, None, 0.0))


def test_the_mean_of_nothing_is_unknown():
    assert mean([]) is None
    assert mean([1, 2]) == 1.5
