"""Whether the rank matters: how scores go with it, and what a higher one changes in score, latency and memory."""

import math
from collections.abc import Sequence

from pytest_ftbench.analysis.answers import AnswerTable, Entry, Reply
from pytest_ftbench.analysis.clauses import gap_entries
from pytest_ftbench.analysis.correlations import EXACT_POINTS, Coefficient, Correlation, rank_correlations
from pytest_ftbench.analysis.detectable import detectable_differences
from pytest_ftbench.analysis.intervals import ALPHA
from pytest_ftbench.analysis.material import Gap, Material, is_adapter
from pytest_ftbench.analysis.metrics import number
from pytest_ftbench.analysis.versus import contrasts
from pytest_ftbench.analysis.wording import UNKNOWN, formatted, label, listed, percent, short
from pytest_ftbench.grid import CellRecord, method_label

NO_RANKS = "three ranks or more of one method, trained and tested on one task, with scores"
NO_TWO_RANKS = "two ranks or more of one method, trained and tested on one task, with scores"
_TIMES = ("Lat s", "ms/tok")


def rank_matters(material: Material) -> Reply:
    """How the score on the task that was trained on goes with the rank, and what could have been seen: table 3."""
    found = [each for each in rank_correlations(material.records, material.trivial) if each.in_domain]
    scores = [each for each in found if _is_headline(each)]
    if not scores:
        return Reply(missing=NO_RANKS)
    compared = contrasts(material.records, material.trivial, material.evidence)
    seen = {
        each.task: f"{short(each.label)} {formatted(each.difference, each.format)}"
        for each in detectable_differences(material.records, compared, material.evidence)
    }
    clauses = [_clause(material, each, len(scores)) for each in scores]
    tasks = [each.task.label for each in scores]
    could = listed(f"{short(task)} {seen[task]}" for task in dict.fromkeys(tasks) if task in seen)
    said = [f"{'; '.join(clauses)}."]
    if could != "none":
        said.append(f"Smallest difference from a reference that this run could have seen: {could}.")
    headings = ("Task", "Method", "Measure", "Ranks", "r", "p", "95 %", "rho", "tau")
    return Reply(tuple(said), AnswerTable(headings, tuple(_row(material, each) for each in found), labels=2))


def rank_trade_off(material: Material) -> Reply:
    """The highest rank of each method against the lowest, in score, latency and memory."""
    groups = [(low, high) for cells in material.trained.values() for low, high in _ends(material, cells)]
    if not groups:
        return Reply(missing=NO_TWO_RANKS)
    gaps = [material.gap(high, low, len(groups)) for low, high in groups]
    rows = [_ends_row(material, low, high, gap) for (low, high), gap in zip(groups, gaps, strict=True)]
    moved = [
        f"{label(high.eval_task)}: {material.way(high)} {'better' if gap.shown > 0 else 'worse'} than r{low.rank} by "
        f"{gap.text}"
        for (low, high), gap in zip(groups, gaps, strict=True)
        if gap is not None and gap.shown
    ]
    said = (
        f"Highest against lowest rank of each method: in {len(moved)} of {len(groups)} pair{'s' * (len(groups) > 1)} a "
        f"difference in score is "
        f"shown{f' ({listed(moved)})' if moved else ''}"
        f"{f'; intervals corrected for {len(groups)} comparisons' if len(groups) > 1 else ''}."
    )
    headings = (
        "Task",
        "Method",
        "Ranks",
        "Low",
        "High",
        "Change",
        "95 %",
        "Lat %",
        "ms/tok %",
        "Train %",
        "Eval %",
        "Flags",
    )
    return Reply((said,), AnswerTable(headings, tuple(rows), labels=3))


def _is_headline(each: Correlation) -> bool:
    study = None if each.task.study is None else each.task.study.label
    return each.measure not in _TIMES and each.measure != study


def _clause(material: Material, each: Correlation, comparisons: int) -> str:
    several = len({(r.model, r.method) for r in material.records if is_adapter(r) and r.rank is not None}) > 1
    who = f"{short(method_label(each.method))} on {short(each.task.label)}" if several else short(each.task.label)
    name = f"{who}: "
    if each.constant or each.pearson is None:
        return f"{name}the same score at all {each.n} ranks, no correlation{_apart(each)}"
    found = each.pearson
    text = f"{name}r = {found.value:+.2f} over {each.n} ranks, {'exact ' if each.exact else ''}p = {_p(found.p)}"
    if each.ranked < each.n:
        return f"{text}, of which nothing follows{_apart(each)}"
    least = 1 / math.factorial(each.n) if each.n <= EXACT_POINTS else 0.0
    if least > ALPHA:
        return f"{text}: so few ranks can't show any (p can't be below {_p(least)})"
    if found.p * comparisons <= ALPHA:
        return f"{text}: the score {'rises' if found.value > 0 else 'falls'} with the rank"
    return f"{text}: no evidence either way"


def _apart(each: Correlation) -> str:
    return "" if each.ranked == each.n else f" ({each.n - each.ranked} of {each.n} cells are INVALID or <trivial)"


def _row(material: Material, each: Correlation) -> tuple[Entry, ...]:
    words = [short(each.model)] if len({model for model, _ in material.trained}) > 1 else []
    words += [short(method_label(each.method)), short(each.quantization or "")]
    low = None if each.pearson is None else each.pearson.low
    high = None if each.pearson is None else each.pearson.high
    return (
        Entry(label(each.train_task)),
        Entry(" ".join(filter(None, words))),
        Entry(short(each.measure)),
        Entry(str(each.n)),
        _value(each, each.pearson),
        Entry(UNKNOWN if each.pearson is None else _p(each.pearson.p)),
        Entry(UNKNOWN if low is None or high is None else f"{low:+.2f} to {high:+.2f}"),
        _value(each, each.spearman),
        _value(each, each.kendall),
    )


def _value(each: Correlation, found: Coefficient | None) -> Entry:
    if found is None:
        return Entry("constant" if each.constant else UNKNOWN)
    text = f"{found.value:.3f}"
    return Entry(text if each.ranked == each.n else f"({text})")


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def _ends(material: Material, cells: Sequence[CellRecord]) -> list[tuple[CellRecord, CellRecord]]:
    """The cells of the lowest and the highest rank of each method."""
    by_method: dict[tuple[str, str | None], list[tuple[float, CellRecord]]] = {}
    for record in cells:
        rank = number(record.rank)
        if rank is not None and material.score(record) is not None:
            by_method.setdefault((record.method, record.quantization), []).append((rank, record))
    found = []
    for ranked in by_method.values():
        ranked.sort(key=lambda pair: pair[0])
        if ranked[0][0] < ranked[-1][0]:
            found.append((ranked[0][1], ranked[-1][1]))
    return found


def _ends_row(material: Material, low: CellRecord, high: CellRecord, gap: Gap | None) -> tuple[Entry, ...]:
    now, then = material.cell(high), material.cell(low)
    memory = []
    for phase in ("train", "eval"):
        peaks = material.peaks([low, high], phase)
        memory.append(Entry(UNKNOWN if peaks is None else percent(peaks[1][id(high)], peaks[1][id(low)])))
    words = [short(high.model)] if len({model for model, _ in material.trained}) > 1 else []
    return (
        Entry(label(high.eval_task)),
        Entry(" ".join([*words, short(method_label(high.method))])),
        Entry(f"{low.rank}-{high.rank}"),
        material.scored(low),
        material.scored(high, best=gap is not None and gap.shown > 0),
        *gap_entries(gap),
        Entry(percent(now.latency_s, then.latency_s)),
        Entry(percent(now.s_per_token, then.s_per_token)),
        *memory,
        material.flagged(low, high),
    )
