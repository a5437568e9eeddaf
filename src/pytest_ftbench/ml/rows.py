"""Where rows come from: the embedded world, a folder of parquet or JSON Lines files, or the Hub.

Without a test file the test rows are a fixed split of the training file: a row's group (its passage, its question)
decides by hash, so the split stays the same when rows are added, and no group straddles it. A task that asks for what
was trained on is tested on the training rows instead, and on none that ``train_samples`` left out.

Where learning rates are chosen, a part of the rows judges them: the source's validation split or, without one, a fixed
tenth of the groups of the training file, which is left out of every training then. No row judges whose group has the
very words of one that may be trained on or tested on, whichever of those are sampled. A task that asks for what was
trained on is judged on other wordings of it; where there are none, on the training rows themselves, which may be those
that are tested: ``judges`` says so.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_ftbench import lab
from pytest_ftbench.grid import DataSpec, HubSource, Suite, UserError, printable
from pytest_ftbench.ml.row_files import SUFFIXES, Split, read_split
from pytest_ftbench.ml.row_shares import hashed, in_test_share, in_validation_share, in_words
from pytest_ftbench.store import file_digest
from pytest_ftbench.tasks import Row, Task, get_task

_FEWEST = 20  # fewer rows, and which rate they prefer is chance
_EMBEDDED_ROWS = 1500
_NAMED = 3
_NAME_LENGTH = 60


class TooFewRowsError(UserError):
    """Hardly any rows to choose learning rates by."""


@dataclass
class RowSource:
    """The rows of a suite, read once per task and split.

    ``validation_samples`` rows per task are to be had to choose learning rates by (None: none are chosen).
    """

    data: DataSpec
    validation_samples: int | None = None
    _read: dict[tuple[str, str], Split | None] = field(default_factory=dict)
    _judging: dict[str, list[Row]] = field(default_factory=dict)

    @classmethod
    def of(cls, suite: Suite) -> "RowSource":
        """The rows that a suite's cells are trained, tuned and tested on."""
        return cls(suite.data, suite.sweep.validation_samples if suite.tuned else None)

    def train(self, task: Task) -> list[Row]:
        """The rows to train on, in file order; ``train_samples`` of them, chosen by hash, where there are more."""
        return self._some(task, self._trainable(task), "train", self.data.train_samples)

    def _trainable(self, task: Task) -> list[Row]:
        """Every row that may be trained on, whichever are sampled."""
        rows = self._split(task, "train") or []
        if self._split(task, "test") is None and not task.recalls:
            rows = [row for row in rows if not in_test_share(task, row)]
        if self._holds_out(task):
            rows = [row for row in rows if not in_validation_share(task, row)]
        return rows

    def any_train(self, task: Task) -> list[Row]:
        """The rows to train on, or none where there are none: for what may do without."""
        return self.train(task) if self._split(task, "train") else []

    def trivially_taught(self, task: Task) -> list[Row]:
        """The training rows that a task's trivial answerers learn from; of most tasks none, and no file is read."""
        return self.any_train(task) if task.trivial_learns else []

    def validation(self, task: Task) -> list[Row]:
        """The rows to choose a learning rate by, in file order, none of them trained on or tested on.

        Of a task that asks for what was trained on they are the training rows, where no other wording of those is to be
        had. Raises :class:`UserError` where they are too few to choose by.
        """
        if task.name not in self._judging:
            rows, fewest = self._apart(task), min(_FEWEST, self.validation_samples or _FEWEST)
            if task.recalls:
                train = self.train(task)
                # there may be no more to recall than a few
                rows, fewest = self._taught(task, rows) or train, min(fewest, len(train))
            if len(rows) < fewest and self._split(task, "train"):
                raise self._too_few(task, len(rows), fewest)
            self._judging[task.name] = self._some(task, rows, "validation", self.validation_samples)
        return self._judging[task.name]

    def _apart(self, task: Task) -> list[Row]:
        """Every row that is there to judge, without those in the words of what may be trained on or tested on."""
        if self._holds_out(task):
            rows = [row for row in self._split(task, "train") or [] if in_validation_share(task, row)]
        else:
            rows = self._split(task, "validation") or []
        # the splits of the embedded world have nothing in common, however many of their rows are made
        if not rows or self.data.source == "embedded":
            return rows
        seen = in_words(task, [*self._trainable(task), *self._testable(task)])
        return [row for row in rows if not in_words(task, [row]) & seen]

    def _too_few(self, task: Task, count: int, fewest: int) -> TooFewRowsError:
        """What is said where a learning rate would be chosen by hardly any row."""
        place, fix = f"{self.data.source}: {task.name}", f"give a source whose validation split has {fewest} or more"
        if self.data.source not in ("embedded", "hub"):
            folder = Path(self.data.source)
            place = str(_file(folder, task, "validation") or _file(folder, task, "train") or folder)
            fix = f"have {fewest} or more, of no other file, in validation-{task.stem}.parquet"
        problem = f"has too few rows to choose learning rates by ({count} that are neither trained on nor tested on)"
        return TooFewRowsError(place, problem, fix)

    def judges(self, task: Task) -> dict[str, Any]:
        """What a record tells of the rows that chose a learning rate: which ones they are, how many, how many tested.

        ``validation`` is "validation split", "held out" (a tenth of the training rows, which nothing was trained on),
        "training rows" or "tested items".
        """
        rows, count, taught = self.validation(task), 0, set()
        if task.recalls:  # of any other task they are neither
            tested, taught = in_words(task, self._testable(task)), in_words(task, self._trainable(task))
            count = sum(bool(in_words(task, [row]) & tested) for row in rows)
        if count:
            kind = "tested items"
        elif self._holds_out(task):
            kind = "held out"
        elif in_words(task, rows) & taught:
            kind = "training rows"
        else:
            kind = "validation split"
        return {"validation": kind, "validation_rows": len(rows), "validation_rows_tested": count}

    def _holds_out(self, task: Task) -> bool:
        """Whether a part of the training rows is kept to choose learning rates by."""
        if self.validation_samples is None or task.recalls:
            return False
        return self._split(task, "validation") is None

    def test(self, task: Task) -> list[Row]:
        """The rows to test on, in file order; ``test_samples`` of them, chosen by hash, where there are more."""
        return self._some(task, self._testable(task), "test", self.data.test_samples)

    def _testable(self, task: Task) -> list[Row]:
        """Every row that may be tested on, whichever are sampled."""
        rows = self._split(task, "test")
        if rows is None:
            rows = [row for row in self._split(task, "train") or [] if task.recalls or in_test_share(task, row)]
        return self._taught(task, rows) if task.recalls else rows

    def _taught(self, task: Task, rows: list[Row]) -> list[Row]:
        """Test rows without those whose fact is among the training rows, but was left out of the sample."""
        every = self._split(task, "train")
        if not every:
            return rows
        taught = {task.sample_key(row) for row in self.train(task)}
        left_out = {task.sample_key(row) for row in every} - taught
        return [row for row in rows if task.sample_key(row) not in left_out]

    def check(self, tasks: Iterable[Task]) -> None:
        """Check that a source holds what the tasks need, as far as that can be known without reading it.

        Raises :class:`UserError` naming the file or the data set that is missing.
        """
        if self.data.source == "hub":
            from pytest_ftbench.ml.hub import data_set_name

            for task in tasks:
                data_set_name(task, self.data.hub.get(task.name, HubSource()))
        if self.data.source in ("embedded", "hub"):
            return
        folder = Path(self.data.source)
        if not folder.is_dir():
            raise UserError(folder, "is no folder", "give data.source or --ftbench-data a folder of parquet files")
        for task in tasks:
            if _file(folder, task, "train") is None and _file(folder, task, "test") is None:
                raise UserError(
                    folder / f"train-{task.stem}.parquet", "is missing", "put it there, as .parquet or .jsonl"
                )

    def read(self, train_tasks: Iterable[str], eval_tasks: Iterable[str]) -> None:
        """Read and check whatever of a data folder these tasks are trained, tuned and tested on.

        Raises :class:`UserError` naming file, row and column. Of a file that isn't there nothing is said: ``check``
        says it of the cells that it is for.
        """
        if self.data.source in ("embedded", "hub"):
            return
        trained, tested = (list(map(get_task, names)) for names in (train_tasks, eval_tasks))
        for task in trained:
            if self._split(task, "train") is not None:
                self.train(task)
            if self.validation_samples is not None:
                self._split(task, "validation")
        for task in tested:
            if self._split(task, "test") is not None or self._split(task, "train") is not None:
                self.test(task)
            self.trivially_taught(task)

    def check_validation(self, tasks: Iterable[Task]) -> None:
        """Check that there are rows to choose learning rates by, where they can be read at once: not on the Hub.

        Raises :class:`UserError` where there are too few.
        """
        if self.data.source == "embedded" or Path(self.data.source).is_dir():
            for task in tasks:
                try:
                    self.validation(task)
                except TooFewRowsError:
                    raise
                except UserError:
                    # whatever else is wrong with rows is said of the cells that they are for
                    continue

    def digests(self, task: Task) -> list[list[str]]:
        """The names of a task's files in a data folder, each with the digest of its content.

        A file of validation rows is among them where learning rates are chosen: without one, training rows are.
        """
        splits = ("train", "test") if self.validation_samples is None else ("train", "test", "validation")
        files = (_file(Path(self.data.source), task, split) for split in splits)
        return [[path.name, file_digest(path)] for path in files if path is not None]

    def where(self, task: Task, split: str, some: Sequence[Row]) -> str:
        """Where some rows of a split are: their file, the first few by their id or as it counts, how many more."""
        for kept in (split, "train"):
            found = self._found(task, kept) or Split([], [])
            places = {id(row): index for index, row in enumerate(found.rows)}
            if all(id(row) in places for row in some):
                break
        named = [_name(row) or found.where(places[id(row)]) for row in some[:_NAMED]]
        more = f" and {len(some) - _NAMED} more" if len(some) > _NAMED else ""
        file = None if self.data.source in ("embedded", "hub") else _file(Path(self.data.source), task, kept)
        return f"{file.name if file else f'{self.data.source} {task.name} {kept}'}: {', '.join(named)}{more}"

    def _some(self, task: Task, rows: list[Row], split: str, limit: int | None) -> list[Row]:
        if not rows:
            in_folder = self.data.source not in ("embedded", "hub")
            # the rows of a training file may all be on the other side
            others = f" among the {len(every)} of its training file" if (every := self._split(task, "train")) else ""
            fix = f"add {'test' if others else split}-{task.stem}.parquet" if in_folder else "give another source"
            raise UserError(f"{self.data.source}: {task.name}", f"has no {split} rows{others}", fix)
        if limit is None or limit >= len(rows):
            return rows
        if self.data.source == "embedded":
            return rows[:limit]
        # files are often sorted, by article or source: the choice is by hash, so that 100 are among the 200
        chosen = sorted(range(len(rows)), key=lambda index: hashed(task.sample_key(rows[index])))[:limit]
        return [rows[index] for index in sorted(chosen)]

    def _split(self, task: Task, split: str) -> list[Row] | None:
        """All rows of a split; None where the source has no such split."""
        found = self._found(task, split)
        return None if found is None else found.rows

    def _found(self, task: Task, split: str) -> Split | None:
        """A split as it was found, once."""
        key = (task.name, split)
        if key not in self._read:
            self._read[key] = self._load(task, split)
        return self._read[key]

    def _load(self, task: Task, split: str) -> Split | None:
        if self.data.source not in ("embedded", "hub"):
            path = _file(Path(self.data.source), task, split)
            return None if path is None else read_split(task, path)
        if self.data.source == "embedded":
            rows: list[Row] | None = self._embedded(task, split)
        else:
            from pytest_ftbench.ml.hub import hub_rows

            rows = hub_rows(task, split, self.data.hub.get(task.name, HubSource()))
        return None if rows is None else Split(rows, range(len(rows)))

    def _embedded(self, task: Task, split: str) -> list[Row]:
        """As many rows of the embedded world as are asked for; facts of both splits, so that they are the same ones."""
        asked = {"train": self.data.train_samples, "test": self.data.test_samples}
        if split == "validation":
            asked[split] = self.validation_samples
        wanted = [count for count in (asked.values() if task.recalls else (asked[split],)) if count is not None]
        count = max([_EMBEDDED_ROWS, *wanted]) if task.recalls or not wanted else wanted[0]
        try:
            return list(lab.rows(task.name, split, count))
        except ValueError as error:
            key = max(asked, key=lambda name: asked[name] or 0) if task.recalls else split
            place = f"sweep.{key}_samples" if key == "validation" else f"data.{key}_samples"
            raise UserError(place, f"asks for too many ({error})", "give a lower number") from None


def _name(row: Row) -> str:
    """A row's id as it is printed, in as many characters as a line can spare."""
    name = "" if row.get("id") is None else printable(str(row["id"])[:_NAME_LENGTH])
    return name if len(name) < _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"


def _file(folder: Path, task: Task, split: str) -> Path | None:
    paths = (folder / f"{split}-{task.stem}{suffix}" for suffix in SUFFIXES)
    return next((path for path in paths if path.is_file()), None)
