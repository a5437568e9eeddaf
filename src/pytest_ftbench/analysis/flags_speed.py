"""Checks of timings: what is only a shorter answer, and who else used the device."""

from collections.abc import Iterator

from pytest_ftbench.analysis.case import Case, Finding, mean
from pytest_ftbench.analysis.metrics import above_zero, number
from pytest_ftbench.analysis.study import Study

_FEWEST = 8


def only_shorter(case: Case, study: Study) -> Iterator[Finding]:
    """V07: its latency differs from its base's, and (nearly) all of that is another number of tokens."""
    base, limits = case.base, study.thresholds
    if base is None:
        return
    mine, its = (above_zero(each.record.latency_s.get("mean")) for each in (case, base))
    tokens, before = case.mean_tokens, base.mean_tokens
    cost = _cost_of_a_token(base)
    if mine is None or its is None or tokens is None or before is None or cost is None or min(tokens, before) < 0:
        return
    apart = mine - its
    if not abs(apart) > limits.latency_change * its:
        return
    share = number(cost * (tokens - before) / apart)
    if share is not None and share > limits.token_share:
        shown = "all" if share > 0.995 else f"{100 * share:.0f} %"
        word = "fewer" if tokens < before else "more"
        whose = "" if case.whose_base == "its base" else f" of {case.whose_base}"
        counts = f"{_count(tokens)} against {_count(before)} per answer{whose}"
        text = f"{shown} of the latency difference is {word} tokens: {counts}"
        yield Finding("V07", text, abs(apart) / max(mine, its), word)


def _cost_of_a_token(base: Case) -> float | None:
    """Seconds that one more token takes the base: the slope of its answers' times over their tokens.

    Where answers can't be paired with their tokens, or are of one length, the time per token after the first; else
    mean over mean, in which the prompt's share is spread over the tokens.
    """
    seconds, tokens = base.latency_s, base.timed_tokens
    if len(tokens) >= _FEWEST:
        x, y = mean(tokens), mean(seconds)
        spread = mean([(each - x) * (each - x) for each in tokens])
        if 0 < spread < 1e15:
            slope = mean([(a - x) * (b - y) for a, b in zip(tokens, seconds, strict=True)]) / spread
            return above_zero(slope)
    after_first = above_zero(base.record.latency_s.get("tpot_median"))
    if after_first is not None:
        return after_first
    latency, count = above_zero(base.record.latency_s.get("mean")), base.mean_tokens
    return above_zero(latency / count) if latency is not None and count is not None and count > 1e-9 else None


def _count(tokens: float) -> str:
    return f"{tokens:.0f}" if tokens >= 10 else f"{tokens:.1f}"


def company(case: Case, study: Study) -> Iterator[Finding]:
    """V16: others used the device while answers were timed, or it slowed itself down."""
    timing = case.record.latency_s
    cores, there, threads = (number(timing.get(key)) for key in ("cores_of_others", "cores", "threads"))
    workers = number(timing.get("workers"))
    # on a large machine others may be busy and leave more than was needed
    spare = 0 if there is None or threads is None else max(0, there - threads)
    of = "" if there is None else f" of {there:g}"
    said = {
        "cores": cores is not None and cores - spare > study.thresholds.busy_cores,
        "gpu": timing.get("gpu_shared") is True,
        "throttled": timing.get("gpu_throttled") is True,
        "workers": timing.get("exclusive") is False and workers is not None and workers > 1,
    }
    texts = {
        "cores": f"other processes kept {cores:.2g}{of} cores busy" if cores is not None else "",
        "gpu": "other processes used the GPU",
        "throttled": "the GPU was throttled",
        "workers": f"{workers or 0:.0f} workers shared the machine without taking turns",
    }
    sizes = {"cores": cores or 0.0, "workers": workers or 0.0}
    for kind in (kind for kind, fires in said.items() if fires):
        yield Finding("V16", f"while answers were timed, {texts[kind]}", sizes.get(kind, 1.0), kind)
