"""The options of a run as one value, and a suite with these options applied. PYTEST_DONT_REWRITE."""

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_ftbench.grid import TUNED, Suite, UserError, acceptance, read_results
from pytest_ftbench.grid.shown import shown
from pytest_ftbench.store import SIZE_VARIABLE, default_folder, parse_size

if TYPE_CHECKING:
    from pytest_ftbench.analysis import Limit

WRITTEN = ("json", "markdown", "html")
"""The kinds of files that a run writes, each by an option of its own."""

_HEAD = 2_000  # characters: a suite's name comes before what a baseline says of itself
_NOT_OVERWRITTEN = {
    "markdown": ("json", "html", "from", "baseline"),
    "html": ("json", "markdown", "from", "baseline"),
}


@dataclass(frozen=True)
class Settings:
    """What the command line and the configuration file say. None: the suite decides."""

    suite: str | None
    models: tuple[str, ...]
    data: str | None
    samples: int | None
    seeds: int | None
    reasoning: str | None
    device: str | None
    dtype: str | None
    cache: Path
    json: Path | None
    retime: bool
    recipe: str | None = None
    cache_size: int | None = None
    timeout: float | None = None

    @classmethod
    def from_config(cls, config: pytest.Config) -> "Settings":
        """The settings of a run."""
        option = config.getoption
        invocation = config.invocation_params.dir
        return cls(
            suite=option("ftbench_suite"),
            models=tuple(_absolute("--ftbench-model", each, invocation) for each in option("ftbench_model") or ()),
            data=None if (data := option("ftbench_data")) is None else _absolute("--ftbench-data", data, invocation),
            samples=_positive("--ftbench-samples", option("ftbench_samples")),
            seeds=_positive("--ftbench-seeds", option("ftbench_seeds")),
            reasoning=option("ftbench_reasoning"),
            device=option("ftbench_device"),
            dtype=option("ftbench_dtype"),
            cache=cache_folder(config),
            cache_size=cache_size(config),
            json=json_path(config),
            recipe=option("ftbench_recipe"),
            timeout=_seconds("--ftbench-timeout", option("ftbench_timeout")),
            retime=option("ftbench_retime") or stores_benchmarks(config),
        )

    def apply(self, suite: Suite) -> Suite:
        """The suite with what the options say in its keys' place."""
        if self.models:
            suite = suite.with_models(list(self.models))
        data, evaluation = suite.data, suite.evaluation
        if self.data is not None:
            data = replace(data, source=self.data)
        if self.samples is not None:
            data = replace(data, test_samples=self.samples)
        if self.reasoning is not None:
            evaluation = replace(evaluation, reasoning=self.reasoning)
        suite = replace(
            suite,
            data=data,
            evaluation=evaluation,
            seeds=suite.seeds if self.seeds is None else tuple(range(self.seeds)),
            device=self.device or suite.device,
            dtype=self.dtype or suite.dtype,
            # nothing else of its recipe changes: published is what the suite itself says, at its own rates
            tuned=suite.tuned if self.recipe is None else self.recipe == TUNED,
            cell_timeout=self.timeout or suite.cell_timeout,
        )
        suite.check_sweep()
        return suite


def check_options(config: pytest.Config) -> None:
    """Check before anything runs what is only needed at its end.

    Raises pytest's usage error.
    """
    try:
        for kind in WRITTEN:
            report_path(config, kind)
        compare_limits(config)
    except UserError as error:
        raise pytest.UsageError(str(error)) from None


def compare_limits(config: pytest.Config) -> "list[Limit]":
    """What may change against a stored run.

    Raises :class:`UserError` for a limit that can't be read, and for one without a run to compare with.
    """
    given = config.getoption("ftbench_compare_fail")
    if not given:
        return []
    from pytest_ftbench.analysis import parse_limit

    if not hasattr(config.option, "benchmark_compare"):
        raise UserError(
            "--ftbench-compare-fail", "needs stored runs of pytest-benchmark, which isn't there", "install it"
        )
    if not config.getoption("benchmark_compare"):
        raise UserError("--ftbench-compare-fail", "has nothing to compare with", "add --benchmark-compare")
    if config.getoption("ftbench_from") is not None:
        raise UserError("--ftbench-compare-fail", "judges cells that are run, and --ftbench-from runs none", "drop one")
    return [parse_limit(text, f"--ftbench-compare-fail {text}") for text in given]


def json_path(config: pytest.Config) -> Path | None:
    """Where the results are to be written; None where they are not.

    Raises :class:`UserError` for a place where no file can be.
    """
    return report_path(config, "json")


def report_path(config: pytest.Config, kind: str) -> Path | None:
    """Where ``--ftbench-KIND`` has its file written; None where it isn't given.

    Raises :class:`UserError` for a place where no file can be, and for one that another option reads or writes.
    """
    name = config.getoption(f"ftbench_{kind}")
    if name is None:
        return None
    path: Path = config.invocation_params.dir / name
    if not _may_be_file(path):
        raise UserError(f"--ftbench-{kind} {name:.100}", "is no place for a file", "name a file in a folder")
    for other in _NOT_OVERWRITTEN.get(kind, ()):
        if (named := config.getoption(f"ftbench_{other}")) and config.invocation_params.dir / named == path:
            raise UserError(f"--ftbench-{kind} {name}", f"is the file of --ftbench-{other}", "name another file")
    if path.is_file() and is_baseline(path):
        problem = "is a baseline, which nothing but 'ftbench baseline accept' writes"
        raise UserError(f"--ftbench-{kind} {name}", problem, "name another file, and accept that")
    return path


def _may_be_file(path: Path) -> bool:
    try:
        taken = next((parent for parent in path.parents if parent.exists()), path.parent)
        return taken.is_dir() and not path.is_dir() and "\0" not in path.name
    except (OSError, ValueError):  # longer than any name, or with a NUL in it
        return False


def is_baseline(path: Path) -> bool:
    """Whether a file is a baseline that somebody accepted."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            # it says so before anything else: other results are long, and needn't be read to be overwritten
            begins = file.read(_HEAD)
        return '"baseline"' in begins and acceptance(read_results(path)) is not None
    except (OSError, UserError):
        return False


def cache_folder(config: pytest.Config) -> Path:
    """The option's folder, else the configuration's, the environment's, or a user's cache as XDG has it.

    Raises :class:`UserError` for one in the home of a user there isn't.
    """
    here = config.invocation_params.dir
    if option := config.getoption("ftbench_cache"):
        return here / expanded("--ftbench-cache", option)
    if configured := config.getini("ftbench_cache"):
        return config.rootpath / expanded("ftbench_cache", configured)
    return default_folder(here)


def cache_size(config: pytest.Config) -> int | None:
    """The bytes that the cache is kept within: the option's, else the configuration's or the environment's; or None.

    Raises :class:`UserError` for what is no size.
    """
    if (option := config.getoption("ftbench_cache_size")) is not None:
        return parse_size("--ftbench-cache-size", option)
    if configured := config.getini("ftbench_cache_size"):
        return parse_size(f"{config.inipath}: ftbench_cache_size", configured)
    if named := os.environ.get(SIZE_VARIABLE):
        return parse_size(SIZE_VARIABLE, named)
    return None


def expanded(place: str, source: object) -> Path:
    """The path that an option or a configuration file names, a user's folder for ``~``.

    Raises :class:`UserError` for what is no path: another type, a NUL in it, a user that isn't there.
    """
    if not isinstance(source, str) or "\0" in source:
        raise UserError(place, f"is {shown(source)}", "give the path of a folder as text")
    try:
        return Path(source).expanduser()
    except RuntimeError as error:
        raise UserError(place, f"is {shown(source)} ({error})", "name a folder that is there") from None


def stores_benchmarks(config: pytest.Config) -> bool:
    """Whether pytest-benchmark stores or compares this run: then its timings must be this run's."""
    names = ("json", "save", "autosave", "compare", "compare_fail")
    return any(config.getoption(f"benchmark_{name}", None) for name in names)


def _absolute(option: str, source: str, base: Path) -> str:
    """A folder given on the command line as a path from anywhere; anything else as it is."""
    path = base / expanded(option, source)
    try:
        return str(path.resolve()) if path.is_dir() or source.startswith((".", "/", "~")) else source
    except OSError as error:
        raise UserError(f"{option} {shown(source)}", f"can't be read ({error.strerror})", "name a folder") from None


def _seconds(option: str, value: float | None) -> float | None:
    if value is not None and not 0 < value < math.inf:
        raise UserError(option, f"is {value:g}", "give seconds, a number above 0")
    return value


def _positive(option: str, value: int | None) -> int | None:
    if value is not None and value < 1:
        raise UserError(option, f"is {value}", "give at least 1")
    return value
