"""Where a cache is where neither an option nor a configuration file says so."""

import os
from pathlib import Path

FOLDER_VARIABLE = "FTBENCH_CACHE"
SIZE_VARIABLE = "FTBENCH_CACHE_SIZE"


def default_folder(here: Path) -> Path:
    """The environment's folder, as seen from ``here``, else a user's cache as XDG has it."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return here / Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pytest-ftbench"
