"""What the person at the terminal sees: whole lines of progress, and the tables at the end. PYTEST_DONT_REWRITE."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from pytest_ftbench.ledger import Ledger
from pytest_ftbench.xdist_bridge import is_worker


def speaker(config: pytest.Config) -> Callable[[str], None]:
    """A function that prints one line of progress; it keeps quiet in a worker, whose output nobody sees."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    capture: Any = config.pluginmanager.get_plugin("capturemanager")

    def say(line: str) -> None:
        if reporter is None or is_worker(config):
            return
        # cells run while pytest captures output, and what is captured shows up only where a test fails
        with capture.global_and_fixture_disabled() if capture is not None else nullcontext():
            reporter.ensure_newline()
            reporter.write_line(f"ftbench: {line}")
            reporter._tw.flush()

    return say


def summarize(reporter: Any, ledger: Ledger) -> None:
    """Print the tables of a run or of stored results."""
    if is_worker(ledger.config):
        return
    from pytest_ftbench.report import render

    detail = ledger.config.option.verbose > 0
    for results in ledger.results():
        reporter.section("fine-tuning comparison")
        for line in render(results, reporter._tw.fullwidth, reporter.hasmarkup, detail):
            reporter.write_line(line)
    for file in ledger.written:
        reporter.write_line(f"results written to {file}")
    if ledger.problem is not None:
        reporter.write_line(ledger.problem, red=True)
