"""The cells of mine.toml, each a test; what a cell must be by itself is asserted here, what it was is gated."""

import pytest

from pytest_ftbench import CellRecord

pytestmark = pytest.mark.ftbench(suite="mine.toml")


def test_cell(result: CellRecord) -> None:
    """The checkpoint is trained or loaded, and every test question is answered, scored and timed."""
    assert result.complete
