"""Cell ids: written and read back without loss, whatever models and methods are called."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies_grid import MODEL, cells, models

from pytest_ftbench.grid import METHODS, Cell, UserError, format_cell, model_name, parse_cell

EXAMPLES = {
    "nano-base-to-arc": Cell("nano", "base", "arc"),
    "nano-lora-r8-squad-to-arc": Cell("nano", "lora", "arc", "squad", rank=8),
    "nano-nopeft-arc-to-arc": Cell("nano", "nopeft", "arc", "arc"),
    "nano-nopeft-arc-to-squad-s2": Cell("nano", "nopeft", "squad", "arc", seed=2, seeded=True),
    "nano-lora-r8-nf4-squad-to-arc-s0": Cell("nano", "lora", "arc", "squad", 8, "nf4", seed=0, seeded=True),
    "qwen3-0.6b-base-int8-to-openmath": Cell("qwen3-0.6b", "base", "openmath", quantization="int8"),
    "qwen3-0.6b-base-lora-r64-squad-to-arc": Cell("qwen3-0.6b-base", "lora", "arc", "squad", rank=64),
}


@pytest.mark.parametrize(("text", "cell"), EXAMPLES.items())
def test_an_id_names_its_cell_and_a_cell_its_id(text, cell):
    assert parse_cell(text) == cell
    assert format_cell(cell) == cell.id == text


@given(cells)
@example(Cell("x-r8", "lora", "arc", "squad", rank=8))
@example(Cell("a-to-b", "nopeft", "to", "arc"))
@example(Cell("base", "lora", "to", "arc", seed=0, seeded=True))
@example(Cell("base", "base", "arc"))
@example(Cell("lora", "lora", "nf4", "nf4", quantization="nf4"))
@example(Cell("m-base-nf4", "lora", "s1", "r8", seed=1, seeded=True))
def test_every_cell_is_read_back_from_its_id(cell):
    assert parse_cell(format_cell(cell)) == cell


@given(cells, cells)
def test_two_cells_share_an_id_only_if_they_are_the_same(one, other):
    assert (one.id == other.id) == (one == other)


@given(models, st.sampled_from(sorted(METHODS)), st.sampled_from(("arc", "openmath", "squad")))
def test_the_methods_of_the_registry_can_stand_in_ids(model, method, task):
    cell = Cell(model, method, task, None if method == "base" else "squad")
    assert parse_cell(cell.id) == cell


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nano",
        "nano-lora-r8",
        "nano-lora-r8-squad-arc",
        "lora-r8-squad-to-arc",
        "base-to-arc",
        "-base-to-arc",
        "nano-base-to-",
        "nano-base-squad-to-arc",
        "nano-base-to-arc-s1",
        "Nano-base-to-arc",
        "nano-lora-r8-Squad-to-arc",
        "nano-lora-r-8-squad-to-arc-s",
        "nano-lora-r08-squad-to-arc",
        "nano-lora-r٨-squad-to-arc",
        "nano-lora-r8-squad-to-arc-s01",
        "nano-lora-r" + "9" * 5000 + "-squad-to-arc",
        "nano-lora-r8-squad-to-arc\n",
        " nano-base-to-arc",
        "nano base-to-arc",
        "test_cell[nano-base-to-arc]",
    ],
)
def test_a_text_that_is_no_id_is_refused_by_name(text):
    with pytest.raises(UserError, match="is no cell id") as caught:
        parse_cell(text)
    assert str(caught.value).isprintable()


@given(st.text() | st.from_regex(r"[a-z0-9.-]+-(base|lora-r[0-9]+)(-[a-z]+)?-to-[a-z]+(-s[0-9]+)?", fullmatch=True))
def test_whatever_is_read_as_a_cell_is_written_as_the_same_text(text):
    try:
        cell = parse_cell(text)
    except UserError:
        return
    assert format_cell(cell) == text


def test_a_cell_knows_its_checkpoint_and_its_domain():
    cell = Cell("nano", "lora", "arc", "squad", rank=8, seed=1, seeded=True)
    in_domain = Cell("nano", "lora", "squad", "squad", rank=8, seed=1, seeded=True)
    assert cell.checkpoint_key == in_domain.checkpoint_key == ("nano", "lora", 8, None, "squad", 1)
    assert in_domain.in_domain
    assert not cell.in_domain
    assert not cell.is_base
    assert Cell("nano", "base", "arc").is_base


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("Qwen/Qwen3-0.6B", "qwen3-0.6b"),
        ("embedded:nano", "nano"),
        ("/models/My Model (v2)/", "my-model-v2"),
        ("C:\\models\\Small", "small"),
        ("..", "model"),
        ("", "model"),
        ("模型", "model"),
    ],
)
def test_a_model_is_called_by_the_last_part_of_its_source(source, name):
    assert model_name(source) == name


@given(st.text() | st.text("aZ0.-_/\\: "))
def test_every_source_has_a_name_that_an_id_can_hold(source):
    name = model_name(source)
    assert MODEL.fullmatch(name)
    assert parse_cell(f"{name}-lora-r8-squad-to-arc").model == name
    assert model_name(name) == name
