"""What of pytest-xdist this plugin has to know; this file and ``xdist_scheduling`` do. PYTEST_DONT_REWRITE.

Its ``load`` hands out items one by one, so that the cells of a checkpoint end up on several workers, which then wait
for one training. A run with cells is scheduled by checkpoint instead, unless ``--dist`` says otherwise.
"""

from dataclasses import dataclass
from typing import Any

import pytest

_SLOT = "ftbench_slot"


@dataclass(frozen=True)
class Company:
    """How many processes share this run, and which of as many slots is this one's, from 0.

    A worker that replaces a dead one takes over its slot, though not its name.
    """

    workers: int = 1
    slot: int = 0


def company_of(config: pytest.Config) -> Company:
    """The company of this process, be it a worker, the controller, or alone."""
    given: dict[str, Any] | None = getattr(config, "workerinput", None)
    if given is not None:
        return Company(given["workercount"], given.get(_SLOT, 0))
    distributed = getattr(config.option, "dist", "no") != "no"
    return Company(max(1, len(getattr(config.option, "tx", None) or ())) if distributed else 1)


def is_worker(config: pytest.Config) -> bool:
    """Whether this process runs items for another, which reports them."""
    return hasattr(config, "workerinput")


def work_alone(config: pytest.Config) -> None:
    """Start no workers, whatever ``-n`` says: there is nothing for them to do."""
    for option, value in (("numprocesses", None), ("distload", False), ("dist", "no"), ("tx", [])):
        if hasattr(config.option, option):
            setattr(config.option, option, value)


def chooses_no_schedule(config: pytest.Config) -> bool:
    """Whether the run has workers but leaves open how items are handed to them; asked before xdist fills that in."""
    option = config.option
    return bool(getattr(option, "numprocesses", None)) and option.dist == "no" and not option.distload


class Controller:
    """The process that hands out items to workers: it gives each worker a slot, and items by checkpoint."""

    def __init__(self, by_checkpoint: bool) -> None:
        self.by_checkpoint = by_checkpoint
        self._slots: dict[str, int] = {}

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give a worker the lowest slot that no living one has."""
        taken = set(self._slots.values())
        slot = next(number for number in range(len(taken) + 1) if number not in taken)
        self._slots[node.gateway.id] = node.workerinput[_SLOT] = slot

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Free the slot of a worker that has ended, before its replacement is made."""
        self._slots.pop(node.gateway.id, None)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """Schedule by checkpoint, where nobody chose another schedule."""
        if not self.by_checkpoint:
            return None
        from pytest_ftbench.xdist_scheduling import CheckpointOrLoadScheduling

        scheduling: Any = CheckpointOrLoadScheduling(config, log)
        return scheduling
