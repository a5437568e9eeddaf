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
from pytest_ftbench.analysis.table import eval_tasks, table_cell
from pytest_ftbench.analysis.validity import hardly_answers
from pytest_ftbench.grid import CellRecord
from pytest_ftbench.grid.gates import METRICS

PHASES = {"train_memory": "train", "eval_memory": "eval"}
_LARGEST = 1e12  # of a number: what is beyond is none, and its square must be a float


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

    @cached_property
    def unreadable(self) -> bool:
        """Whether a seed of it hardly answers."""
        return any(map(hardly_answers, self.seeds))

    def without(self, seeds: Sequence[CellRecord]) -> "Way":
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

    def values(self, metric: str, way: Way) -> list[float]:
        """What each seed of a way says of a metric, in its unit; nothing where one doesn't."""
        task = self.tasks.get(way.first.eval_task)
        known = [value for record in way.seeds if task and (value := read_metric(metric, record, task)) is not None]
        return known if len(known) == len(way.seeds) else []

    def value(self, metric: str, way: Way) -> float | None:
        """A metric's mean over a way's seeds, in its unit, of memory the largest peak; None: unknown."""
        if metric in PHASES:
            return next(iter(largest_peaks(PHASES[metric], way).values()), None)
        return mean(self.values(metric, way))

    def spread(self, metric: str, way: Way) -> tuple[Spread, int] | None:
        """The variance between seeds in a way's block, over the ways of both runs, and how many of these have several.

        It is on the metric's scale of changes (:func:`on_scale_of_change`). Trainings that came out unreadable say how
        they went wrong, not how far good ones lie apart, so that they have a block of their own; of one that has no
        other, the readable ones must do. None: no way of the block has several seeds in either run.
        """
        if metric not in self._spreads:
            blocks: dict[tuple[object, ...], list[list[float]]] = {}
            for each in (*self.now.values(), *(self.then or {}).values()):
                if each.seeds and each.first.train_task is not None:
                    key = (*each.block, each.unreadable)
                    blocks.setdefault(key, []).append(on_scale_of_change(metric, self.values(metric, each)))
            self._spreads[metric] = {name: _spread(values) for name, values in blocks.items()}
        found = self._spreads[metric]
        return found.get((*way.block, way.unreadable)) or found.get((*way.block, not way.unreadable))

    @cached_property
    def _spreads(self) -> dict[str, dict[tuple[object, ...], tuple[Spread, int] | None]]:
        return {}


def largest_peaks(phase: str, way: Way) -> dict[str, float]:
    """The largest peak of each kind that all seeds know, GiB."""
    each = [known_peaks(phase, record) for record in way.seeds]
    return {kind: max(peaks[kind] for peaks in each) for kind in each[0] if all(kind in peaks for peaks in each)}


def read_metric(metric: str, record: CellRecord, task: EvalTask) -> float | None:
    """What a record says of a score or format rate (points), its mean tokens or ms per token; None: unknown."""
    value, times = {
        "score": (task.score(record), 100 / full_score(task.headline.key)),
        "format_rate": (number(record.format_rate), 100.0),
        "tokens": (above_zero(record.output_tokens.get("mean")), 1.0),
        "ms_per_token": (above_zero(table_cell(record, {}, task).ms_per_token), 1.0),
    }[metric]
    return value * times if value is not None and abs(value) <= _LARGEST else None


def on_scale_of_change(metric: str, values: Sequence[float]) -> list[float]:
    """Values on the scale where a metric's changes are differences: points as they are, of percents the logarithm."""
    return [100 * math.log(value) for value in values] if METRICS[metric].change == "%" else list(values)


def _spread(ways: Sequence[Sequence[float]]) -> tuple[Spread, int] | None:
    found = block_spread(ways)
    return None if found is None else (found, sum(len(each) > 1 for each in ways))


def refused(facts: Sequence[Fact], then: Way, now: Way) -> Refusal | None:
    """The first of these facts in which a seed of one run and one of the other don't agree."""
    pairs = [(before, now.seeds[0]) for before in then.seeds] + [(then.seeds[0], after) for after in now.seeds[1:]]
    found = (refusal(facts, before, after) for before, after in pairs)
    return next((each for each in found if each is not None), None)


def same_weights(then: Way, now: Way) -> bool:
    """Whether both runs tested the very same weights: untuned models, or for each seed what says so."""
    if now.first.train_task is None:
        return True
    before, after = ({repr(record.seed): _weights(record) for record in way.seeds} for way in (then, now))
    return before.keys() == after.keys() and all(weights and weights == before[seed] for seed, weights in after.items())


def _weights(record: CellRecord) -> str | None:
    """What tells a record's weights: a digest of their files, else the key of how they were trained."""
    return record.provenance("weights") or record.provenance("checkpoint")


def same_answers(then: Way, now: Way) -> Way | None:
    """The seeds of then that gave the very answers of all seeds of now; None where any of them didn't."""
    before = {repr(record.seed): record for record in then.seeds}
    alike = [before.get(repr(record.seed)) for record in now.seeds]
    same = all(
        other is not None and record.scores == other.scores and _same_items(record, other)
        for record, other in zip(now.seeds, alike, strict=True)
    )
    return then.without([record for record in alike if record is not None]) if same else None


def _same_items(one: CellRecord, other: CellRecord) -> bool:
    """Whether two records were given the very same answers, as far as both keep them: a baseline has no outputs."""
    mine, its = ([item for item in record.items if isinstance(item, dict)] for record in (one, other))
    if not mine or len(mine) < len(one.items) or len(its) < len(other.items):
        return False
    texts = all("output" in item for item in (*mine, *its))
    keys = ("item", "score", "parsed", "tokens", *["output"] * texts)
    told, theirs = ([tuple(item.get(key) for key in keys) for item in items] for items in (mine, its))
    return told == theirs


def mean(values: Sequence[float]) -> float | None:
    """The mean; None of none, and where no float holds it."""
    return number(sum(value / len(values) for value in values)) if values else None
