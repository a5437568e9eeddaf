"""The entry point: options, markers, and which module answers which hook. PYTEST_DONT_REWRITE.

Every pytest run on a machine with this plugin imports this file, so it imports nothing but pytest: whatever a run with
cells needs is imported when the first cell turns up.
"""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ftbench.fixtures import CELL_PARAMETER, _ftbench, cell, checkpoint, has_cell, is_gate, result

if TYPE_CHECKING:
    from pytest_ftbench.ledger import Ledger
    from pytest_ftbench.store import Store

__all__ = ["_ftbench", "cell", "checkpoint", "result"]

LEDGER: "pytest.StashKey[Ledger]" = pytest.StashKey()
ONLY: pytest.StashKey[bool] = pytest.StashKey()
"""Set where --benchmark-only is this plugin's to see to."""

STORED_RUNS: pytest.StashKey[list[dict[str, Any]]] = pytest.StashKey()
"""The content of each run that --benchmark-compare found."""

FOUND: pytest.StashKey[list[str]] = pytest.StashKey()
"""What collection found the matter with rows."""

STORES: "pytest.StashKey[list[Store]]" = pytest.StashKey()
CACHE_SAID: pytest.StashKey[list[str]] = pytest.StashKey()
"""What is to be said of the cache's clean-up at the end."""

_BY_CHECKPOINT: pytest.StashKey[bool] = pytest.StashKey()
PHASES = ("setup", "call", "teardown")
"""What reports on items are of; what xdist says for a worker that died is of none."""

_MARKERS = (
    "cell(model, method, rank, train, eval, seed): set on every cell; select with -m \"cell(method='lora')\".",
    "ftbench(suite): the suite file of a module's or test's cells, a path beside the test file or a suite's name.",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the group ``ftbench``."""
    group = parser.getgroup("ftbench", "fine-tuning benchmark")
    add = group.addoption
    add("--ftbench-suite", metavar="NAME|FILE.toml", help="the suite to run (default: embedded)")
    add(
        "--ftbench-model",
        metavar="NAME|PATH|HUB_ID",
        action="append",
        help="a model of the suite, or another in its place; repeatable",
    )
    add("--ftbench-data", metavar="FOLDER|hub", help="where the rows are: a folder of parquet or JSON Lines files")
    add("--ftbench-samples", metavar="N", type=int, help="test items per task")
    add("--ftbench-seeds", metavar="N", type=int, help="train with N seeds, 0 to N-1")
    add(
        "--ftbench-recipe",
        choices=("published", "tuned"),
        help="published: the suite's recipe as it is; tuned: the same, each way's learning rate chosen by a sweep "
        "around full fine-tuning's, times 10 for LoRA and its kin, 100 for VeRA and IA3, 1000 for prompts",
    )
    add("--ftbench-reasoning", choices=("on", "off", "unlocked"), help="the chat template's thinking switch")
    add("--ftbench-device", metavar="DEVICE", help="auto, cpu, cuda or cuda:N")
    add("--ftbench-dtype", choices=("auto", "float32", "bfloat16"), help="of weights, in training and evaluation")
    add("--ftbench-cache", metavar="FOLDER", help="where checkpoints and results are kept")
    add(
        "--ftbench-cache-size",
        metavar="SIZE",
        help="keep that within, such as 20GiB: what was used longest ago goes first",
    )
    add("--ftbench-retime", action="store_true", help="time every answer anew, also where timings are stored")
    add(
        "--ftbench-timeout",
        metavar="SECONDS",
        type=float,
        help="how long a cell may take, what it waits for others not counted (default: the suite's cell_timeout)",
    )
    add("--ftbench-json", metavar="FILE", help="write the results to a file")
    add("--ftbench-markdown", metavar="FILE", help="write the report as Markdown, for a comment on a pull request")
    add("--ftbench-html", metavar="FILE", help="write the report as one page that opens offline, without scripts")
    add("--ftbench-from", metavar="FILE", help="render stored results; run nothing")
    add(
        "--ftbench-baseline",
        metavar="FILE",
        help="stored results to hold the ranking of the ways of tuning against, and to gate against",
    )
    add(
        "--ftbench-gate",
        choices=("on", "off"),
        help="on: each way of tuning gets a test item that fails where it has become worse than the baseline, also "
        "where neither [gate] nor --ftbench-baseline asks for that; off: none does",
    )
    add(
        "--ftbench-compare-fail",
        metavar="FIELD:NUMBER[%]",
        action="append",
        help="fail where, against the run of --benchmark-compare, the score drops by more, or ms_per_token, tokens, "
        "train_memory or eval_memory rise by more, such as score:5%%; repeatable",
    )
    parser.addini("ftbench_suite", "the suite to run where neither option nor marker names one", default=None)
    parser.addini("ftbench_cache", "where checkpoints and results are kept", default=None)
    parser.addini("ftbench_cache_size", "keep that within, such as 20GiB", default=None)


# before pytest-benchmark's, which refuses --benchmark-only where there are workers
@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers, and listen to what is said of cells, in the process that reports."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    if _is_shared(config) and config.getoption("benchmark_only", False):
        from pytest_ftbench.benchmark_bridge import take_over_only

        take_over_only(config)
    if is_worker(config):
        return
    config.pluginmanager.register(_Listener(config), "ftbench-listener")
    if _is_shared(config):
        from pytest_ftbench.xdist_bridge import Controller

        controller = Controller(config, config.stash.get(_BY_CHECKPOINT, False))
        config.pluginmanager.register(controller, "ftbench-controller")
        from pytest_ftbench.xdist_endings import Endings

        config.pluginmanager.register(Endings(config), "ftbench-endings")
    written = ("json", "markdown", "html", "compare_fail", "baseline")
    if any(config.getoption(f"ftbench_{name}") is not None for name in written):
        from pytest_ftbench.ledger import ledger_of
        from pytest_ftbench.settings import check_options

        check_options(config)
        # what was asked for is told, also where no cell runs; and a file that is none before any does
        _ = ledger_of(config).baseline


class _Listener:
    """Hands what reports say of cells to the ledger; under xdist they come from other processes."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    # before anybody else's: a report that Ctrl-C interrupts is heard here, whoever misses it
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, None, None]:
        """Pass on a record, a note from a worker, or the end of one."""
        said = vars(report).keys() & {"ftbench", "ftbench_gate", "ftbench_note"}
        # subtests copy a report's attributes onto reports of their own type
        # what xdist says for a worker that died is of no phase
        lost = report.when not in PHASES and LEDGER in self.config.stash
        if type(report) is pytest.TestReport and (said or lost):
            from pytest_ftbench.interrupts import as_a_whole
            from pytest_ftbench.ledger import ledger_of

            with as_a_whole():
                ledger_of(self.config).listen(report)
                return (yield)
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """Start no workers where stored results are rendered; see whether a schedule for them is chosen."""
    if config.getoption("numprocesses", None) is not None:
        from pytest_ftbench.xdist_bridge import chooses_no_schedule, work_alone

        if config.getoption("ftbench_from") is not None:
            work_alone(config)
        config.stash[_BY_CHECKPOINT] = chooses_no_schedule(config)
    return (yield)


# last, to see what others have parametrized
@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one item per cell of a test that asks for one."""
    if CELL_PARAMETER in metafunc.fixturenames:
        from pytest_ftbench.collection import asks_for_a_cell, parametrize

        if asks_for_a_cell(metafunc):
            parametrize(metafunc)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Add the items that judge, beside the tests that measure; what --lf leaves of them is seen to around this."""
    report = yield
    if any(has_cell(node) for node in report.result or () if isinstance(node, pytest.Item)):
        from pytest_ftbench.gate_items import add_gates

        add_gates(collector, report.result)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> bool | None:
    """Collect nothing but what judges where stored results are rendered."""
    if session.config.getoption("ftbench_from") is None:
        return None
    from pytest_ftbench.stored_gates import collect

    collect(session)
    return True


# last, to see which items others have marked
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have pytest-benchmark's options that choose items treat a measured cell as a benchmark."""
    if config.getoption("benchmark_skip", False) or config.getoption("benchmark_only", False) or ONLY in config.stash:
        from pytest_ftbench.benchmark_bridge import choose_items

        choose_items(config, items)


# before xdist's, which tells the process that hands out items that all is collected
@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Look at the rows of the cells that are left; tell it, from a worker, which are tested on one checkpoint.

    What judges comes last, whoever has sorted the items.
    """
    session.items.sort(key=is_gate)
    if not any(has_cell(item) or is_gate(item) for item in session.items):
        return
    # where collection failed, nothing runs
    if not session.testsfailed or session.config.option.continue_on_collection_errors:
        from pytest_ftbench.collection import look_at_rows
        from pytest_ftbench.interrupts import interruptible

        with interruptible(session, lambda: "looking at the rows"):
            look_at_rows(session)
    if is_worker(session.config):
        from pytest_ftbench.recorder import tell_checkpoints

        tell_checkpoints(session)


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """Say what is the matter with rows, before hours are spent on them; with workers, the report alone says it."""
    return config.stash.get(FOUND, [])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tell the process that reports which cell a worker begins."""
    if is_worker(item.config) and has_cell(item):
        from pytest_ftbench.recorder import announce

        announce(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put a cell's record on its report, where the run is executed."""
    report = yield
    if has_cell(item):
        from pytest_ftbench.recorder import attach

        attach(item, call, report)
    elif is_gate(item) and report.when == "call":
        from pytest_ftbench.gate_items import attach_verdicts

        attach_verdicts(item, report)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: object, config: pytest.Config) -> "tuple[str, str, Any] | None":
    """Show a measured cell's headline score as the result word; a note is no result."""
    if hasattr(report, "ftbench_note"):
        return "", "", ""
    if hasattr(report, "ftbench") and not is_worker(config):
        from pytest_ftbench.terminal import result_word

        return result_word(report)
    return None


# around pytest-benchmark's, which stores what it has been given by then
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """Write the results, also of a run that was interrupted, and clean up the cache."""
    if ledger := session.config.stash.get(LEDGER, None):
        ledger.finish(session)
    if LEDGER in session.config.stash or STORES in session.config.stash:
        from pytest_ftbench.cache_keeper import finish

        finish(session.config)
    return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Say in a stored run how many workers shared the machine."""
    if _is_shared(config):
        from pytest_ftbench.benchmark_bridge import add_company

        add_company(config, machine_info)


# before pytest-benchmark's own, which takes the run for what it should be
@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_benchmark_compare_machine_info(config: pytest.Config, compared_benchmark: dict[str, Any]) -> None:
    """Keep each stored run that this one is compared with; pytest-benchmark itself forgets on which machine it was."""
    from pytest_ftbench.benchmark_bridge import check_stored

    check_stored(compared_benchmark)
    config.stash.setdefault(STORED_RUNS, []).append(compared_benchmark)


@pytest.hookimpl(tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the tables, before pytest-benchmark's: it may end the summary with a regression."""
    if ledger := config.stash.get(LEDGER, None):
        from pytest_ftbench.terminal import summarize

        summarize(terminalreporter, ledger)
    for line in config.stash.get(CACHE_SAID, []):
        terminalreporter.write_line(line)


def is_worker(config: pytest.Config) -> bool:
    """Whether this process runs items for another, which reports them."""
    # asked in every run on the machine, so it isn't in xdist_bridge, which that would import
    return hasattr(config, "workerinput")


def _is_shared(config: pytest.Config) -> bool:
    """Whether this process is one of xdist's, be it the controller or a worker."""
    return is_worker(config) or config.getoption("dist", "no") != "no"
