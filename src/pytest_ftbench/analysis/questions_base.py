"""Whether tuning is worth it: against the same model untuned, and against a larger one."""

from collections.abc import Sequence

from pytest_ftbench.analysis.answers import AnswerTable, Entry, Reply
from pytest_ftbench.analysis.clauses import (
    above,
    against,
    gap_entries,
    gap_text,
    only_shorter,
    scored,
    speed_entries,
    verdict,
)
from pytest_ftbench.analysis.material import Gap, Material, is_adapter
from pytest_ftbench.analysis.metrics import above_zero
from pytest_ftbench.analysis.pairs import FULL
from pytest_ftbench.analysis.validity import Standing
from pytest_ftbench.analysis.wording import UNKNOWN, gib, label, listed, percent, short
from pytest_ftbench.grid import CellRecord

NO_TUNED = "tuned cells that were tested on the task they were trained on, with their scores"
NO_BASE = "the untuned model's cells, with their scores, on the tasks that were trained on"
NO_LARGER = "the untuned cells of a larger model, with their scores, on the tasks that were trained on"
_SPEED = ("Lat %", "ms/tok %", "Tok", "then")


def worth_it(material: Material) -> Reply:
    """The best way of tuning on each task against the untuned model, in score and in time."""
    pairs = _beside_base(material)
    if not pairs:
        return Reply(missing=NO_BASE if material.trained else NO_TUNED)
    clauses, rows, count = [], [], _candidates(pairs)
    for cells, base in pairs:
        best = material.best(cells)
        gap = material.gap(best[0], base, count) if best else None
        clauses.append(against(material, cells, base, gap, "tuning"))
        # what has the highest number and may not be ranked is shown beside what is best
        for record in [*best[:1], *above(material, cells, best)]:
            mine = material.gap(record, base, count)
            rows.append(
                (
                    *_scores(material, record, base, mine),
                    *speed_entries(material, record, base),
                    material.flagged(record),
                )
            )
    said = f"Best way on each task against the untuned model: {'; '.join(clauses)}."
    tuned = [record for cells, _ in pairs for record in cells]
    headings = ("Trained on", "Way", "Score", "Untuned", "Change", "95 %", *_SPEED, "Flags")
    return Reply((said, *only_shorter(material, tuned)), AnswerTable(headings, tuple(rows), labels=2))


def memory_is_short(material: Material) -> Reply:
    """The best adapter on each task against the untuned model, and the memory that it saves."""
    pairs = _beside_base(material, adapters=True)
    if not pairs:
        return Reply(missing=f"adapters, and {NO_BASE}")
    clauses, rows, count = [], [], _candidates(pairs)
    for adapters, base in pairs:
        best = material.best(adapters)
        gap = material.gap(best[0], base, count) if best else None
        clauses.append(against(material, adapters, base, gap, "it"))
        full = [r for r in material.trained[base.model, base.eval_task] if r.method == FULL]
        for record in [*best[:1], *above(material, adapters, best)]:
            mine = material.gap(record, base, count)
            rows.append(
                (
                    *_scores(material, record, base, mine),
                    *_memory(material, record, full),
                    *speed_entries(material, record, base)[:2],
                    material.flagged(record),
                )
            )
    said = f"Best adapter on each task against the untuned model: {'; '.join(clauses)}."
    known = any(row[6].text != UNKNOWN for row in rows)
    memory = () if known else ("What it saves can't be told: the records have no peak of training memory.",)
    headings = (
        "Trained on",
        "Way",
        "Score",
        "Untuned",
        "Change",
        "95 %",
        "Train GiB",
        "NoPeft",
        "Lat %",
        "ms/tok %",
        "Flags",
    )
    return Reply((said, *memory), AnswerTable(headings, tuple(rows), labels=2))


def against_larger(material: Material, adapters: bool = False) -> Reply:
    """The best tuned cell, or the best adapter, on each task against larger models untuned."""
    pairs = [
        (chosen, base)
        for cells in material.trained.values()
        for other in _larger(material, cells[0].model)
        if (chosen := [record for record in cells if is_adapter(record) or not adapters])
        and (base := material.bases.get((other, None, cells[0].eval_task))) is not None
        and scored(material, chosen, base)
    ]
    if not pairs:
        return Reply(missing=NO_LARGER)
    clauses, rows, count = [], [], _candidates(pairs)
    for cells, base in pairs:
        best = material.best(cells)
        gap = material.gap(best[0], base, count) if best else None
        task = label(base.eval_task)
        kind = "adapters" if adapters else "tuned cells"
        said = (
            f"the only one of the {kind} can't be ranked"
            if len(cells) == 1
            else f"none of {len(cells)} {kind} can be ranked"
        )
        if best and material.standing(base) is Standing.INVALID:
            said = f"{material.said(best[0])}, with nothing to compare"
        elif best:
            said = f"{verdict(gap, 'the tuned one')}, {material.said(best[0])}, {gap_text(gap)}"
        clauses.append(f"{task}: {said} ({material.said(base)})")
        for record in [*best[:1], *above(material, cells, best)]:
            mine = material.gap(record, base, count)
            rows.append(
                (
                    *_scores(material, record, base, mine),
                    *speed_entries(material, record, base),
                    Entry(_eval_memory(material, record, base)),
                    material.flagged(record, base),
                )
            )
    what = "adapter" if adapters else "tuned cell"
    others = dict.fromkeys(short(base.model) for _, base in pairs)
    said = f"Best {what} on each task against untuned {listed(others)}: {'; '.join(clauses)}."
    headings = ("Trained on", "Way", "Score", "Untuned", "Change", "95 %", *_SPEED, "Mem %", "Flags")
    return Reply((said,), AnswerTable(headings, tuple(rows), labels=2))


def _beside_base(material: Material, adapters: bool = False) -> list[tuple[list[CellRecord], CellRecord]]:
    """The tuned cells of each model and task, or of these the adapters, and the untuned one beside them."""
    found = []
    for cells in material.trained.values():
        chosen = [record for record in cells if is_adapter(record) or not adapters]
        base = material.base(cells[0])
        if chosen and base is not None and scored(material, chosen, base):
            found.append((chosen, base))
    return found


def _larger(material: Material, model: str) -> list[str]:
    """The models that may be larger: by their parameters; where these aren't known, those that nothing was tuned of."""
    sizes = {name: _size(material, name) for name in material.models}
    tuned = {name for name, _ in material.trained}
    mine = sizes[model]
    return [
        name
        for name, size in sizes.items()
        if name != model and (name not in tuned if mine is None or size is None else size > mine)
    ]


def _size(material: Material, model: str) -> float | None:
    """The parameters of a model; an adapter's are counted with its base, so the fewest of its trainings' count."""
    known = (above_zero((r.train or {}).get("total_params")) for r in material.records if r.model == model)
    return min((size for size in known if size is not None), default=None)


def _candidates(pairs: Sequence[tuple[Sequence[CellRecord], CellRecord]]) -> int:
    """Among how many cells the best ones are chosen: whichever of them came out well by luck would have been."""
    return sum(len(cells) for cells, _ in pairs)


def _scores(material: Material, record: CellRecord, base: CellRecord, gap: Gap | None) -> tuple[Entry, ...]:
    """Task, way, both scores, and their difference."""
    return (
        Entry(label(record.eval_task)),
        Entry(material.way(record)),
        material.scored(record, best=gap is not None and gap.shown > 0),
        material.scored(base),
        *gap_entries(gap),
    )


def _memory(material: Material, record: CellRecord, full: Sequence[CellRecord]) -> tuple[Entry, Entry]:
    """The peaks of training it, and of full fine-tuning."""
    peaks = material.peaks([record, *full[:1]], "train") or material.peaks([record], "train")
    values = {} if peaks is None else peaks[1]
    return Entry(gib(values.get(id(record)))), Entry(gib(values.get(id(full[0])) if full else None))


def _eval_memory(material: Material, record: CellRecord, base: CellRecord) -> str:
    peaks = material.peaks([record, base], "eval")
    return UNKNOWN if peaks is None else percent(peaks[1][id(record)], peaks[1][id(base)])
