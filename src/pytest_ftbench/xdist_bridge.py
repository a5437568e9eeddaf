"""What of pytest-xdist this plugin has to know; this file and ``xdist_scheduling`` do. PYTEST_DONT_REWRITE.

Its ``load`` hands out items one by one, so that the cells of a checkpoint end up on several workers, which then wait
for one training. A run with cells is scheduled by checkpoint instead, unless somebody chose another schedule.
"""

import json
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_ftbench.grid import KILLED
from pytest_ftbench.plugin import ONLY, PHASES
from pytest_ftbench.progress import show
from pytest_ftbench.records_channel import Inbox, Outbox
from pytest_ftbench.store import Trail, killed_since, kills

_SLOT = "ftbench_slot"
_GROUPS = "ftbench_groups"
_RECORDS = "ftbench_records"
_TRAIL = "ftbench_trail"
_PATIENCE = 5.0  # seconds: a worker whose pipe is closed is about to end


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
    if getattr(config.option, "dist", "no") == "no":
        return Company()
    from xdist.workermanage import parse_tx_spec_config

    return Company(len(parse_tx_spec_config(config)))


def work_alone(config: pytest.Config) -> None:
    """Start no workers, whatever ``-n`` says: there is nothing for them to do."""
    for option, value in (("numprocesses", None), ("distload", False), ("dist", "no"), ("tx", [])):
        if hasattr(config.option, option):
            setattr(config.option, option, value)


def chooses_no_schedule(config: pytest.Config) -> bool:
    """Whether the run has workers but leaves open how items are handed to them; asked before xdist fills that in."""
    option = config.option
    return bool(getattr(option, "numprocesses", None)) and option.dist == "no" and not option.distload


def tell_groups(
    config: pytest.Config, groups: dict[str, str], said: Sequence[str] = (), gates: Sequence[str] = ()
) -> None:
    """Tell the controller, from a worker that has collected, which items belong together: the group of each by its id.

    And what it has ``said``, in sentences, and the ids of ``gates``, which come last. All of it goes into a file, for
    what a worker may tell before it runs an item is fixed; one on another machine tells nothing.
    """
    # each writes its own, then puts it in place: they all say the same
    mine = Path(f"{config.workerinput[_GROUPS]}.{config.workerinput['workerid']}")  # type: ignore[attr-defined]
    if mine.parent.is_dir():
        mine.write_text(json.dumps({"groups": groups, "said": list(said), "gates": list(gates)}), encoding="utf-8")
        mine.replace(mine.with_suffix(""))


def inbox_of(config: pytest.Config) -> Inbox:
    """Where a worker hears of the records that others made."""
    return Inbox(Path(config.workerinput[_RECORDS]))  # type: ignore[attr-defined]


def trail_of(config: pytest.Config) -> Trail:
    """What this process knows of the others of its run: a worker, which of them died of what."""
    given: dict[str, Any] = getattr(config, "workerinput", {})
    folder = Path(given[_TRAIL]) if _TRAIL in given else None
    # that of a controller on another machine isn't there
    return Trail(folder if folder is not None and folder.parent.is_dir() else None, f"worker {given.get('workerid')}")


class Controller:
    """The process that hands out items to workers: it gives each worker a slot, and items by checkpoint.

    Where there are gates, it tells the workers of the records that it hears.
    """

    def __init__(self, config: pytest.Config, by_checkpoint: bool) -> None:
        self.config = config
        self.by_checkpoint = by_checkpoint
        self._slots: dict[str, int] = {}
        self._has_said = False
        folder = Path(tempfile.mkdtemp(prefix="pytest-ftbench-"))
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        self._groups = folder / "groups"
        self._records = folder / "records"
        self._trail = folder / "trail"
        self._kills = kills()
        self.outbox: Outbox | None = None

    def groups(self) -> dict[str, str]:
        """The group of each item that has one, by its id; none before the first worker has collected."""
        return dict(self._told().get("groups", {}))

    def gates(self) -> list[str]:
        """The ids of the items that judge what the others measured."""
        return list(self._told().get("gates", []))

    def _told(self) -> dict[str, Any]:
        """What a worker has told."""
        found: dict[str, Any] = json.loads(self._groups.read_text(encoding="utf-8")) if self._groups.exists() else {}
        return found

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give a worker the lowest slot that no living one has."""
        taken = set(self._slots.values())
        slot = next(number for number in range(len(taken) + 1) if number not in taken)
        self._slots[node.gateway.id] = node.workerinput[_SLOT] = slot
        node.workerinput[_GROUPS] = str(self._groups)
        node.workerinput[_RECORDS] = str(self._records)
        node.workerinput[_TRAIL] = str(self._trail)
        if self.outbox is not None and self.outbox.lost:
            self.outbox.lost -= 1
            self.outbox.say()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Free the slot of a worker that has ended, before its replacement is made."""
        self._slots.pop(node.gateway.id, None)
        if self.outbox is not None and error is not None:
            self.outbox.lost += 1
            self.outbox.say()

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, report: pytest.TestReport) -> None:
        """Add to what is said of an item whose worker died how that ended, as far as the system tells."""
        how = self._end_of(report.node)
        report.longrepr = f"{report.longrepr}: {KILLED}{how}"

    def _end_of(self, node: Any) -> str:
        """By what a worker of this machine ended. Only a count of the kernel's makes it certain what it was for."""
        if not node.gateway.spec.popen:
            return ""
        where, self._kills = killed_since(self._kills), kills()
        try:
            code = node.gateway._io.popen.wait(_PATIENCE)
        except (AttributeError, subprocess.TimeoutExpired):
            return ""
        if code >= 0:
            return f", it ended with status {code}"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        if -code != signal.SIGKILL:
            return f", it ended by {name}"
        if where is not None:
            return f" by {name}, and the kernel killed for want of memory in {where}"
        return f" by {name}, most likely by the kernel for want of memory"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take note of which cells are being measured, where a gate waits for them."""
        if self.outbox is None:
            return
        note = getattr(report, "ftbench_note", None)
        if note is not None and "begun" in note:
            self.outbox.begun(report.nodeid)
        elif report.when == "teardown" or (note is None and report.when not in PHASES):
            self.outbox.ended(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Let no gate wait for what won't come, before xdist waits for its workers."""
        if self.outbox is not None:
            self.outbox.ends = True
            self.outbox.say()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self) -> None:
        """Say what a worker found of rows, once, for all do; speak to its gates, where it found any.

        And refuse ``--benchmark-only`` where it found no cells, as pytest-benchmark would.
        """
        if self.outbox is None and self.gates():
            from pytest_ftbench.ledger import ledger_of

            self.outbox = ledger_of(self.config).outbox = Outbox(self._records)
        if not self._has_said:
            lines = self._told().get("said", [])
            self._has_said = bool(lines)
            for line in lines:
                show(self.config, line)
        if ONLY in self.config.stash and not self.groups() and not self.gates():
            raise pytest.UsageError(
                "Can't have both --benchmark-only and --benchmark-disable options. Note that --benchmark-disable is "
                "automatically activated if xdist is on."
            )

    # around all others: who makes a schedule of their own keeps it
    @pytest.hookimpl(wrapper=True, optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Generator[None, Any, Any]:
        """Schedule by checkpoint, where nobody chose another schedule."""
        from xdist.scheduler import LoadScheduling

        chosen = yield
        if not self.by_checkpoint or type(chosen) is not LoadScheduling:
            return chosen
        from pytest_ftbench.xdist_scheduling import CheckpointOrLoadScheduling

        return CheckpointOrLoadScheduling(config, log, chosen, self.groups, self.gates)
