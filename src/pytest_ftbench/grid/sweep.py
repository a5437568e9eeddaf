"""A sweep of learning rates: which ones a tuned recipe tries, and which of them it takes. Pure: who trains is told.

Around a method's centre ``c`` lie ``trials`` rates, each ``factor`` times the one before; their best is taken. Where
that is the lowest or the highest, the true best may lie beyond, and the sweep goes on that way, a rate at a time:

>>> SweepSpec(trials=3, factor=10.0).wanted(1e-4, [])
[1e-05, 0.0001, 0.001]
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_ftbench.grid.errors import UserError

_FIRST_SEED = 1000
_LOWEST, _HIGHEST = 1e-38, 1e38  # what float32 holds


@dataclass(frozen=True)
class Trial:
    """One rate, trained once and judged on validation rows.

    ``score`` is the headline's (None: undefined), ``loss`` the mean over target tokens in nats (None: not finite),
    ``seconds`` those of training and answering, ``tokens`` those it trained on. A trial that ``failed`` says why.
    """

    rate: float
    score: float | None
    loss: float | None
    seconds: float = 0.0
    tokens: int = 0
    failed: str | None = None


@dataclass(frozen=True)
class Sweep:
    """What a sweep has tried, by ascending rate, ``extended`` of it beyond what was planned; and what it chose.

    ``at_edge`` says that the chosen rate is the lowest or highest tried, so that a better one may lie beyond.
    """

    trials: tuple[Trial, ...]
    chosen: float
    at_edge: bool
    extended: int


@dataclass(frozen=True)
class SweepSpec:
    """How rates are chosen, equal for every method.

    ``extensions`` is how many rates a best one at the edge may add. ``validation_samples`` rows judge them, of
    trainings with ``seed`` (None: one that the suite doesn't have). ``centre`` is the rate that full fine-tuning is
    swept around, the other methods at multiples of it, whatever rates the recipes name (None: these are the centres).
    """

    trials: int = 5
    factor: float = 10**0.5
    extensions: int = 2
    validation_samples: int = 100
    seed: int | None = None
    centre: float | None = None

    def wanted(self, centre: float, tried: Sequence[Trial], higher_is_better: bool = True) -> list[float]:
        """The rates to try next: all that are planned, then one at a time beyond the edge; none where it is done."""
        if not tried:
            return [self._rate(centre, place) for place in range(self.trials)]
        added = len(tried) - self.trials
        edge = _edge(tried, higher_is_better)
        if added >= self.extensions or not edge:
            return []
        below = sum(trial.rate < self._rate(centre, 0) for trial in tried)
        place = -below - 1 if edge < 0 else self.trials + added - below
        return [self._rate(centre, place)]

    def search(
        self,
        centre: float,
        run: Callable[[list[float]], Sequence[Trial]],
        higher_is_better: bool = True,
    ) -> Sweep | None:
        """The sweep around a centre, where ``run`` tries rates; None where every one has failed."""
        tried: list[Trial] = []
        while rates := self.wanted(centre, tried, higher_is_better):
            tried += run(rates)
        best = _best(tried, higher_is_better)
        if best is None:
            return None
        trials = tuple(sorted(tried, key=lambda trial: trial.rate))
        at_edge = _edge(tried, higher_is_better) != 0
        return Sweep(trials, best.rate, at_edge, extended=len(tried) - self.trials)

    def seed_beside(self, seeds: Sequence[int], place: object) -> int:
        """The seed that rates are chosen with, which is none of the suite's: what chooses mustn't test.

        Raises :class:`UserError` where it is one of them.
        """
        if self.seed is None:
            return next(seed for seed in range(_FIRST_SEED, _FIRST_SEED + len(seeds) + 1) if seed not in seeds)
        if self.seed in seeds:
            raise UserError(
                f"{place}: sweep.seed", f"is {self.seed}, a seed that is tested with", "give another, or remove the key"
            )
        return self.seed

    def check(self, centre: float, place: object) -> None:
        """Check that a sweep around this centre can be made.

        Raises :class:`UserError` where one of its rates is no rate.
        """
        ends = [self._rate(centre, place) for place in (-self.extensions, self.trials + self.extensions - 1)]
        if not _LOWEST < ends[0] <= ends[1] < _HIGHEST:
            raise UserError(
                place,
                f"a sweep around the rate {centre:g} goes from {ends[0]:g} to {ends[1]:g}",
                "give sweep.centre or a learning_rate above 0, or a narrower [sweep]",
            )

    def _rate(self, centre: float, place: int) -> float:
        """The rate at a place, 0 being the first that is planned: to three digits, for people read it."""
        try:
            return float(f"{centre * self.factor ** (place - (self.trials - 1) / 2):.3g}")
        except OverflowError:
            return float("inf")


def _best(tried: Sequence[Trial], higher_is_better: bool) -> Trial | None:
    """The trial with the best score; among equals the one of lowest loss, then of the lowest rate."""
    sound = [trial for trial in tried if trial.failed is None]
    return min(sound, key=lambda trial: _standing(trial, higher_is_better), default=None)


def _standing(trial: Trial, higher_is_better: bool) -> tuple[bool, float, bool, float, float]:
    score = trial.score or 0.0
    return (
        trial.score is None,
        -score if higher_is_better else score,
        trial.loss is None,
        trial.loss or 0.0,
        trial.rate,
    )


def _edge(tried: Sequence[Trial], higher_is_better: bool) -> int:
    """-1 where the best rate is the lowest tried, or all have failed, 1 where it is the highest, else 0."""
    best = _best(tried, higher_is_better)
    rates = [trial.rate for trial in tried]
    if best is None or best.rate == min(rates):
        return -1
    return int(best.rate == max(rates))
