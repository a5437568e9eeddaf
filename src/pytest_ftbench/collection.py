"""From a test that asks for a cell to one item per cell of its suite. PYTEST_DONT_REWRITE."""

from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_ftbench import fixtures
from pytest_ftbench.grid import Cell, Suite, UserError, load_suite
from pytest_ftbench.ml.base import check_source
from pytest_ftbench.ml.embedder import check_embedder
from pytest_ftbench.ml.inspection import check_rows
from pytest_ftbench.ml.rows import RowSource
from pytest_ftbench.ml.runtime import Runtime
from pytest_ftbench.plugin import FOUND
from pytest_ftbench.settings import Settings
from pytest_ftbench.store import MachineLock, Store
from pytest_ftbench.tasks import TASK_NAMES, get_task
from pytest_ftbench.xdist_bridge import company_of

if TYPE_CHECKING:
    from pytest_ftbench.ml.workbench import Workbench

_DEFAULT_SUITE = "embedded"
# a wheel carries the suites of benchmarks/ inside the package; a checkout has them where they are
_PACKAGED = Path(__file__).parent / "suites"
_CHECKED_OUT = Path(__file__).parents[2] / "benchmarks" / "suites"


@dataclass
class SuiteRun:
    """A suite as this run uses it; its cells share one workbench, made when the first of them runs."""

    suite: Suite
    settings: Settings
    workbench: "Workbench | None" = None


@dataclass(frozen=True)
class Entry:
    """What an item is parametrized with: its cell, the cell's place in the suite, and the suite."""

    cell: Cell
    index: int
    run: SuiteRun


_RUNS: pytest.StashKey[dict[Path, SuiteRun]] = pytest.StashKey()


def asks_for_a_cell(metafunc: pytest.Metafunc) -> bool:
    """Whether a test uses one of our fixtures as they are, not one parametrized or redefined under its name."""
    taken = {name for call in metafunc._calls for name in call.params}
    defined = metafunc._arg2fixturedefs
    return any(
        name in metafunc.fixturenames and name not in taken and defined[name][-1].func.__module__ == fixtures.__name__
        for name in fixtures.ROUTES
    )


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Parametrize a test over the cells of its suite.

    Raises a collection error of one sentence where the suite is wrong.
    """
    try:
        run = _suite_run(metafunc.definition)
        params = list(_params(run))
    except UserError as error:
        raise pytest.Collector.CollectError(str(error)) from None
    metafunc.parametrize(fixtures.CELL_PARAMETER, params, indirect=True)


def _params(run: SuiteRun) -> Iterator[object]:
    for index, cell in enumerate(run.suite.cells()):
        mark = pytest.mark.cell(
            model=cell.model,
            method=cell.method,
            rank=cell.rank,
            train=cell.train_task,
            eval=cell.eval_task,
            seed=cell.seed,
        )
        yield pytest.param(Entry(cell, index, run), id=cell.id, marks=mark)


def _suite_run(node: pytest.Item) -> SuiteRun:
    """The suite of a test; one per file and session, so that tests of the same suite share its workbench."""
    runs = node.config.stash.setdefault(_RUNS, {})
    settings = Settings.from_config(node.config)
    path = _suite_path(node, settings)
    if path not in runs:
        suite = settings.apply(load_suite(path, TASK_NAMES))
        for model in suite.models:
            check_source(model)
        check_embedder(suite.evaluation.embedder)
        rows = RowSource(suite.data)
        rows.check(get_task(name) for name in dict.fromkeys((*suite.train_tasks, *suite.eval_tasks)))
        _look_at_rows(node.config, suite, rows, settings.cache)
        runs[path] = SuiteRun(suite, settings)
    return runs[path]


def _look_at_rows(config: pytest.Config, suite: Suite, rows: RowSource, cache: Path) -> None:
    """Keep what is to be said of a suite's rows; a mere list of items imports no tokenizer, and needs no cache."""
    said = config.stash.setdefault(FOUND, [])
    runs = not config.option.collectonly
    store = None
    with nullcontext() if runs else suppress(UserError):
        store = Store(cache, said.append)
    prepare = partial(runtime_of, config, suite)
    said += check_rows(suite, rows, store, MachineLock(said.append), prepare if runs else None)


def runtime_of(config: pytest.Config, suite: Suite) -> Runtime:
    """The runtime of a suite's cells in this process.

    It has to be chosen before anything looks for GPUs, which importing some libraries does: from then on, a process
    sees the devices that it saw first.
    """
    company = company_of(config)
    return Runtime.choose(suite.device, suite.dtype, company.workers, company.slot)


def _suite_path(node: pytest.Item, settings: Settings) -> Path:
    """Where the suite file is: the option's, else the nearest ``ftbench`` marker's, else the configuration's."""
    beside = node.path.parent
    if settings.suite is not None:
        return _find(settings.suite, node.config.invocation_params.dir, beside)
    marker = node.get_closest_marker("ftbench")
    if marker is not None:
        if set(marker.kwargs) != {"suite"} or marker.args:
            raise UserError(node.path, "marks a test with ftbench(...)", 'write pytest.mark.ftbench(suite="FILE.toml")')
        return _find(str(marker.kwargs["suite"]), beside, beside)
    configured = node.config.getini("ftbench_suite")
    return _find(configured or _DEFAULT_SUITE, node.config.rootpath, beside)


def _find(name: str, base: Path, beside: Path) -> Path:
    """A suite by its file's path from ``base``, or by its name among those beside the test and those packaged."""
    if name.endswith(".toml"):
        return (base / name).resolve()
    folders = (beside, beside / "suites", _PACKAGED, _CHECKED_OUT)
    for folder in folders:
        if (path := folder / f"{name}.toml").is_file():
            return path.resolve()
    known = sorted({path.stem for folder in folders for path in folder.glob("*.toml")})
    raise UserError(f"suite {name!r}", "is neither a file nor a known name", f"known are {', '.join(known) or 'none'}")
