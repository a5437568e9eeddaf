"""What is learned along the epochs, by when, and at which cost."""

import math
from collections.abc import Sequence

from pytest_ftbench.analysis.answers import AnswerTable, Entry, Reply
from pytest_ftbench.analysis.clauses import gap_entries
from pytest_ftbench.analysis.curves import UNTUNED, CurveGroup, CurvePoint, LearningCurve, learning_curves
from pytest_ftbench.analysis.intervals import full_score
from pytest_ftbench.analysis.material import Material
from pytest_ftbench.analysis.metrics import above_zero, number
from pytest_ftbench.analysis.table import checkpoint_key
from pytest_ftbench.analysis.validity import Standing
from pytest_ftbench.analysis.wording import UNKNOWN, gib, label, listed, shown
from pytest_ftbench.grid import CellRecord

NO_CURVES = "learning curves (a suite's evaluation.epochs) of cells tested on the task they were trained on"
NO_END = "two ways of tuning or more, trained and tested on one task, with scores, one of which may be ranked"
NO_TIME = "the seconds of training of two ways or more, trained and tested on one task"
LEARNED = 0.9
"""The share of a full score that counts as learned, as in the study of facts."""


def epochs_to_learn(material: Material) -> Reply:
    """After how many epochs each way first has 90 % of a full score."""
    groups = [
        group for group in learning_curves(material.records, material.trivial) if group.train_task == group.task.name
    ]
    if not groups:
        return Reply(missing=NO_CURVES)
    clauses, rows = [], []
    for group in groups:
        bar = LEARNED * full_score(group.task.headline.key)
        reached = [(curve, _first(group, curve, bar)) for curve in group.curves]
        there = sorted(((e, _way(material, c)) for c, e in reached if e is not None), key=lambda pair: pair[0])
        told = listed((f"{way} after epoch {epoch:g}" for epoch, way in there), 6)
        never = [_way(material, curve) for curve, epoch in reached if epoch is None]
        missed = (
            f"{'not reached by' if there or len(never) == 1 else 'reached by none of'} {listed(never, 6)}"
            if never
            else ""
        )
        found = ", ".join([told] * bool(there) + [missed] * bool(missed))
        clauses.append(f"{label(group.task.name)} {shown(group.task, bar)}: {found}")
        rows += [_curve_row(material, group, curve, epoch) for curve, epoch in reached]
    last = max(max(curve.points) for group in groups for curve in group.curves)
    said = f"When {100 * LEARNED:.0f} % of a full score was first seen: {'; '.join(clauses)}."
    apart = (
        f"Tested after {_epochs(groups)} epochs; between two of these it is not known when a score was reached, and an "
        f"epoch counts only where its answers may be ranked."
        if last > UNTUNED
        else ""
    )
    headings = ("Task", "Way", "Untuned", "Learned by", "Best", "at epoch", "End", "Loss first", "last")
    return Reply(tuple(filter(None, (said, apart))), AnswerTable(headings, tuple(rows), labels=2))


def learned_most(material: Material) -> Reply:
    """The ways by their score at the end of training, and whether the best is shown to be better than the others."""
    groups = [cells for cells in material.trained.values() if len(cells) > 1 and material.best(cells)]
    if not groups:
        return Reply(missing=NO_END)
    clauses, rows = [], []
    # which is best nobody knew before: any two could have been compared
    pairs = sum(math.comb(len(cells), 2) for cells in groups)
    for cells in groups:
        best = material.best(cells)[0]
        others = [record for record in cells if record is not best]
        gaps = {id(record): material.gap(best, record, pairs) for record in others}
        over = [r for r in others if (gap := gaps[id(r)]) is not None and gap.shown > 0]
        shown_to = {id(record) for record in over}
        open_to = [r for r in others if material.goodness(r) is not None and id(r) not in shown_to]
        unranked = [material.said(r) for r in others if material.goodness(r) is None]
        known = [f"shown to be better than {listed(map(material.way, over))}"] if over else []
        known += [f"not told apart from {listed(map(material.way, open_to))}"] if open_to else []
        known += [f"not ranked: {listed(unranked)}"] if unranked else []
        clauses.append(f"{label(best.eval_task)}: {material.said(best)}, {', '.join(known)}")
        for record in sorted(cells, key=lambda each: -(material.task(each).goodness(_score(material, each)))):
            gap = gaps.get(id(record))
            row = (Entry(label(record.eval_task)), Entry(material.way(record)), material.scored(record, record is best))
            rows.append((*row, *gap_entries(gap), material.flagged(record)))
    headings = ("Task", "Way", "Score", "Best less it", "95 %", "Flags")
    return Reply((f"{'; '.join(clauses)}.",), AnswerTable(headings, tuple(rows), labels=2))


def cost_of_learning(material: Material) -> Reply:
    """Seconds and memory of each training beside what it has reached."""
    groups = [cells for cells in material.trained.values() if len([r for r in cells if _seconds(r) is not None]) > 1]
    if not groups:
        return Reply(missing=NO_TIME)
    clauses, rows = [], []
    for cells in groups:
        timed = [(seconds, record) for record in cells if (seconds := _seconds(record)) is not None]
        peaks = material.peaks(cells, "train")
        sizes = {} if peaks is None else peaks[1]
        # to have been quick is nothing where nothing was learned
        ranked = [pair for pair in timed if material.goodness(pair[1]) is not None]
        clauses.append(f"{label(cells[0].eval_task)}: {_extremes(material, ranked, sizes)}")
        rows += [_cost_row(material, record, sizes) for record in cells]
    headings = ("Task", "Way", "Score", "Train s", "Steps", "GiB", "Trainable", "Flags")
    return Reply((f"{'; '.join(clauses)}.",), AnswerTable(headings, tuple(rows), labels=2))


def _first(group: CurveGroup, curve: LearningCurve, bar: float) -> float | None:
    """The first epoch at which the curve has the score, as far as its answers may be ranked."""
    reached = (
        epoch
        for epoch, point in curve.points.items()
        if epoch > UNTUNED and point.standing is Standing.OK and point.score is not None and point.score >= bar
    )
    return next(reached, None) if group.task.comparable else None


def _way(material: Material, curve: LearningCurve) -> str:
    record = next((r for r in material.records if checkpoint_key(r) == curve.key), None)
    return UNKNOWN if record is None else material.way(record)


def _epochs(groups: Sequence[CurveGroup]) -> str:
    found = sorted({epoch for g in groups for c in g.curves for epoch in c.points if epoch > UNTUNED})
    return listed((f"{epoch:g}" for epoch in found), 8)


def _curve_row(material: Material, group: CurveGroup, curve: LearningCurve, epoch: float | None) -> tuple[Entry, ...]:
    task = group.task
    trained = {at: point for at, point in curve.points.items() if at > UNTUNED}
    ranked = {at: p for at, p in trained.items() if p.standing is Standing.OK and p.score is not None}
    top = max(ranked, key=lambda at: task.goodness(ranked[at].score or 0.0), default=None)
    losses = [point.loss for point in trained.values() if point.loss is not None]
    ends = [trained[max(trained)]] if trained else []
    return (
        Entry(label(task.name)),
        Entry(_way(material, curve)),
        _point_entry(group, curve.points.get(UNTUNED)),
        Entry("never" if epoch is None else f"{epoch:g}", best=epoch is not None),
        Entry(UNKNOWN if top is None else shown(task, ranked[top].score)),
        Entry(UNKNOWN if top is None else f"{top:g}"),
        _point_entry(group, ends[0] if ends else None),
        Entry(f"{losses[0]:.3g}" if losses else UNKNOWN),
        Entry(f"{losses[-1]:.3g}" if losses else UNKNOWN),
    )


def _point_entry(group: CurveGroup, point: CurvePoint | None) -> Entry:
    return Entry(UNKNOWN) if point is None else Entry(shown(group.task, point.score), point.standing)


def _score(material: Material, record: CellRecord) -> float:
    score = material.score(record)
    return 0.0 if score is None else score


def _seconds(record: CellRecord) -> float | None:
    return above_zero((record.train or {}).get("seconds"))


def _extremes(material: Material, timed: Sequence[tuple[float, CellRecord]], sizes: dict[int, float]) -> str:
    """Which of these trainings was quickest, slowest, and took least memory."""
    if not timed:
        return "no way of tuning can be ranked"
    if len(timed) == 1:
        ((spent, alone),) = timed
        size = f" and {gib(sizes[id(alone)])} GiB" if sizes else ""
        return f"of those that were timed only {material.said(alone)} can be ranked: {spent:.3g} s{size}"
    quick, slow = min(timed, key=lambda pair: pair[0]), max(timed, key=lambda pair: pair[0])
    said = (
        f"quickest {material.said(quick[1])} in {quick[0]:.3g} s, slowest {material.said(slow[1])} in {slow[0]:.3g} s"
    )
    if sizes:
        lean = min((record for _, record in timed), key=lambda record: sizes[id(record)])
        said += f", least memory {material.said(lean)} with {gib(sizes[id(lean)])} GiB"
    return said


def _cost_row(material: Material, record: CellRecord, sizes: dict[int, float]) -> tuple[Entry, ...]:
    training = record.train or {}
    seconds, steps, params = (
        _seconds(record),
        number(training.get("steps")),
        above_zero(training.get("trainable_params")),
    )
    return (
        Entry(label(record.eval_task)),
        Entry(material.way(record)),
        material.scored(record),
        Entry(UNKNOWN if seconds is None else f"{seconds:.4g}"),
        Entry(UNKNOWN if steps is None else f"{steps:.6g}"),
        Entry(gib(sizes.get(id(record)))),
        Entry(UNKNOWN if params is None else f"{params:.3g}"),
        material.flagged(record),
    )
