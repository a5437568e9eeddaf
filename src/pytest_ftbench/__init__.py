"""pytest-ftbench: which way of fine-tuning a small language model is worth it, as a pytest run.

The public names are loaded on first use, for every pytest run on a machine with this plugin imports this package.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_ftbench.gate_items import GateWarning
    from pytest_ftbench.grid import Cell, CellRecord, Results, Suite, UserError, read_results
    from pytest_ftbench.grid import format_cell as format
    from pytest_ftbench.grid import parse_cell as parse
    from pytest_ftbench.tasks import get_task

__version__ = "0.1.0"

# public name: the room it is in, and its name there
_PUBLIC = {
    "Cell": ("grid", "Cell"),
    "CellRecord": ("grid", "CellRecord"),
    "GateWarning": ("gate_items", "GateWarning"),
    "Results": ("grid", "Results"),
    "Suite": ("grid", "Suite"),
    "UserError": ("grid", "UserError"),
    "format": ("grid", "format_cell"),
    "get_task": ("tasks", "get_task"),
    "parse": ("grid", "parse_cell"),
    "read_results": ("grid", "read_results"),
}

__all__ = [
    "Cell",
    "CellRecord",
    "GateWarning",
    "Results",
    "Suite",
    "UserError",
    "__version__",
    "format",
    "get_task",
    "parse",
    "read_results",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room, theirs = _PUBLIC[name]
    return getattr(import_module(f"{__name__}.{room}"), theirs)
