"""Makes each cell a benchmark of pytest-benchmark whose rounds are prompts. PYTEST_DONT_REWRITE.

The only file that knows pytest-benchmark. Its fixture can't be used here: it disables itself in xdist's workers, and
the answers are timed elsewhere. So the samples are given to its session as the fixture would have given them; a
contract test pins that private surface.
"""

import time
from types import SimpleNamespace

import pytest

from pytest_ftbench.grid import CellRecord


def feed(config: pytest.Config, nodeid: str, record: CellRecord) -> None:
    """Add a measured cell to pytest-benchmark's session, unless that is switched off."""
    from pytest_benchmark.stats import Metadata

    session = config.pluginmanager.get_plugin("pytest-benchmark")
    samples = record.latency_s.get("samples") or ()
    switched_off = config.getoption("benchmark_disable") or config.getoption("benchmark_skip")
    if session is None or switched_off or not samples:
        return
    source = SimpleNamespace(
        name=nodeid.rpartition("::")[2],
        fullname=nodeid,
        group=None,
        param=record.id,
        params=_params(record),
        extra_info=_extra(record),
        cprofile_stats=None,
        has_error=False,
    )
    options = {"timer": time.perf_counter, "disable_gc": False, "warmup": True, "min_rounds": len(samples)}
    benchmark = Metadata(source, iterations=1, options=options)
    for seconds in samples:
        benchmark.update(seconds)
    session.benchmarks.append(benchmark)


def _params(record: CellRecord) -> dict[str, object]:
    names = ("model", "method", "rank", "quantization", "train_task", "eval_task", "seed")
    return {name: getattr(record, name) for name in names}


def _extra(record: CellRecord) -> dict[str, object]:
    """What stands beside the timings in a stored benchmark: scores, tokens, memory."""
    rates = {name: getattr(record, name) for name in ("n", "format_rate", "empty_rate", "truncated_rate", "eval_dtype")}
    tokens = {f"output_tokens_{name}": record.output_tokens.get(name) for name in ("mean", "median")}
    times = {name: record.latency_s.get(name) for name in ("ttft_median", "tpot_median")}
    return {
        **record.scores,
        **rates,
        **tokens,
        **times,
        "memory_gib": record.memory_gib,
        "timed_prompts": record.latency_s.get("n"),
    }
