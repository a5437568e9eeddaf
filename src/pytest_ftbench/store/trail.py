"""Who began what in a run: a work that ended its process is not begun again by another one of the same run.

A training that takes more memory than there is ends the worker that does it. Each of its cells would be handed to the
worker that comes next, which would end as well. So whoever begins a work leaves a mark in a folder of this run's own,
and takes it away at the end, however that comes, but for the process's. A later run has a folder of its own, and tries
again.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pytest_ftbench.grid import KilledError
from pytest_ftbench.store.keys import digest

_FIX = "give it more memory (fewer workers, a lower recipe.per_device_train_batch_size, or lora), or begin a new run"


class Trail:
    """The marks of one run, left as ``who``; without a folder there are none, for nobody is left to read them."""

    def __init__(self, folder: Path | None = None, who: str = "this process") -> None:
        self.folder = folder
        self.who = who

    @contextlib.contextmanager
    def work(self, name: str, *parts: object) -> Iterator[None]:
        """Do in the block what ``parts`` tell apart, and ``name`` is called by; no other process may be at the same.

        Raises :class:`KilledError` where a process of this run died of it.
        """
        if self.folder is None:
            yield
            return
        mark = self.folder / digest([name, *map(str, parts)])
        with contextlib.suppress(OSError):
            before = mark.read_text(encoding="utf-8")
            raise KilledError(name, f"{before} was killed while it trained this, so it isn't tried again", _FIX)
        with contextlib.suppress(OSError):  # without a mark it is tried again, which is no harm but time
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text(self.who, encoding="utf-8")
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                mark.unlink()
