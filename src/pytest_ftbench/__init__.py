"""pytest-ftbench: which way of fine-tuning a small language model is worth it, as a pytest run.

The public names are loaded on first use, for every pytest run on a machine with this plugin imports this package.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_ftbench.grid import Cell, CellRecord, Results, Suite, UserError, format_cell, parse_cell, read_results
    from pytest_ftbench.tasks import get_task

__version__ = "0.1.0"

__all__ = [
    "Cell",
    "CellRecord",
    "Results",
    "Suite",
    "UserError",
    "__version__",
    "format_cell",
    "get_task",
    "parse_cell",
    "read_results",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = "tasks" if name == "get_task" else "grid"
    return getattr(import_module(f"{__name__}.{room}"), name)
