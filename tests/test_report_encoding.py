"""What is printed where the terminal's encoding lacks our characters: something like them, in the same columns."""

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pytest_ftbench
from pytest_ftbench.report import encodable

SOURCE = Path(pytest_ftbench.__file__).parent
ENCODINGS = ["ascii", "cp1252", "cp437", "cp850", "latin-1", "utf-8"]


def texts(path):
    """The texts of a module, but for its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said
    ]


@pytest.mark.parametrize("room", ["report", "analysis"])
def test_every_character_that_reports_use_has_an_equivalent(room):
    used = {c for path in (SOURCE / room).glob("*.py") for text in texts(path) for c in text if not c.isascii()}
    assert used
    assert [c for c in used if "?" in next(iter(encodable([c], "ascii")))] == []


def one(text, encoding):
    (line,) = encodable([text], encoding)
    return line


@given(st.text(), st.sampled_from(ENCODINGS))
def test_a_line_keeps_its_length_and_can_be_written(text, encoding):
    text = "".join(c for c in text if not "\ud800" <= c <= "\udfff")
    shown = one(text, encoding)
    assert len(shown) == len(text)
    shown.encode(encoding)
    assert one(shown, encoding) == shown


def test_what_an_encoding_has_stays_and_only_the_rest_is_replaced():
    line = "0.490° – F1 ↑ 3.00✓ +0.5▲ †"
    assert one(line, "utf-8") == line
    assert one(line, "ascii") == "0.490' - F1 ^ 3.00* +0.5^ #"
    assert one(line, "cp1252") == "0.490° – F1 ^ 3.00* +0.5^ †"
    assert one(line, "no-such-encoding") == line


def test_foreign_letters_lose_their_accents_or_are_question_marks():
    assert one("modèle Ω", "ascii") == "modele ?"
