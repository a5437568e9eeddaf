"""How the workers that judge hear what was measured: through files of the process that reports. PYTEST_DONT_REWRITE.

Workers can't talk to each other, and what the controller may tell them is fixed. So it writes each record that it hears
into a folder, once and in one move, and who is at work, anew whenever that changes.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PATIENCE = 5.0
"""So many seconds nobody has been at work on a cell before it is given up to wait for one."""

_PAUSE = 0.1
_STATE = "state.json"


class Outbox:
    """The controller's end: tells of records, and of who is at work.

    ``lost`` is how many workers died and were not replaced, ``ends`` whether the run is at its end: then no more will
    come.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lost = 0
        self.ends = False
        self._count = 0
        self._at_work: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)
        self.say()

    def tell(self, payload: dict[str, Any], nodeid: str) -> None:
        """Tell of the record that an item made."""
        _write(self.folder / f"{self._count:06}.json", {"nodeid": nodeid, "payload": payload})
        self._count += 1
        self.say()

    def begun(self, nodeid: str) -> None:
        """An item that has a cell is being run."""
        self._at_work.add(nodeid)
        self.say()

    def ended(self, nodeid: str) -> None:
        """It no longer is."""
        if nodeid in self._at_work:
            self._at_work.discard(nodeid)
            self.say()

    def say(self) -> None:
        """Write down how things are."""
        state = {"count": self._count, "at_work": len(self._at_work), "over": self.ends or self.lost > 0}
        _write(self.folder / _STATE, state)


class Inbox:
    """A worker's end: reads each record once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read = 0

    def wait(self, take: Callable[[dict[str, Any], str], object], is_all: Callable[[], bool]) -> bool:
        """Take records as they come until ``is_all``, or nobody has been at work for a while.

        Returns whether any may still be made: not where the run ends, or a worker died whom nobody replaced.
        """
        quiet_since = time.monotonic()
        while True:
            state = self._state()
            for payload, nodeid in self._new(state["count"]):
                take(payload, nodeid)
            if is_all():
                return True
            if state["at_work"]:
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since > PATIENCE:
                return not state["over"]
            time.sleep(_PAUSE)

    def _new(self, count: int) -> Iterator[tuple[dict[str, Any], str]]:
        while self._read < count:
            said = json.loads((self.folder / f"{self._read:06}.json").read_text(encoding="utf-8"))
            self._read += 1
            yield said["payload"], said["nodeid"]

    def _state(self) -> dict[str, Any]:
        """How things are; where nothing can be read, as on another machine or after the end, nobody is at work."""
        with contextlib.suppress(OSError, ValueError):
            state: dict[str, Any] = json.loads((self.folder / _STATE).read_text(encoding="utf-8"))
            return state
        return {"count": self._read, "at_work": 0, "over": not self.folder.is_dir()}


def _write(path: Path, value: Any) -> None:
    """Write a file that is there whole or not at all; it need not survive a power cut."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(value), encoding="utf-8")
    draft.replace(path)
