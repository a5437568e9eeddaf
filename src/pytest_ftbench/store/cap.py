"""A cache's cap: the size that clean-up keeps it within while a run adds to it."""

from collections.abc import Callable
from pathlib import Path

from pytest_ftbench.store.contents import size_of
from pytest_ftbench.store.prune import keep_within
from pytest_ftbench.store.sizes import format_size

_SHARE = 20
"""Other processes add entries, too: after a twentieth of the cap it is looked again how large the cache has become."""


class Cap:
    """Keeps a cache within ``size`` bytes where what is not in use allows that; ``say`` is told of what it does."""

    def __init__(self, root: Path, size: int, say: Callable[[str], None]) -> None:
        self.root = root
        self.size = size
        self.say = say
        self._allowance = 0
        self._is_told = False

    def grew(self, folder: Path) -> None:
        """Clean up after a new entry if the cache may be over its cap now; most times that costs nothing."""
        self._allowance -= size_of(folder)
        if self._allowance < 0:
            self.keep(self.size // _SHARE)

    def keep(self, slack: int = 0) -> None:
        """Clean up if the cache is over its cap, to a ``slack`` below it; that what is in use is more, is said once."""
        removal = keep_within(self.root, self.size, slack)
        if line := removal.told():
            self.say(f"cache: {line}")
        is_over = removal.rest > self.size
        if is_over and not self._is_told:
            self._is_told = True
            taken, allowed = format_size(removal.rest), format_size(self.size)
            self.say(
                f"cache: {taken} is left, more than its cap of {allowed}: all of it is in use, or can't be removed"
            )
        share = self.size // _SHARE
        self._allowance = share if is_over else min(self.size - removal.rest, share)
