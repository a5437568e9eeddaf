"""The look at a suite's rows at collection: what ``hygiene`` finds, as far as rows and models are on this machine.

What is on the Hub is looked at when the first cell that needs it runs: a collection downloads nothing.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from pytest_ftbench.grid import Cell, Suite, UserError
from pytest_ftbench.ml.base import BaseModel, base_folder, is_local
from pytest_ftbench.ml.hygiene import Hygiene, asked_of
from pytest_ftbench.ml.rows import RowSource, TooFewRowsError
from pytest_ftbench.store import MachineLock, StorageError, Store
from pytest_ftbench.tasks import get_task

_Look = tuple[tuple[str, ...], Callable[[], list[str]]]


class Inspection:
    """A look at the rows of some of a suite's cells before anything runs, as far as rows and models are here.

    ``said`` are sentences; ``faults`` is why a cell can't be run, by its id: what is wrong with a disk may have passed
    when the cell runs, and is none. ``prepare`` is called before a tokenizer's libraries are imported; None: nothing
    will be trained, what needs them is told only if it is stored, and nothing is stored.
    """

    def __init__(
        self,
        suite: Suite,
        rows: RowSource,
        store: Store | None,
        machine: MachineLock,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        self.suite = suite
        self.rows = rows
        self.said: list[str] = []
        self.faults: dict[str, UserError] = {}
        self._only_stored = prepare is None
        self._hygiene = Hygiene(suite, rows, store, machine, prepare or (lambda: None), keep=prepare is not None)
        self._known: dict[tuple[str, ...], UserError | None] = {}

    def look(self, cells: Iterable[Cell]) -> None:
        """Look at what these cells are trained and tested on: each thing once, and at the rest in spite of a fault."""
        for cell in cells:
            faults = (self._fault(*each) for each in self._looks(cell))
            if fault := next(filter(None, faults), None):
                self.faults[cell.id] = fault

    def _fault(self, key: tuple[str, ...], findings: Callable[[], list[str]]) -> UserError | None:
        if key not in self._known:
            self._known[key] = None
            try:
                self.said += [text for text in findings() if text not in self.said]
            except StorageError:
                pass
            except UserError as error:
                self._known[key] = error.with_traceback(None)
        return self._known[key]

    def _looks(self, cell: Cell) -> Iterator[_Look]:
        """What there is to look at for a cell, by what decides it."""
        for name in filter(None, (cell.train_task, cell.eval_task)):
            yield ("files", name), partial(self._files, name)
        if self.suite.data.source == "hub":
            return
        is_here = is_local(self.suite.model(cell.model))
        for name, split in asked_of(self.suite, cell) if is_here else ():
            yield ("asked", cell.model, name, split), partial(self._asked, cell.model, name, split)
        if cell.train_task is None:
            return
        yield ("overlap", cell.train_task, cell.eval_task), partial(self._overlap, cell.train_task, cell.eval_task)
        if is_here:
            length = self.suite.recipe_for(cell.method).max_length
            look = partial(self._training, cell.model, cell.train_task, length)
            yield ("training", cell.model, cell.train_task, str(length)), look

    def _files(self, name: str) -> list[str]:
        self.rows.check([get_task(name)])
        return []

    def _overlap(self, train_task: str, eval_task: str) -> list[str]:
        found = self._hygiene.overlap(train_task, eval_task)
        return [] if found is None else list(found["said"])

    def _training(self, model: str, train_task: str, length: int) -> list[str]:
        return list(self._hygiene.training(self._base(model), train_task, length, self._only_stored)["said"])

    def _asked(self, model: str, task_name: str, split: str) -> list[str]:
        try:
            return list(self._hygiene.asked(self._base(model), task_name, split, self._only_stored)["said"])
        except TooFewRowsError:
            return []  # whoever chooses by them says so

    def _base(self, model: str) -> BaseModel:
        # weights of gigabytes say nothing here
        return BaseModel(model, base_folder(self.suite.model(model)), fingerprint="")
