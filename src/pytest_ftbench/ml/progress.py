"""How far long work is, in whole lines, also from within one long ``generate()`` call."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Say = Callable[[str], None]

_SECONDS_BETWEEN_LINES = 10.0
# in the middle of a call there is less to say, and a timed one has to be stopped for it
_SECONDS_WITHIN_A_CALL = 20.0


class Progress:
    """Says how many of ``total`` are done: ``how_far`` puts a count into words."""

    def __init__(self, total: int, how_far: Callable[[int], str], say: Say) -> None:
        self.count = 0
        self._total = total
        self._how_far = how_far
        self._say = say
        self._started = self._said = time.perf_counter()

    def advance(self, count: int = 1) -> None:
        """So many more are done: a line, where the last one was long ago."""
        self.count += count
        if (now := time.perf_counter()) - self._said >= _SECONDS_BETWEEN_LINES:
            self._said, left = now, (now - self._started) / self.count * (self._total - self.count)
            self._say(f"{self._how_far(self.count)}, about {left:.0f} s left")

    @property
    def is_overdue(self) -> bool:
        """Whether the last line was so long ago that one is due in the middle of a call."""
        return time.perf_counter() - self._said >= _SECONDS_WITHIN_A_CALL

    def at_token(self, token: int) -> None:
        """A line from the middle of a call that has made so many tokens."""
        self._said = time.perf_counter()
        self._say(f"{self._how_far(self.count)}, at token {token} of the next")


class Onlooker:
    """Sees each token that a ``generate()`` call makes for a batch of prompts, and never stops it."""

    def __init__(self, prompts: "torch.Tensor") -> None:
        self._length = prompts.shape[1]
        # made before any clock runs, and given back as it is after every token
        self._go_on = prompts.new_zeros(len(prompts)).bool()

    def criteria(self) -> Any:
        """The onlooker as an argument of ``generate``."""
        from transformers import StoppingCriteriaList

        return StoppingCriteriaList([self])

    def see(self, token: int) -> None:
        """The ``token``-th new token is there, counted from 1; on a device, it may be on its way."""
        raise NotImplementedError

    def __call__(self, tokens: "torch.Tensor", _scores: Any, **_: Any) -> "torch.Tensor":
        """What ``generate`` calls after each token."""
        self.see(tokens.shape[1] - self._length)
        return self._go_on


class Heartbeat(Onlooker):
    """Says where a long call is."""

    def __init__(self, prompts: "torch.Tensor", progress: Progress) -> None:
        super().__init__(prompts)
        self._progress = progress

    def see(self, token: int) -> None:
        """A line, where one is overdue."""
        if self._progress.is_overdue:
            self._progress.at_token(token)
