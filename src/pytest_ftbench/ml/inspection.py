"""The look at a suite's rows at collection: what ``hygiene`` finds, as far as rows and models are on this machine.

What is on the Hub is looked at when the first cell that needs it runs: a collection downloads nothing.
"""

from collections.abc import Callable

from pytest_ftbench.grid import Suite
from pytest_ftbench.ml.base import BaseModel, base_folder, is_local
from pytest_ftbench.ml.hygiene import Hygiene
from pytest_ftbench.ml.rows import RowSource
from pytest_ftbench.store import MachineLock, Store


def check_rows(
    suite: Suite,
    rows: RowSource,
    store: Store | None,
    machine: MachineLock,
    prepare: Callable[[], object] | None = None,
) -> list[str]:
    """What is to be said of a suite's rows before anything runs, as far as rows and models are on this machine.

    ``prepare`` is called before a tokenizer's libraries are imported; None: nothing will be trained, what needs them is
    told only if it is stored, and nothing is stored. Raises :class:`UserError` for rows that nothing can be
    learned from.
    """
    hygiene = Hygiene(suite, rows, store, machine, prepare or (lambda: None), keep=prepare is not None)
    if suite.data.source == "hub":
        return []
    said: dict[str, None] = {}
    tuned = [(model, method) for model in suite.models for method in suite.methods_of(model) if method.method.trains]
    pairs = [(train, test) for train in suite.train_tasks for test in suite.eval_tasks] if tuned else []
    for pair in pairs:
        if found := hygiene.overlap(*pair):
            said |= dict.fromkeys(found["said"])
    lengths = {(model, suite.recipe_for(method.name).max_length) for model, method in tuned if is_local(model)}
    for model, length in sorted(lengths, key=str):
        base = BaseModel(model.name, base_folder(model), fingerprint="")  # weights of gigabytes say nothing here
        for task in suite.train_tasks:
            said |= dict.fromkeys(hygiene.training(base, task, length, only_stored=prepare is None)["said"])
    return list(said)
