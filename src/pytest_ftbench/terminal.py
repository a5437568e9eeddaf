"""What the person at the terminal sees: whole lines of progress, and the tables at the end. PYTEST_DONT_REWRITE."""

from collections.abc import Callable
from typing import Any

import pytest

from pytest_ftbench.ledger import Ledger


def speaker(config: pytest.Config) -> Callable[[str], None]:
    """A function that prints one line of progress; it keeps quiet in a worker, whose output nobody sees."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")

    def say(line: str) -> None:
        if reporter is not None and not hasattr(config, "workerinput"):
            reporter.ensure_newline()
            reporter.write_line(f"ftbench: {line}")

    return say


def summarize(reporter: Any, ledger: Ledger) -> None:
    """Print the tables of a run or of stored results."""
    results = ledger.results()
    if results is None or hasattr(ledger.config, "workerinput"):
        return
    from pytest_ftbench.report import render

    reporter.section(f"fine-tuning comparison: {results.suite}")
    for line in render(results, width=reporter._tw.fullwidth, color=reporter.hasmarkup):
        reporter.write_line(line)
