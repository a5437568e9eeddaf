"""A cell of the grid: one model, tuned one way on one task, tested on one task; and its id.

>>> format_cell(Cell(model="nano", method="lora", rank=8, train_task="squad", eval_task="arc"))
'nano-lora-r8-squad-to-arc'
>>> parse_cell("nano-base-to-arc").eval_task
'arc'
"""

import re
from dataclasses import dataclass, replace
from typing import NamedTuple

from pytest_ftbench.grid.errors import UserError

QUANTIZATIONS = ("nf4", "int8")

# A method or task is a lower-case identifier, and a method never looks like the rank or quantization that may follow
# it, nor a training task like the words that ids are made of: this is what makes an id readable from its right end
# although model names contain hyphens themselves.
NAME = r"[a-z][a-z0-9_]*"
_MODEL = r"[a-z0-9][a-z0-9._-]*"
_QUANTIZATION = "|".join(QUANTIZATIONS)
_METHOD = rf"(?!(?:r\d+|{_QUANTIZATION}|base)-){NAME}"
_TRAIN_TASK = rf"(?!(?:base|to)-){NAME}"
# one spelling per number, and none that int() refuses for its length
_NUMBER = r"(?:0|[1-9][0-9]{0,17})"
_BASE_ID = re.compile(rf"(?P<model>{_MODEL})-base(?:-(?P<quantization>{_QUANTIZATION}))?-to-(?P<eval_task>{NAME})")
_TUNED_ID = re.compile(
    rf"(?P<model>{_MODEL})-(?P<method>{_METHOD})(?:-r(?P<rank>{_NUMBER}))?(?:-(?P<quantization>{_QUANTIZATION}))?"
    rf"-(?P<train_task>{_TRAIN_TASK})-to-(?P<eval_task>{NAME})(?:-s(?P<seed>{_NUMBER}))?"
)


class CheckpointKey(NamedTuple):
    """What tells one model that answers from another; hashable, so that cells can be grouped by it.

    Those that differ in quantization alone share a training.
    """

    model: str
    method: str
    rank: int | None
    quantization: str | None
    train_task: str | None
    seed: int


@dataclass(frozen=True, repr=False)
class Cell:
    """One row × column of the comparison.

    ``train_task`` is None for an untuned model. ``seeded`` says that the id carries the seed, as it does in a suite
    of several seeds; an id without one means seed 0.
    """

    model: str
    method: str
    eval_task: str
    train_task: str | None = None
    rank: int | None = None
    quantization: str | None = None
    seed: int = 0
    seeded: bool = False

    def __repr__(self) -> str:
        return f"Cell({self.id})"

    @property
    def id(self) -> str:
        """The id under which pytest, the store and the tables know this cell."""
        return format_cell(self)

    @property
    def way(self) -> str:
        """The id without the seed: what cells that differ in their seed alone have in common."""
        return format_cell(replace(self, seeded=False))

    @property
    def checkpoint_key(self) -> CheckpointKey:
        """The checkpoint this cell is tested on; cells that share it train once."""
        return CheckpointKey(self.model, self.method, self.rank, self.quantization, self.train_task, self.seed)

    @property
    def in_domain(self) -> bool:
        """Whether it is tested on the task it was trained on."""
        return self.train_task == self.eval_task

    @property
    def is_base(self) -> bool:
        """Whether nothing was trained."""
        return self.train_task is None


def format_cell(cell: Cell) -> str:
    """The id of a cell, such as ``nano-lora-r8-squad-to-arc``."""
    parts = [cell.model, cell.method]
    if cell.rank is not None:
        parts.append(f"r{cell.rank}")
    if cell.quantization is not None:
        parts.append(cell.quantization)
    if cell.train_task is not None:
        parts.append(cell.train_task)
    parts += ["to", cell.eval_task]
    if cell.seeded:
        parts.append(f"s{cell.seed}")
    return "-".join(parts)


def parse_cell(text: str) -> Cell:
    """The cell that an id names; the inverse of :func:`format_cell`.

    Raises :class:`UserError` for a text that is no id.
    """
    if match := _BASE_ID.fullmatch(text):
        return Cell(match["model"], "base", match["eval_task"], quantization=match["quantization"])
    if match := _TUNED_ID.fullmatch(text):
        rank, seed = match["rank"], match["seed"]
        return Cell(
            match["model"],
            match["method"],
            match["eval_task"],
            match["train_task"],
            rank=None if rank is None else int(rank),
            quantization=match["quantization"],
            seed=int(seed or 0),
            seeded=seed is not None,
        )
    raise UserError(
        text, "is no cell id", "write {model}-{method}[-r{rank}]-{train}-to-{eval} or {model}-base-to-{task}"
    )


def model_name(source: str) -> str:
    """The name a model goes by in ids: the last part of its path or Hub id, lower case, other characters as ``-``."""
    last = source.rstrip("/\\").replace("\\", "/").rpartition("/")[2].rpartition(":")[2]
    return re.sub(r"[^a-z0-9._-]+", "-", last.lower()).strip("-._") or "model"
