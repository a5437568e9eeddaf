"""Which commit a run measured. PYTEST_DONT_REWRITE."""

import subprocess
from pathlib import Path
from typing import Any


def git_state(folder: Path) -> dict[str, Any]:
    """The commit checked out in a folder and whether files differ from it; unknown (None) outside a repository."""
    sha = _git(folder, "rev-parse", "HEAD")
    changes = None if sha is None else _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"git_sha": sha, "dirty": None if changes is None else bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            # a repository's own monitor of files is a program, and nobody asked to run it
            ["git", "-c", "core.fsmonitor=false", *arguments],
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            errors="replace",  # names of files, of which only matters whether there are any
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
