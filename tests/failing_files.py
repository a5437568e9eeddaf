"""File operations that fail: those of a block are counted, and the k-th, or each from it on, ends with an error.

Nothing is pretended otherwise: a write that fails has written half, a close that fails has closed, as Linux has it.
"""

import builtins
import fcntl
import io
import os

PATHS = ("mkdir", "rename", "replace", "unlink", "remove", "rmdir", "stat", "lstat", "scandir", "listdir", "open")
DESCRIPTORS = ("fsync", "fstat", "read", "write", "close", "statvfs")


class FailingFiles:
    """Replaces what Python's libraries do with files, in a block; fails nothing without an ``errno``."""

    def __init__(self, monkeypatch, at=0, errno=None, lasting=False):
        self.monkeypatch = monkeypatch
        self.at = at
        self.errno = errno
        self.lasting = lasting
        self.count = 0
        self.failed = None

    def __enter__(self):
        self.patches = self.monkeypatch.context()
        patch = self.patches.__enter__()
        for name in (*PATHS, *DESCRIPTORS):
            patch.setattr(os, name, self._failing(name, getattr(os, name)))
        patch.setattr(fcntl, "flock", self._flock(fcntl.flock))
        opened = self._opening(io.open)
        patch.setattr(io, "open", opened)
        patch.setattr(builtins, "open", opened)
        return self

    def __exit__(self, *error):
        self.patches.__exit__(None, None, None)

    def step(self, name, path=None):
        """Count an operation, and fail it if it is one that fails."""
        self.count += 1
        if self.errno is not None and (self.count == self.at or (self.lasting and self.count > self.at)):
            self.failed = self.failed or name
            names = (os.fspath(path),) if isinstance(path, str | bytes | os.PathLike) else ()
            raise OSError(self.errno, os.strerror(self.errno), *names)

    def _failing(self, name, real):
        def operation(*arguments, **options):
            if name == "close":
                real(*arguments)
                return self.step(name)
            if name == "write":
                return Half(self, real).write(*arguments)
            self.step(name, arguments[0] if arguments and name in PATHS else None)
            return real(*arguments, **options)

        return operation

    def _flock(self, real):
        def flock(descriptor, operation):
            # to be told EACCES is to be told that somebody else holds it; and what is closed is let go of for good
            contended = self.errno is not None and os.strerror(self.errno) == "Permission denied"
            if not contended and not (operation & fcntl.LOCK_UN and self.lasting):
                self.step("flock")
            return real(descriptor, operation)

        return flock

    def _opening(self, real):
        def opened(file, *arguments, **options):
            self.step("open", file)
            return File(self, real(file, *arguments, **options))

        return opened


class Half:
    """A write to a descriptor that fails half done."""

    def __init__(self, files, real):
        self.files = files
        self.real = real

    def write(self, descriptor, data):
        try:
            self.files.step("write")
        except OSError:
            self.real(descriptor, data[: len(data) // 2])
            raise
        return self.real(descriptor, data)


class File:
    """An open file whose operations are counted."""

    def __init__(self, files, real):
        self.files = files
        self.real = real

    def __getattr__(self, name):
        return getattr(self.real, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def read(self, *size):
        self.files.step("read")
        return self.real.read(*size)

    def readinto(self, buffer):
        self.files.step("read")
        return self.real.readinto(buffer)

    def write(self, data):
        try:
            self.files.step("write")
        except OSError:
            self.real.write(data[: len(data) // 2])
            raise
        return self.real.write(data)

    def close(self):
        if not self.real.closed:
            self.real.close()
            self.files.step("close")
