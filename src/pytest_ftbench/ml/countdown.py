"""How far work on many like things is, in whole lines."""

import time
from collections.abc import Callable

Say = Callable[[str], None]

_SECONDS_BETWEEN_LINES = 10.0


class Countdown:
    """Says now and then how far work that begins now has come, and how long it will still take."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._started = self._said = time.monotonic()

    def reached(self, done: int, total: int, how_far: str) -> None:
        """So many of ``total`` are done, ``how_far`` in words: a line, where the last one was long ago."""
        if (now := time.monotonic()) - self._said >= _SECONDS_BETWEEN_LINES:
            self._said, left = now, (now - self._started) / done * (total - done)
            self._say(f"{how_far}, about {left:.0f} s left")
