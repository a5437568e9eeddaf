"""The smallest difference that a run could have seen, per task: what its tables' silence means.

Tested at the first step of Holm's procedure, 5 % over the size of the family: what is that large is found whatever the
other comparisons show.
"""

import math
from collections.abc import Sequence

from pytest_ftbench.analysis.differences import difference_parts, median
from pytest_ftbench.analysis.evidence import Evidence
from pytest_ftbench.analysis.intervals import ALPHA, RATES, SCALES, scale
from pytest_ftbench.analysis.metrics import EvalTask, item_count, number
from pytest_ftbench.analysis.pairs import compared, comparison_count
from pytest_ftbench.analysis.power import Detectable, independent_variance, mcnemar_detectable, mean_detectable
from pytest_ftbench.analysis.table import eval_tasks
from pytest_ftbench.analysis.versus import Contrast
from pytest_ftbench.grid import CellRecord

_MANY = 20_000  # items, beyond which a sum over all numbers of discordant pairs says no more than the normal curve
_FULL = {key: high for key, (_, high) in SCALES.items()} | RATES


def detectable_differences(
    records: Sequence[CellRecord], contrasts: Sequence[Contrast], evidence: Evidence
) -> list[Detectable]:
    """What each task's comparisons in-domain could have seen; nothing where nothing is compared.

    Where items are there, their discordance or spread is the median of the comparisons'; where not, answers are taken
    to be independent, and a score's spread the largest that its mean allows.
    """
    # where no items are there, those that would have been made with them
    made = sum(each.in_domain for each in contrasts)
    family = made or comparison_count(records)
    found = []
    for task in eval_tasks(records).values():
        pairs = [pair for pair in compared(records) if pair[0].eval_task == pair[0].train_task == task.name]
        mine = [each for each in contrasts if each.in_domain and each.task.name == task.name]
        one = _detectable(task, [(first, second) for first, _, second in pairs], mine, evidence, ALPHA / max(1, family))
        if pairs and one is not None:
            label, difference, n, assumed = one
            low, high = scale(task.headline.key)
            possible = None if difference is None or difference > high - low else difference
            format = task.headline.format
            found.append(Detectable(task.label, label, possible, format, n, ALPHA, family, assumed, made > 0))
    return found


def _detectable(
    task: EvalTask,
    pairs: Sequence[tuple[CellRecord, CellRecord]],
    contrasts: Sequence[Contrast],
    evidence: Evidence,
    alpha: float,
) -> tuple[str, float | None, int, bool] | None:
    """Label, difference (None: none that large), items, and whether independence was assumed; None: unknown."""
    exact = [each.counts for each in contrasts if each.test == "McNemar"]
    exact = exact if len(exact) == len(contrasts) else []
    counts = [n for pair in pairs for record in pair if (n := item_count(record)) is not None]
    if exact:
        discordance = median([1 - each.ties / each.n for each in exact]) or 0.0
        n = min(each.n for each in exact)
        difference = mcnemar_detectable(n, discordance, alpha)
        return _answers(task), difference, n, False
    if contrasts:
        spreads = [parts for pair in pairs if (parts := difference_parts(*pair, task, evidence)) is not None]
        difference = median([mean_detectable(parts, alpha) for parts in spreads])
        return None if difference is None or not counts else (task.headline.label, difference, min(counts), False)
    return _assumed(task, [record for pair in pairs for record in pair], counts, alpha)


def _assumed(
    task: EvalTask, records: Sequence[CellRecord], counts: Sequence[int], alpha: float
) -> tuple[str, float | None, int, bool] | None:
    """The same where no items are shared."""
    key = "accuracy" if task.headline.key == "macro_f1" else task.headline.key
    full = _FULL.get(key)
    if full is None or not counts:
        return None
    known = [score for record in records if (score := number(record.scores.get(key))) is not None]
    score = median([each for each in known if 0 <= each <= full])
    if score is None:
        return None
    n, share = min(counts), score / full
    if n > _MANY:
        return task.headline.label, mean_detectable([(independent_variance(score, n, full), math.inf)], alpha), n, True
    if key in RATES:
        difference = mcnemar_detectable(n, 2 * share * (1 - share), alpha)
        return _answers(task), None if difference is None else full * difference, n, True
    return task.headline.label, mean_detectable([(independent_variance(score, n, full), math.inf)], alpha), n, True


def _answers(task: EvalTask) -> str:
    """What McNemar's test is of: right answers, whatever the headline makes of them."""
    return "accuracy" if task.headline.key == "macro_f1" else task.headline.label
