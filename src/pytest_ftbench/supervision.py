"""What ends a cell from outside: its time limit, and Ctrl-C. PYTEST_DONT_REWRITE."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pytest_ftbench.collection import SuiteRun
from pytest_ftbench.grid import TimedOutError
from pytest_ftbench.hangs import end_hanging
from pytest_ftbench.interrupts import interruptible
from pytest_ftbench.progress import Progress
from pytest_ftbench.timeouts import Clock, TimeLimit


@contextmanager
def supervised(item: pytest.Item, run: SuiteRun, name: str, progress: Progress) -> Iterator[None]:
    """Let Ctrl-C and the suite's time limit end what is done in the block, under a name.

    Raises :class:`TimedOutError` where its time is up. The suite's workbench is left as if nothing had been loaded.
    """
    with interruptible(item.session, lambda: progress.doing):
        if run.suite.cell_timeout is None:
            yield
            return
        with _limited(item, run, name, progress):
            yield


@contextmanager
def _limited(item: pytest.Item, run: SuiteRun, name: str, progress: Progress) -> Iterator[None]:
    assert run.suite.cell_timeout is not None
    clock = Clock(run.suite.cell_timeout)
    limit = TimeLimit(clock, lambda: end_hanging(item, run, _error(name, limit, progress)))
    progress.clock = clock
    try:
        with limit:
            yield
        return
    except BaseException as error:
        if not limit.is_up or isinstance(error, (KeyboardInterrupt, SystemExit, pytest.exit.Exception)):
            raise
        # they hold on to the model
        traceback.clear_frames(error.__traceback__)
    finally:
        progress.clock = None
    if run.workbench is not None:
        run.workbench.close()
    raise _error(name, limit, progress)


def _error(name: str, limit: TimeLimit, progress: Progress) -> TimedOutError:
    return TimedOutError(
        name,
        f"{limit.words}, at last with {progress.doing!r}",
        "raise cell_timeout in the suite, or --ftbench-timeout, or see what it hangs in",
    )
