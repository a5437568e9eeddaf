"""Files that are there whole or not at all, whatever moment the process that writes them is killed at."""

import contextlib
import json
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import Any

_SECONDS_A_DRAFT_LIVES = 60.0


def write_file(path: Path, text: str) -> None:
    """Write a text file so that it is there whole or not at all."""
    _sweep_drafts(path)
    draft = path.with_name(f"{_draft_name(path)}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        draft.write_text(text, encoding="utf-8")
        sync(draft)
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # what failed first is what is to be told
            draft.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> Any:
    """The JSON value in a file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON value so that it is there whole or not at all."""
    write_file(path, json_text(value))


def json_text(value: Any) -> str:
    """The text that :func:`write_json` writes."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    # half of a character, as somebody's rows may hold it, is written as JSON's escape for it
    return text.encode("utf-8", "backslashreplace").decode()


def sync(path: Path) -> None:
    """Make a file's content, or a folder's names, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove whatever is there as far as it can be removed; links are not followed."""
    with contextlib.suppress(OSError):  # closing a folder may fail even where errors are ignored
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _draft_name(path: Path) -> str:
    """How the names of a file's drafts begin; it may have a name as long as there can be."""
    return f".{path.name[:40]}."


def _sweep_drafts(path: Path) -> None:
    """Remove what writers of this file left that were killed: no process of that number lives, and it is no new one.

    A process of another machine may share the folder, and would be seen nowhere; but it writes for seconds only.
    """
    with contextlib.suppress(OSError):
        for draft in path.parent.iterdir():
            number = draft.name.removeprefix(_draft_name(path)).partition("-")[0]
            if draft.name.startswith(_draft_name(path)) and number.isdecimal() and not _lives(int(number)):
                age = time.time() - draft.lstat().st_mtime
                if age > _SECONDS_A_DRAFT_LIVES:
                    draft.unlink()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # somebody else's
        return True
    return True
