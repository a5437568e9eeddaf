"""How far work on many like things is, in whole lines."""

import time
from collections.abc import Callable

Say = Callable[[str], None]

_SECONDS_BETWEEN_LINES = 10.0


class Countdown:
    """Says how many of ``total`` are done: ``how_far`` puts a count into words."""

    def __init__(self, total: int, how_far: Callable[[int], str], say: Say) -> None:
        self._count = 0
        self._total = total
        self._how_far = how_far
        self._say = say
        self._started = self._said = time.monotonic()

    def advance(self, count: int = 1) -> None:
        """So many more are done: a line, where the last one was long ago."""
        self._count += count
        if (now := time.monotonic()) - self._said >= _SECONDS_BETWEEN_LINES:
            self._said, left = now, (now - self._started) / self._count * (self._total - self._count)
            self._say(f"{self._how_far(self._count)}, about {left:.0f} s left")
