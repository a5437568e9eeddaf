"""What a test can ask for: its cell, the cell's checkpoint, the cell's result. PYTEST_DONT_REWRITE."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_ftbench.collection import Entry
    from pytest_ftbench.grid import Cell, CellRecord
    from pytest_ftbench.ml.checkpoint import Checkpoint

ROUTES = ("cell", "checkpoint", "result")
"""The fixtures by which a test asks for a cell."""

CELL_PARAMETER = "_ftbench"
"""A test that uses this fixture, by way of the others, becomes one item per cell; a ``cell`` of another's doesn't."""


def has_cell(item: pytest.Item) -> bool:
    """Whether an item is one of a test that asks for a cell."""
    return CELL_PARAMETER in getattr(getattr(item, "callspec", None), "params", ())


def is_gate(item: pytest.Item) -> bool:
    """Whether an item judges what others measured."""
    return hasattr(item, "ftbench_way")


def measures(item: pytest.Item) -> bool:
    """Whether an item measures its cell, which a test of checkpoints alone doesn't."""
    return has_cell(item) and "result" in getattr(item, "fixturenames", ())


@pytest.fixture
def _ftbench(request: pytest.FixtureRequest) -> "Entry":
    """The suite and the cell of an item, as collection made them."""
    if not hasattr(request, "param"):
        pytest.fail("cell, checkpoint and result are arguments of a test function; name them there.", pytrace=False)
    entry: Entry = request.param
    return entry


@pytest.fixture
def cell(_ftbench: "Entry") -> "Cell":
    """The cell: model, method, rank, train_task, eval_task, seed."""
    return _ftbench.cell


@pytest.fixture
def checkpoint(_ftbench: "Entry", request: pytest.FixtureRequest) -> "Checkpoint":
    """The cell's checkpoint, loaded from the store or trained now: its folder, its key, how it was trained."""
    from pytest_ftbench.recorder import open_checkpoint

    return open_checkpoint(request.node, _ftbench)


@pytest.fixture
def result(_ftbench: "Entry", request: pytest.FixtureRequest) -> "CellRecord":
    """The cell's record: scores, format rate, latency, memory, items. Measured now unless it is stored."""
    from pytest_ftbench.recorder import measure

    return measure(request.node, _ftbench)
