"""What the terminal shows of cells: scores as they come, and the tables at the end. PYTEST_DONT_REWRITE."""

from collections.abc import Iterable
from typing import Any

from pytest_ftbench.github_actions import annotations, is_asked_for, write_summary
from pytest_ftbench.grid import CellRecord
from pytest_ftbench.ledger import Ledger
from pytest_ftbench.progress import inert


def result_word(report: Any) -> tuple[str, str, Any] | None:
    """Category, letter and word of a passed cell: its headline score, and the mark that takes it out of rankings."""
    from pytest_ftbench.report import headline

    said = report.ftbench
    if not report.passed or report.when != "call" or said["record"]["status"] != "ok":
        return None
    record = CellRecord.from_json(said["record"])
    word, ranked = headline(record, {record.eval_task: said.get("trivial", {})})
    return "passed", ".", (word, {"green": True} if ranked else {"yellow": True})


def summarize(reporter: Any, ledger: Ledger) -> None:
    """Print the tables of a run or of stored results."""
    detail = ledger.config.option.verbose > 0
    for contents in ledger.contents:
        from pytest_ftbench.report import render

        reporter.section("fine-tuning comparison")
        _write(reporter, render(contents, reporter._tw.fullwidth, reporter.hasmarkup, detail))
    if ledger.contents or ledger.comparisons:  # a run that ends before there is anything to tell imports nothing for it
        _write_comparisons(reporter, ledger)
    # a path is only of use as it is: pytest escapes what can't be printed of it
    for file in ledger.written:
        reporter.write_line(f"results written to {file}")
    if ledger.problem is not None:
        reporter.write_line(ledger.problem, red=True)
    if is_asked_for(ledger):
        problem = write_summary(ledger)
        _write(reporter, annotations(ledger), commands=True)
        _write(reporter, [] if problem is None else [problem])


def _write_comparisons(reporter: Any, ledger: Ledger) -> None:
    """Print what has changed since stored runs, and which limits that breaks."""
    from pytest_ftbench.report import render_breaches, render_comparison

    width, color = reporter._tw.fullwidth, reporter.hasmarkup
    for source, comparison in ledger.comparisons:
        reporter.section("comparison with a stored run")
        _write(reporter, render_comparison(comparison, source, width, color))
    _write(reporter, render_breaches(ledger.breaches, width, color))


def _write(reporter: Any, lines: Iterable[str], commands: bool = False) -> None:
    """Print lines as far as the terminal's encoding has their characters, and something like them where not.

    What GitHub Actions would obey is only printed where it is one of our own ``commands``.
    """
    from pytest_ftbench.report import encodable

    for line in encodable(lines, getattr(reporter._tw._file, "encoding", None) or "utf-8"):
        reporter.write_line(line if commands else inert(line))
