"""What a record's items say beside their scores."""

import pytest

from pytest_ftbench import get_task
from pytest_ftbench.grid import Cell
from pytest_ftbench.ml.record import assemble

pytestmark = pytest.mark.torch


def items(name, rows, outputs):
    """The items of a cell that gave these outputs."""
    answers = [{"text": output, "tokens": 3, "truncated": False} for output in outputs]
    answered = {"answers": answers, "dtype": "float32", "template": "t", "merge": None, "engine": {}}
    timed = {"samples": [], "ttft": [], "tokens": [], "peak_memory_gib": {}}
    return assemble(Cell("nano", "base", name), get_task(name), rows, None, answered, timed, {}).items


def test_questions_on_one_passage_are_one_cluster_and_its_name_is_short():
    rows = [{"context": context, "question": f"{i}?", "answer": ""} for i, context in enumerate(["a", "b", "a"])]
    clusters = [item["cluster"] for item in items("squad", rows, [r"\boxed{}"] * 3)]
    assert clusters[0] == clusters[2] != clusters[1]
    assert {len(cluster) for cluster in clusters} == {12}


def test_other_questions_stand_alone():
    rows = [{"question": question, "answer": 1.0} for question in ("one?", "two?")]
    first, second = (item["cluster"] for item in items("openmath", rows, [r"\boxed{1}"] * 2))
    assert first != second
