"""What verdicts say: the rule, the numbers and what to do, each in one line that a failing test can show."""

from pytest_ftbench.analysis.gate_verdict import Kind, Outcome, Verdict
from pytest_ftbench.analysis.refusals import Reason, Refusal
from pytest_ftbench.analysis.wording import short
from pytest_ftbench.grid.gates import METRICS, GateRule

ACCEPT = "ftbench baseline accept"
MEND = f"mend it, or accept it as it is now ({ACCEPT})"

_FIXES = {
    Reason.ITEMS: "test both on the same items",
    Reason.PROMPTS: "go back to the baseline's prompts",
    Reason.EMBEDDER: "score both with the same embedder",
    Reason.DEVICE: "measure on the device of the baseline",
    Reason.WORKERS: "time with as many workers as the baseline",
    Reason.DTYPE: "measure in the baseline's dtype",
    Reason.THREADS: "time with as many threads as the baseline",
    Reason.CLOCK: "time both by the same version",
    Reason.KIND: "measure memory as the baseline did",
}


def limit_text(rule: GateRule) -> str:
    """A floor or ceiling in words."""
    metric = METRICS[rule.metric]
    return f"at {'least' if metric.higher_is_better else 'most'} {rule.limit:g} {metric.unit}"


def change_text(rule: GateRule) -> str:
    """What may change for the worse, in words."""
    metric = METRICS[rule.metric]
    drop = "drop" if metric.higher_is_better else "rise"
    allowed = f"a {drop} of {rule.allowed:g} {metric.change}" if rule.allowed else f"no {drop} shown"
    matters = f", {rule.effect:g} {metric.change} matter" if rule.effect != rule.allowed else ""
    return f"{allowed}{matters}"


def fix(refusal: Refusal) -> str:
    """What makes two numbers comparable again."""
    return f"{_FIXES[refusal.reason]}, or accept a new baseline ({ACCEPT})"


def message(verdict: Verdict) -> str:
    """A verdict in one line: cell, metric, was, is, the change with its interval, and what is allowed."""
    parts = [f"{short(verdict.cell)}: {verdict.metric} {_numbers(verdict)}".rstrip()]
    if verdict.outcome in (Outcome.INCONCLUSIVE, Outcome.INCOMPARABLE, Outcome.MISSING):
        parts[0] += f": {verdict.outcome}" if verdict.outcome is not Outcome.MISSING else ": no baseline"
    parts[0] += f"; allowed: {verdict.limit}."
    open_still = verdict.outcome is Outcome.INCONCLUSIVE and verdict.need
    need = "" if verdict.outcome is Outcome.FAIL else verdict.need
    told = (verdict.why, verdict.rerun, f"to decide it: {need}" if open_still else need)
    parts += [f"{_sentence(text)}." for text in told if text]
    # what differs between two records is told in their own words, of whatever lines
    return " ".join(" ".join(parts).split())


def change_of(verdict: Verdict) -> str:
    """A change, or of a limit the number, in a few words."""
    if verdict.change is not None:
        return f"{verdict.change:+.3g} {verdict.change_unit}"
    return "an unknown number" if verdict.now is None else f"{verdict.now:.4g} {verdict.unit}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].removesuffix(".")


def _numbers(verdict: Verdict) -> str:
    """What was, what is, and how sure the change is."""
    if verdict.now is None and verdict.was is None:
        return ""
    known = [f"{value:.4g}" for value in (verdict.was, verdict.now) if value is not None]
    said = f"{' → '.join(known)} {verdict.unit}"
    if verdict.kind is Kind.LIMIT:
        return said + _interval(verdict) + _over(verdict)
    if verdict.change is None:
        return said
    change = f"{verdict.change:+.3g}{' %' if verdict.change_unit == '%' else ''}"
    return f"{said}, {change}{_interval(verdict)}{_over(verdict)}{_p(verdict)}"


def _interval(verdict: Verdict) -> str:
    if verdict.interval is None:
        return ""
    low, high = verdict.interval
    return f" [{low:.3g}, {high:.3g}]" if verdict.kind is Kind.LIMIT else f" [{low:+.3g}, {high:+.3g}]"


def _over(verdict: Verdict) -> str:
    """How many seeds or items the numbers are of."""
    before, after = verdict.seeds
    if verdict.kind is Kind.TRAINING:
        return f", over {before} and {after} seeds"
    if verdict.kind is Kind.LIMIT:
        return f", over {after} seed{'s' * (after != 1)}" if after else ""
    things = {Kind.EVALUATION: "items", Kind.TIMING: "prompts"}.get(verdict.kind)
    return f", over {verdict.n} {things}" if things and verdict.n else ""


def _p(verdict: Verdict) -> str:
    if verdict.p is None:
        return ""
    family = round(verdict.adjusted / verdict.p) if verdict.adjusted is not None else 1
    return f", p {verdict.p:.2g}" + (f" (of {family}: {verdict.adjusted:.2g})" if family > 1 else "")
