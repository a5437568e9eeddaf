"""What one process works with: its device, its turn among the machine's other processes, and whom it tells."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pytest_ftbench.ml.engine import Engines
from pytest_ftbench.ml.memory import resident_level
from pytest_ftbench.ml.runtime import Runtime, at_work
from pytest_ftbench.store import MachineLock

Say = Callable[[str], None]


@dataclass(frozen=True)
class Desk:
    """A place to work at. ``say`` is given lines of progress, ``doing`` what takes a while and tells nothing itself.

    ``quantizes`` says that weights are quantized here, with a library that takes memory of its own; ``engines`` answer,
    and keep from one model to the next what they can.
    """

    runtime: Runtime
    machine: MachineLock
    say: Say = print
    doing: Say = lambda _: None
    quantizes: bool = False
    engines: Engines = field(default_factory=Engines)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Load, train or answer in the block, beside others."""
        with self.machine.shared(), at_work(self.runtime.threads):
            yield

    def level(self, *libraries: str) -> int | None:
        """What the process takes before a model is loaded, bytes."""
        return resident_level(self.runtime, *libraries, *(["bitsandbytes"] if self.quantizes else []))
