"""The comparison: one item per cell of the suite that --ftbench-suite names (default: embedded)."""

from pytest_ftbench import CellRecord


def test_cell(result: CellRecord) -> None:
    """The checkpoint is trained or loaded, and every test question is answered, scored and timed."""
    assert result.complete
