"""What a file operation that fails means to a user: one sentence with the path, and the space that is missing."""

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from pytest_ftbench.grid import UserError
from pytest_ftbench.store.files import read_json
from pytest_ftbench.store.manifest import file_sizes

_FULL = {errno.ENOSPC, errno.EDQUOT}
_ANYWHERE = {*_FULL, errno.EIO, errno.EROFS, errno.EFBIG}
"""What nobody but a disk says."""

_NAMELESS = {*_ANYWHERE, errno.EACCES}
_RUST = re.compile(r"\(os error (\d+)\)")  # safetensors and tokenizers raise errors of their own types
ANOTHER_CACHE = "give --ftbench-cache another folder"


class StorageError(UserError):
    """Files that can't be written or read: a disk that is full, broken, or somebody else's."""

    failure: ClassVar[str] = "storage"


def storage_error(error: OSError, root: Path, kind: str | None = None, folder: Path | None = None) -> StorageError:
    """What the user is told of an operation in the cache that failed, while an entry of a ``kind`` was in ``folder``.

    The place is the file that the error names, where it names one; else the entry's folder, else the cache.
    """
    place = _file_of(error) or folder or root
    if error.errno in _FULL:
        return _no_space(place, root, kind, folder)
    why = error.strerror or str(error) or type(error).__name__
    problem = "can't be used as cache" if place == root else "can't be written or read"
    return StorageError(place, f"{problem} ({why})", ANOTHER_CACHE)


def fault_of(error: Exception, root: Path, kind: str | None = None, folder: Path | None = None) -> StorageError | None:
    """The storage's part in an error that anything may have raised; None where it has none.

    It has where the error names a file in the cache, or says what only a disk says.
    """
    if not isinstance(error, OSError):
        found = _RUST.search(str(error))
        if found is None:
            return None
        error = OSError(int(found[1]), os.strerror(int(found[1])))
    file = _file_of(error)
    if file is None:
        return storage_error(error, root, kind, folder) if error.errno in _NAMELESS else None
    if _is_below(file, root):
        return storage_error(error, root, kind, folder)
    return _elsewhere(error, file) if error.errno in _ANYWHERE else None


def read_stored(path: Path) -> Any:
    """The JSON value in a file of a stored entry.

    Raises :class:`StorageError` where it can't be read after all.
    """
    try:
        return read_json(path)
    except OSError as error:
        raise storage_error(error, path.parent, folder=path) from None


def _elsewhere(error: OSError, file: Path) -> StorageError:
    """A failure outside the cache, such as in the folder for temporary files."""
    if error.errno in _FULL:
        return StorageError(file, f"no space is left there ({_free(file)})", "free some, or set TMPDIR to another disk")
    return StorageError(file, f"can't be written or read ({error.strerror})", "look after that disk")


def _no_space(place: Path, root: Path, kind: str | None, folder: Path | None) -> StorageError:
    said = ", ".join(filter(None, (_needed(root, kind, folder), _free(root))))
    # trainings write temporary files too, and the error names no file
    scratch = _other_disk(root) if place == folder else None
    where = f", there or in {scratch}" if scratch else ""
    problem = f"no space is left{where}" + (f" ({said})" if said else "")
    return StorageError(place, problem, f"free some, run `ftbench cache prune`, or {ANOTHER_CACHE}")


def _other_disk(root: Path) -> Path | None:
    """The folder for temporary files, where it is on another disk than the cache."""
    with contextlib.suppress(OSError):
        scratch = Path(tempfile.gettempdir())
        return scratch if scratch.stat().st_dev != root.stat().st_dev else None
    return None


def _needed(root: Path, kind: str | None, folder: Path | None) -> str:
    """What an entry takes: as much as the largest of its kind, or else more than there is of it so far."""
    largest = so_far = 0
    if kind is not None:
        largest = max(_each_size(root / kind), default=0)
    if folder is not None:
        with contextlib.suppress(OSError):
            so_far = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if largest > so_far:
        return f"needs about {_amount(largest)}"
    return f"needs more than {_amount(so_far)}" if so_far else ""


def _each_size(folder: Path) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for entry in folder.iterdir():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                yield file_sizes(entry)


def _free(path: Path) -> str:
    with contextlib.suppress(OSError):
        folder = path if path.is_dir() else path.parent
        return f"{_amount(shutil.disk_usage(folder).free)} free"
    return ""


def _amount(size: int) -> str:
    for unit, name in ((2**30, "GiB"), (2**20, "MiB")):
        if size >= unit / 10:
            return f"{size / unit:.1f} {name}"
    return f"{size / 2**10:.1f} KiB"


def _file_of(error: OSError) -> Path | None:
    """The file an error names; a descriptor's number is no name."""
    name = error.filename
    return Path(os.fsdecode(name)) if isinstance(name, str | bytes | os.PathLike) and name else None


def _is_below(path: Path, root: Path) -> bool:
    return path.absolute().is_relative_to(root.absolute())
