"""Each way of tuning against the untuned model and against full fine-tuning: who is better, and how sure that is.

A family of p-values is what one table claims: the comparisons on the task trained on are one, those on other tasks
another, so that what is claimed of the first doesn't depend on how much is shown. Times are families of their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pytest_ftbench.analysis import refusals
from pytest_ftbench.analysis.differences import difference_interval, difference_test, make_tests
from pytest_ftbench.analysis.evidence import Evidence
from pytest_ftbench.analysis.intervals import ALPHA, Interval
from pytest_ftbench.analysis.items import Floats
from pytest_ftbench.analysis.metrics import EvalTask, Trivial, above_zero
from pytest_ftbench.analysis.paired import WinsTiesLosses, holm, mann_whitney, summed, wilcoxon, wins_ties_losses
from pytest_ftbench.analysis.paired_intervals import aligned, same_clusters
from pytest_ftbench.analysis.pairs import compared
from pytest_ftbench.analysis.pooling import seeds_of
from pytest_ftbench.analysis.table import checkpoint_key, eval_tasks
from pytest_ftbench.analysis.validity import Standing, standing
from pytest_ftbench.grid import CellRecord, CheckpointKey

_LIKE_LENGTH = 1.2  # longer answers spread the reading of their prompt over more tokens


@dataclass(frozen=True)
class Speed:
    """The median time per token against the reference's, in percent, and the p-value of the Mann-Whitney test."""

    percent: float
    p: float
    adjusted: float | None = None


@dataclass(frozen=True)
class Absolute:
    """Absolute differences item by item, where both were parsed: a win is to be nearer. p is Wilcoxon's."""

    counts: WinsTiesLosses
    p: float
    adjusted: float | None = None


@dataclass(frozen=True)
class Contrast:
    """One cell against the ``reference`` (``base`` or ``nopeft``) on the same items.

    ``difference`` is the headline score less the reference's, in its unit; ``counts`` are items on which it is better,
    as good, worse; ``adjusted`` is Holm's p-value in its family, ``test`` what p is of.
    """

    key: CheckpointKey
    reference: str
    task: EvalTask
    standing: Standing
    standing_against: Standing
    difference: float
    interval: Interval | None
    counts: WinsTiesLosses
    p: float
    test: str
    adjusted: float | None = None
    absolute: Absolute | None = None
    speed: Speed | None = None

    @property
    def in_domain(self) -> bool:
        """Whether it was tested on the task it was trained on."""
        return self.key.train_task == self.task.name

    @property
    def verdict(self) -> int:
        """1 better, -1 worse, 0 neither is shown; what may not be ranked wins nothing, and nothing is won over it."""
        if self.adjusted is None or self.adjusted > ALPHA or Standing.INVALID in (self.standing, self.standing_against):
            return 0
        better, won = self.task.goodness(self.difference) > 0, self.counts.wins - self.counts.losses
        of_others = self.test == "McNemar" and self.task.headline.key == "macro_f1"
        if of_others and ((won > 0) is not better or self.interval is None or self.interval.includes_zero):
            # the test is of the answers: macro F1 may be lower where more of them are right, or as good
            return 0
        return (1 if self.standing is Standing.OK else 0) if better else -1


def contrasts(
    records: Sequence[CellRecord], trivial: Trivial, evidence: Evidence, everything: bool = False
) -> list[Contrast]:
    """The comparisons in-domain, with ``everything`` also those on other tasks, as far as items are there for them."""
    tasks = eval_tasks(records)
    stands = {id(record): standing(record, trivial, tasks[record.eval_task]) for record in records}
    wanted = [each for each in compared(records) if everything or each[0].train_task == each[0].eval_task]
    for name, task in tasks.items():
        make_tests([(record, against) for record, _, against in wanted if record.eval_task == name], task, evidence)
    found = []
    for record, reference, against in wanted:
        contrast = _contrast(record, reference, against, tasks[record.eval_task], evidence)
        if contrast is not None:
            mine, other = stands[id(record)], stands[id(against)]
            found.append(replace(contrast, standing=mine, standing_against=other))
    return [*_adjusted([each for each in found if each.in_domain]), *_adjusted([c for c in found if not c.in_domain])]


def _contrast(
    record: CellRecord, reference: str, against: CellRecord, task: EvalTask, evidence: Evidence
) -> Contrast | None:
    """The comparison of two cells; None where they don't share their items, or scores are unknown."""
    tables = evidence.table(record), evidence.table(against)
    scores = task.score(record), task.score(against)
    if tables[0] is None or tables[1] is None or scores[0] is None or scores[1] is None:
        return None
    tested = difference_test(record, against, task, evidence)
    # scores by different embedders differ for that
    if tested is None or not (task.comparable or refusals.refusal(refusals.SCORE, record, against) is None):
        return None
    sign = task.goodness(1.0)
    return Contrast(
        key=checkpoint_key(record),
        reference=reference,
        task=task,
        standing=Standing.OK,
        standing_against=Standing.OK,
        difference=scores[0] - scores[1],
        interval=difference_interval(record, against, task, evidence),
        counts=wins_ties_losses(sign * (tables[0].scores - tables[1].scores)),
        p=tested[0],
        test=tested[1],
        absolute=_absolute(record, against, evidence),
        speed=_speed(record, against),
    )


def _absolute(record: CellRecord, against: CellRecord, evidence: Evidence) -> Absolute | None:
    first, second = evidence.table(record), evidence.table(against)
    if first is None or second is None or first.differences is None or second.differences is None:
        return None
    both = ~(np.isnan(first.differences) | np.isnan(second.differences))
    if not aligned(first, second) or not both.any():
        return None
    # halved, so that the largest differences don't overflow
    nearer = second.differences[both] / 2 - first.differences[both] / 2
    clusters = same_clusters(first, second)
    whole = summed(nearer, None if clusters is None else clusters[both])
    return Absolute(wins_ties_losses(nearer), float(wilcoxon(whole)[0]))


def _speed(record: CellRecord, against: CellRecord) -> Speed | None:
    """How fast it is against the reference; None where that can't be told of times per token."""
    if refusals.refusal(refusals.LATENCY, record, against) is not None:
        return None
    first, second = (_over_seeds([_after_the_first(each) for each in seeds_of(one)]) for one in (record, against))
    if first is None or second is None:
        wholes = [_wholes(one) for one in (record, against)]
        if wholes[0] is None or wholes[1] is None:
            return None
        (first, length), (second, other) = wholes[0], wholes[1]
        if max(length, other) > _LIKE_LENGTH * min(length, other):
            return None
    then = float(np.median(second))
    percent = 100 * (float(np.median(first)) / then - 1)
    return Speed(percent, float(mann_whitney(first, second)[0])) if np.isfinite(percent) else None


def _over_seeds(each: Sequence[Floats | None]) -> Floats | None:
    """The median over seeds of each prompt's time; of each seed's times where they timed other prompts.

    All seeds' times together would be as many samples as they aren't: they are of the same prompts.
    """
    known = [times for times in each if times is not None]
    if not known or len(known) < len(each):
        return None
    if any(len(times) != len(known[0]) for times in known):
        return np.array([float(np.median(times)) for times in known])
    median: Floats = np.median(known, axis=0)
    return median


def _wholes(record: CellRecord) -> tuple[Floats, float] | None:
    """Seconds per token of whole answers, over the seeds, and how many tokens these have; None: unknown."""
    wholes = [_whole(each) for each in seeds_of(record)]
    times = _over_seeds([None if whole is None else whole[0] / whole[1] for whole in wholes])
    lengths = [float(whole[1].mean()) for whole in wholes if whole is not None]
    return None if times is None else (times, float(np.mean(lengths)))


def _after_the_first(record: CellRecord) -> Floats | None:
    """Seconds per token after the first of each timed answer that has two; None: unknown."""
    given = record.latency_s.get("tpot")
    listed = given if isinstance(given, list) else []
    known = [seconds for each in listed if (seconds := above_zero(each)) is not None]
    return np.array(known) if len(known) > 1 and len(known) >= sum(each is not None for each in listed) else None


def _whole(record: CellRecord) -> tuple[Floats, Floats] | None:
    """Seconds and tokens of each timed answer; None where these don't belong together."""
    seconds = _positive(record.latency_s.get("samples"))
    for given in (record.latency_s.get("tokens"), record.output_tokens.get("samples")):
        tokens = _positive(given)
        if seconds is not None and tokens is not None and len(seconds) == len(tokens) > 1:
            return seconds, tokens
    return None


def _positive(given: object) -> Floats | None:
    listed = given if isinstance(given, list) else []
    known = [value for each in listed if (value := above_zero(each)) is not None and 1e-9 < value < 1e9]
    return np.array(known) if listed and len(known) == len(listed) else None


def _adjusted(family: Sequence[Contrast]) -> list[Contrast]:
    """The comparisons of one family with Holm's p-values: of scores, of absolute differences, of times."""
    scores = holm([each.p for each in family])
    absolute = holm([None if each.absolute is None else each.absolute.p for each in family])
    speeds = holm([None if each.speed is None else each.speed.p for each in family])
    done = []
    for each, p, of_absolute, of_speed in zip(family, scores, absolute, speeds, strict=True):
        parts: Mapping[str, Any] = {
            "adjusted": p,
            "absolute": each.absolute and replace(each.absolute, adjusted=of_absolute),
            "speed": each.speed and replace(each.speed, adjusted=of_speed),
        }
        done.append(replace(each, **parts))
    return done
