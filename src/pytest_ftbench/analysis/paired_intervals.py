"""The interval of the difference between two cells over the very same items, compared in pairs.

Sources: those of ``intervals`` and ``resampling``; Clopper and Pearson, The use of confidence or fiducial limits
(1934).
"""

from dataclasses import replace

import numpy as np

from pytest_ftbench.analysis.intervals import FEW, LEVEL, Interval, newcombe, wilson
from pytest_ftbench.analysis.items import LETTERS, Codes, Floats, ItemTable
from pytest_ftbench.analysis.paired import WinsTiesLosses, mcnemar, summed, wins_ties_losses
from pytest_ftbench.analysis.resampling import Distribution, bca, percentile


def aligned(first: ItemTable | None, second: ItemTable | None) -> bool:
    """Whether two cells answered the very same items."""
    return first is not None and second is not None and first.keys == second.keys


def same_clusters(first: ItemTable, second: ItemTable) -> Codes | None:
    """The clusters of two aligned tables; None where either knows none, or they differ."""
    if first.clusters is None or second.clusters is None or not np.array_equal(first.clusters, second.clusters):
        return None
    return first.clusters


def differing(first: ItemTable, second: ItemTable) -> WinsTiesLosses:
    """On how many units, items or clusters, the first scores more, as much, less."""
    return wins_ties_losses(summed(first.scores - second.scores, same_clusters(first, second)))


def paired_interval(
    pair: Distribution, first: ItemTable, second: ItemTable, full: float = 1.0, level: float = LEVEL
) -> Interval:
    """The interval of a paired difference: BCa; where fewer than fifteen items differ, from the shares that do.

    The bootstrap knows nothing of a loss that happened not to occur among so few, and would call four wins a finding.
    There each of the shares won and lost has its Wilson interval, an item counting as all of the ``full`` score; of
    macro F1 as much as an item of the rarest class may. Of answers right or wrong the interval leaves zero out only
    where McNemar's exact test does.
    """
    clusters = same_clusters(first, second)
    method = "paired BCa" if clusters is None else "paired cluster BCa"
    counts = differing(first, second)
    answers = clusters is None and all_or_none(first.scores, second.scores)
    if counts.decided < FEW:
        low, high = _of_shares(counts, level, answers)
        off = (counts.wins - counts.losses) / counts.n
        times = full if first.golds is None else max(full, _largest_influence(first, second))
        if off and first.golds is not None:
            # however little each was, so much they were worth together
            times = max(times, pair.value / off)
        found = Interval(pair.value - times * (off - low), pair.value + times * (high - off), level, "paired Wilson", 0)
    elif (ends := bca(pair, level)) is not None:
        found = Interval(*ends, level, method, 0)
    else:
        found = Interval(*percentile(pair, level), level, "paired percentile", 0)
    if answers and first.golds is None:
        found = _as_exact(found, counts, level)
    if answers and counts.decided < FEW and float(mcnemar(counts.wins, counts.losses)) > 1 - level:
        found = replace(found, low=min(found.low, 0.0), high=max(found.high, 0.0))
    return replace(found, n=first.n)


def _of_shares(counts: WinsTiesLosses, level: float, answers: bool) -> tuple[float, float]:
    """The ends of the interval of the share won less that lost."""
    won, lost = counts.wins / counts.n, counts.losses / counts.n
    shares = newcombe(wilson(won, counts.n, level), won, wilson(lost, counts.n, level), lost)
    exact = _as_exact(shares, counts, level) if answers else shares
    return exact.low, exact.high


def _as_exact(interval: Interval, counts: WinsTiesLosses, level: float) -> Interval:
    """The interval of won less lost, widened to what the exact test of the decided items can't exclude.

    That is Clopper and Pearson's interval of the share won among these, which leaves a half out exactly where McNemar's
    test rejects; times the share decided.
    """
    from scipy.special import betaincinv

    wins, losses, alpha = counts.wins, counts.losses, 1 - level
    low = float(betaincinv(wins, losses + 1, alpha / 2)) if wins else 0.0
    high = float(betaincinv(wins + 1, losses, 1 - alpha / 2)) if losses else 1.0
    decided = counts.decided / counts.n
    return replace(
        interval,
        low=min(interval.low, (2 * low - 1) * decided),
        high=max(interval.high, (2 * high - 1) * decided),
    )


def _largest_influence(first: ItemTable, second: ItemTable) -> float:
    """How much macro F1 changes with the share of right answers, where these are of the class that counts most.

    A right answer more of a class adds two over its golds and answers to its F1, a quarter of which is macro F1's.
    """
    if first.golds is None or first.parsed is None or second.parsed is None:
        return 0.0
    golds, ours, theirs = (
        np.bincount(codes, minlength=len(LETTERS))[: len(LETTERS)]
        for codes in (first.golds, first.parsed, second.parsed)
    )
    ends = (golds + (ours + theirs) / 2)[golds > 0]
    return 2 * first.n / (len(LETTERS) * float(ends.min())) if len(ends) else 0.0


def all_or_none(*scores: Floats) -> bool:
    """Whether every answer is right or wrong."""
    return all(bool(np.isin(each, (0.0, 1.0)).all()) for each in scores)
