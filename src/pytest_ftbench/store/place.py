"""Where a cache is where neither an option nor a configuration file says so."""

import os
from pathlib import Path

from pytest_ftbench.grid import UserError

FOLDER_VARIABLE = "FTBENCH_CACHE"
SIZE_VARIABLE = "FTBENCH_CACHE_SIZE"


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
