"""Where a cache is where neither an option nor a configuration file says so, and where what is in it."""

import os
from pathlib import Path

from pytest_ftbench.grid import UserError

FOLDER_VARIABLE = "FTBENCH_CACHE"
SIZE_VARIABLE = "FTBENCH_CACHE_SIZE"

BUILDING, SET_ASIDE, LOCKS = "building", "set-aside", "locks"
"""The folders of a cache that aren't a kind's."""


def lock_path(root: Path, name: str) -> Path:
    """The file of the lock that an entry's builder, or remover, holds."""
    return root / LOCKS / f"{name}.lock"


def default_folder(here: Path) -> Path:
    """The environment's folder, as seen from ``here``, else a user's cache as XDG has it.

    Raises :class:`UserError` where that is the folder of a user who isn't there.
    """
    named, common = os.environ.get(FOLDER_VARIABLE), os.environ.get("XDG_CACHE_HOME")
    variable = FOLDER_VARIABLE if named else "XDG_CACHE_HOME"
    try:
        return here / Path(named).expanduser() if named else Path(common or "~/.cache").expanduser() / "pytest-ftbench"
    except RuntimeError as error:
        raise UserError(variable, f"names no folder ({error})", "name one that is there") from None
