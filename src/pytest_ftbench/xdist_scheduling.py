"""How items are handed to xdist's workers: by checkpoint, so that one worker has all cells of one. PYTEST_DONT_REWRITE.

Imported only where a run has workers, for it imports xdist.
"""

from collections.abc import Sequence
from typing import Any

import pytest
from xdist.scheduler import LoadScheduling, Scheduling, WorkStealingScheduling

from pytest_ftbench.grid import UserError, parse_cell

_MIN_PENDING = 2  # a worker runs an item once it knows the next one


def groups_of(nodeids: Sequence[str]) -> list[int]:
    """For each item the number of the group it belongs to, in order of first appearance.

    The cells of one training are a group, those of a base model too; any other item is one of its own.
    """
    numbers: dict[object, int] = {}
    return [numbers.setdefault(_training(nodeid) or nodeid, len(numbers)) for nodeid in nodeids]


def _training(nodeid: str) -> object | None:
    """What the cell in an item's id is tested on, whatever its weights are quantized to; None where there is none."""
    try:
        cell = parse_cell(nodeid.partition("[")[2].rpartition("]")[0])
    except UserError:
        return None
    return cell.checkpoint_key._replace(quantization=None)


class CheckpointScheduling(WorkStealingScheduling):  # type: ignore[misc] # xdist is Any to mypy
    """Hands out whole groups, to whoever is about to run out of work; nothing is taken back.

    Of its parent it is the bookkeeping: who has which items, what a dead worker leaves, when all is done.
    """

    _groups: list[int] | None = None

    def check_schedule(self) -> None:
        """Give each idle worker the next group, or its leave."""
        if self.collection is None:  # a worker that died before all had collected
            return
        if self._groups is None:
            self._groups = groups_of(self.collection)
            self.pending.sort(key=self._groups.__getitem__)
        for node, mine in self.node2pending.items():
            if node.shutting_down:
                continue
            while len(mine) < _MIN_PENDING and self.pending:
                self._send_tests(node, self._next_group_size(self._groups))
            if len(mine) < _MIN_PENDING:
                node.shutdown()

    def _next_group_size(self, groups: list[int]) -> int:
        first = groups[self.pending[0]]
        others = (place for place, index in enumerate(self.pending) if groups[index] != first)
        return next(others, len(self.pending))


class CheckpointOrLoadScheduling:
    """Schedules by checkpoint, or as xdist's own ``load`` does where it turns out that no cells were collected."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        self.config = config
        self.log = log
        self.chosen: Scheduling = CheckpointScheduling(config, log)
        self._decided = False

    def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
        """Take a worker's collection; the first one decides."""
        if not self._decided and not any(map(_training, collection)):
            other = LoadScheduling(self.config, self.log)
            for known in self.chosen.nodes:
                other.add_node(known)
            self.chosen = other
        self._decided = True
        self.chosen.add_node_collection(node, collection)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.chosen, name)
