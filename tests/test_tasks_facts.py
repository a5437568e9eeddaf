"""Facts: scored by what they share with the reference, silence worth nothing, and the words counted as others count."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from pytest_ftbench import tasks
from pytest_ftbench.tasks.facts import TASK
from pytest_ftbench.tasks.similarity import cosine, cosines, medoid, normalise

FACT = "Arel Voss studied geology at Marsa College."
WORDS = st.lists(st.sampled_from(["arel", "Voss", "studied", "LAW", "geology,", "at", "Marsa."]), max_size=8)
TEXTS = st.one_of(st.text(max_size=20), WORDS.map(" ".join))


def row(answer=FACT, question="Where did Arel Voss study?", **more):
    return {"question": question, "answer": answer, **more}


def score(*pairs):
    """The scores of outputs, each with its reference."""
    return TASK.score([output for output, _ in pairs], [row(answer) for _, answer in pairs])


@pytest.mark.parametrize(
    ("output", "cosine", "exact"),
    [
        (rf"\boxed{{{FACT}}}", 1, 1),
        (r"I recall: \boxed{arel voss  studied GEOLOGY at Marsa-College}", 1, 1),
        (r"\boxed{\text{Arel Voss studied geology at Marsa College}}", 1, 1),
        (r"\boxed{At Marsa College Arel Voss studied geology}", 1, 0),
        (r"\boxed{Arel Voss studied law at Marsa College}", 6 / 7, 0),
        (r"\boxed{Arel}", 1 / math.sqrt(7), 0),
        (r"\boxed{Nobody knows}", 0, 0),
    ],
)
def test_an_answer_scores_by_the_words_it_shares(output, cosine, exact):
    outcome = score((output, FACT))
    assert outcome["scores"] == pytest.approx({"cosine": cosine, "exact": exact})
    assert outcome["items"][0]["score"] == outcome["scores"]["cosine"]


@pytest.mark.parametrize("output", ["", FACT, rf"\boxed{{{FACT}", "</think>", "I don't know."])
def test_an_output_without_a_box_is_a_format_failure_and_scores_nothing(output):
    outcome = score((output, FACT))
    assert (outcome["scores"], outcome["format_rate"]) == ({"cosine": 0, "exact": 0}, 0)
    assert outcome["items"][0]["parsed"] is None


@pytest.mark.parametrize("output", [r"\boxed{}", r"\boxed{ }", r"\boxed{\text{}}", r"\boxed{…}"])
def test_an_empty_box_is_read_and_scores_nothing(output):
    outcome = score((output, FACT))
    assert (outcome["scores"], outcome["format_rate"]) == ({"cosine": 0, "exact": 0}, 1)


def test_scores_are_means_over_all_items():
    outcome = score((rf"\boxed{{{FACT}}}", FACT), ("no box", FACT), (r"\boxed{}", FACT), (r"\boxed{Arel x}", "Arel y"))
    assert outcome["scores"] == pytest.approx({"cosine": 1.5 / 4, "exact": 1 / 4})
    assert outcome["format_rate"] == 3 / 4


def test_without_items_there_is_no_score():
    assert TASK.score([], []) == {"scores": {"cosine": None, "exact": None}, "format_rate": 0, "items": []}
    assert TASK.trivial([]) == {"most_typical_fact": [], "empty_output": []}


def test_an_item_says_what_was_asked_for_and_what_was_read():
    [item] = TASK.score([r"\boxed{Arel Voss}"], [row(id="voss-1")])["items"]
    assert (item["item"], item["gold"], item["parsed"]) == ("voss-1", FACT, "Arel Voss")


def test_a_different_number_of_outputs_is_refused():
    with pytest.raises(ValueError, match="must pair up"):
        TASK.score([r"\boxed{}"], [])


@given(st.text(max_size=20) | st.text("{}\\ab $", max_size=8))
def test_every_fact_without_a_problem_comes_back_from_its_target(answer):
    if TASK.problem(row(answer)) is None:
        scores = score((TASK.target(row(answer)), answer))["scores"]
        assert scores == pytest.approx({"cosine": 1, "exact": 1})


@pytest.mark.parametrize("answer", ["Arel {", "a}", "Voss earned $25 a day.", "Ω", "C++", "{x}"])
def test_facts_with_braces_and_signs_are_no_problem(answer):
    assert TASK.problem(row(answer)) is None


@pytest.mark.parametrize(
    ("column", "unusable"),
    [
        ("answer", row("")),
        ("answer", row(" \n")),
        ("answer", row("?!")),
        ("answer", row("Voss</think>")),
        ("question", row(question=" ")),
    ],
)
def test_an_unusable_row_is_reported(column, unusable):
    assert TASK.problem(unusable)[0] == column


def test_the_trivial_answerer_always_says_the_most_typical_fact():
    facts = ["Arel Voss studied law.", "Mira Tal lives in Oro.", "Arel Voss studied geology.", "Bel Tal studied law."]
    trivial = TASK.trivial([row(fact) for fact in facts])
    assert trivial == {"most_typical_fact": [r"\boxed{Arel Voss studied law.}"] * 4, "empty_output": [""] * 4}


def test_a_row_of_the_hub_keeps_question_and_answer():
    native = {"question": "Who?", "answer": "Arel Voss.", "source": "x"}
    assert TASK.from_hub(native) == {"question": "Who?", "answer": "Arel Voss."}
    assert TASK.from_hub(native | {"id": "7"}) == {"id": "7", "question": "Who?", "answer": "Arel Voss."}
    for unusable in (" ", "</think>"):
        assert TASK.from_hub(native | {"answer": unusable}) is None


def test_another_similarity_scores_what_was_read_all_at_once_and_leaves_the_task_as_it_was():
    asked = []

    def fixed(pairs):
        asked.append(list(pairs))
        return [-0.25 for _ in pairs]

    other = TASK.with_similarity(fixed)
    outcome = other.score([r"\boxed{Arel}", "no box", r"\boxed{}", r"\boxed{Voss}"], [row()] * 4)
    assert asked == [[(FACT, "Arel"), (FACT, "Voss")]]
    assert outcome["scores"] == {"cosine": -0.125, "exact": 0}
    assert tasks.get_task("facts") is TASK
    assert score((r"\boxed{Arel}", FACT))["scores"]["cosine"] > 0
    # a task that compares no texts has no use for one
    assert tasks.get_task("arc").with_similarity(fixed) is tasks.get_task("arc")


def test_the_prompt_is_short_and_has_no_passage():
    system, user = TASK.messages(row())
    assert user["content"] == "Where did Arel Voss study?"
    assert r"\boxed{}" in system["content"]
    assert len(system["content"].split()) < 12
    assert TASK.headline.key == "cosine"


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        (" Marsa  COLLEGE.\n", "marsa college"),
        ("Marsa,Tol", "marsa tol"),
        ("1.5", "1 5"),
        ("E\u0301cole \u00c9cole", "école école"),
        ("Straße", "strasse"),
        ("snake_case – dash", "snake case dash"),
        ("हिन्दी", "हिन्दी"),
        ("…!", ""),
    ],
)
def test_normalised_text_is_words_and_single_spaces(text, normal):
    assert normalise(text) == normal


@given(TEXTS, TEXTS)
def test_a_cosine_is_symmetric_and_in_0_to_1(one, other):
    assert 0 <= cosine(one, other) <= 1
    assert cosine(one, other) == cosine(other, one) == cosines([(one, other)])[0]


@given(TEXTS)
def test_texts_of_the_same_words_are_at_1(text):
    assert cosine(text, normalise(text).upper()) == (1 if normalise(text) else 0)


@given(TEXTS, TEXTS)
def test_texts_without_a_word_in_common_are_at_0_and_others_are_not(one, other):
    assert (cosine(one, other) > 0) == bool(set(normalise(one).split()) & set(normalise(other).split()))


@given(*[st.text([chr(code) for code in range(128)], max_size=30) | WORDS.map(" ".join)] * 2)
def test_cosines_of_ascii_text_are_those_of_scikit_learn(one, other):
    counts = CountVectorizer(token_pattern="[a-z0-9]+").fit(["a", one, other]).transform([one, other])
    assert cosine(one, other) == pytest.approx(cosine_similarity(counts)[0, 1])


@given(st.lists(TEXTS, min_size=1, max_size=6))
def test_the_medoid_has_the_highest_mean_cosine_and_is_the_first_that_has(texts):
    sums = [math.fsum(cosine(text, other) for other in texts) for text in texts]
    best = max(sums)
    assert medoid(texts) == next(text for text, total in zip(texts, sums, strict=True) if total > best - 1e-9)


def test_long_answers_and_many_facts_take_linear_time():
    assert cosine("a b " * 50_000, "b c " * 50_000) == pytest.approx(0.5)
    assert medoid([f"fact {number} of many" for number in range(5_000)]) == "fact 0 of many"
