"""Models and data sets by Hub id, at a pinned revision where one is given. A local folder serves in an id's place."""

from itertools import islice
from pathlib import Path

from pytest_ftbench.grid import HubSource, UserError, first_line
from pytest_ftbench.ml.runtime import quiet_libraries
from pytest_ftbench.tasks import Row, Task

MAX_ROWS = 10_000
"""How many usable rows of a split are read at most: OpenMathInstruct-2 has 14 million."""

_MODEL_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]


def hub_rows(task: Task, split: str, source: HubSource) -> list[Row] | None:
    """The rows of a task's data set in this project's columns; None where it has no such split.

    Raises :class:`UserError` where it can't be loaded.
    """
    theirs = task.hub.splits.get(split)
    if theirs is None:
        return None
    # streamed, so that a few thousand rows of a large data set don't cost its whole download
    from datasets import load_dataset

    name = data_set_name(task, source)
    config = source.config or (task.hub.config if source.id is None else None)
    try:
        with quiet_libraries():
            stream = load_dataset(name, config, split=theirs, revision=source.revision, streaming=True)
            usable = (row for row in map(task.from_hub, stream) if row is not None)
            return list(islice(usable, MAX_ROWS))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise _unreachable(f"data.hub.{task.name}", name, error) from error


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


def _unreachable(key: str, name: str, error: Exception) -> UserError:
    return UserError(
        key,
        f"{name} can't be loaded from the Hub ({first_line(error)})",
        "check the id, the revision and the network, or name a local folder",
    )
