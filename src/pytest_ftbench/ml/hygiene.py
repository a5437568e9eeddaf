"""What is the matter with a suite's rows, known before anything is trained on them.

Test items that are found among training rows, rows over the recipe's length, training texts that don't begin with the
evaluation prompt: these are told, and stand in the records. A target that is empty, lost by the chat template or
without its end token is an error: a model can't learn from it what it is tested on.

Each finding is an entry of the store (kind ``hygiene``), found by what it is made of without reading a row: the data
files' digests, the tokenizer's. So a second collection reads no rows and imports no tokenizer.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pytest_ftbench import lab, tasks
from pytest_ftbench.grid import Cell, Suite, UserError, schema
from pytest_ftbench.ml.base import TOKENIZER_FILES, BaseModel, has_chat_template, load_tokenizer
from pytest_ftbench.ml.context import answer_budget, context_length, row_length
from pytest_ftbench.ml.prompts import Renderer
from pytest_ftbench.ml.rows import RowSource
from pytest_ftbench.ml.runtime import quiet_libraries
from pytest_ftbench.ml.stored import read_entry
from pytest_ftbench.ml.targets import Examined, examined
from pytest_ftbench.store import (
    MachineLock,
    Store,
    digest,
    folder_digest,
    package_versions,
    source_digest,
    write_json,
)
from pytest_ftbench.tasks import Row, Task, get_task
from pytest_ftbench.tasks.boxed import item_name
from pytest_ftbench.tasks.overlap import Overlap, overlap, same_words

_ITEMS = 20  # as many ids of duplicates as a record names
_HERE = Path(__file__).parent
_CODE = source_digest(
    *(
        _HERE / f"{name}.py"
        for name in ("context", "hygiene", "prompts", "row_files", "row_shares", "rows", "targets", "template")
    ),
    *Path(tasks.__file__).parent.glob("*.py"),
)

Finding = dict[str, Any]

_PLAIN = "{} has no chat template of its own: it is trained and asked in plain turns (System:, User:, Assistant:)"


class Hygiene:
    """The findings on a suite's rows; without a ``store`` they are made anew.

    ``prepare`` is called before a tokenizer's libraries are imported. One that doesn't ``keep`` them writes nothing.
    """

    def __init__(
        self,
        suite: Suite,
        rows: RowSource,
        store: Store | None,
        machine: MachineLock,
        prepare: Callable[[], object] = lambda: None,
        keep: bool = True,
    ) -> None:
        self.suite = suite
        self.rows = rows
        self.store = store
        self.machine = machine
        self.prepare = prepare
        self.keep = keep
        self._found: dict[tuple[str, ...], Finding] = {}
        self._materials: dict[str, Any] = {}

    def overlap(self, train_task: str, eval_task: str) -> Finding | None:
        """Which test items are among the training rows: all but two are counts by kind.

        ``items`` are ids of the first duplicates, ``said`` are sentences. None for a task that recalls. Of another
        task's rows only the same words are looked for.
        """
        if get_task(eval_task).recalls or get_task(train_task).recalls:
            return None
        key = "overlap", train_task, eval_task
        if key not in self._found:
            material = {name: self._rows_material(name) for name in (train_task, eval_task)}
            make = partial(self._overlap, get_task(train_task), get_task(eval_task))
            self._found[key] = self._entry({"of": key, "rows": material}, schema.OVERLAP, make)
        return self._found[key]

    def training(self, base: BaseModel, train_task: str, max_length: int, only_stored: bool = False) -> Finding:
        """What a tokenizer makes of a task's training rows: ``left_out`` and ``differing`` are counts of rows.

        ``said`` are sentences. With ``only_stored`` an empty finding, where none is stored. Raises :class:`UserError`
        for targets nothing can be learned from.
        """
        longest = row_length(base.folder, max_length)
        key = "training", base.name, train_task, str(max_length), str(longest)
        make = partial(self._training, base, get_task(train_task), max_length)
        return self._tokenised(key, base, schema.TRAINING_ROWS, make, only_stored)

    def asked(self, base: BaseModel, task_name: str, split: str, only_stored: bool = False) -> Finding:
        """Whether a model has room for every question of a split, ``test`` or ``validation``, and its answer.

        Raises :class:`UserError` naming the rows for which it hasn't.
        """
        room = context_length(base.folder)
        if room is None:
            return {"said": []}
        key = "asked", base.name, task_name, split, str(room), *map(str, answer_budget(self.suite.evaluation))
        make = partial(self._asked, base, get_task(task_name), split, room)
        return self._tokenised(key, base, schema.ASKED_ROWS, make, only_stored)

    def fits(self, cell: Cell, base: BaseModel) -> None:
        """Check that a model has room for whatever it is asked on the way to a cell's record.

        Raises :class:`UserError` naming the rows for which it hasn't.
        """
        for task_name, split in asked_of(self.suite, cell):
            self.asked(base, task_name, split)

    def _tokenised(
        self,
        key: tuple[str, ...],
        base: BaseModel,
        shape: schema.Shape,
        make: Callable[[], Finding],
        only_stored: bool,
    ) -> Finding:
        """A finding of some shape on a task's rows, the third of its key, by a tokenizer.

        Raises :class:`UserError` for a fault that was found.
        """
        if key not in self._found:
            material = {
                "of": key,
                "rows": self._rows_material(key[2]),
                "tokenizer": folder_digest(base.folder, TOKENIZER_FILES),
                "reasoning": self.suite.evaluation.reasoning,
                "versions": package_versions("transformers", "tokenizers"),
            }
            if only_stored and not self._is_stored(material):
                return {"said": []}
            self._found[key] = self._entry(material, shape, make)
        if fault := self._found[key].get("fault"):
            raise UserError(*fault)
        return self._found[key]

    def said(self, cell: Cell, base: BaseModel) -> list[str]:
        """What is to be said of the rows a cell is trained and tested on, and of how it is asked, a sentence each."""
        plain = [] if has_chat_template(base.folder) else [_PLAIN.format(base.name)]
        if cell.train_task is None:
            return plain
        found = self.overlap(cell.train_task, cell.eval_task)
        trained = self.training(base, cell.train_task, self.suite.recipe_for(cell.method).max_length)
        return [*plain, *(found["said"] if found else ()), *trained["said"]]

    def provenance(self, cell: Cell, base: BaseModel) -> dict[str, Any]:
        """What a cell's record says: ``overlap`` and ``prompts_differ``; null for an untuned model."""
        if cell.train_task is None:
            return {"overlap": None, "prompts_differ": None}
        found = self.overlap(cell.train_task, cell.eval_task)
        trained = self.training(base, cell.train_task, self.suite.recipe_for(cell.method).max_length)
        kept = ("exact", "near", "other_target", "passages", "items")
        return {
            "overlap": None if found is None else {key: found.get(key) for key in kept},
            "prompts_differ": trained["differing"],
        }

    def _entry(self, material: Any, shape: schema.Shape, make: Callable[[], Finding]) -> Finding:
        if self.store is None or not (self.keep or self._is_stored(material)):
            return make()

        def build(folder: Path) -> None:
            with self.machine.shared():  # importing a tokenizer, too, is something a neighbour's timing would feel
                write_json(folder / "finding.json", make())

        folder = self.store.get("hygiene", self._keyed(material), build)
        finding: Finding = read_entry(folder / "finding.json", shape)
        return finding

    def _is_stored(self, material: Any) -> bool:
        try:
            return self.store is not None and self.store.find("hygiene", self._keyed(material)) is not None
        except UserError:
            if self.keep:
                raise
            return False  # a list needs no cache, so none can stop it

    def _keyed(self, material: Any) -> Any:
        return {**material, "code": _CODE}

    def _rows_material(self, name: str) -> Any:
        """What a task's rows are made of, told without reading them where that can be."""
        if name not in self._materials:
            data, task = self.suite.data, get_task(name)
            if data.source == "embedded":
                content: Any = source_digest(*Path(lab.__file__).parent.glob("*.py"))
            elif data.source == "hub":
                both = [*self.rows.any_train(task), *self.rows.test(task)]
                content = digest([[row.get("id"), task.messages(row), task.target(row)] for row in both])
            else:
                content = self.rows.digests(task)
            samples = data.train_samples, data.test_samples, self.rows.validation_samples
            self._materials[name] = [data.source, *samples, content]
        return self._materials[name]

    def _overlap(self, task: Task, eval_task: Task) -> Finding:
        train, test = self.rows.train(task), self.rows.test(eval_task)
        same = task.name == eval_task.name
        found = overlap(task, train, test) if same else same_words(task, train, eval_task, test)
        duplicates = [item_name(place, test[place]) for place in found.duplicates[:_ITEMS]]
        return {
            "exact": len(found.exact),
            "near": len(found.near) if same else None,
            "other_target": len(found.other_target) if same else None,
            "passages": len(found.passages) if same else None,
            "items": duplicates,
            "said": list(self._said(task, eval_task, test, found)),
        }

    def _said(self, task: Task, eval_task: Task, test: Sequence[Row], found: Overlap) -> Iterator[str]:
        of = "" if task.name == eval_task.name else f" of {task.name}"
        kinds: tuple[tuple[Mapping[int, int], str], ...] = (
            (found.exact, f"are training rows{of} too, word for word"),
            (found.near, "are nearly the same as training rows"),
            (found.other_target, "are asked in training rows too, word for word, but with another answer"),
            (found.passages, "share a passage with training rows, asked another question"),
        )
        for places, what in kinds:
            if places:
                where = self.rows.where(eval_task, "test", [test[place] for place in sorted(places)])
                yield f"{where}: {len(places)} of {len(test)} test items of {eval_task.name} {what}."

    def _training(self, base: BaseModel, task: Task, max_length: int) -> Finding:
        rows, longest = self.rows.train(task), row_length(base.folder, max_length)
        limit = f"{longest} tokens of {base.name} ({'recipe.max_length' if longest == max_length else 'its context'})"
        with self._libraries():
            found = examined(self._renderer(base), task, rows, longest)
        said = [
            f"{self.rows.where(task, 'train', some)}: {len(some)} of {len(rows)} training rows of {task.name} {what}."
            for some, what in (
                (found.too_long, f"are over {limit} and left out"),
                (found.differing, f"don't begin with the evaluation prompt in tokens of {base.name}"),
            )
            if some
        ]
        return {
            "fault": self._fault(base, task, longest, found),
            "left_out": len(found.too_long),
            "differing": len(found.differing),
            "said": said,
        }

    def _asked(self, base: BaseModel, task: Task, split: str, room: int) -> Finding:
        rows = self.rows.test(task) if split == "test" else self.rows.validation(task)
        with self._libraries():
            renderer = self._renderer(base)
            lengths = [len(renderer.encode(renderer.prompt(task.messages(row)))) for row in rows]
        key, budget = answer_budget(self.suite.evaluation)
        long = [row for row, length in zip(rows, lengths, strict=True) if length + budget > room]
        fault = None
        if long:
            of = f"{len(long)} of {len(rows)} {split} rows of {task.name}"
            problem = (
                f"{of} are up to {max(lengths)} tokens of {base.name}, which has {room}, {budget} of them to answer"
            )
            fix = f"shorten them, leave them out, or lower {key}"
            fault = [self._place(task, split, long), problem, fix]
        return {"fault": fault, "said": []}

    @contextmanager
    def _libraries(self) -> Iterator[None]:
        """Have a tokenizer's libraries imported in the block: nobody who collects tests need hear of that."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self.prepare()
            with quiet_libraries():
                yield

    def _renderer(self, base: BaseModel) -> Renderer:
        return Renderer(load_tokenizer(base.folder), self.suite.evaluation.reasoning)

    def _place(self, task: Task, split: str, some: Sequence[Row]) -> str:
        """Where some rows are, their folder too."""
        folder = "" if self.suite.data.source in ("embedded", "hub") else f"{self.suite.data.source}/"
        return f"{folder}{self.rows.where(task, split, some)}"

    def _fault(self, base: BaseModel, task: Task, max_length: int, found: Examined) -> list[str] | None:
        """Why nothing can be learned from the rows: place, problem, fix."""
        for problem, fix, bad in found.faults:
            place = f"{self._place(task, 'train', bad)} with the chat template of {base.name}"
            return [place, problem, fix]
        if found.shortest > max_length:
            place = f"recipe.max_length: {max_length}"
            return [place, f"every row of {task.name} is longer", f"give at least {found.shortest}"]
        return None


def asked_of(suite: Suite, cell: Cell) -> Iterator[tuple[str, str]]:
    """The tasks, and their splits, whose questions a cell's model answers."""
    yield cell.eval_task, "test"
    if suite.tuned and cell.train_task is not None:
        yield cell.train_task, "validation"
