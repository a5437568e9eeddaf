"""ARC against scikit-learn, and what parses as a letter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from pytest_ftbench import tasks
from pytest_ftbench.tasks.arc import TASK, parse_letter

QUESTION = "Which is a mixture? A. gold B. salad C. iron D. helium"
ONE_LETTER = r"""C
c
3
(C)
( c )
C.
C)
(3)
C:
C. bread
C) bread
(C) bread
C: bread
３
Ｃ
Answer: C
The answer is C
The correct answer is (C).
Option C
\text{C}
\textbf{(C)}
$C$
\(C\)
\mathrm{C}
\text{C}. bread
\text{C. bread}
\boxed{C}"""
NO_LETTER = r"""cat
AB
A, B
A and B
A or B
F
6
0
12
1.5
A dog
none
?
-A
²³
A.B
A. gold B. salad C. iron D. helium
(A) gold (B) salad
\frac{A}{B}
Answer:
not C"""
pairs_of_letters = st.lists(st.tuples(st.sampled_from("ABCDE"), st.sampled_from([*"ABCDE", None])), min_size=1)


def rows(*answers):
    return [{"question": QUESTION, "answer": answer} for answer in answers]


def output(letter):
    return "I don't know." if letter is None else f"So \\boxed{{{letter}}}"


@given(pairs_of_letters)
def test_scores_are_those_of_scikit_learn_with_silence_as_a_class_of_its_own(pairs):
    golds, parsed = zip(*pairs, strict=True)
    predicted = [letter or "unparsed" for letter in parsed]
    scored = TASK.score([output(letter) for letter in parsed], rows(*golds))
    macro = {"labels": list("ABCD"), "average": "macro", "zero_division": 0}
    assert scored["scores"]["macro_f1"] == pytest.approx(f1_score(golds, predicted, **macro))
    assert scored["scores"]["accuracy"] == pytest.approx(accuracy_score(golds, predicted))
    spoken = [(gold, letter) for gold, letter in pairs if letter]
    only = f1_score(*zip(*spoken, strict=True), **macro) if spoken else None
    assert scored["scores"]["macro_f1_parsed_only"] == (only if only is None else pytest.approx(only))
    assert scored["format_rate"] == pytest.approx(len(spoken) / len(pairs))


@given(pairs_of_letters)
def test_falling_silent_never_raises_the_headline(pairs):
    golds = [gold for gold, _ in pairs]
    right_or_silent = [gold if letter else None for gold, letter in pairs]
    silent = TASK.score([output(letter) for letter in right_or_silent], rows(*golds))["scores"]
    all_right = TASK.score([output(gold) for gold in golds], rows(*golds))["scores"]
    assert silent["macro_f1"] <= all_right["macro_f1"]
    assert silent["accuracy"] == pytest.approx(sum(letter is not None for letter in right_or_silent) / len(pairs))


@pytest.mark.parametrize(
    "content",
    [" C ", "C. bread\nor so", *ONE_LETTER.splitlines()],
)
def test_a_box_with_one_letter_is_parsed(content):
    assert parse_letter(f"\\boxed{{{content}}}") == "C"


@pytest.mark.parametrize(
    "content",
    ["", " ", *NO_LETTER.splitlines()],
)
def test_a_box_with_anything_else_is_a_format_failure(content):
    assert parse_letter(f"\\boxed{{{content}}}") is None


@pytest.mark.parametrize("text", ["", "C", "Answer: C", r"\boxed{C", r"<think>\boxed{C}</think> C"])
def test_an_output_without_a_box_is_a_format_failure(text):
    scored = TASK.score([text], rows("C"))
    assert scored["items"][0]["parsed"] is None
    assert scored["scores"] == {"macro_f1": 0, "accuracy": 0, "macro_f1_parsed_only": None}


@given(st.text(max_size=30))
def test_any_box_parses_to_a_letter_or_to_nothing(content):
    assert parse_letter(f"\\boxed{{{content}}}") in {*"ABCDE", None}


@pytest.mark.parametrize(("answer", "letter"), [*zip("ABCDE12345", "ABCDE" * 2, strict=True), ("b", "B"), (" 2 ", "B")])
def test_a_target_is_the_boxed_letter_and_scores_full_marks(answer, letter):
    row = {"id": "q1", "question": QUESTION, "answer": answer}
    assert TASK.target(row) == f"\\boxed{{{letter}}}"
    [item] = TASK.score([TASK.target(row)], [row])["items"]
    assert item == {"item": "q1", "output": f"\\boxed{{{letter}}}", "gold": letter, "score": 1, "parsed": letter}


def test_nothing_to_score_gives_no_scores():
    scored = TASK.score([], [])
    assert scored == {
        "scores": {"macro_f1": None, "accuracy": None, "macro_f1_parsed_only": None},
        "format_rate": 0,
        "items": [],
    }


def test_a_different_number_of_outputs_is_refused():
    with pytest.raises(ValueError, match="must pair up"):
        TASK.score([], rows("A"))


def test_the_trivial_answerer_names_the_majority_class():
    assert TASK.trivial(rows("B", "2", "A")) == {"majority_class": [r"\boxed{B}"] * 3, "empty_output": [""] * 3}
    assert TASK.trivial(rows("C", "1")) == {"majority_class": [r"\boxed{A}"] * 2, "empty_output": [""] * 2}
    assert TASK.trivial([]) == {"majority_class": [], "empty_output": []}


def test_a_row_of_the_hub_gets_its_options_inline():
    choices = {"text": ["gold", "salad"], "label": ["1", "2"]}
    row = TASK.from_hub({"id": "M_1", "question": "Which?", "choices": choices, "answerKey": "2"})
    assert row == {"id": "M_1", "title": "M_1", "question": "Which? A. gold B. salad", "answer": "B"}
    assert TASK.problem(row) is None


@pytest.mark.parametrize(
    ("key", "labels"),
    [("D", ["A", "B"]), ("?", ["A", "B"]), ("A", ["A", "F"]), ("A", ["A", "A"]), ("A", ["A", "B", "C"])],
)
def test_a_row_of_the_hub_without_a_usable_key_is_left_out(key, labels):
    choices = {"text": ["gold", "salad"], "label": labels}
    assert TASK.from_hub({"id": "M_1", "question": "Which?", "choices": choices, "answerKey": key}) is None


@pytest.mark.parametrize(
    ("column", "row"),
    [
        ("answer", {"question": QUESTION, "answer": ""}),
        ("answer", {"question": QUESTION, "answer": "F"}),
        ("answer", {"question": QUESTION, "answer": "6"}),
        ("answer", {"question": QUESTION, "answer": "AB"}),
        ("answer", {"question": QUESTION, "answer": "E"}),
        ("question", {"question": " ", "answer": "A"}),
    ],
)
def test_an_unusable_row_is_reported(column, row):
    assert TASK.problem(row)[0] == column


def test_the_task_is_found_by_its_name_and_asks_for_a_box():
    assert tasks.get_task("arc") is TASK
    system, user = TASK.messages(rows("A")[0])
    assert r"\boxed{C}" in system["content"]
    assert "1 to 4 count as A to D" in system["content"]
    assert user == {"role": "user", "content": QUESTION}
    assert TASK.headline.key == "macro_f1"
