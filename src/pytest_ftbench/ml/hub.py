"""Models and data sets by Hub id, at a pinned revision where one is given. A local folder serves in an id's place."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from pytest_ftbench.grid import HubSource, UserError, first_line
from pytest_ftbench.ml.row_files import Place, checked
from pytest_ftbench.ml.runtime import quiet_libraries
from pytest_ftbench.tasks import Row, Task
from pytest_ftbench.tasks.columns import misfit

MAX_ROWS = 10_000
"""How many usable rows of a split are read at most: OpenMathInstruct-2 has 14 million."""

_ID = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?", re.ASCII)
_REVISION = re.compile(r"[\w.-]+(/[\w.-]+)*", re.ASCII)
_REVISION_LENGTH = 200
_SHOWN = 100  # characters of a name
_MODEL_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]


def check_id(key: str, name: str, revision: str | None) -> None:
    """Check that these can be an id on the Hub and a revision of it: its library keeps files under their names.

    Raises :class:`UserError` where they can't.
    """
    if not _ID.fullmatch(name) or ".." in name:
        raise UserError(key, f"{_short(name)} is no folder here and no Hub id", "name a folder, or an id as OWNER/NAME")
    if revision is not None and (
        not _REVISION.fullmatch(revision) or ".." in revision or len(revision) > _REVISION_LENGTH
    ):
        raise UserError(key, f"{_short(revision)} is no revision", "name a branch, a tag or a commit")


def hub_rows(task: Task, split: str, source: HubSource) -> list[Row] | None:
    """The rows of a task's data set in this project's columns; None where it has no such split.

    Raises :class:`UserError` where it can't be loaded, and naming the first row and column that is none of the task's;
    rows that are sound but of no use to it are left out.
    """
    theirs = task.hub.splits.get(split)
    if theirs is None:
        return None
    # streamed, so that a few thousand rows of a large data set don't cost its whole download
    from datasets import load_dataset

    name, key = data_set_name(task, source), f"data.hub.{task.name}"
    _check_data_set(key, name, source.revision)
    config = source.config or (task.hub.config if source.id is None else None)
    place = Place(f"{key}: {name} {theirs}")
    try:
        with quiet_libraries():
            stream = load_dataset(name, config, split=theirs, revision=source.revision, streaming=True)
            usable = checked(task, _usable(task, enumerate(stream), place), place)
            rows = list(usable.values())
    except UserError:
        raise
    except Exception as error:  # many libraries take part, and what each may raise nobody can list
        raise _unreachable(key, f"{name} {theirs}", error) from error
    if not rows:
        raise UserError(place.source, f"has no row that {task.name} can use", "name another data set or configuration")
    return rows


def _usable(task: Task, stream: Iterable[tuple[int, Row]], place: Place) -> Iterator[tuple[int, Row]]:
    """As many rows as are taken, in this project's columns, by their numbers in a stream.

    Raises :class:`UserError` for one that hasn't the columns of the task's own data set.
    """
    kept = 0
    for number, row in stream:
        if fault := misfit(row, task.hub_columns):
            column, problem, _ = fault
            fix = f"name a data set with the columns {', '.join(task.hub_columns)}"
            raise place.error(number, problem, f"{fix}, as in {task.hub.id}" if task.hub.id else fix, column)
        # nobody can correct a row of the Hub
        if (ours := task.from_hub(row)) is not None and not task.problem(ours):
            yield number, ours
            kept += 1
        if kept == MAX_ROWS:
            return


def data_set_name(task: Task, source: HubSource) -> str:
    """The id of the data set a task's rows come from.

    Raises :class:`UserError` where the suite names none and the task has none of its own.
    """
    name = source.id or task.hub.id
    if name is None:
        example = f'hub.{task.name} = "OWNER/NAME"'
        raise UserError(f"data.hub.{task.name}", "no data set on the Hub is its own", f"name one, as in {example}")
    return name


def hub_model(source: str, revision: str | None, key: str = "models") -> Path:
    """The folder with the files of a model on the Hub: weights as safetensors, configuration, tokenizer.

    Raises :class:`UserError` where it can't be loaded.
    """
    from huggingface_hub import snapshot_download

    try:
        with quiet_libraries():
            return Path(snapshot_download(source, revision=revision, allow_patterns=_MODEL_FILES))
    except (OSError, ValueError, RuntimeError) as error:
        raise _unreachable(key, source, error) from error


def _check_data_set(key: str, name: str, revision: str | None) -> None:
    """As ``check_id``, where a folder may stand in an id's place."""
    try:
        is_folder = Path(name).is_dir()
    except (OSError, ValueError):
        is_folder = False
    check_id(key, "folder" if is_folder else name, revision)


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…")


def _unreachable(key: str, name: str, error: Exception) -> UserError:
    return UserError(
        key,
        f"{name} can't be loaded from the Hub ({first_line(error)})",
        "check the id, the revision and the network, or name a local folder",
    )
