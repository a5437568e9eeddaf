"""Makes each cell a benchmark of pytest-benchmark whose rounds are prompts, and reads such benchmarks back.

PYTEST_DONT_REWRITE. The only file that knows pytest-benchmark. Its fixture can't be used here: it disables itself in
xdist's workers, and the answers are timed elsewhere. So the samples are given to its session, in the process that
reports, as the fixture would have given them; a contract test pins that private surface.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_ftbench.analysis.table import timed_tokens
from pytest_ftbench.fixtures import is_gate, measures
from pytest_ftbench.grid import CellRecord, UserError
from pytest_ftbench.grid.schema import NUMBER, OBJECT, TEXT, Each, Keys, is_deep
from pytest_ftbench.grid.shown import shown
from pytest_ftbench.plugin import ONLY, STORED_RUNS
from pytest_ftbench.xdist_bridge import company_of

_PARAMS = ("model", "method", "rank", "quantization", "train_task", "eval_task", "seed")
_RATES = ("n", "format_rate", "empty_rate", "truncated_rate", "eval_dtype")
_TRAINED_AS = ("dtype", "base_dtype", "quantization", "device_name")
_FIXED = ("new_tokens", "median", "ttft_median", "tpot_median")
_MEDIANS = ("ttft_median", "tpot_median")
_NOT_SCORES = {
    *(*_RATES, *_MEDIANS, "output_tokens_mean", "output_tokens_median", "timed_prompts", "timed_tokens_mean"),
    *("memory_gib", "train", "provenance", "latency_fixed"),
}
_WORKERS = "ftbench_workers"
# what pytest-benchmark shows of a stored benchmark
_STATS = ("min", "max", "mean", "stddev", "median", "iqr", "ops", "rounds", "iterations")
_BENCHMARK = Keys(
    {"name": TEXT, "fullname": TEXT, "stats": Keys(dict.fromkeys(_STATS, NUMBER), needed=_STATS)},
    needed=("fullname", "stats"),
)
_RUN = Keys({"machine_info": OBJECT, "benchmarks": Each(_BENCHMARK)}, needed=("machine_info", "benchmarks"))
_SKIPPED_BY_ONLY = "Skipping non-benchmark (--benchmark-only active)."


@dataclass(frozen=True)
class Baseline:
    """A stored run that this one is compared with: its file's name, and its records by the ids of the cells' items."""

    name: str
    records: dict[str, CellRecord]


def feed(config: pytest.Config, cells: Iterable[tuple[str, CellRecord]]) -> None:
    """Add measured cells, by the ids of their items, to pytest-benchmark's session, unless that is switched off."""
    session: Any = config.pluginmanager.get_plugin("pytest-benchmark")
    if config.getoption("benchmark_disable") or _skips(config):
        return
    from pytest_benchmark.stats import Metadata

    for nodeid, record in cells:
        samples = record.latency_s.get("samples") or ()
        if not samples:
            continue
        source = SimpleNamespace(
            name=nodeid.rpartition("::")[2],
            fullname=nodeid,
            group=None,
            param=record.id,
            params={name: getattr(record, name) for name in _PARAMS},
            extra_info=_extra(record),
            cprofile_stats=None,
            has_error=False,
        )
        options = {"timer": time.perf_counter, "disable_gc": False, "warmup": True, "min_rounds": len(samples)}
        benchmark = Metadata(source, iterations=1, options=options)
        for seconds in samples:
            benchmark.update(seconds)
        session.benchmarks.append(benchmark)


def check_stored(run: Mapping[str, Any]) -> None:
    """Check a stored run that this one is to be compared with, before anything runs.

    Raises pytest's usage error where it isn't as pytest-benchmark stores them, which itself ends in a traceback then.
    """
    problem = _RUN.problem(run, "")
    if problem is not None or is_deep(run):
        when = f" of {shown(run['datetime'])}" if run.get("datetime") else ""
        said = problem or "values lie too deep in each other"
        fix = "name another run, or remove its file and store it again"
        raise pytest.UsageError(str(UserError(f"--benchmark-compare: the stored run{when}", said, fix)))


def baselines(config: pytest.Config) -> list[Baseline]:
    """The stored runs that this one is compared with, those that hold cells."""
    session: Any = config.pluginmanager.get_plugin("pytest-benchmark")
    contents = config.stash.setdefault(STORED_RUNS, [])
    found = []
    for name, stored in zip(session.compared_mapping, contents, strict=True):
        workers = stored["machine_info"].get(_WORKERS, 1)
        made = {str(value.get("fullname")): _record(value, workers) for value in stored["benchmarks"]}
        records = {nodeid: record for nodeid, record in made.items() if record is not None}
        if records:
            found.append(Baseline(str(name), records))
    return found


def add_company(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Say how many workers shared the machine, where there were several."""
    if (workers := company_of(config).workers) > 1:
        machine_info[_WORKERS] = workers


def take_over_only(config: pytest.Config) -> None:
    """See to ``--benchmark-only`` here: beside workers, pytest-benchmark refuses it."""
    config.option.benchmark_only = False
    config.stash[ONLY] = True


def choose_items(config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    """Treat items that measure a cell as benchmarks under ``--benchmark-skip`` and ``--benchmark-only``.

    And those that judge what was measured.
    """
    for item in items:
        if is_gate(item) or measures(item):
            if _skips(config):
                item.add_marker(pytest.mark.skip(reason="Skipping benchmark (--benchmark-skip active)."))
            else:
                item.own_markers = [mark for mark in item.own_markers if not _is_skip_by_only(mark)]
        elif ONLY in config.stash and "benchmark" not in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason=_SKIPPED_BY_ONLY))


def _skips(config: pytest.Config) -> bool:
    """Whether benchmarks are skipped; to run only them outweighs it, as in pytest-benchmark."""
    only = config.getoption("benchmark_only") or ONLY in config.stash
    return bool(config.getoption("benchmark_skip")) and not only


def _is_skip_by_only(mark: pytest.Mark) -> bool:
    return mark.name == "skip" and mark.kwargs.get("reason") == _SKIPPED_BY_ONLY


def _extra(record: CellRecord) -> dict[str, Any]:
    """What stands beside the timings in a stored benchmark: scores, tokens, memory, and what they may be compared with.

    Of the provenance there is what says under which conditions they were measured.
    """
    fixed = record.latency_s.get("fixed")
    return {
        **record.scores,
        **{name: getattr(record, name) for name in _RATES},
        **{f"output_tokens_{name}": record.output_tokens.get(name) for name in ("mean", "median")},
        **{name: record.latency_s.get(name) for name in _MEDIANS},
        "timed_prompts": record.latency_s.get("n"),
        "timed_tokens_mean": timed_tokens(record),
        "memory_gib": record.memory_gib,
        "train": None if record.train is None else {name: record.train.get(name) for name in _TRAINED_AS},
        "provenance": record.extra.get("provenance"),
        **({"latency_fixed": {name: fixed.get(name) for name in _FIXED}} if fixed else {}),
    }


def _record(stored: Mapping[str, Any], workers: object) -> CellRecord | None:
    """The record that a stored benchmark was made of, as far as it holds it; None for one that is no cell's."""
    params, extra, stats = stored.get("params"), stored.get("extra_info"), stored.get("stats")
    if not isinstance(params, Mapping) or not isinstance(extra, Mapping) or not isinstance(stats, Mapping):
        return None
    if not set(_PARAMS) <= params.keys():
        return None
    latency = {name: stats.get(name) for name in ("mean", "median", "stddev")}
    tokens = extra.get("timed_tokens_mean")
    value = {
        **{name: params[name] for name in _PARAMS},
        "id": stored.get("param"),
        **{name: extra.get(name) for name in _RATES},
        "scores": _scores(extra),
        "latency_s": latency
        | {name: extra.get(name) for name in _MEDIANS}
        | {"n": stats.get("rounds"), "tokens": None if tokens is None else [tokens]}
        # a file that doesn't say how its cells were measured is older than the count
        | ({"workers": workers} if extra.get("provenance") else {}),
        "output_tokens": {name: extra.get(f"output_tokens_{name}") for name in ("mean", "median")},
        "memory_gib": extra.get("memory_gib"),
        "train": extra.get("train"),
        "provenance": extra.get("provenance"),
    }
    try:
        return CellRecord.from_json(value, "a stored benchmark")
    except UserError:  # somebody else's, with the same names
        return None


def _scores(extra: Mapping[str, Any]) -> dict[str, float | None]:
    """The scores among what stands beside the timings, where others may have added what they like."""
    found = {name: value for name, value in extra.items() if name not in _NOT_SCORES}
    return {name: value for name, value in found.items() if value is None or NUMBER.fits(value)}
