"""Shows verdicts where a pull request is read: annotations of the worst, the report as the step's summary.

PYTEST_DONT_REWRITE. Only in a run of GitHub Actions, and only where gates were judged. GitHub shows ten annotations of
a step and drops the rest: nine verdicts are annotated, and a tenth says how many more there are.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_ftbench.ledger import Ledger

if TYPE_CHECKING:
    from pytest_ftbench.analysis.gate_verdict import Verdict

SHOWN = 9
SUMMARY_LIMIT = 1024 * 1024
"""The bytes that a step's summary may have; one that is larger isn't shown at all."""

_LEVELS = {"fail": "error", "warn": "warning"}
_WORST_FIRST = ("fail", "incomparable", "missing baseline", "inconclusive", "pass")


def is_asked_for(ledger: Ledger) -> bool:
    """Whether this is a run of GitHub Actions in which gates were judged."""
    return bool(os.environ.get("GITHUB_ACTIONS")) and any(suite.judged for suite in ledger.suites.values())


def annotations(ledger: Ledger) -> Iterator[str]:
    """The workflow commands that annotate the worst verdicts."""
    from pytest_ftbench.analysis.gate_verdict import Verdict
    from pytest_ftbench.analysis.gate_words import message

    found = [
        (Verdict.from_dict(value), _file(place, ledger.config.rootpath))
        for place, suite in ledger.suites.items()
        for value in suite.verdicts
        if value["action"] in _LEVELS
    ]
    found.sort(key=lambda pair: _rank(pair[0]))
    for verdict, file in found[:SHOWN]:
        place = {} if file is None else {"file": file}
        title = {"title": f"{verdict.metric} of {verdict.cell}: {verdict.outcome}"}
        yield command(_LEVELS[verdict.action], place | title, message(verdict))
    if rest := found[SHOWN:]:
        level = _LEVELS[rest[0][0].action]
        yield command(level, {"title": f"{len(rest)} more"}, f"{len(rest)} more verdicts are in the summary's table.")


def write_summary(ledger: Ledger) -> str | None:
    """Append the reports to the step's summary; what there is to say where that can't be done."""
    name = os.environ.get("GITHUB_STEP_SUMMARY")
    if not name:
        return None
    path = Path(name)
    pages = [ledger.report("markdown", results, index) for index, results in enumerate(ledger.results)]
    text = "\n".join(pages)
    try:
        before = path.stat().st_size if path.exists() else 0
        if before + len(text.encode(errors="replace")) > SUMMARY_LIMIT:
            return "GITHUB_STEP_SUMMARY: the report has no room there; --ftbench-markdown writes it to a file."
        with path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except OSError as error:
        return f"GITHUB_STEP_SUMMARY: the report can't be written ({error}); --ftbench-markdown names another file."
    return None


def command(level: str, properties: Mapping[str, str], text: str) -> str:
    """A workflow command, its parts escaped as GitHub's runner reads them."""
    named = ",".join(f"{key}={_escaped(value, ',:')}" for key, value in properties.items())
    return f"::{level} {named}::{_escaped(text)}"


def _escaped(text: str, also: Sequence[str] = "") -> str:
    for mark in ("%", "\r", "\n", *also):
        text = text.replace(mark, f"%{ord(mark):02X}")
    return text


def _file(place: str, root: Path) -> str | None:
    """The suite's file from the project's folder, where it is in there."""
    path = Path(place)
    return path.relative_to(root).as_posix() if path.suffix == ".toml" and path.is_relative_to(root) else None


def _rank(verdict: "Verdict") -> tuple[bool, int, float]:
    """What sorts verdicts, the worst first: what fails, what was found to be worse, and that most surely."""
    p = verdict.p if verdict.adjusted is None else verdict.adjusted
    return verdict.action != "fail", _WORST_FIRST.index(str(verdict.outcome)), 0.0 if p is None else p
