"""The two runs that a gate sets against each other: ways by their ids, each with the records of its seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pytest_ftbench.analysis.compare import known_peaks
from pytest_ftbench.analysis.evidence import Evidence
from pytest_ftbench.analysis.intervals import full_score
from pytest_ftbench.analysis.metrics import EvalTask, Trivial, above_zero, number, with_known_headline
from pytest_ftbench.analysis.pooling import PooledRecord, measured_seeds, pool, seed_groups, way_id
from pytest_ftbench.analysis.refusals import Fact, Refusal, refusal
from pytest_ftbench.analysis.seeds import Spread, block_spread
from pytest_ftbench.analysis.table import eval_tasks, ms_per_token
from pytest_ftbench.analysis.validity import Standing, hardly_answers, standing
from pytest_ftbench.grid import CellRecord
from pytest_ftbench.grid.gates import METRICS

PHASES = {"train_memory": "train", "eval_memory": "eval"}
"""The metrics that are peaks, and of what."""

_STANDINGS = {
    Standing.INVALID: "now INVALID: fewer than half of its outputs can be read, or more than half are empty",
    Standing.TRIVIAL: "now no better than a trivial answerer",
}
_LARGEST, _LEAST = 1e12, 1e-9  # of a number: what is beyond is none, for its square and its inverse must be floats


@dataclass(frozen=True, eq=False)
class Way:
    """The records of one way and eval task: ``seeds`` are those measured, one per seed; ``all`` has the others too."""

    id: str
    all: tuple[CellRecord, ...]
    seeds: tuple[CellRecord, ...]

    @classmethod
    def of(cls, group: Sequence[CellRecord], again: int = 1) -> "Way":
        """The way of these records, which differ in their seed alone."""
        return cls(way_id(group, again), tuple(group), tuple(measured_seeds(group)))

    @property
    def first(self) -> CellRecord:
        """A record of it: what all of them have in common is read there."""
        return self.seeds[0] if self.seeds else self.all[0]

    @cached_property
    def pooled(self) -> PooledRecord:
        """The mean over its seeds."""
        return pool(self.all)

    @property
    def lost(self) -> str:
        """What of it was not measured, in words; empty: nothing."""
        measured = {repr(record.seed) for record in self.seeds}
        missing = {repr(record.seed): record for record in self.all if repr(record.seed) not in measured}
        many = len(missing) + len(measured) > 1
        said = [f"{f'seed {seed} ' if many else ''}{record.status}" for seed, record in missing.items()]
        return ", ".join(said)

    @property
    def block(self) -> tuple[str, ...]:
        """What ways of tuning have in common whose seeds are taken to vary alike."""
        return repr(self.first.model), repr(self.first.train_task), repr(self.first.eval_task)

    def only(self, seeds: Sequence[CellRecord]) -> "Way":
        """The way with these of its seeds alone."""
        return Way(self.id, tuple(seeds), tuple(seeds))


def ways_of(records: Sequence[CellRecord]) -> dict[str, Way]:
    """The ways of a run by their ids; of those that share an id the last."""
    return {way.id: way for again, group in seed_groups(records) for way in (Way.of(group, again),)}


@dataclass(frozen=True, eq=False)
class Runs:
    """The ways of now and of the baseline (None: there is no baseline), and what is computed once for both."""

    now: dict[str, Way]
    then: dict[str, Way] | None
    tasks: dict[str, EvalTask]
    trivial: Trivial

    @classmethod
    def of(cls, now: Sequence[CellRecord], then: Sequence[CellRecord] | None, trivial: Trivial) -> "Runs":
        """The runs of these records, of any seeds."""
        both = [*now, *(then or ())]
        tasks = {name: with_known_headline(task, both) for name, task in eval_tasks(now).items()}
        return cls(ways_of(now), None if then is None else ways_of(then), tasks, trivial)

    @cached_property
    def evidence(self) -> Evidence:
        """The items and resamples of both runs; the spread of seeds is that of this run."""
        return Evidence([way.pooled for way in self.now.values()])

    def before(self, now: Way) -> Way | None:
        """The same way and eval task in the baseline, with seeds that were measured; None where it has none."""
        then = (self.then or {}).get(now.id)
        if then is None or not then.seeds or then.block[1:] != now.block[1:]:
            return None
        return then

    def standing(self, way: Way) -> str:
        """How a way's score stands now, in words; empty: as any other."""
        found = standing(way.pooled, self.trivial, self.tasks[way.first.eval_task])
        return _STANDINGS.get(found, "")

    def values(self, metric: str, way: Way) -> list[float]:
        """What each seed of a way says of a metric, in its unit; nothing where one doesn't."""
        task = self.tasks.get(way.first.eval_task)
        if task is None:
            return []
        if (way, metric) not in self._values:
            each = [read_metric(metric, record, task) for record in way.seeds]
            known = [value for value in each if value is not None]
            self._values[way, metric] = known if len(known) == len(each) else []
        return self._values[way, metric]

    @cached_property
    def _values(self) -> dict[tuple[Way, str], list[float]]:
        return {}

    def value(self, metric: str, way: Way) -> float | None:
        """A metric's mean over a way's seeds, in its unit, of memory the largest peak; None: unknown."""
        if metric in PHASES:
            return next(iter(largest_peaks(PHASES[metric], way).values()), None)
        known = self.values(metric, way)
        return mean(known) if known else None

    def spread(self, metric: str, way: Way) -> tuple[Spread, int] | None:
        """The variance between seeds in a way's block, over the ways of both runs, and how many of these have several.

        It is on the metric's scale of changes (:func:`on_scale_of_change`). A way of which some seeds came out
        unreadable and others didn't says how trainings go wrong, not how far good ones lie apart: it is left out. None:
        no way of the block has several seeds in either run.
        """
        if metric not in self._spreads:
            blocks: dict[tuple[str, ...], list[list[float]]] = {}
            for each in (*self.now.values(), *(self.then or {}).values()):
                if each.seeds and each.first.train_task is not None and len(set(map(hardly_answers, each.seeds))) == 1:
                    blocks.setdefault(each.block, []).append(on_scale_of_change(metric, self.values(metric, each)))
            self._spreads[metric] = {name: _spread(values) for name, values in blocks.items()}
        return self._spreads[metric].get(way.block)

    @cached_property
    def _spreads(self) -> dict[str, dict[tuple[str, ...], tuple[Spread, int] | None]]:
        return {}


def largest_peaks(phase: str, way: Way) -> dict[str, float]:
    """The largest peak of each kind that all seeds know, GiB."""
    each = [known_peaks(phase, record) for record in way.seeds]
    return {kind: max(peaks[kind] for peaks in each) for kind in each[0] if all(kind in peaks for peaks in each)}


def read_metric(metric: str, record: CellRecord, task: EvalTask) -> float | None:
    """What a record says of a score or format rate (points), its mean tokens or ms per token; None: unknown."""
    if metric == "score":
        value, times = task.score(record), 100 / full_score(task.headline.key)
    elif metric == "format_rate":
        value, times = number(record.format_rate), 100.0
    else:
        read = ms_per_token if metric == "ms_per_token" else mean_tokens
        value, times = above_zero(read(record)), 1.0
        value = value if value is not None and value >= _LEAST else None
    return value * times if value is not None and abs(value) <= _LARGEST else None


def mean_tokens(record: CellRecord) -> float | None:
    """The mean output tokens of all answers; None: unknown."""
    return number(record.output_tokens.get("mean"))


def on_scale_of_change(metric: str, values: Sequence[float]) -> list[float]:
    """Values on the scale where a metric's changes are differences: points as they are, of percents the logarithm."""
    return [100 * math.log(value) for value in values] if METRICS[metric].change == "%" else list(values)


def _spread(ways: Sequence[Sequence[float]]) -> tuple[Spread, int] | None:
    found = block_spread(ways)
    return None if found is None else (found, sum(len(each) > 1 for each in ways))


def refused(facts: Sequence[Fact], then: Way, now: Way) -> Refusal | None:
    """The first of these facts in which a seed of one run and one of the other don't agree."""
    each = (then.seeds, now.seeds)
    pairs = ([seeds[index % len(seeds)] for seeds in each] for index in range(max(map(len, each))))
    found = (refusal(facts, before, after) for before, after in pairs)
    return next((each for each in found if each is not None), None)


def same_weights(then: Way, now: Way) -> bool:
    """Whether both runs tested the very same weights: untuned models, or for each seed what says so."""
    if now.first.train_task is None:
        return True
    before, after = ({repr(record.seed): record for record in way.seeds} for way in (then, now))
    return before.keys() == after.keys() and all(_same_weights(before[seed], after[seed]) for seed in after)


def _same_weights(then: CellRecord, now: CellRecord) -> bool:
    """Whether digests of the weights say so, or where one of the two has none, the keys of how they were made."""
    pairs = ((then.provenance(key), now.provenance(key)) for key in ("weights", "checkpoint"))
    return next((before == after for before, after in pairs if before and after), False)


def same_answers(then: Way, now: Way) -> Way | None:
    """The seeds of then that gave the very answers of all seeds of now; None where any of them didn't."""
    before = {repr(record.seed): record for record in then.seeds}
    alike = [before.get(repr(record.seed)) for record in now.seeds]
    same = all(
        other is not None and record.scores == other.scores and _same_items(record, other)
        for record, other in zip(now.seeds, alike, strict=True)
    )
    return then.only([record for record in alike if record is not None]) if same else None


def _same_items(one: CellRecord, other: CellRecord) -> bool:
    """Whether two records were given the very same answers, as far as both keep them: a baseline has no outputs."""
    mine, its = ([item for item in record.items if isinstance(item, dict)] for record in (one, other))
    if not mine or len(mine) < len(one.items) or len(its) < len(other.items):
        return False
    texts = all("output" in item for item in (*mine, *its))
    keys = ("item", "score", "parsed", "tokens", *["output"] * texts)
    told, theirs = ([tuple(item.get(key) for key in keys) for item in items] for items in (mine, its))
    return told == theirs


def same_scores(then: Way, now: Way) -> bool:
    """Whether runs of which one has no items agree in every number that is of their answers."""
    if all(record.items for way in (then, now) for record in way.seeds):
        return False
    return [_numbers(record) for record in then.seeds] == [_numbers(record) for record in now.seeds]


def _numbers(record: CellRecord) -> tuple[object, ...]:
    rates = record.n, record.format_rate, record.empty_rate, record.truncated_rate, record.output_tokens.get("mean")
    return record.seed, record.scores, *rates


def mean(values: Sequence[float]) -> float:
    """The mean of some values, none of which is near the largest of floats."""
    return math.fsum(values) / len(values)
