"""SQuAD against an oracle of the official script, abstentions and format failures."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from squad_official import official

from pytest_ftbench import tasks
from pytest_ftbench.tasks.squad import TASK

METRICS = [metric.key for metric in TASK.metrics]
ASCII_WORDS = "the The a an Amnesia club club. theme U.S. an's _a_ 1912 '"
words = st.sampled_from([*ASCII_WORDS.split(), "a–the", "É", "ß", "—", "İ", "²", "日本", "  ", "\u00a0", "\n"])
span = st.lists(words, max_size=5).map(" ".join) | st.text(st.characters(exclude_characters="{}\\$"), max_size=8)
span = span.map(str.strip).filter(lambda text: text.casefold() != "unanswerable" and "</think>" not in text)


def row(*golds, **columns):
    return {"context": "Clubs such as Amnesia.", "question": "Which club?", "answer": "", "answers": golds, **columns}


def outputs_of(*spans):
    return [f"\\boxed{{{text}}}" for text in spans]


@given(st.lists(st.tuples(st.lists(span, max_size=3), span), min_size=1, max_size=6))
@example([(["The"], "a")])
@example([(["The"], "")])
@example([([], "the")])
@example([(["the the club", "club"], "club club")])
def test_scores_are_those_of_the_official_script(pairs):
    golds, answers = zip(*pairs, strict=True)
    scored = TASK.score(outputs_of(*answers), [row(*texts) for texts in golds])
    expected = official(golds, answers)
    assert scored["scores"] == {key: None if value is None else pytest.approx(value) for key, value in expected.items()}
    assert sum(item["score"] for item in scored["items"]) / len(pairs) == pytest.approx(expected["f1"])


@given(st.lists(st.tuples(span, span), min_size=1, max_size=6))
def test_one_gold_in_the_answer_column_scores_as_a_list_of_one(pairs):
    golds, answers = zip(*pairs, strict=True)
    single = [{"context": "c", "question": "q", "answer": gold} for gold in golds]
    expected = official([[gold] if gold else [] for gold in golds], answers)
    assert TASK.score(outputs_of(*answers), single)["scores"] == pytest.approx(expected)


@pytest.mark.parametrize(
    "content",
    [
        "",
        " ",
        "\n",
        "unanswerable",
        "Unanswerable",
        " UNANSWERABLE ",
        r"\text{unanswerable}",
        r"\text{ }",
        "$unanswerable$",
    ],
)
def test_an_empty_or_unanswerable_box_is_an_abstention(content):
    scored = TASK.score(outputs_of(content, content), [row(), row("Amnesia")])
    assert [item["parsed"] for item in scored["items"]] == ["", ""]
    assert scored["scores"] == {
        "f1": 50,
        "em": 50,
        "has_ans_f1": 0,
        "has_ans_em": 0,
        "no_ans_accuracy": 100,
        "avna": 50,
    }


@pytest.mark.parametrize("output", ["", "unanswerable", "Amnesia", r"\boxed{Amnesia", r"<think>\boxed{}</think> none"])
def test_an_output_without_a_box_is_wrong_on_every_metric_and_never_an_abstention(output):
    scored = TASK.score([output] * 3, [row(), row("Amnesia"), row("The")])
    assert scored["scores"] == dict.fromkeys(METRICS, 0)
    assert scored["format_rate"] == 0
    assert {item["parsed"] for item in scored["items"]} == {None}


def test_scores_of_an_empty_subset_are_unknown():
    assert TASK.score([r"\boxed{}"], [row()])["scores"]["has_ans_f1"] is None
    assert TASK.score([r"\boxed{}"], [row()])["scores"]["has_ans_em"] is None
    assert TASK.score([r"\boxed{x}"], [row("x")])["scores"]["no_ans_accuracy"] is None
    assert TASK.score([], []) == {"scores": dict.fromkeys(METRICS), "format_rate": 0, "items": []}


def test_the_list_of_golds_wins_over_the_single_one():
    both = row("club Amnesia", "Amnesia", answer="Ibiza")
    assert TASK.score(outputs_of("Amnesia"), [both])["scores"]["em"] == 100
    assert TASK.target(both) == r"\boxed{club Amnesia}"
    assert TASK.target(row(answer="Ibiza")) == r"\boxed{unanswerable}"
    assert TASK.target(row(answer="Ibiza", answers=None)) == r"\boxed{Ibiza}"


def test_an_item_says_what_was_asked_for_and_what_was_read():
    [item] = TASK.score([r"It was \boxed{the \text{Amnesia} club}"], [row("Amnesia", id="56be")])["items"]
    assert item["item"] == "56be"
    assert (item["gold"], item["parsed"]) == ("Amnesia", "the Amnesia club")
    assert item["score"] == pytest.approx(200 / 3)


@given(st.text(max_size=12) | st.text("{}\\ab $", max_size=8))
@example("{")
@example("f{x")
@example("a}")
@example("a\\")
@example("\\boxed{")
@example("The")
def test_every_gold_without_a_problem_comes_back_from_its_target(gold):
    for example_row in (row(gold, answer=gold), row(answer=gold, answers=None)):
        scores = TASK.score([TASK.target(example_row)], [example_row])["scores"]
        perfect = {value for value in scores.values() if value is not None} == {100}
        assert TASK.target(example_row)
        assert perfect or TASK.problem(example_row)


@pytest.mark.parametrize(
    "gold", ["Amnesia", "{", "f{x", "a}", "a\\", "$25 million", "U.S.", "\\boxed{", "—", "The", "{}"]
)
def test_golds_with_braces_and_backslashes_are_no_problem(gold):
    assert TASK.problem(row(gold, context=f"It is {gold}.")) is None


@pytest.mark.parametrize(
    ("column", "unusable"),
    [
        ("answer", row(answer=" ", answers=None)),
        ("answer", row(answer="unanswerable", answers=None)),
        ("answer", row(answer="a</think>", answers=None)),
        ("answer", row(answer=r"\text{x}y z", answers=None)),
        ("answers", row("")),
        ("answers", row("Amnesia", " ")),
        ("answers", row("Unanswerable")),
        ("answers", row(answers={"text": ["Amnesia"], "answer_start": [14]})),
        ("answers", row(answers=[1912])),
        ("answers", row("Amnesia", "the Ocean")),
        ("answers", row(answer="Amnesia")),
        ("answer", row(answer="Ocean", answers=None)),
        ("context", row("Amnesia", context=" ")),
        ("question", row("Amnesia", question="")),
    ],
)
def test_an_unusable_row_is_reported(column, unusable):
    assert TASK.problem(unusable)[0] == column


def test_the_trivial_answerer_always_abstains():
    assert TASK.trivial([row(), row("x")]) == {
        "always_abstain": [r"\boxed{unanswerable}"] * 2,
        "empty_output": [""] * 2,
    }


@pytest.mark.parametrize(
    ("texts", "answer", "answers"), [(["b", "a", "b"], "b", ["b", "a"]), ([], "", []), (["b"], "b", ["b"])]
)
def test_a_row_of_the_hub_keeps_its_golds_without_repeats(texts, answer, answers):
    columns = {"id": "1", "title": "t", "context": "c", "question": "q"}
    native = {**columns, "answers": {"text": texts, "answer_start": [0] * len(texts)}}
    assert TASK.from_hub(native) == {**columns, "answer": answer, "answers": answers}


def test_questions_on_one_passage_belong_together():
    assert TASK.group(row("x", question="One?")) == TASK.group(row("y", question="Another?"))


def test_a_different_number_of_outputs_is_refused():
    with pytest.raises(ValueError, match="must pair up"):
        TASK.score([r"\boxed{}"], [])


def test_the_task_is_found_by_its_name_and_keeps_passage_and_question_apart():
    assert tasks.get_task("squad") is TASK
    system, user = TASK.messages(row("Amnesia"))
    assert r"\boxed{unanswerable}" in system["content"]
    assert user["content"] == "Context:\nClubs such as Amnesia.\n\nQuestion:\nWhich club?"
    assert TASK.headline.key == "f1"
