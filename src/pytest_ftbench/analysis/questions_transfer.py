"""What tuning on one task does to the others: forgetting and gain, each named where its interval excludes zero."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_ftbench.analysis.answers import AnswerTable, Entry, Reply
from pytest_ftbench.analysis.intervals import LEVEL
from pytest_ftbench.analysis.material import Gap, Material
from pytest_ftbench.analysis.metrics import number
from pytest_ftbench.analysis.validity import Standing
from pytest_ftbench.analysis.wording import UNKNOWN, label, listed, short
from pytest_ftbench.grid import CellRecord, method_label

NO_TRANSFER = "tuned cells tested on other tasks than they were trained on, beside the untuned model's, with scores"
_NOTHING = "on the other tasks the untuned model can't be ranked, so that there is nothing to forget"
_NAMED = 3
_SHOWN = ("forgotten", "gained", "open")


@dataclass(frozen=True)
class Transfer:
    """A tuned cell on another task against the untuned model: ``change`` in percent of its score, + better."""

    record: CellRecord
    base: CellRecord
    gap: Gap
    change: float | None
    effect: str
    """``forgotten``, ``gained``, ``open``; ``unreadable`` where only the untuned one can be read, ``unranked`` else."""


def transfers(material: Material) -> list[Transfer]:
    """Every tuned cell that was tested on another task than it was trained on, and has its base."""
    found = []
    for record in material.in_order(material.records):
        base = material.base(record)
        if record.train_task in (None, record.eval_task) or base is None or base is record:
            continue
        gap = material.gap(record, base)
        if gap is not None:
            found.append(Transfer(record, base, gap, _change(gap), _effect(material, gap)))
    return found


def cross_task(material: Material) -> Reply:
    """Which tasks are forgotten and which gain, pair by pair."""
    found = transfers(material)
    if not found:
        return Reply(missing=NO_TRANSFER)
    pairs = dict.fromkeys((each.record.model, each.record.train_task, each.record.eval_task) for each in found)
    rows = [
        _row(
            material,
            f"{label(str(train))} to {label(test)}",
            [e for e in found if (e.record.model, e.record.train_task, e.record.eval_task) == (model, train, test)],
        )
        for model, train, test in pairs
    ]
    return Reply(tuple(_sentences(material, found)), AnswerTable(_HEADINGS, tuple(rows), labels=1))


def robust(material: Material) -> Reply:
    """The methods by how much they forget."""
    found = transfers(material)
    if not found:
        return Reply(missing=NO_TRANSFER)
    methods = dict.fromkeys(each.record.method for each in found)
    groups = {method: [each for each in found if each.record.method == method] for method in methods}
    rows = [_row(material, short(method_label(method)), mine) for method, mine in groups.items()]
    told = [
        f"{short(method_label(method))} {_count(mine, 'forgotten')} of {judged}"
        + (f", {_count(mine, 'unreadable')} unreadable" if _count(mine, "unreadable") else "")
        for method, mine in groups.items()
        if (judged := len(mine) - _count(mine, "unranked"))
    ]
    said = [f"Shown to be worse than the untuned model on another task: {listed(told, most=8)}."] if told else []
    said += _by_chance(found)
    unsaid = [f"{short(method_label(m))}" for m, mine in groups.items() if _count(mine, "unranked") == len(mine)]
    if unsaid:
        said.append(f"Nothing can be said of {listed(unsaid, most=8)}: {_NOTHING}.")
    return Reply(tuple(said), AnswerTable(("Method", *_HEADINGS[1:]), tuple(rows), labels=1))


_HEADINGS = (
    "From, to",
    "n",
    "Forgotten",
    "Gained",
    "Open",
    "Unreadable",
    "Unranked",
    "Worst",
    "Worst %",
    "Best",
    "Best %",
    "Flags",
)


def _effect(material: Material, gap: Gap) -> str:
    stands, was = material.standing(gap.first), material.standing(gap.second)
    if was is not Standing.INVALID and stands is Standing.INVALID:
        return "unreadable"
    # below a stone there is nothing to forget; what came out of it may be a gain
    if stands is not Standing.OK and was is not Standing.OK:
        return "unranked"
    if was is Standing.INVALID:
        return "unranked"
    return {1: "gained", -1: "forgotten"}.get(gap.shown, "open")


def _change(gap: Gap) -> float | None:
    base = gap.task.score(gap.second)
    return number(100 * gap.task.goodness(gap.value) / abs(base)) if base else None


def _count(found: Iterable[Transfer], effect: str) -> int:
    return sum(each.effect == effect for each in found)


def _sentences(material: Material, found: Sequence[Transfer]) -> list[str]:
    lost = sorted((e for e in found if e.effect == "forgotten"), key=_goodness)
    won = sorted((e for e in found if e.effect == "gained"), key=_goodness, reverse=True)
    unread = [each for each in found if each.effect == "unreadable"]
    judged = len(found) - _count(found, "unranked")
    texts = [f"Forgetting is shown in {len(lost)} of {judged} cells{_named(material, lost)}"]
    texts.append(f"gain in {len(won)}{_named(material, won)}")
    if unread:
        who = listed((_who(material, each) for each in unread), _NAMED)
        texts.append(f"answers that could be read no longer can in {len(unread)} ({who})")
    unranked = _count(found, "unranked")
    if unranked == len(found):
        return [f"Nothing can be said: {_NOTHING}."]
    said = ["; ".join(texts) + ".", *_by_chance(found)]
    if unranked:
        said.append(f"In the other {unranked} the untuned model can't be ranked: there is nothing to forget.")
    return said


def _by_chance(found: Sequence[Transfer]) -> list[str]:
    """How many of the cells that could be compared would be called changed if nothing had changed, in a sentence."""
    count = sum(_count(found, effect) for effect in _SHOWN)
    if not count:
        return []
    would = f"{(1 - LEVEL) * count:.1f} of the {count} that could be compared would without any effect"
    return [f"Shown: the {100 * LEVEL:g} % interval excludes zero, as {would}."]


def _goodness(each: Transfer) -> float:
    return each.change if each.change is not None else each.gap.task.goodness(each.gap.value)


def _who(material: Material, each: Transfer) -> str:
    return f"{material.way(each.record)} {label(str(each.record.train_task))} to {label(each.record.eval_task)}"


def _named(material: Material, found: Sequence[Transfer]) -> str:
    if not found:
        return ""
    return f" ({listed((f'{_who(material, e)} {e.gap.text}' for e in found), _NAMED)})"


def _row(material: Material, name: str, found: Sequence[Transfer]) -> tuple[Entry, ...]:
    # what can't be ranked is neither worst nor best of anything
    by_change = sorted((e for e in found if e.change is not None and e.effect in _SHOWN), key=_goodness)
    ends: list[Entry] = []
    for each in (by_change[:1], by_change[-1:]):
        if each:
            change = each[0].change or 0.0
            ends += [
                Entry(material.way(each[0].record), material.standing(each[0].record)),
                Entry(f"{change:+.1f}" if abs(change) < 1e6 else f"{change:+.0e}"),
            ]
        else:
            ends += [Entry(UNKNOWN), Entry(UNKNOWN)]
    effects = (*_SHOWN, "unreadable", "unranked")
    flagged = material.flagged(*(each.record for each in found))
    return (Entry(name), Entry(str(len(found))), *(Entry(str(_count(found, e))) for e in effects), *ends, flagged)
