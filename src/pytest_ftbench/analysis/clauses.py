"""Parts of sentences and rows that several answers share."""

from collections.abc import Callable, Sequence

from pytest_ftbench.analysis.answers import Entry
from pytest_ftbench.analysis.material import Gap, Material
from pytest_ftbench.analysis.validity import Standing
from pytest_ftbench.analysis.wording import UNKNOWN, label, percent
from pytest_ftbench.grid import CellRecord

Read = Callable[[CellRecord], float | None]


def verdict(gap: Gap | None, what: str) -> str:
    """Whether something is better, in words."""
    if gap is None or gap.shown == 0:
        alone = gap is not None and gap.ranked and gap.interval is not None and not gap.interval.includes_zero
        return "no difference is shown" + (f", corrected for {gap.comparisons} comparisons" if gap and alone else "")
    return f"{what} is {'better' if gap.shown > 0 else 'worse'}"


def gap_text(gap: Gap | None) -> str:
    """A difference with its interval."""
    return "difference unknown" if gap is None else gap.text


def gap_entries(gap: Gap | None) -> tuple[Entry, Entry]:
    """The same in two columns."""
    return (Entry(UNKNOWN), Entry(UNKNOWN)) if gap is None else (Entry(gap.difference), Entry(gap.span))


def against(material: Material, cells: Sequence[CellRecord], base: CellRecord, gap: Gap | None, what: str) -> str:
    """What the best of these cells is against the untuned model; ``gap`` is that of the best, if any may be ranked."""
    task = label(base.eval_task)
    if gap is None:
        none = "the only one can't be ranked" if len(cells) == 1 else f"none of {len(cells)} can be ranked"
        return f"{task}: {none} (untuned: {material.said(base)})"
    if material.standing(base) is Standing.INVALID:
        return f"{task}: {material.said(gap.first)}, with nothing to compare (untuned: {material.said(base)})"
    return f"{task}: {verdict(gap, what)}, {material.way(gap.first)} {gap_text(gap)}"


def scored(material: Material, cells: Sequence[CellRecord], reference: CellRecord) -> bool:
    """Whether the reference and any of the cells have a score."""
    return material.score(reference) is not None and any(material.score(record) is not None for record in cells)


def above(material: Material, cells: Sequence[CellRecord], best: Sequence[CellRecord]) -> list[CellRecord]:
    """The cell with the highest number, where it is above what is best and may not be ranked."""
    task = material.task(cells[0])
    top = highest(cells, material.score, task.goodness)
    if not top or material.standing(top[0]) is Standing.OK:
        return []
    bar = material.score(best[0]) if best else None
    return top[:1] if bar is None or task.goodness(material.score(top[0]) or 0.0) > task.goodness(bar) else []


def highest(cells: Sequence[CellRecord], read: Read, goodness: Callable[[float], float]) -> list[CellRecord]:
    """The cells whose number is best, whatever it is worth; several where they tie."""
    known = [(goodness(value), record) for record in cells if (value := read(record)) is not None]
    top = max((value for value, _ in known), default=None)
    return [record for value, record in known if value == top]


def named(material: Material, tied: Sequence[CellRecord]) -> str:
    """The first of some cells, and those that it ties with."""
    also = [f"r{record.rank}" if record.method == tied[0].method else material.way(record) for record in tied[1:]]
    return material.way(tied[0]) + (f" (= {', '.join(also[:4])})" if also else "")


def speed_entries(material: Material, record: CellRecord, other: CellRecord) -> tuple[Entry, Entry, Entry, Entry]:
    """Latency and time per token against another's, in percent, and the tokens of both."""
    now, then = material.cell(record), material.cell(other)
    return (
        Entry(percent(now.latency_s, then.latency_s)),
        Entry(percent(now.s_per_token, then.s_per_token)),
        Entry(tokens(now.output_tokens)),
        Entry(tokens(then.output_tokens)),
    )


def seconds(value: float | None) -> str:
    """A latency in the studies' digits; more where these show none."""
    return UNKNOWN if value is None else f"{value:.4f}" if 0.00095 <= value < 1e5 else f"{value:.2g}"


def tokens(value: float | None) -> str:
    """Mean tokens of answers."""
    return UNKNOWN if value is None else f"{value:.1f}" if abs(value) < 1e6 else f"{value:.1e}"


def only_shorter(material: Material, cells: Sequence[CellRecord]) -> list[str]:
    """In how many of these cells a difference in latency is one of length (V07), in a sentence."""
    count = sum("V07" in material.found.get(id(record), ()) for record in cells)
    if not count:
        return []
    return [
        f"In {count} of {len(cells)} tuned cells the difference in latency is one of tokens, not of time per token "
        "(V07)."
    ]
