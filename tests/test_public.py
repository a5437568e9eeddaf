import pytest

import pytest_ftbench


def test_every_public_name_is_there_and_no_other():
    assert set(pytest_ftbench.__all__) == set(pytest_ftbench._PUBLIC) | {"__version__"}
    for name in pytest_ftbench.__all__:
        assert getattr(pytest_ftbench, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pytest_ftbench.nothing


def test_ids_are_read_and_written_under_their_public_names():
    cell = pytest_ftbench.Cell("nano", "lora", "arc", "squad", rank=8)
    assert pytest_ftbench.format(cell) == "nano-lora-r8-squad-to-arc"
    assert pytest_ftbench.parse("nano-lora-r8-squad-to-arc") == cell
