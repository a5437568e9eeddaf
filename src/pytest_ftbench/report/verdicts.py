"""What gates said of a run, read from its results: put in order, counted, and said in sentences.

Results may be anybody's file: an entry that is no verdict is left out, and that is said.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytest_ftbench.analysis import number
from pytest_ftbench.analysis.gate_verdict import Kind, Outcome, Verdict
from pytest_ftbench.grid import GATE_METRICS
from pytest_ftbench.grid.gates import ACTIONS
from pytest_ftbench.report.words import clean, elided, p_value

_ORDER = (Outcome.FAIL, Outcome.INCOMPARABLE, Outcome.MISSING, Outcome.INCONCLUSIVE, Outcome.PASS)
_SAID = {
    Outcome.INCOMPARABLE: "incomparable",
    Outcome.MISSING: "without a baseline",
    Outcome.INCONCLUSIVE: "inconclusive",
    Outcome.PASS: "pass",
}
_DONE = {"fail": "counted as failed", "warn": "warned", "skip": "skipped", "pass": "let pass"}
"""What was done about a verdict that is neither pass nor fail, by its action."""
_TEXTS = ("cell", "metric", "limit", "unit", "change_unit", "why", "need", "rerun")
_NUMBERS = ("was", "now", "change", "p", "adjusted")
_CELL_ROOM, _METRIC_ROOM, _SENTENCE_ROOM = 80, 20, 500
_LISTED = 3
_MOST = 1_000_000_000  # of anything


def read_verdicts(value: object) -> tuple[list[Verdict], str]:
    """The verdicts in what results hold under ``gates``, and in a sentence what of it is none (empty: nothing)."""
    if value is None:
        return [], ""
    if not isinstance(value, list):
        return [], "What the results hold under 'gates' is no list, and is left out."
    found = [_verdict(entry) for entry in value]
    known = [verdict for verdict in found if verdict is not None]
    bad = len(found) - len(known)
    are = "is no verdict" if bad == 1 else "are no verdicts"
    return known, f"Of what the results hold under 'gates' {bad} of {len(found)} {are}: left out." if bad else ""


def worst_first(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Failures, a floor or ceiling that isn't kept before any change, and these by how far; then what isn't known.

    How far: the change for the worse over what of it matters in its metric, for points and percents are no one scale.
    """
    return sorted(verdicts, key=lambda each: (_ORDER.index(each.outcome), ACTIONS.index(each.action), *_far(each)))


def counted(verdicts: Sequence[Verdict]) -> str:
    """Of how many gates how many fail, are not decided and pass, in a sentence."""
    total, found = len(verdicts), Counter(verdict.outcome for verdict in verdicts)
    gates = "1 gate" if total == 1 else f"{total} gates"
    if not total:
        return "No gate was judged."
    if found[Outcome.PASS] == total:
        return "The only gate passes." if total == 1 else f"All {gates} pass."
    fails = found[Outcome.FAIL]
    parts = [f"{fails} of {gates} fail{'s' * (fails == 1)}"] if fails else []
    for outcome, word in _SAID.items():
        mine = [verdict for verdict in verdicts if verdict.outcome is outcome]
        if mine and outcome is Outcome.PASS:
            parts.append(f"{len(mine)} {word}{'es' * (len(mine) == 1)}")
        elif mine:
            parts.append(f"{len(mine)} {word} ({_actions(mine)})")
    return f"{'' if fails else f'{gates}: '}{', '.join(parts)}."


def told(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Why each verdict is none of pass, and what it needs to be another; what many have in common is said once.

    A pass is told of where it took measuring again.
    """
    alike: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.outcome is not Outcome.PASS or verdict.rerun:
            sentences = [_weighed(verdict), _sentence(verdict.why), _sentence(verdict.rerun)]
            said = " ".join(filter(None, [*sentences, _sentence(verdict.need, "To decide it: ")]))
            alike.setdefault((_what(verdict), said), []).append(verdict)
    for (what, said), mine in alike.items():
        yield f"{_where(mine)}: {what}. {said}".rstrip()


def _verdict(entry: object) -> Verdict | None:
    """The verdict of an entry; None where it isn't one in every part that is shown."""
    if not isinstance(entry, Mapping):
        return None
    try:
        made = Verdict.from_dict(entry)
        ends = None if made.interval is None else tuple(map(number, made.interval))
        numbers: dict[str, Any] = {key: _known(getattr(made, key)) for key in _NUMBERS}
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    texts = all(isinstance(getattr(made, key), str) for key in _TEXTS)
    if not texts or not clean(made.cell) or made.action not in ACTIONS or not all(map(_counts, (*made.seeds, made.n))):
        return None
    for key in ("p", "adjusted"):
        numbers[key] = numbers[key] if numbers[key] is not None and 0 <= numbers[key] <= 1 else None
    # an end that isn't a finite number is unknown, and so is the interval
    interval = None if ends is None or ends[0] is None or ends[1] is None else (ends[0], ends[1])
    return replace(made, interval=interval, **numbers)


def _known(value: object) -> float | None:
    """A number; one that isn't finite is unknown.

    Raises :class:`TypeError` for what is no number.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise TypeError
    return number(value)


def _counts(value: object) -> bool:
    """Whether it is how many there are of something, or unknown."""
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST)


def _far(verdict: Verdict) -> tuple[bool, float]:
    """Where a verdict comes among its like: limits first, then the largest change for the worse."""
    metric = GATE_METRICS.get(verdict.metric)
    change = verdict.change or 0.0
    if metric is None:
        return verdict.kind is not Kind.LIMIT, -abs(change)
    matters = max(metric.effect, metric.allowed) or 1.0
    return verdict.kind is not Kind.LIMIT, (change if metric.higher_is_better else -change) / matters


def _actions(verdicts: Sequence[Verdict]) -> str:
    """What is done about them: one word where it is the same for all."""
    found = Counter(verdict.action for verdict in verdicts)
    if len(found) == 1:
        return _DONE[verdicts[0].action]
    return ", ".join(f"{found[action]} {word}" for action, word in _DONE.items() if found[action])


def _what(verdict: Verdict) -> str:
    """A verdict in words, and what is done about it where that is another thing."""
    if verdict.outcome in (Outcome.FAIL, Outcome.PASS):
        return str(verdict.outcome)
    return f"{verdict.outcome}, {_DONE[verdict.action]}"


def _where(verdicts: Sequence[Verdict]) -> str:
    """Of which cells and metrics they are."""
    metrics: dict[str, list[str]] = {}
    for verdict in verdicts:
        cell = elided(clean(verdict.cell), _CELL_ROOM)
        metrics.setdefault(cell, []).append(elided(clean(verdict.metric), _METRIC_ROOM))
    named = [f"{cell} {', '.join(dict.fromkeys(mine))}" for cell, mine in metrics.items()]
    more = [f"and {len(named) - _LISTED} more cells"] if len(named) > _LISTED else []
    return "; ".join([*named[:_LISTED], *more])


def _weighed(verdict: Verdict) -> str:
    """On how much a comparison stands and how likely chance made it; of a failure without chance, what is allowed."""
    if verdict.p is None:
        return _sentence(verdict.limit, "Allowed: ") if verdict.outcome is Outcome.FAIL else ""
    things = {Kind.EVALUATION: "items", Kind.TIMING: "prompts"}.get(verdict.kind)
    over = f"{verdict.n} {things}" if things and verdict.n is not None else ""
    over = "{} and {} seeds".format(*verdict.seeds) if verdict.kind is Kind.TRAINING else over
    by_itself = f"p {p_value(verdict.p)}"
    if verdict.adjusted is not None and verdict.adjusted != verdict.p:
        by_itself = f"p {p_value(verdict.adjusted)} among all comparisons, {p_value(verdict.p)} by itself"
    return f"Over {over}: {by_itself}." if over else f"{by_itself}."


def _sentence(text: str, start: str = "") -> str:
    """A foreign phrase as a sentence, after these words; empty where it says nothing."""
    shown = elided(clean(text), _SENTENCE_ROOM)
    if not shown:
        return ""
    said = f"{start}{shown}" if start else shown[0].upper() + shown[1:]
    return said if said.endswith((".", "!", "?")) else f"{said}."
