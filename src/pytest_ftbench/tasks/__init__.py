"""The tasks: one file each. ``get_task(name)`` finds one, ``TASK_NAMES`` lists them."""

import importlib
import pkgutil

from pytest_ftbench.grid import UserError, suggestion
from pytest_ftbench.tasks.task import HubDataset, Item, Message, Metric, Row, Scored, Similarity, Task

_HELPERS = {"task", "boxed", "columns", "overlap", "similarity"}
TASK_NAMES = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _HELPERS))


def get_task(name: str) -> Task:
    """The task of that name.

    Raises :class:`UserError` where there is none.
    """
    if name not in TASK_NAMES:
        raise UserError(name, "is no task", suggestion(name, TASK_NAMES))
    task: Task = importlib.import_module(f"pytest_ftbench.tasks.{name}").TASK
    return task


__all__ = ["TASK_NAMES", "HubDataset", "Item", "Message", "Metric", "Row", "Scored", "Similarity", "Task", "get_task"]
