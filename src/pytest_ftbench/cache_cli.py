"""``ftbench cache``: what runs have kept, whether it is whole, and less of it. PYTEST_DONT_REWRITE.

::

    ftbench cache list [--json]        what there is, how large, when it was used last, whether it is in use
    ftbench cache verify [--repair]    hold every entry against its manifest; exit code 1 where one differs
    ftbench cache prune --size 10GiB | --unused-for 30d | --all [--dry-run]

Each takes ``--cache FOLDER``, by default what ``FTBENCH_CACHE`` names, else ``~/.cache/pytest-ftbench``. What a run
uses is never removed, and in the folder nothing but the store's own is looked at.
"""

import argparse
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from pytest_ftbench.cache_words import names
from pytest_ftbench.grid import UserError
from pytest_ftbench.store import (
    LOCKS,
    Removal,
    Store,
    Stored,
    contents,
    counted,
    default_folder,
    drafts,
    entry_folders,
    format_size,
    format_time,
    graves,
    keep_within,
    parse_age,
    parse_size,
    prune,
    read_manifest,
    size_of,
    unused_since,
)

Say = Callable[[str], None]

_FAULTY = 1
_KEY_LENGTH = 8
_NAME_LENGTH = 60


def add_cache(things: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verbs of the cache to the command line."""
    cache = things.add_parser("cache", help="checkpoints, answers, timings and records that runs have kept")
    verbs = cache.add_subparsers(title="verbs", metavar="VERB", required=True)
    shown = verbs.add_parser("list", help="what there is, how large, when it was used last")
    shown.add_argument("--json", action="store_true", help="for programs")
    shown.set_defaults(run=_list)
    verified = verbs.add_parser("verify", help="hold every entry against its manifest; exit code 1 where one differs")
    verified.add_argument("--repair", action="store_true", help="set aside what differs: the next run makes it anew")
    verified.set_defaults(run=_verify)
    pruned = verbs.add_parser("prune", help="remove entries, what was used longest ago first, and none in use")
    what = pruned.add_mutually_exclusive_group(required=True)
    what.add_argument("--size", metavar="SIZE", help="until the rest takes at most so much, such as 10GiB")
    what.add_argument("--unused-for", metavar="AGE", help="that nobody has used for so long, such as 30d, 12h or 2w")
    what.add_argument("--all", action="store_true", help="all that nobody uses")
    pruned.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    pruned.set_defaults(run=_prune)
    for verb in (shown, verified, pruned):
        verb.add_argument(
            "--cache", metavar="FOLDER", type=Path, help="default: $FTBENCH_CACHE, else ~/.cache/pytest-ftbench"
        )


def _list(given: argparse.Namespace, say: Say) -> int:
    """Show what is there: by kind, the largest first, what was used last first."""
    root = _root(given)
    entries = contents(root)
    named = names({(e.kind, e.key): read_manifest(e.folder(root)).get("material") for e in entries})
    left = [size_of(folder) for folder in (*graves(root), *drafts(root))]
    if given.json:
        say(_as_json(root, entries, named, left))
        return 0
    say(f"{root}: {_amount([entry.size for entry in entries])}")
    for line in _table(entries, named) if entries else ():
        say(line)
    if left:
        say(f"and {len(left)} set aside or unfinished, {format_size(sum(left))}")
    return 0


def _verify(given: argparse.Namespace, say: Say) -> int:
    """Say which entries are not as their manifests have them, and set them aside where that is asked for."""
    root, faulty = _root(given), 0
    folders = entry_folders(root)
    if folders:
        store = Store(root, lambda _: None)
        for folder in folders:
            problem = store.check(folder.parent.name, folder.name, given.repair)
            if problem is not None:
                faulty += 1
                say(f"{folder}: {problem}{'; set aside' if given.repair else ''}")
        store.release()
    right = f"{counted(len(folders) - faulty, 'entry is', 'entries are')} whole"
    say(f"{root}: {right}" + (f", {faulty} {'is' if faulty == 1 else 'are'} not" if faulty else ""))
    return _FAULTY if faulty else 0


def _prune(given: argparse.Namespace, say: Say) -> int:
    """Remove what is asked for, or say what that would be."""
    root = _root(given)
    removal = _removal(root, given)
    told = removal.told("would remove" if given.dry_run else "removed") or "nothing to remove"
    say(f"{root}: {told}; {format_size(removal.rest)} {'would be ' if given.dry_run else 'are '}left")
    if given.size is not None and removal.rest > parse_size("--size", given.size):
        say("all of it is in use, or can't be removed")
    return 0


def _removal(root: Path, given: argparse.Namespace) -> Removal:
    if given.size is not None:
        return keep_within(root, parse_size("--size", given.size), dry_run=given.dry_run)
    age = 0.0 if given.all else parse_age("--unused-for", given.unused_for)
    # the clock of a file server may be ahead
    moment = float("inf") if given.all else time.time() - age
    return prune(root, partial(unused_since, moment=moment), given.dry_run)


def _root(given: argparse.Namespace) -> Path:
    """The cache's folder.

    Raises :class:`UserError` for one that holds something else; where nothing is yet, a cache may come to be.
    """
    here = Path.cwd()
    root = default_folder(here) if given.cache is None else here / given.cache.expanduser()
    try:
        locks = root / LOCKS
        is_cache = not root.exists() or not any(root.iterdir()) or (locks.is_dir() and not locks.is_symlink())
    except OSError:
        is_cache = False
    if not is_cache:
        raise UserError(root, "is no cache of this plugin", "name with --cache the folder that --ftbench-cache named")
    return root


def _amount(sizes: list[int]) -> str:
    return f"{counted(len(sizes), 'entry', 'entries')}, {format_size(sum(sizes))}"


def _table(entries: list[Stored], named: dict[tuple[str, str], str]) -> list[str]:
    from pytest_ftbench.report.layout import Column, Group, Section, Sheet, Text, cut, no_paint

    rows, sections = [], []
    for kind, some in _by_kind(entries):
        sections.append(Section(f"{kind}: {_amount([entry.size for entry in some])}", len(some)))
        rows += some

    def column(heading: str, cells: Iterable[str], words: bool = True) -> Column:
        return Column(heading, [Text(cell) for cell in cells], words)

    labels = Group(
        "",
        [
            column("key", (entry.key[:_KEY_LENGTH] for entry in rows)),
            column("what", (cut(named.get((entry.kind, entry.key), ""), _NAME_LENGTH) for entry in rows)),
        ],
    )
    figures = Group(
        "",
        [
            column("size", (format_size(entry.size) for entry in rows), words=False),
            column("last used", (format_time(entry.used) for entry in rows)),
            column("in use", ("yes" if entry.in_use else "" for entry in rows)),
        ],
    )
    width = shutil.get_terminal_size((120, 24)).columns
    return ["", *Sheet(labels, [figures], sections).draw(width, no_paint)]


def _by_kind(entries: list[Stored]) -> Iterator[tuple[str, list[Stored]]]:
    kinds = [(kind, list(some)) for kind, some in groupby(sorted(entries, key=_kind), key=_kind)]
    for kind, some in sorted(kinds, key=lambda pair: -sum(entry.size for entry in pair[1])):
        yield kind, sorted(some, key=lambda entry: -entry.used)


def _kind(entry: Stored) -> str:
    return entry.kind


def _as_json(root: Path, entries: list[Stored], named: dict[tuple[str, str], str], left: list[int]) -> str:
    value: dict[str, Any] = {
        "schema": 1,
        "cache": str(root),
        "size": sum(entry.size for entry in entries),
        "left_over": {"count": len(left), "size": sum(left)},
        "entries": [
            {
                "kind": entry.kind,
                "key": entry.key,
                "name": named.get((entry.kind, entry.key)) or None,
                "size": entry.size,
                "used": entry.used,
                "in_use": entry.in_use,
            }
            for entry in entries
        ],
    }
    return json.dumps(value)
