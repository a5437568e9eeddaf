"""From a test that asks for a cell to one item per cell of its suite. PYTEST_DONT_REWRITE."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_ftbench import fixtures
from pytest_ftbench.cache_keeper import kept_open
from pytest_ftbench.gate_settings import gate_of
from pytest_ftbench.grid import Cell, Gate, Suite, UserError, load_suite, printable
from pytest_ftbench.grid.shown import shown
from pytest_ftbench.ml.base import base_folder, check_source, is_local
from pytest_ftbench.ml.context import check_room
from pytest_ftbench.ml.embedder import check_embedder
from pytest_ftbench.ml.inspection import Inspection
from pytest_ftbench.ml.rows import RowSource
from pytest_ftbench.ml.runtime import Runtime
from pytest_ftbench.plugin import FOUND, is_worker
from pytest_ftbench.progress import show
from pytest_ftbench.settings import Settings
from pytest_ftbench.store import MachineLock, Store
from pytest_ftbench.tasks import TASK_NAMES, get_task
from pytest_ftbench.xdist_bridge import company_of

if TYPE_CHECKING:
    from pytest_ftbench.gatekeeper import Gatekeeper
    from pytest_ftbench.ml.workbench import Workbench

_DEFAULT_SUITE = "embedded"
_TIMED = ("ms_per_token", "eval_memory")
# a wheel carries the suites of benchmarks/ inside the package; a checkout has them where they are
_PACKAGED = Path(__file__).parent / "suites"
_CHECKED_OUT = Path(__file__).parents[2] / "benchmarks" / "suites"


@dataclass
class SuiteRun:
    """A suite as this run uses it; its cells share one workbench, made when the first of them runs."""

    suite: Suite
    settings: Settings
    rows: RowSource
    store: Store | None = None
    workbench: "Workbench | None" = None
    faults: dict[str, UserError] = field(default_factory=dict)
    """Why a cell's rows are nothing to run it with, by its id."""
    gate: Gate | None = None
    gates_in: str | None = None
    """Under which node its gates were collected: that of the first test that asks for its results."""
    keeper: "Gatekeeper | None" = None

    @property
    def retimes(self) -> bool:
        """Whether timings must be this run's: those of a run before say nothing of this commit's speed, or memory."""
        return self.settings.retime or (self.gate is not None and any(r.metric in _TIMED for r in self.gate.rules))


@dataclass(frozen=True)
class Entry:
    """What an item is parametrized with: its cell, the cell's place in the suite, and the suite."""

    cell: Cell
    index: int
    run: SuiteRun


_RUNS: pytest.StashKey[dict[Path, SuiteRun]] = pytest.StashKey()
_REFUSED: pytest.StashKey[dict[Path, UserError]] = pytest.StashKey()
"""Why a suite can't be run: it is looked at once, however many tests use it."""


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
    runs, refused = node.config.stash.setdefault(_RUNS, {}), node.config.stash.setdefault(_REFUSED, {})
    settings = Settings.from_config(node.config)
    path = _suite_path(node, settings)
    if path in refused:
        raise refused[path]
    if path not in runs:
        try:
            runs[path] = _new_run(node.config, settings, settings.apply(load_suite(path, TASK_NAMES)))
        except UserError as error:
            refused[path] = error
            raise
    return runs[path]


def _new_run(config: pytest.Config, settings: Settings, suite: Suite) -> SuiteRun:
    """A suite as this run uses it, all of it looked at that can be before anything runs."""
    for model in suite.models:
        check_source(model)
        if is_local(model):
            check_room(suite.place, model.name, base_folder(model), suite.evaluation)
    check_embedder(suite.evaluation.embedder)
    rows = RowSource.of(suite)
    rows.check(())
    rows.read(suite.train_tasks, suite.eval_tasks)
    if suite.tuned:
        # nobody waits for it until the bases are tested
        rows.check_validation(map(get_task, suite.train_tasks))
    gate = gate_of(config, suite)
    return SuiteRun(suite, settings, rows, _store(config, settings.cache), gate=gate)


def entry_of(item: pytest.Item) -> Entry:
    """The entry of an item that has a cell."""
    entry: Entry = item.callspec.params[fixtures.CELL_PARAMETER]  # type: ignore[attr-defined]
    return entry


def measured_by(item: pytest.Item) -> Entry | None:
    """The entry of an item that measures its cell; None of any other."""
    return entry_of(item) if fixtures.measures(item) else None


def _store(config: pytest.Config, cache: Path) -> Store | None:
    """The store of what is found at collection, if there is a cache; a mere list of items makes none."""
    runs = not config.option.collectonly
    try:
        return kept_open(config, Store(cache, partial(_say, config))) if runs or cache.is_dir() else None
    except (OSError, UserError):  # longer than any name is no error of ours
        if runs:
            raise
        return None


def look_at_rows(session: pytest.Session) -> None:
    """Look at the rows of the cells that will run, and keep what is to be said of them.

    A fault of some rows is one of the cells they are for: it fails them, and no others. A mere list of items imports no
    tokenizer.
    """
    config = session.config
    entries = [entry_of(item) for item in filter(fixtures.has_cell, session.items)]
    said = config.stash.setdefault(FOUND, [])
    for run in config.stash.get(_RUNS, {}).values():
        suite, prepare = run.suite, partial(runtime_of, config, run.suite)
        prepared = None if config.option.collectonly else prepare
        inspection = Inspection(suite, run.rows, run.store, MachineLock(partial(_say, config)), prepared)
        inspection.look(entry.cell for entry in entries if entry.run is run)
        run.faults |= inspection.faults
        found = [*inspection.said, *_told(suite, inspection.faults)]
        if any(entry.run is run for entry in entries):
            found += _said_of_gates(run, session)
        said += [text for text in found if text not in said]


def _said_of_gates(run: SuiteRun, session: pytest.Session) -> Iterator[str]:
    """That none of a suite's gates was chosen, where something runs; and which rules are for none of its cells."""
    if run.gate is None:
        return
    name = printable(run.suite.place.name)
    mine = (item for item in filter(fixtures.is_gate, session.items) if vars(item)["keeper"] is run.keeper)
    if next(mine, None) is None and not session.config.option.collectonly:
        yield f"{name}: none of its gates was chosen, and nothing judges this run"
    for metric, word in run.gate.for_none_of(run.suite.cells()):
        yield f"{name}: gate.{metric} is for none of its cells by {printable(word)!r}"


def _told(suite: Suite, faults: dict[str, UserError]) -> Iterator[str]:
    for fault, cells in Counter(map(str, faults.values())).items():
        yield f"{printable(suite.place.name)}: {cells} {'cell' if cells == 1 else 'cells'} can't run: {fault}"


def _say(config: pytest.Config, line: str) -> None:
    """Say at once why collection takes long; a worker, which no terminal hears before it runs items, can't."""
    if not is_worker(config):
        show(config, line)


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
    folders = (beside, beside / "suites", _PACKAGED, _CHECKED_OUT)
    try:
        if name.endswith(".toml"):
            return (base / name).resolve()
        for folder in folders:
            if (path := folder / f"{name}.toml").is_file():
                return path.resolve()
    except (AttributeError, OSError, ValueError):  # no text, too long for a path, a NUL in it
        raise UserError(f"suite {shown(name)}", "is no name for a file", "give a suite's name or its file's") from None
    known = sorted({path.stem for folder in folders for path in folder.glob("*.toml")})
    raise UserError(
        f"suite {name[:100]!r}", "is neither a file nor a known name", f"known are {', '.join(known) or 'none'}"
    )
