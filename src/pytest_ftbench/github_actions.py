"""Shows verdicts where a pull request is read: annotations of the worst, the report as the step's summary.

PYTEST_DONT_REWRITE. Only in a run of GitHub Actions, and only where gates were judged. GitHub shows ten annotations of
a step and drops the rest: nine verdicts are annotated, and a tenth says how many more there are.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_ftbench.grid import printable
from pytest_ftbench.ledger import Ledger

if TYPE_CHECKING:
    from pytest_ftbench.analysis.gate_verdict import Verdict

SHOWN = 9
SUMMARY_LIMIT = 1024 * 1024
"""The bytes that a step's summary may have; one that is larger isn't shown at all."""

_LEVELS = {"fail": "error", "warn": "warning"}


def is_asked_for(ledger: Ledger) -> bool:
    """Whether this is a run of GitHub Actions in which gates were judged."""
    return bool(os.environ.get("GITHUB_ACTIONS")) and any(suite.judged for suite in ledger.suites.values())


def annotations(ledger: Ledger) -> Iterator[str]:
    """The workflow commands that annotate the worst verdicts."""
    from pytest_ftbench.analysis.gate_words import message
    from pytest_ftbench.report.verdicts import read_verdicts, worst_first

    # a checkout's root is where GitHub looks for files, whatever folder of it pytest takes for its own
    root = Path(os.environ.get("GITHUB_WORKSPACE") or ledger.config.rootpath)
    file_of: dict[int, str | None] = {}
    verdicts: list[Verdict] = []
    for place, suite in ledger.suites.items():
        mine = [verdict for verdict in read_verdicts(suite.verdicts)[0] if verdict.action in _LEVELS]
        file_of |= {id(verdict): _file(place, root) for verdict in mine}
        verdicts += mine
    # what fails for want of a baseline comes before what is only warned of
    found = sorted(worst_first(verdicts), key=lambda verdict: verdict.action != "fail")
    for verdict in found[:SHOWN]:
        file = file_of[id(verdict)]
        where = {} if file is None else {"file": file}
        title = {"title": f"{verdict.metric} of {verdict.cell}: {verdict.outcome}"}
        yield command(_LEVELS[verdict.action], where | title, message(verdict))
    if rest := found[SHOWN:]:
        level = _LEVELS[rest[0].action]
        yield command(level, {"title": f"{len(rest)} more"}, f"{len(rest)} more verdicts are in the summary's table.")


def write_summary(ledger: Ledger) -> str | None:
    """Append the reports to the step's summary; what there is to say where that can't be done."""
    name = os.environ.get("GITHUB_STEP_SUMMARY")
    if not name:
        return None
    path = Path(name)
    pages = [ledger.report("markdown", contents, index) for index, contents in enumerate(ledger.contents)]
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
    text = "".join(char if char in "\r\n" else printable(char) for char in text)
    for mark in ("%", "\r", "\n", *also):
        text = text.replace(mark, f"%{ord(mark):02X}")
    return text


def _file(place: str, root: Path) -> str | None:
    """The suite's file from the project's folder, where it is in there."""
    path = Path(place)
    return path.relative_to(root).as_posix() if path.suffix == ".toml" and path.is_relative_to(root) else None
