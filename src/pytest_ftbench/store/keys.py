"""Keys: a stored entry is found by the hash of everything that made it, so a stale one can't be served.

A key's material is a JSON value that says all of it in the open; it is stored beside the entry, so that a human can see
why two entries differ.
"""

import hashlib
import json
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20


def digest(material: Any) -> str:
    """The key of a JSON value: 32 hexadecimal digits of SHA-256 over its canonical text."""
    text = json.dumps(material, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digest(folder: Path, patterns: Iterable[str]) -> str:
    """One digest over the paths in a folder, and the contents, of its files that match any pattern."""
    files = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    return digest([[path.relative_to(folder).as_posix(), file_digest(path)] for path in files])


def source_digest(*modules: Path) -> str:
    """One digest over source files: code that decides a result belongs to its key as much as a library's version."""
    return digest([[path.name, file_digest(path)] for path in sorted(modules)])


def package_versions(*names: str) -> dict[str, str | None]:
    """The installed versions by distribution name, read without importing them; None where one is missing."""
    versions: dict[str, str | None] = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return versions
