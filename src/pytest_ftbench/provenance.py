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
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
