"""``ftbench baseline``: what later runs are held against. PYTEST_DONT_REWRITE.

::

    ftbench baseline accept results.json --reason "the prompt asks for one word now" [--to baselines/mine.json]

makes the results that ``--ftbench-json`` wrote the baseline that later runs are held against, and prints what that
changes. Its place is ``baselines/SUITE.json`` below the working folder, unless ``--to`` says otherwise. It takes the
place of a baseline of the same suite and of nothing else. Nobody but this command writes one.
"""

import argparse
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pytest_ftbench.grid import (
    Acceptance,
    Results,
    UserError,
    acceptance,
    baseline_of,
    baseline_text,
    read_results,
)
from pytest_ftbench.store import file_digest, write_file

Say = Callable[[str], None]

_FOLDER = Path("baselines")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


def add_baseline(things: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verbs of baselines to the command line."""
    baseline = things.add_parser("baseline", help="what later runs are held against")
    verbs = baseline.add_subparsers(title="verbs", metavar="VERB", required=True)
    accept = verbs.add_parser("accept", help="make results the baseline, and say what that changes")
    accept.add_argument("results", metavar="RESULTS", type=Path, help="a file that --ftbench-json wrote")
    accept.add_argument("--reason", required=True, help="why, in a sentence; it stays in the file")
    accept.add_argument("--to", metavar="FILE", type=Path, help="the baseline (default: baselines/SUITE.json)")
    accept.add_argument("--partial", action="store_true", help="accept a run in which cells failed, without these")
    accept.set_defaults(run=_accept)


def _accept(given: argparse.Namespace, say: Say) -> int:
    """Write the baseline, and say what it changes."""
    from pytest_ftbench.report import render_acceptance

    reason = " ".join(given.reason.split())
    if not reason:
        raise UserError("--reason", "is empty", "say in a sentence why these results are what later runs should give")
    results = _measured(given.results, given.partial)
    path = given.to or _FOLDER / f"{_plain_name(results.suite)}.json"
    before = _replaced(path, results.suite)
    accepted = Acceptance(
        reason=reason,
        accepted=datetime.now(UTC).isoformat(timespec="seconds"),
        file=given.results.name,
        sha256=_digest(given.results),
        replaces=None if before is None else _digest(path),
        before=None if before is None else acceptance(before),
        left_out=tuple(record.id for record in results.cells if not record.ok),
    )
    baseline = baseline_of(results, accepted)
    said = render_acceptance(baseline, before)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, baseline_text(baseline))
    except OSError as error:
        raise UserError(path, f"can't be written ({error.strerror or error})", "name another with --to") from None
    for line in [*said, f"written to {path}; review it with git diff, and commit it"]:
        say(line)
    return 0


def _measured(path: Path, partial: bool) -> Results:
    """The results to accept.

    Raises :class:`UserError` where they are none, or lack cells that nobody agreed to do without.
    """
    results = read_results(path)
    lost = [record for record in results.cells if not record.ok]
    if lost and not partial:
        first = f"{len(lost)} of {len(results.cells)} cells were not measured ({lost[0].id}: {lost[0].status})"
        raise UserError(path, first, "run them again, or accept the others with --partial")
    return results


def _plain_name(suite: str) -> str:
    if not _NAME.fullmatch(suite):
        raise UserError(f"suite {suite!r}", "is no name for a file", "name the baseline with --to FILE")
    return suite


def _replaced(path: Path, suite: str) -> Results | None:
    """The baseline that is there now; None where nothing is.

    Raises :class:`UserError` where something else is there: another suite's, or no baseline at all.
    """
    if not os.path.lexists(path):
        return None
    other = "name another with --to, or move it away"
    try:
        before = read_results(path)
    except UserError as error:
        raise UserError(path, f"is there and is no baseline ({error.problem})", other) from None
    if acceptance(before) is None:
        raise UserError(path, "is there and holds results that nobody accepted as a baseline", other)
    if before.suite != suite:
        raise UserError(path, f"is the baseline of suite {before.suite!r}, these are results of {suite!r}", other)
    return before


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise UserError(path, f"can't be read ({error.strerror})", "name a file that can") from None
