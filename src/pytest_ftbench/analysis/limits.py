"""How much worse a run may be than a stored one: limits such as ``score:2`` or ``tokens:10%``, and their breaches.

The grammar is that of pytest-benchmark's ``--benchmark-compare-fail``, but for the fields.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_ftbench.analysis.compare import Change, Comparison, Delta, Measure
from pytest_ftbench.analysis.validity import Standing
from pytest_ftbench.grid import UserError, suggestion

_NUMBER = re.compile(r"[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?")
_FORM = "write FIELD:NUMBER or FIELD:NUMBER%, such as score:2 or ms_per_token:10%"
_NAMES = {
    Measure.MS_PER_TOKEN: "ms per token",
    Measure.TOKENS: "tokens per answer",
    Measure.TRAIN_MEMORY: "GiB of training memory",
    Measure.EVAL_MEMORY: "GiB of answering memory",
}
_WORSE = {Standing.INVALID: "INVALID", Standing.TRIVIAL: "<trivial"}


@dataclass(frozen=True)
class Limit:
    """How much worse a measure may be: ``number`` in its own unit, or in percent of then. Its text is an option's."""

    measure: Measure
    number: float
    percent: bool = False

    def __str__(self) -> str:
        short = f"{self.number:g}"
        return f"{self.measure}:{short if float(short) == self.number else repr(self.number)}{'%' * self.percent}"

    def allows(self, delta: Delta) -> bool:
        """Whether a change is within the limit, but for what rounding adds; one that is unknown is not."""
        if delta.worse_by is None or delta.then is None:
            return False
        allowed = self.number / 100 * abs(delta.then) if self.percent else self.number
        rounding = 1e-12 * max(abs(delta.then), abs(delta.now or 0.0))
        # nothing changed is within every limit; the least is too much for a limit of 0
        return delta.worse_by <= allowed or (allowed > 0 and delta.worse_by - allowed <= rounding)


@dataclass(frozen=True)
class Breach:
    """A limit that isn't kept, and the sentence that says where and how; ids in it are as foreign as their records."""

    limit: Limit
    sentence: str
    cell: str | None = None

    def __str__(self) -> str:
        return self.sentence


def parse_limit(text: str, place: str | None = None) -> Limit:
    """The limit that a text such as ``score:2`` or ``eval_memory:1.5%`` names, given in a ``place`` that messages name.

    Raises :class:`UserError` where it names no field or no number.
    """
    field, colon, number = text.partition(":")
    place = place or f"limit {text!r}"
    if not colon:
        raise UserError(place, "has no colon between field and number", _FORM)
    fields = [str(measure) for measure in Measure]
    if field not in fields:
        raise UserError(place, f"{field!r} is no field", suggestion(field, fields))
    digits = number.removesuffix("%")
    if not _NUMBER.fullmatch(digits) or not math.isfinite(float(digits)):
        raise UserError(place, f"{number!r} is no number of 0 or more", _FORM)
    return Limit(Measure(field), float(digits), percent=number != digits)


def broken(comparison: Comparison, limits: Sequence[Limit]) -> list[Breach]:
    """Every limit that a cell breaks, and every one that nothing could be held against.

    A score may not drop (rise, where lower is better), anything else may not rise, by more than a limit. What can't be
    told breaks it, too; what neither run knows of a cell does not, unless that is all there is. Nor do absent cells.
    """
    if limits and not comparison.changes:
        listed = ", ".join(map(str, limits))
        return [Breach(limits[0], f"no cell was measured in both runs, so nothing can be judged by {listed}.")]
    return [breach for limit in limits for breach in _breaches(comparison.changes, limit)]


def _breaches(changes: Sequence[Change], limit: Limit) -> Iterator[Breach]:
    told = False
    for change in changes:
        delta = change.deltas[limit.measure]
        if delta.then is None and delta.now is None:
            continue
        told = True
        if problem := _problem(change, delta, limit):
            yield Breach(limit, f"{change.id}: {problem}.", change.id)
    if not told:
        yield Breach(limit, f"no cell tells {limit.measure} in either run, so nothing can be judged by {limit}.")


def _problem(change: Change, delta: Delta, limit: Limit) -> str:
    """What is wrong with a cell's measure, the rest of a sentence; empty: nothing."""
    then, now = (_shown(value, change, limit) for value in (delta.then, delta.now))
    name = f"score ({change.task.headline.label})" if limit.measure is Measure.SCORE else _NAMES[limit.measure]
    if delta.change is None:
        why = delta.refusal.difference if delta.refusal is not None else "the change is not known"
        return f"{name} was {then} and is {now}, which can't be judged by {limit}: {why}"
    if limit.measure is Measure.SCORE and _fell_from_grace(change):
        return f"{name} was {then} and is {now}, {_WORSE[change.standing_now]} now and not then, which breaks {limit}"
    if limit.allows(delta):
        return ""
    by = abs(delta.change)
    relative = "" if delta.percent is None else f" ({abs(delta.percent):.3g} %)"
    verb = "rose" if delta.change > 0 else "fell"
    return f"{name} {verb} from {then} to {now}, by {by:.4g}{relative}, which is more than {limit} allows"


def _fell_from_grace(change: Change) -> bool:
    return change.standing_then is Standing.OK and change.standing_now in _WORSE


def _shown(value: float | None, change: Change, limit: Limit) -> str:
    if value is None:
        return "unknown"
    return f"{value:{change.task.headline.format}}" if limit.measure is Measure.SCORE else f"{value:.4g}"
