"""Reads what entries of the store hold, and says so where it isn't what this version stores there.

An entry is found by everything that made it, this package's code included, so one of another version is never found:
what has the right key and manifest and yet another shape was put there by hand, or by a tool.
"""

from pathlib import Path
from typing import Any

from pytest_ftbench.grid import UserError
from pytest_ftbench.grid.schema import Shape, is_deep
from pytest_ftbench.store import read_stored


def read_entry(path: Path, shape: Shape) -> Any:
    """The JSON value in a file of an entry.

    Raises :class:`UserError` where it is none, or of another shape, and of the storage where it can't be read.
    """
    fix = "remove its folder, and it is made anew"
    try:
        value = read_stored(path)
    except (ValueError, RecursionError) as error:
        raise UserError(path, f"can't be read ({error})", fix) from None
    if is_deep(value) or not shape.fits(value):
        problem = "values lie too deep in each other" if is_deep(value) else shape.problem(value, "")
        raise UserError(path, f"isn't what this version stores there ({problem})", fix)
    return value
