"""The command ``ftbench``: what is done with results, and with what is kept, between two runs. PYTEST_DONT_REWRITE.

``ftbench baseline`` makes results the baseline of later runs (baseline_cli), ``ftbench cache`` shows, checks and cleans
up what runs have kept (cache_cli).

Exit codes: 0 done; 1 what was checked is not as it should be; 2 nothing was done, and one sentence on standard error
says why.
"""

import argparse
import sys
from collections.abc import Sequence

from pytest_ftbench.baseline_cli import add_baseline
from pytest_ftbench.cache_cli import add_cache
from pytest_ftbench.grid import UserError, printable

REFUSED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code."""
    given = parser().parse_args(arguments)
    try:
        code: int = given.run(given, _print)
    except UserError as error:
        print(f"ftbench: {error}", file=sys.stderr)
        return REFUSED
    return code


def parser() -> argparse.ArgumentParser:
    """The command line's verbs and their options."""
    top = argparse.ArgumentParser(
        prog="ftbench", description="What is done with fine-tuning results, and what is kept, between two runs."
    )
    things = top.add_subparsers(title="things", metavar="THING", required=True)
    add_baseline(things)
    add_cache(things)
    return top


def _print(line: str) -> None:
    """Print a line as far as the terminal's encoding has its characters, and something like them where not."""
    from pytest_ftbench.report import encodable

    for text in encodable([printable(line)], sys.stdout.encoding or "utf-8"):
        print(text)
