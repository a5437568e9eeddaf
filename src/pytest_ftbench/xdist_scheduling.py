"""How items are handed to xdist's workers: by checkpoint, so that one worker has all cells of one. PYTEST_DONT_REWRITE.

Imported only where a run has workers, for it imports xdist.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pytest
from xdist.scheduler import LoadScheduling, Scheduling, WorkStealingScheduling

_MIN_PENDING = 2  # a worker runs an item once it knows the next one


class CheckpointScheduling(WorkStealingScheduling):  # type: ignore[misc] # xdist is Any to mypy
    """Hands out whole groups, to whoever is about to run out of work; nothing is taken back.

    ``group_of`` has the group of each item that has one; the others are handed out in batches. Items that are ``last``,
    gates, wait for what the others measure: they are handed out when nothing else is left to be. Of its parent it is
    the bookkeeping: who has which items, what a dead worker leaves, when all is done.
    """

    def __init__(
        self, config: pytest.Config, log: Any, group_of: Mapping[str, str], last: Collection[str] = ()
    ) -> None:
        super().__init__(config, log)
        self._group_of = group_of
        self._last = frozenset(last)
        self._groups: list[str | None] = []
        self._is_sorted = False

    def check_schedule(self) -> None:
        """Give each idle worker the next group, or its leave."""
        if self.collection is None:  # a worker that died before all had collected
            return
        if not self._is_sorted:
            self._sort(self.collection)
        for node, mine in self.node2pending.items():
            if node.shutting_down:
                continue
            while len(mine) < _MIN_PENDING and self.pending and self._may_follow(mine):
                self._send_tests(node, self._next_size())
            if len(mine) < _MIN_PENDING and not self.pending:
                node.shutdown()

    def _may_follow(self, mine: Sequence[int]) -> bool:
        """Whether a worker may have what is next: not behind a gate, which would wait for it."""
        assert self.collection is not None
        is_last = [self.collection[index] in self._last for index in (*mine, self.pending[0])]
        return is_last[-1] or not any(is_last)

    def remove_node(self, node: Any) -> str | None:
        """Take back what a dead worker leaves; it goes where it was, before what is last. The item that killed it."""
        self._is_sorted = False
        item: str | None = super().remove_node(node)
        return item

    def _sort(self, collection: Sequence[str]) -> None:
        """Put the items of a group side by side, where its first one is."""
        self._groups = [self._group_of.get(nodeid) for nodeid in collection]
        first: dict[str, int] = {}
        for index, group in enumerate(self._groups):
            if group is not None:
                first.setdefault(group, index)
        self.pending.sort(
            key=lambda index: (collection[index] in self._last, first.get(self._groups[index] or "", index))
        )
        self._is_sorted = True

    def _next_size(self) -> int:
        """How many of the pending items go to one worker: a group, or half of what each would get of the others."""
        group = self._groups[self.pending[0]]
        others = (place for place, index in enumerate(self.pending) if self._groups[index] != group)
        alike: int = next(others, len(self.pending))
        return alike if group is not None else math.ceil(alike / (2 * self.numnodes))


class CheckpointOrLoadScheduling:
    """Schedules by checkpoint, or as xdist's own ``load`` does where it turns out that no cells were collected.

    ``groups`` and ``last`` are asked once the first worker has collected. It goes by the name of what it has become.
    """

    def __init__(
        self,
        config: pytest.Config,
        log: Any,
        load: LoadScheduling,
        groups: Callable[[], Mapping[str, str]],
        last: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._chosen: Scheduling = load
        self._config = config
        self._log = log
        self._groups = groups
        self._last = last
        self._is_decided = False

    def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
        """Take a worker's collection; the first one decides."""
        if not self._is_decided and (groups := self._groups()):
            other = CheckpointScheduling(self._config, self._log, groups, self._last())
            for known in self._chosen.nodes:
                other.add_node(known)
            self._chosen = other
        self._is_decided = True
        self._chosen.add_node_collection(node, collection)

    @property  # type: ignore[misc] # object's can be set
    def __class__(self) -> type:
        return type(self._chosen)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chosen, name)
