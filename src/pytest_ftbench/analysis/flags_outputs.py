"""Checks of what was answered: form, length, classes, single items, and whether a score says anything."""

import math
from collections import Counter
from collections.abc import Iterator
from itertools import chain

from pytest_ftbench.analysis.case import Case, Finding, table
from pytest_ftbench.analysis.differences import difference_interval
from pytest_ftbench.analysis.intervals import SCALES
from pytest_ftbench.analysis.metrics import number
from pytest_ftbench.analysis.study import Study
from pytest_ftbench.analysis.validity import Standing, answerer, best_trivial, trivial_scores

_FEWEST = 8  # fewer say nothing of shares
_CLOSE = 0.02  # of a score's scale: four items of 200
_COMMON = 0.8
_CLASSES = 8  # more different golds are no classes


def unreadable(case: Case, study: Study) -> Iterator[Finding]:
    """V03: a low format rate, or one far from what the cell is compared with; of two in a block, the lower is told."""
    rate, limits = case.rate("format_rate"), study.thresholds
    if rate is None:
        return
    if rate < limits.format_rate:
        yield Finding("V03", f"only {_percent(rate)} of the outputs could be read", 1 - rate, "low")
        return
    base = None if case.base is None or case.base.standing is Standing.INVALID else case.base.rate("format_rate")
    best = case.block.best_format(case)
    for other, whose in ((base, f"{case.whose_base}'s"), (max(rate, best or 0), "the best of its block,")):
        if other is not None and round(abs(rate - other), 9) > limits.format_gap:
            text = f"{_percent(rate)} of the outputs could be read, against {whose} {_percent(other)}"
            yield Finding("V03", f"{text}: part of a difference is form", abs(rate - other) / 10, "gap")
            return


def empty_or_cut(case: Case, study: Study) -> Iterator[Finding]:
    """V04: too many empty outputs, or outputs that ended at the limit of tokens."""
    empty, cut = case.rate("empty_rate"), case.rate("truncated_rate")
    if empty is not None and round(empty, 9) > study.thresholds.empty_rate:
        yield Finding("V04", f"{_percent(empty)} of the outputs are empty", empty, "empty")
    if cut is not None and round(cut, 9) > study.thresholds.truncated_rate:
        yield Finding("V04", f"{_percent(cut)} of the outputs were cut off at the token limit", cut, "cut")


def one_item(case: Case, study: Study) -> Iterator[Finding]:
    """V05: one item makes too much of a mean that has no upper end: a difference, a latency, a number of tokens."""
    shares = {
        "the mean absolute difference": _difference_share(case),
        "the mean latency": _largest_share(case.latency_s),
        "the mean number of tokens": _largest_share(case.tokens),
    }
    for name, share in shares.items():
        if share > study.thresholds.item_share:
            yield Finding("V05", f"one item makes {_percent(share)} of {name}", share, name)


def unchanged(case: Case, study: Study) -> Iterator[Finding]:
    """V08: in every task that both were tested on, the tuned model answers (almost) what its base does."""
    if case.base is None:
        return
    share, what = _agreement(case, case.base)
    pairs = ((each, each.base) for each in case.checkpoint if each.base is not None and each is not case)
    # its own share first: most often that settles it
    shares = chain([share], (_agreement(*pair)[0] for pair in pairs))
    if not all(each >= study.thresholds.unchanged for each in shares):
        return
    yield Finding("V08", f"after training, {what} in {_percent(share)} of the items", share)


def collapsed(case: Case, study: Study) -> Iterator[Finding]:
    """V13: nearly all predictions are of one class that the golds are not; SQuAD is never or always abstained from."""
    if case.task.name == "squad":
        yield from _abstentions(case, study)
        return
    golds, parsed = _classes(case)
    if not 1 < len(golds) <= _CLASSES or golds.total() < 2 * len(golds) or parsed.total() < _FEWEST:
        return
    name, count = parsed.most_common(1)[0]
    share = count / parsed.total()
    limit = study.thresholds.class_share
    if share > limit and golds[name] / golds.total() <= limit:
        right = _percent(golds[name] / golds.total()) if golds[name] else "none"
        yield Finding("V13", f"{_percent(share)} of the predictions are {name}, which is right for {right}", share)


def _classes(case: Case) -> tuple[Counter[str], Counter[str]]:
    """How often each class is gold, and how often predicted: by the items, else by a confusion matrix, gold first."""
    items = case.items.values()
    golds = Counter(gold for item in items if isinstance(gold := item.get("gold"), str))
    parsed = Counter(letter for item in items if isinstance(letter := item.get("parsed"), str))
    matrix = {} if case.items else table(case.record.extra.get("confusion_matrix"))
    for gold, predictions in matrix.items():
        counts = {name: int(number(count) or 0) for name, count in table(predictions).items()}
        golds[gold] += sum(counts.values())
        # a matrix may count what couldn't be read in a column of its own
        parsed.update({name: count for name, count in counts.items() if name in matrix or len(name) == 1})
    return golds, +parsed


def worse_than_base(case: Case, study: Study) -> Iterator[Finding]:
    """V15: on the task that it was trained on, it scores lower than untuned, by more than chance."""
    base = case.base
    if not case.is_tuned or not case.in_domain or base is None or not case.task.comparable:
        return
    task = case.task.judged_by(case.record, base.record)
    if task != case.task and case.standing is Standing.INVALID:
        return  # where outputs can't be read, what stands in for the headline tells of form alone
    found = difference_interval(case.record, base.record, task, study.evidence, study.thresholds.confidence)
    before, after = (task.score(each.record) for each in (base, case))
    if found is None or before is None or after is None or found.includes_zero:
        return
    if task.goodness(after) < task.goodness(before):
        name, shown = task.headline.key.replace("_", " "), task.headline.format
        whose = "" if case.whose_base == "its base" else f" of {case.whose_base}"
        text = f"training on this very task took the {name} from {before:{shown}}{whose} to {after:{shown}}"
        yield Finding("V15", text, min(abs(found.low), abs(found.high)))


def trivial(case: Case, study: Study) -> Iterator[Finding]:
    """V17: no better than an answerer that reads nothing."""
    if case.standing is not Standing.TRIVIAL:
        return
    task = case.task.judged_by(case.record)
    bar, score, shown = best_trivial(study.trivial, task), task.score(case.record), task.headline.format
    names = [name for name, value in trivial_scores(study.trivial, task).items() if value == bar]
    if bar is not None and score is not None:
        text = f"{case.named(task)}{score:{shown}}, where {answerer(names[0])} scores {bar:{shown}}"
        yield Finding("V17", text, abs(bar - score) / (abs(bar) or 1), case.named(task))


def _abstentions(case: Case, study: Study) -> Iterator[Finding]:
    scores = {key: number(value) for key, value in case.record.scores.items()}
    none = scores.get("no_ans_accuracy")
    answered = next((each for key in ("has_ans_f1", "has_ans_em") if (each := scores.get(key)) is not None), None)
    if answered is None:
        # all that is right is then the unanswerable questions
        share, whole = trivial_scores(study.trivial, case.task).get("always_abstain"), scores.get("f1")
        answered = None if whole is None or share is None else round(abs(whole - share), 2)
    if none == 0:
        yield Finding("V13", "it never abstains: none of the unanswerable questions is left unanswered", 1, "never")
    elif none == 100 and answered == 0:
        yield Finding("V13", "it always abstains: no answerable question is answered", 2, "always")
    else:
        yield from _mostly_abstains(case, study.thresholds.class_share)


def _mostly_abstains(case: Case, limit: float) -> Iterator[Finding]:
    """V13 by the items, in which an abstention is an answer of no words."""
    answers = [text for item in case.items.values() if isinstance(text := item.get("parsed"), str)]
    golds = [text for item in case.items.values() if isinstance(text := item.get("gold"), str)]
    if len(answers) < _FEWEST or len(golds) < _FEWEST:
        return
    share, right = answers.count("") / len(answers), golds.count("") / len(golds)
    if share > limit >= right:
        text = f"{_percent(share)} of the predictions abstain, which is right for {_percent(right)}"
        yield Finding("V13", text, 1 + share, "mostly")


def _difference_share(case: Case) -> float:
    """The largest difference's share of their sum, by the items: no mean and median bound it by more than 2 / n."""
    if case.task.name != "openmath":
        return 0.0
    off = [abs(_as_number(item.get("parsed")) - _as_number(item.get("gold"))) for item in case.items.values()]
    return _largest_share([each for each in off if math.isfinite(each)])


def _as_number(value: object) -> float:
    try:
        return float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return math.nan


def _largest_share(values: list[float]) -> float:
    """The largest value's share of the sum of values that are at least 0; 0 where they are few or others."""
    if len(values) < _FEWEST or min(values) < 0 or max(values) <= 0:
        return 0.0
    largest = max(values)
    return 1 / sum(value / largest for value in values)


def _agreement(case: Case, base: Case) -> tuple[float, str]:
    """The share of items that are answered as the base answers them, and how that is known."""
    apart = [abs(a - b) / size for a, b, size in _scores(case, base)]
    if max(apart, default=0.0) > _CLOSE:
        return 0.0, ""
    if case.items and case.items.keys() == base.items.keys():
        texts = [(item.get("output"), base.items[name].get("output")) for name, item in case.items.items()]
        if all(isinstance(text, str) for pair in texts for text in pair):
            said = [(a, b) for a, b in texts if f"{a}{b}".strip()]  # two that say nothing are no agreement
            few = len(said) < min(_FEWEST, len(texts))
            return (0.0, "") if few else (sum(a == b for a, b in said) / len(said), "the output is the base's")
    if not apart:
        return 0.0, ""
    common = Counter(base.tokens).most_common(1)
    # where nearly all answers are of one length, equal lengths say nothing
    if len(case.tokens) == len(base.tokens) >= _FEWEST and common[0][1] <= _COMMON * len(base.tokens):
        same = sum(a == b for a, b in zip(case.tokens, base.tokens, strict=True))
        return same / len(base.tokens), "the output is as long as the base's and the scores are close to its"
    tokens = (case.mean_tokens, base.mean_tokens)
    exact = len(apart) > 1 and not any(apart) and None not in tokens and tokens[0] == tokens[1]
    return (1.0, "all scores and the mean length are those of the base") if exact else (0.0, "")


def _scores(case: Case, base: Case) -> Iterator[tuple[float, float, float]]:
    """The scores that both have, and between which ends they may lie."""
    for key, (low, high) in SCALES.items():
        mine, its = (number(each.record.scores.get(key)) for each in (case, base))
        if mine is not None and its is not None:
            yield mine, its, high - low


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
