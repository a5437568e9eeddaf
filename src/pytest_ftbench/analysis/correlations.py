"""How scores and latencies go with the rank, as the studies' third table has it: Pearson, Spearman, Kendall.

Few ranks are few points: each coefficient has its n, the p-value of a permutation test, and an interval where there
are points enough for one. Sources: Fisher, On the probable error of a coefficient of correlation (1921); for Spearman
Bonett and Wright (2000), for Kendall Fieller, Hartley and Pearson (1957).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations as all_permutations

import numpy as np
from numpy.typing import NDArray

from pytest_ftbench.analysis.intervals import LEVEL
from pytest_ftbench.analysis.items import Floats
from pytest_ftbench.analysis.metrics import EvalTask, Trivial, number
from pytest_ftbench.analysis.paired import ranked
from pytest_ftbench.analysis.table import TableCell, eval_tasks, table_cell
from pytest_ftbench.analysis.validity import Standing
from pytest_ftbench.grid import CellRecord

EXACT_POINTS = 8
PERMUTATIONS = 9_999
_FEWEST_POINTS = 3  # any two points lie on a line
_MANY_POINTS = 60  # beyond, all pairs in all orders take too long, and the normal curve says the same
_SEED = 20_250_615


@dataclass(frozen=True)
class Coefficient:
    """A correlation, the p-value of its permutation test, and its interval at 95 % (None: too few points for one)."""

    value: float
    p: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Correlation:
    """How one measure of one method goes with its rank, over ``n`` cells trained on one task and tested on one.

    ``ranked`` of them may be ranked: with fewer than ``n`` the figure is there, and nothing follows from it. Where the
    measure is the same at every rank, ``constant``, there are no coefficients.
    """

    model: str
    method: str
    quantization: str | None
    train_task: str
    task: EvalTask
    measure: str
    n: int
    ranked: int
    exact: bool
    constant: bool = False
    pearson: Coefficient | None = None
    spearman: Coefficient | None = None
    kendall: Coefficient | None = None

    @property
    def in_domain(self) -> bool:
        """Whether it is of cells tested on the task they were trained on, as in the studies."""
        return self.train_task == self.task.name


_Read = Callable[[TableCell], float | None]


def rank_correlations(records: Sequence[CellRecord], trivial: Trivial) -> list[Correlation]:
    """The correlations with the rank of every method, train task and eval task that has three ranks or more."""
    tasks = eval_tasks(records)
    groups: dict[tuple[str, str, str | None, str, str], list[tuple[float, TableCell]]] = {}
    for record in records:
        rank = number(record.rank)
        if record.ok and rank is not None and record.train_task is not None:
            key = (record.model, record.method, record.quantization, record.train_task, record.eval_task)
            groups.setdefault(key, []).append((rank, table_cell(record, trivial, tasks[record.eval_task])))
    found = []
    for (model, method, quantization, train, name), points in groups.items():
        for measure, read in _measures(tasks[name], [cell for _, cell in points]):
            known = [(rank, value, cell) for rank, cell in points if (value := read(cell)) is not None]
            if len({rank for rank, _, _ in known}) >= _FEWEST_POINTS:
                about = (model, method, quantization, train, tasks[name], measure)
                ranked = sum(cell.standing is Standing.OK for _, _, cell in known)
                found.append(_correlation(about, [r for r, _, _ in known], [v for _, v, _ in known], ranked))
    return found


def correlate(
    x: Sequence[float], y: Sequence[float], permutations: int = PERMUTATIONS
) -> tuple[Coefficient, Coefficient, Coefficient] | None:
    """Pearson's, Spearman's and Kendall's (tau-b) of these points; None where either side is constant.

    Up to eight points p is exact, over all orders of ``y``; beyond, over ``permutations`` random ones and the given.
    """
    first, second = _standard(np.array(x)), _standard(np.array(y))
    if first is None or second is None:
        return None
    ranks = [_standard(_ranks(each)) for each in (first, second)]
    if ranks[0] is None or ranks[1] is None:
        return None
    n, orders = len(first), _orders(len(first), permutations)
    rho = float(ranks[0] @ ranks[1])
    pearson = _coefficient(float(first @ second), second[orders] @ first, _error(1.0, n - 3), n)
    spearman = _coefficient(rho, ranks[1][orders] @ ranks[0], _error(1 + rho**2 / 2, n - 3), n)
    if n > _MANY_POINTS:
        return pearson, spearman, _kendall_of_many(first, second)
    signs = _signs(first), _signs(second)
    tau, places = float(np.sum(signs[0] * signs[1])), np.unique(np.round(second, 12), return_inverse=True)[1]
    taus = _kendall_permuted(signs[0], places.astype(np.int16), float(np.abs(signs[1]).max()), orders)
    return pearson, spearman, _coefficient(tau, taus, _error(0.437, n - 4), n)


@lru_cache(maxsize=1_024)
def _correlated(x: tuple[float, ...], y: tuple[float, ...]) -> tuple[Coefficient, Coefficient, Coefficient] | None:
    """The same, computed once: a table and a question tell of the same points."""
    return correlate(x, y)


def _measures(task: EvalTask, cells: Sequence[TableCell]) -> list[tuple[str, _Read]]:
    """What is correlated: the studies' own score where a task has one, the headline, seconds and ms per token."""
    measures: list[tuple[str, _Read]] = []
    if task.study is not None:
        measures.append((task.study.label, lambda cell: cell.study_score))
    # a column that is partly of a variant is of two measures
    variants = {cell.is_variant for cell in cells if cell.score is not None}
    if task.comparable and len(variants) == 1:
        measures.append((task.headline.label + "°" * variants.pop(), lambda cell: cell.score))
    return [*measures, ("Lat s", lambda cell: cell.latency_s), ("ms/tok", lambda cell: cell.ms_per_token)]


def _correlation(
    about: tuple[str, str, str | None, str, EvalTask, str], x: Sequence[float], y: Sequence[float], ranked: int
) -> Correlation:
    found = _correlated(tuple(x), tuple(y))
    n = len(x)
    exact = n <= EXACT_POINTS
    if found is None:
        return Correlation(*about, n, ranked, exact, constant=True)
    return Correlation(*about, n, ranked, exact, False, *found)


def _standard(values: Floats) -> Floats | None:
    """The values about their mean, of length 1; None where they are all the same, as far as floats tell."""
    # scaled first: squares of what a file holds may be beyond every float
    scaled = values / max(float(np.abs(values).max()), 1e-300)
    if np.ptp(scaled) <= 1e-12:
        return None
    centred = scaled - scaled.mean()
    standard: Floats = centred / math.sqrt(float(centred @ centred))
    return standard


def _ranks(values: Floats) -> Floats:
    """The rank of each value; values equal but for rounding are ties."""
    return ranked(np.round(values, 12))[0]


def _signs(values: Floats) -> Floats:
    """The signs of all pairs' differences, shape (n, n), of length 1 in all: tau-b is the product of two of these."""
    rounded = np.round(values, 12)
    signs = np.sign(rounded[:, None] - rounded)
    standard: Floats = signs / math.sqrt(float(np.sum(signs**2)))
    return standard


def _kendall_permuted(first: Floats, places: NDArray[np.int16], sign: float, orders: NDArray[np.int64]) -> Floats:
    """Tau-b of each order of the second's ``places``, of which every pair that is no tie counts ``sign``.

    Point by point against all that follow: places are compared, which is faster than to look the pairs' signs up.
    """
    ordered = places[orders]
    taus = np.zeros(len(orders))
    for index in range(len(first) - 1):
        one, others = ordered[:, index : index + 1], ordered[:, index + 1 :]
        signs = np.greater(one, others).astype(np.int8) - np.less(one, others)
        taus += signs.astype(np.float32) @ first[index, index + 1 :].astype(np.float64)
    return 2 * sign * taus


def _kendall_of_many(first: Floats, second: Floats) -> Coefficient:
    """Tau-b with the p-value of the normal curve."""
    from scipy.stats import kendalltau

    found = kendalltau(np.round(first, 12), np.round(second, 12), method="asymptotic")
    return _with_interval(float(found.statistic), float(found.pvalue), _error(0.437, len(first) - 4))


@lru_cache(maxsize=8)
def _orders(n: int, permutations: int) -> NDArray[np.int64]:
    """All orders of n things up to eight, else random ones, the same in every process; shape (orders, n)."""
    if n <= EXACT_POINTS:
        return np.array(list(all_permutations(range(n))), dtype=np.int64)
    generator = np.random.default_rng([_SEED, n])
    return generator.permuted(np.tile(np.arange(n), (permutations, 1)), axis=1)


def _error(factor: float, freedom: int) -> float | None:
    return math.sqrt(factor / freedom) if freedom > 0 else None


def _coefficient(value: float, permuted: Floats, error: float | None, n: int) -> Coefficient:
    """The coefficient, given those of other orders: of all, or of random ones to which the given one is added."""
    hits = int(np.sum(np.abs(permuted) >= abs(value) - 1e-9))
    drawn = n > EXACT_POINTS
    return _with_interval(value, (hits + drawn) / (len(permuted) + drawn), error)


def _with_interval(value: float, p: float, error: float | None) -> Coefficient:
    value = min(1.0, max(-1.0, value))
    if error is None or abs(value) > 1 - 1e-9:
        # on a line, the transformation has no end to measure from
        return Coefficient(value, p)
    from scipy.special import ndtri

    half = float(ndtri((1 + LEVEL) / 2)) * error
    return Coefficient(value, p, math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half))
