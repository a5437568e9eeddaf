"""What a training or an answering takes in memory, as far as that can be known, and what to say where it runs out.

Of a training there are the weights; under them gradients and the optimizer's moments, of the size of what is trained;
and activations, which grow with the rows of a pass. The first two are known of any recipe, the last where a plan has
looked at the model.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ftbench.grid import Recipe, ShortageError, release
from pytest_ftbench.ml.memory import free_bytes, is_shortage, resident_bytes
from pytest_ftbench.ml.runtime import Runtime

if TYPE_CHECKING:
    import torch

_GIB, _MIB = 2**30, 2**20
_UNITS = {"gib": _GIB, "mib": _MIB, "kib": 2**10, "bytes": 1}
# what PyTorch says on CUDA, and of a CPU
_ASKED = re.compile(r"tried to allocate (\d[\d.]*) (GiB|MiB|KiB|bytes)", re.IGNORECASE)
_LEFT = re.compile(r"of which (\d[\d.]*) (GiB|MiB|KiB|bytes) is free", re.IGNORECASE)
_HELD = re.compile(r"of the allocated memory (\d[\d.]*) (GiB|MiB|KiB|bytes) is allocated by PyTorch", re.IGNORECASE)
# optimizers that keep two moments in the precision of what they train; of others less is known
_TWO_MOMENTS = ("adamw_torch", "adamw_torch_fused", "adamw_hf")


@dataclass
class Outlay:
    """Bytes: of ``weights``, of gradients and optimizer (``states``), of ``activations`` (None: not known).

    What is said of memory that ran out is held against what was ``free`` before, and what the process had then, its
    ``resident`` set (None: not known, or no matter).
    """

    free: int
    weights: int = 0
    states: int = 0
    activations: int | None = None
    resident: int | None = None

    @classmethod
    def begun(cls, runtime: Runtime, weights: int, loaded: "torch.nn.Module | None" = None) -> "Outlay":
        """The outlay of what is begun now, which ``weights`` is known of, where a model may be ``loaded`` already."""
        held = 0 if loaded is None else sum(parameter.nbytes for parameter in loaded.parameters())
        resident = resident_bytes() if runtime.device == "cpu" else None
        return cls(free_bytes(runtime) + held, weights, resident=None if resident is None else max(0, resident - held))

    @property
    def total(self) -> int:
        """What it takes, or the least that it does."""
        return self.weights + self.states + (self.activations or 0)

    def know(self, parameters: "Iterable[torch.nn.Parameter]", recipe: Recipe | None = None) -> None:
        """Take the sizes of a model that is loaded; under a ``recipe`` those of what is trained of it, as well."""
        sizes = [(parameter.nbytes, parameter.requires_grad) for parameter in parameters]
        self.weights = sum(size for size, _ in sizes)
        if recipe is not None:
            self.states = states_per_weight(recipe) * sum(size for size, trained in sizes if trained)

    def found(self, error: BaseException) -> str:
        """What is needed and what there is, in figures."""
        text = str(error)
        asked, left, held = (_bytes_in(text, pattern) for pattern in (_ASKED, _LEFT, _HELD))
        if held is None and self.resident is not None:
            held = max(0, (resident_bytes() or 0) - self.resident)
        # where it ran out, the next allocation was too much: at least so much is needed
        need = max(self.total, max(held or 0, self.weights) + (asked or 0))
        if need > self.free:
            about = "about" if need == self.total and self.activations is not None else "at least"
            return f"needs {about} {gib(need)}, {gib(self.free)} free"
        if asked is None:
            return f"though {gib(self.free)} were free before"
        where = f"{gib(left)} left" if left is not None else f"{gib(self.free)} free before"
        return f"{gib(asked)} asked for at once, {where}"


def gib(count: int) -> str:
    """So many bytes in words: two digits of GiB, or of MiB where they are few."""
    size, unit = (count / _GIB, "GiB") if count >= _GIB else (count / _MIB, "MiB")
    return f"{size:.0f} {unit}" if size >= 9.95 else f"{size:.2g} {unit}"


def states_per_weight(recipe: Recipe) -> int:
    """How many numbers there are for each that is trained: its gradient and two moments; none where less is known."""
    return 3 if recipe.optim in _TWO_MOMENTS else 0


def _bytes_in(text: str, pattern: re.Pattern[str]) -> int | None:
    """The bytes that a message tells of."""
    found = pattern.search(text)
    return None if found is None else round(float(found[1]) * _UNITS[found[2].lower()])


@contextmanager
def told(place: object, outlay: Outlay, fix: Callable[[Outlay], str]) -> Iterator[None]:
    """Say of memory that runs out in the block how much was needed, and what to do: ``fix`` is asked with the outlay.

    Nothing of what was computed is held on to afterwards. Raises :class:`ShortageError`.
    """
    short = None
    try:
        yield
    except ShortageError:
        raise
    except Exception as error:
        if not is_shortage(error):
            raise
        short = ShortageError(place, outlay.found(error), fix(outlay))
        release(error)
    if short is not None:
        raise short from None
