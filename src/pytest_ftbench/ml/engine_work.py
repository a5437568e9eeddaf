"""The loop of the fast engines: rows in a cache that stays, those that have ended making room for the next.

Prompts are put in by length, the longest first; what all of them begin with is computed once. Every so many steps the
loop looks at which rows have ended: their places are given to prompts that wait, and where none does, the rows that are
left move together so that fewer are computed.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_ftbench.ml.engine_cache import Cache

Reached = Callable[[int], None]
_SHARED_FROM = 4  # tokens, for what fewer share is not worth an extra pass


@dataclass(frozen=True)
class Pace:
    """How a device likes to work.

    At most so many ``rows``, of which the counts ``steps`` can be computed; prefills of about so many ``tokens``; a
    look at what has ended every ``look`` steps; lengths in multiples of ``stride``.
    """

    rows: int
    tokens: int
    look: int
    stride: int
    steps: tuple[int, ...] = ()

    def count(self, rows: int) -> int:
        """How many rows are computed where so many are left."""
        return next((count for count in self.steps if count >= rows), rows)

    def room(self, length: int) -> int:
        """The length that is computed where so much is needed."""
        return -(-length // self.stride) * self.stride


def _common(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with; of a single one, none that is shared."""
    if len(prompts) < 2:
        return 0
    # whatever the first and the last share, all between them do
    ordered = sorted(tuple(prompt) for prompt in prompts)
    pairs = enumerate(zip(ordered[0], ordered[-1], strict=False))
    return next((number for number, (one, other) in pairs if one != other), len(ordered[0]))


class Work:
    """One call of ``generate``: the prompts that wait, those in the cache, and what each has answered so far."""

    def __init__(
        self, cache: Cache, pace: Pace, prompts: Sequence[Sequence[int]], budget: int, ends: Collection[int]
    ) -> None:
        self.cache = cache
        self.pace = pace
        self.prompts = prompts
        self.budget = budget
        self.ends = frozenset(ends)
        self.waiting = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        self.answers: list[list[int]] = [[] for _ in prompts]
        self.places: dict[int, int] = {}  # row of the cache → prompt
        self.capacity = min(cache.rows, pace.count(len(prompts)))
        self.done = 0
        length = min(_common(prompts), min(map(len, prompts)) - 1)
        self.prefix = cache.shared(list(prompts[0][:length]) if length >= _SHARED_FROM else [])

    def run(self, step: Callable[[int, int], None], reached: Reached) -> None:
        """Answer everything; ``reached`` is told how many are, and the steps are taken by ``step``."""
        import torch

        while self.waiting or self.places:
            self.admit()
            rows = self.gathered()
            if not self.places:
                reached(self.done)
                continue
            left = min(self.budget - len(self.answers[index]) for index in self.places.values())
            taken: list[Any] = []
            longest = max(self.length(index) for index in self.places.values())
            for number in range(min(self.pace.look, left)):
                step(rows, min(self.pace.room(longest + number + 1), self.cache.length))
                taken.append(self.cache.tokens[:rows].clone())
            self.take(torch.stack(taken, dim=1).tolist(), list(self.places))
            reached(self.done)

    def admit(self) -> None:
        """Give the rows that are free to prompts that wait, some at a time, as many as share a prefill."""
        while self.waiting and len(self.places) < self.capacity:
            free = [row for row in range(self.capacity) if row not in self.places]
            longest = max(1, len(self.prompts[self.waiting[-1]]) - self.prefix[0].shape[2])
            wanted = max(1, min(self.pace.tokens // longest, len(self.waiting)))
            if self.places and len(free) < min(wanted, max(1, self.capacity // 4)):
                return  # few at a time cost as much as many
            some = [self.waiting.pop() for _ in range(min(wanted, len(free)))]
            rows = free[: len(some)]
            self.cache.prefill([self.prompts[index] for index in some], rows, self.prefix)
            self.places.update(zip(rows, some, strict=True))
            self.take([[token] for token in self.cache.tokens[: self.capacity].tolist()], rows)

    def take(self, tokens: list[list[int]], before: Sequence[int]) -> None:
        """The tokens that the last steps, or a prefill, gave to these rows; those that have ended make room."""
        for row in before:
            self._add(row, tokens[row])
        if ended := [row for row in before if row not in self.places]:
            self.cache.park(ended)

    def gathered(self) -> int:
        """How many rows are to be computed, those in use moved to the front where that spares some."""
        if not self.places:
            return 0
        last = max(self.places) + 1
        rows = self.pace.count(len(self.places))
        if rows >= self.pace.count(last):
            return min(self.pace.count(last), self.cache.rows)
        sources = [row for row in self.places if row >= rows]
        targets = [row for row in range(rows) if row not in self.places][: len(sources)]
        longest = max(self.length(self.places[row]) for row in sources)
        self.cache.move(sources, targets, longest)
        for source, target in zip(sources, targets, strict=True):
            self.places[target] = self.places.pop(source)
        self.cache.park(sources)
        return rows

    def length(self, index: int) -> int:
        """How many tokens of a prompt and its answer are in the cache; the last one comes with the next step."""
        return len(self.prompts[index]) + max(0, len(self.answers[index]) - 1)

    def _add(self, row: int, tokens: list[int]) -> None:
        index = self.places[row]
        answer = self.answers[index]
        end = next((number for number, token in enumerate(tokens) if token in self.ends), None)
        answer += tokens if end is None else tokens[: end + 1]
        if end is not None or len(answer) >= self.budget:
            del self.places[row]
            self.done += 1
