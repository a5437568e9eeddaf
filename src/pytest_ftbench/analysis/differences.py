"""The difference between two cells' scores: its interval and its test, over the same items where they share them.

Where cells are means over several seeds, the seeds of either are a variance component of their own: a training that
came out well by luck is no better method.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from pytest_ftbench.analysis.evidence import Evidence
from pytest_ftbench.analysis.intervals import (
    AT_MOST,
    FEW,
    LEVEL,
    Interval,
    full_score,
    item_variance,
    newcombe,
    on_scale,
    scale,
    score_interval,
)
from pytest_ftbench.analysis.items import Floats, ItemTable
from pytest_ftbench.analysis.metrics import EvalTask, item_count
from pytest_ftbench.analysis.paired import mcnemar, sign_flips_of, summed, wins_ties_losses
from pytest_ftbench.analysis.paired_intervals import aligned, all_or_none, differing, paired_interval, same_clusters
from pytest_ftbench.analysis.resampling import Distribution, mean_sample, resampled
from pytest_ftbench.analysis.seeds import Parts, half_width, p_value, variance_parts
from pytest_ftbench.grid import CellRecord


def difference_interval(
    first: CellRecord, second: CellRecord, task: EvalTask, evidence: Evidence, level: float = LEVEL
) -> Interval | None:
    """The interval of the first headline score less the second, in its unit; None: unknown.

    Over the same items it is paired; scores of which only n is known count as of independent items, which errs to the
    wide side where they weren't.
    """
    pair = (id(first), id(second), task.headline.key, level)
    if pair not in evidence.differences:
        evidence.differences[pair] = _possible_interval(first, second, task, evidence, level)
    found: Interval | None = evidence.differences[pair]
    return found


def _possible_interval(
    first: CellRecord, second: CellRecord, task: EvalTask, evidence: Evidence, level: float
) -> Interval | None:
    """The part of the interval that a difference of two such scores can be in."""
    found, scores = _difference_interval(first, second, task, evidence, level), (task.score(first), task.score(second))
    if found is None or scores[0] is None or scores[1] is None:
        return found
    low, high = scale(task.headline.key)
    return on_scale(found, scores[0] - scores[1], (low - high, high - low))


def _difference_interval(
    first: CellRecord, second: CellRecord, task: EvalTask, evidence: Evidence, level: float
) -> Interval | None:
    scores, n = (task.score(first), task.score(second)), min(item_count(first) or 0, item_count(second) or 0)
    if scores[0] is None or scores[1] is None or not (first.ok and second.ok):
        return None
    if _has_seeds(first, second, task, evidence):
        parts = difference_parts(first, second, task, evidence)
        if parts is None:
            return None
        half = half_width(parts, 1 - level)
        off = scores[0] - scores[1]
        return Interval(off - half, off + half, level, "seeds + items", n)
    pair, tables = paired_distribution(first, second, task, evidence), (evidence.table(first), evidence.table(second))
    if pair is not None and tables[0] is not None and tables[1] is not None:
        return paired_interval(pair, tables[0], tables[1], full_score(task.headline.key), level)
    intervals = [_own_interval(record, task, evidence, level) for record in (first, second)]
    if intervals[0] is None or intervals[1] is None:
        return None
    # the same construction from other intervals than Wilson's: Zou and Donner (2008)
    found = newcombe(intervals[0], scores[0], intervals[1], scores[1])
    methods = {intervals[0].method, intervals[1].method}
    if AT_MOST in methods:
        return replace(found, method=AT_MOST)
    return found if methods == {"Wilson"} else replace(found, method="unpaired")


def _own_interval(record: CellRecord, task: EvalTask, evidence: Evidence, level: float) -> Interval | None:
    """The interval of one score, kept for the other pairs that it is of."""
    alone = (id(record), 0, task.headline.key, level)  # with no other
    if alone not in evidence.differences:
        evidence.differences[alone] = score_interval(record, task, evidence, level)
    found: Interval | None = evidence.differences[alone]
    return found


def difference_parts(first: CellRecord, second: CellRecord, task: EvalTask, evidence: Evidence) -> Parts | None:
    """The parts of the difference's variance: over items, and over the seeds of either; None: unknown."""
    name = id(first), id(second), task.headline.key
    if name not in evidence.parts:
        evidence.parts[name] = _parts(first, second, task, evidence)
    return evidence.parts[name]


def _parts(first: CellRecord, second: CellRecord, task: EvalTask, evidence: Evidence) -> Parts | None:
    tables = evidence.table(first), evidence.table(second)
    pair = paired_distribution(first, second, task, evidence) or _paired_means(*tables, evidence)
    if pair is not None and tables[0] is not None and tables[1] is not None:
        of_items, n = _paired_variance(pair, tables[0], tables[1], task), pair.units
    else:
        variances = [item_variance(record, task, evidence) for record in (first, second)]
        n = min(item_count(first) or 0, item_count(second) or 0)
        if variances[0] is None or variances[1] is None or n < 2:
            return None
        of_items = variances[0] + variances[1]
    (ours, block), (theirs, other) = (evidence.seeds(record, task) for record in (first, second))
    return [*variance_parts(ours, of_items, n, block), *variance_parts(theirs, 0.0, n, other)[1:]]


def _paired_variance(pair: Distribution, first: ItemTable, second: ItemTable, task: EvalTask) -> float:
    """The variance of a paired difference; where few items differ, that which its interval stands for.

    Resamples of items that are all alike don't vary, which so many items can't promise of others.
    """
    if differing(first, second).decided >= FEW:
        return pair.variance
    found = paired_interval(pair, first, second, full_score(task.headline.key))
    return max(pair.variance, ((found.high - found.low) / (2 * half_width([(1.0, math.inf)], 1 - LEVEL))) ** 2)


def paired_distribution(
    first: CellRecord, second: CellRecord, task: EvalTask, evidence: Evidence
) -> Distribution | None:
    """The distribution of the difference of two headline scores over their common items; None where there are none."""
    tables = evidence.table(first), evidence.table(second)
    if not aligned(*tables):
        return None
    both = evidence.distribution(first, task), evidence.distribution(second, task)
    if both[0] is None or both[1] is None or both[0].units != both[1].units:
        return None
    return both[0].less(both[1])


def difference_test(
    first: CellRecord, second: CellRecord, task: EvalTask, evidence: Evidence
) -> tuple[float, str] | None:
    """The two-sided p-value of no difference, and the test it is of; None where no item is shared.

    Right and wrong answers: McNemar's exact test (of macro F1, too, it tests the answers). Other scores, and answers in
    clusters: sign flips. Means over seeds: the level whose interval just reaches zero.
    """
    name = id(first), id(second), task.headline.key
    if name not in evidence.tests:
        make_tests([(first, second)], task, evidence)
    return evidence.tests[name]


def make_tests(pairs: Iterable[tuple[CellRecord, CellRecord]], task: EvalTask, evidence: Evidence) -> None:
    """Make the tests of these pairs that aren't made yet: of many together, several times faster than one by one."""
    waiting: dict[tuple[int, int, str], Floats] = {}
    for first, second in pairs:
        name = id(first), id(second), task.headline.key
        if name not in evidence.tests and name not in waiting:
            found = _tested(first, second, task, evidence)
            if isinstance(found, np.ndarray):
                waiting[name] = found
            else:
                evidence.tests[name] = found
    for name, p in zip(waiting, sign_flips_of(list(waiting.values())), strict=True):
        evidence.tests[name] = p, "sign flips"


def _tested(
    first: CellRecord, second: CellRecord, task: EvalTask, evidence: Evidence
) -> tuple[float, str] | Floats | None:
    """The p-value and its test; or the differences whose signs are to be flipped."""
    tables = evidence.table(first), evidence.table(second)
    if tables[0] is None or tables[1] is None or not aligned(*tables):
        return None
    if _has_seeds(first, second, task, evidence):
        return _seeds_test(first, second, task, evidence)
    off = tables[0].scores - tables[1].scores
    clusters = same_clusters(tables[0], tables[1])
    if clusters is None and all_or_none(tables[0].scores, tables[1].scores):
        counts = wins_ties_losses(off)
        return float(mcnemar(counts.wins, counts.losses)), "McNemar"
    return summed(off, clusters)


def difference_p(first: CellRecord, second: CellRecord, task: EvalTask, evidence: Evidence) -> float | None:
    """The two-sided p-value of no difference: of the test, or of scores that share no items the level of the interval.

    That is the one that just reaches zero. None: unknown.
    """
    tested = difference_test(first, second, task, evidence)
    return tested[0] if tested is not None else _unpaired_p(first, second, task, evidence)


def answers_agree(first: CellRecord, second: CellRecord, task: EvalTask, evidence: Evidence) -> bool:
    """Whether macro F1 goes the way of the answers that McNemar's test is of, and its interval leaves zero out.

    Of scores that are tested themselves nothing more is asked.
    """
    tested = difference_test(first, second, task, evidence)
    if task.headline.key != "macro_f1" or tested is None or tested[1] != "McNemar":
        return True
    tables, interval = (
        (evidence.table(first), evidence.table(second)),
        difference_interval(first, second, task, evidence),
    )
    if tables[0] is None or tables[1] is None or interval is None or interval.includes_zero:
        return False
    counts = wins_ties_losses(tables[0].scores - tables[1].scores)
    return (counts.wins > counts.losses) == (interval.low > 0)


def _unpaired_p(first: CellRecord, second: CellRecord, task: EvalTask, evidence: Evidence) -> float | None:
    """The level whose interval just reaches zero."""
    low, high = -9.0, 0.0  # of the logarithm of 1 less the level
    if _difference_interval(first, second, task, evidence, LEVEL) is None:
        return None
    while high - low > 5e-3:
        middle = (low + high) / 2
        found = _difference_interval(first, second, task, evidence, 1 - 10**middle)
        low, high = (middle, high) if found is None or found.includes_zero else (low, middle)
    return float(10**high)


def _seeds_test(first: CellRecord, second: CellRecord, task: EvalTask, evidence: Evidence) -> tuple[float, str] | None:
    parts, scores = difference_parts(first, second, task, evidence), (task.score(first), task.score(second))
    if parts is None or scores[0] is None or scores[1] is None:
        return None
    return p_value(scores[0] - scores[1], parts), "seeds + items"


def _has_seeds(first: CellRecord, second: CellRecord, task: EvalTask, evidence: Evidence) -> bool:
    """Whether either is a mean over seeds, or stands beside such means, which tell how far its one seed may be off."""
    known = [evidence.seeds(record, task) for record in (first, second)]
    return any(len(seeds) > 1 or (seeds and block is not None) for seeds, block in known)


def _paired_means(first: ItemTable | None, second: ItemTable | None, evidence: Evidence) -> Distribution | None:
    """The difference of mean item scores, for a macro F1 of which only those are left."""
    if first is None or second is None or not aligned(first, second) or first.units != second.units or first.units < 2:
        return None
    ours, theirs = resampled([mean_sample(first), mean_sample(second)], evidence.resamples)
    return ours.less(theirs)


def median(values: Sequence[float]) -> float | None:
    """The median; None of none."""
    return float(np.median(values)) if len(values) else None
