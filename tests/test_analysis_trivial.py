"""What trivial answerers score, known from the records of a file that doesn't say it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_compare import runs, trivials

from pytest_ftbench import get_task
from pytest_ftbench.analysis import flags, known_trivial, set_flags
from pytest_ftbench.grid import Cell, CellRecord, Results
from pytest_ftbench.report import render

ROWS = {
    "arc": [{"question": "?", "answer": letter} for letter in "AABCDAAB2E"],
    "openmath": [{"question": "?", "answer": number} for number in (0, 3, 0.5, -7, 0)],
    "squad": [{"context": "?", "question": "?", "answer": answer} for answer in ("", "gold", "", "iron", "tin")],
}


def record(task, scores=None, items=(), n=200, **more):
    made = Cell("nano", "lora", task, task, 8)
    return CellRecord.of(made, n=n, scores=scores or {}, items=list(items), format_rate=1.0, **more)


@pytest.mark.parametrize("task", ROWS)
def test_golds_of_items_are_enough(task):
    rows, known = ROWS[task], get_task(task)
    scored = known.score(["\\boxed{C}"] * len(rows), rows)
    found = known_trivial([record(task, items=scored["items"])], {})
    outputs = known.trivial(rows)
    assert found.scores[task] == {name: known.score(texts, rows)["scores"] for name, texts in outputs.items()}
    assert found.sources == {task: "from the items"}


def test_what_the_file_says_counts():
    trivial = {"arc": {"majority_class": {"macro_f1": 0.3}}}
    items = get_task("arc").score(["A"] * 10, ROWS["arc"])["items"]
    assert known_trivial([record("arc", items=items)], trivial) == (trivial, {})


@pytest.mark.parametrize(
    ("scores", "share"),
    [
        ({"f1": 8.59, "has_ans_f1": 16.84, "no_ans_accuracy": 0.0}, 49.0),
        ({"em": 27.0, "has_ans_em": 10.78, "no_ans_accuracy": 43.88}, 49.0),
        ({"f1": 50.0, "has_ans_f1": 0.0, "no_ans_accuracy": 100.0}, 50.0),
        ({"f1": 20.0, "has_ans_f1": 21.0, "no_ans_accuracy": 19.0}, None),
        ({"f1": 90.0, "has_ans_f1": 21.0, "no_ans_accuracy": 19.0}, None),
        ({"f1": 20.0, "has_ans_f1": None, "no_ans_accuracy": 0.0}, None),
        ({"f1": 20.0}, None),
    ],
)
def test_the_scores_of_squad_tell_what_abstaining_would(scores, share):
    found = known_trivial([record("squad", {"f1": None}), record("squad", scores)], {})
    told = {} if share is None else {"squad": {"always_abstain": {"f1": share, "em": share}}}
    assert found.scores == told
    assert found.sources == ({} if share is None else {"squad": "from the scores"})


def test_no_gold_and_no_number_are_no_answer():
    for items in ([{"item": "a"}], [{"gold": "x"}], [{"gold": "1"}, "?"], [{"gold": "nan"}], [{"gold": 7}]):
        assert known_trivial([record("openmath", items=items)], {}).scores == {}
    assert known_trivial([record("facts", items=[{"item": "a", "gold": "b"}])], {}).scores == {}
    assert known_trivial([record("arc", status="failed", items=[{"gold": "A"}])], {}).scores == {}


def test_checks_and_table_judge_by_it_and_the_page_says_so():
    items = get_task("arc").score(["\\boxed{A}"] * 10, ROWS["arc"])["items"]
    silent = record("arc", {"macro_f1": 0.1, "accuracy": 0.4}, items, n=10)
    assert "V17" in [finding.code for finding in flags([silent], {})[0]]
    set_flags([silent], flags([silent], {}))
    assert "V17" in silent.flags
    lines = render(Results("small", [silent]), 100)
    assert "Trivial on ARC: majority class scores 0.143, empty output scores 0.000 (from the items)." in lines
    assert any("(1 <trivial)" in line for line in lines)


@given(runs, trivials)
def test_no_record_is_too_strange(records, trivial):
    found = known_trivial(records, trivial)
    assert {name: found.scores[name] for name in trivial if name not in found.sources} == {
        name: scores for name, scores in trivial.items() if name not in found.sources
    }


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["item", "gold"]), st.none() | st.text() | st.floats() | st.lists(st.none()))
    )
)
def test_no_item_is_too_strange(items):
    for task in ROWS:
        known_trivial([record(task, items=items)], {})
