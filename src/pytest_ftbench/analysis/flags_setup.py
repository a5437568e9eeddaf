"""Checks of how a study was made: seeds, items, rates, scales, dtypes, prompts, and what the training set held."""

from collections.abc import Iterator
from itertools import islice

from pytest_ftbench.analysis.case import Case, Finding, numbers, table
from pytest_ftbench.analysis.differences import difference_interval
from pytest_ftbench.analysis.metrics import EvalTask, above_zero, number
from pytest_ftbench.analysis.study import Study
from pytest_ftbench.analysis.validity import Standing
from pytest_ftbench.grid import METHODS

_TUNED = "tuned"  # the recipe whose rates were chosen on validation rows
_LISTED = 3
# adapters whose update isn't scaled by alpha / r, by what methods of that name are called elsewhere
_UNSCALED = ("vera", "ia3", "oft", "vblora", "prompt", "prefix")
_SCALED_TYPES = ("LORA", "ADALORA", "LOHA", "LOKR")


def single_seed(case: Case, study: Study) -> Iterator[Finding]:  # noqa: ARG001 (every check is asked alike)
    """V01: trained with one seed alone, so that nobody knows what another would have given."""
    seeds = {repr(each.record.seed) for each in case.way}
    if case.is_tuned and len(seeds) < 2:
        yield Finding("V01", "trained with one seed: what another would have given is unknown")


def too_few_items(case: Case, study: Study) -> Iterator[Finding]:
    """V02: it is best of its block, or better than its base, by no more than chance gives on so many items."""
    if case.standing is not Standing.OK or not case.task.comparable:
        return
    block, base = case.block, case.base
    next_best = block.next_best(case)
    if next_best is not None and block.task is not None:
        yield from _too_close(case, next_best, block.task, study, "the next best of its block")
    if base is not None and base.standing is not Standing.INVALID:
        yield from _too_close(case, base, case.task.judged_by(case.record, base.record), study, case.whose_base)


def _too_close(case: Case, other: Case, task: EvalTask, study: Study, whose: str) -> Iterator[Finding]:
    """V02 where the case is better than the other, and the interval of the difference includes zero."""
    mine, its = task.score(case.record), task.score(other.record)
    if mine is None or its is None or task.goodness(mine) <= task.goodness(its):
        return
    found = difference_interval(case.record, other.record, task, study.evidence, study.thresholds.confidence)
    if found is not None and found.includes_zero:
        level, shown = f"{100 * study.thresholds.confidence:g} %", task.headline.format
        better = "above" if task.headline.higher_is_better else "below"
        yield Finding(
            "V02",
            f"{case.named(task)}{mine:{shown}} is {better} {its:{shown}} of {whose} on {case.n} items, where the "
            f"{level} interval of the difference is {found.low:+{shown}} to {found.high:+{shown}}",
            abs(mine - its),
            whose,
        )


def other_dtype(case: Case, study: Study) -> Iterator[Finding]:  # noqa: ARG001
    """V06: answered in another dtype than its base, or trained or answered in another than most of its block."""
    base = None if case.base is None else case.base.answered_in
    answered = [(base, case.whose_base), (case.block.answered_in, "most of its block")]
    trained = [(case.block.trained_in, "most of its block")]
    for verb, mine, others in (("answered", case.answered_in, answered), ("trained", case.trained_in, trained)):
        unlike = [(other, whose) for other, whose in others if None not in (mine, other) and mine != other]
        for other, whose in unlike[:1]:
            yield Finding("V06", f"{verb} in {mine}, {whose} in {other}", kind=verb)


def rate_not_tuned(case: Case, study: Study) -> Iterator[Finding]:
    """V09: every method got one learning rate, or the best one of a sweep lay at its edge."""
    if not case.is_tuned:
        return
    sweep, recipe = case.provenance.get("sweep"), table(case.provenance.get("recipe")).get("name")
    if isinstance(sweep, dict) and sweep:
        tested = above_zero(sweep.get("validation_rows_tested"))
        if tested is not None:
            yield Finding(
                "V09", f"the learning rate was chosen on {tested:g} of the items that it is tested on", 3, "tested"
            )
        yield from _edge(case, numbers(sweep.get("rates")), number(sweep.get("chosen")), sweep.get("at_edge"))
    elif isinstance(recipe, str) and recipe:
        if recipe != _TUNED:
            yield Finding(
                "V09",
                f"the learning rate{_rate(case)} is the {recipe} recipe's, not tuned for the method",
                kind="recipe",
            )
    elif _are_alike(case, study):
        yield Finding(
            "V09", f"all methods were trained with one learning rate{_rate(case)}, tuned for none", kind="alike"
        )


def _edge(case: Case, rates: list[float], chosen: float | None, at_edge: object) -> Iterator[Finding]:
    if len(rates) == 1:
        yield Finding("V09", f"the only learning rate tried is {rates[0]:g}", 1, "only")
    elif at_edge is True or (at_edge is not False and rates and chosen in (min(rates), max(rates))):
        chosen = above_zero(case.train.get("learning_rate")) if chosen is None else chosen
        best = "the best learning rate" if chosen is None else f"the best learning rate, {chosen:g},"
        ends = f" of {min(rates):g} to {max(rates):g}" if rates else ""
        yield Finding("V09", f"{best} lies at the edge{ends}: a better one may lie beyond", 2, "edge")


def _rate(case: Case) -> str:
    rate = above_zero(case.train.get("learning_rate"))
    return "" if rate is None else f" {rate:g}"


def _are_alike(case: Case, study: Study) -> bool:
    """Whether all that was tuned, in at least two ways, was trained with the one learning rate."""
    return (
        len(study.rates) == 1 and len(study.tuned_ways) > 1 and above_zero(case.train.get("learning_rate")) is not None
    )


def weak_scale(case: Case, study: Study) -> Iterator[Finding]:
    """V10: alpha / r is so small that the adapter hardly counts, and rsLoRA's alpha / sqrt(r) isn't used."""
    alpha, rank = number(case.train.get("alpha")), above_zero(case.record.rank)
    if alpha is None or rank is None or not case.is_tuned or not _scales(case) or _is_rank_stabilized(case):
        return
    if round(alpha / rank, 12) < study.thresholds.alpha_per_rank:
        text = f"alpha {alpha:g} over rank {rank:g} scales the adapter by {alpha / rank:.3g}"
        yield Finding("V10", f"{text}; rsLoRA would by {alpha / rank**0.5:.3g}", -alpha / rank)


def _scales(case: Case) -> bool:
    """Whether the adapter's update is scaled by alpha / r; of a method from elsewhere its name decides."""
    name = case.record.method.lower()
    if name in METHODS:
        return METHODS[name].peft_type in _SCALED_TYPES
    return not any(word in name for word in _UNSCALED)


def _is_rank_stabilized(case: Case) -> bool:
    told = (case.train.get("use_rslora"), case.provenance.get("use_rslora"), case.record.extra.get("use_rslora"))
    return any(value is True for value in told) or "rslora" in case.record.method.lower()


def other_prompts(case: Case, study: Study) -> Iterator[Finding]:  # noqa: ARG001
    """V11: trained on other prompts than it was tested with, or on targets that are empty or have no end token."""
    if not case.is_tuned:
        return
    trained, tested = case.train.get("template"), case.provenance.get("template")
    counts = {
        "training prompts are not what evaluation makes of the same rows": case.provenance.get("prompts_differ"),
        "training targets are empty": case.train.get("targets_empty"),
        "training targets lack the end token": case.train.get("targets_without_end"),
    }
    for what, value in counts.items():
        if (count := above_zero(value)) is not None:
            yield Finding("V11", f"{count:g} {what}", count, what)
    if isinstance(trained, str) and isinstance(tested, str) and trained and tested and trained != tested:
        yield Finding("V11", "the chat template in training is not the one in evaluation", kind="template")


def overlap(case: Case, study: Study) -> Iterator[Finding]:
    """V12: test items are in the training set, word for word or nearly so."""
    found = table(case.provenance.get("overlap"))
    exact, near = (above_zero(found.get(key)) or 0 for key in ("exact", "near"))
    if exact + near <= study.thresholds.overlap:
        return
    items = found.get("items")
    names = [item for item in items if isinstance(item, str)] if isinstance(items, list) else []
    listed = f": {', '.join(islice(names, _LISTED))}{', …' if len(names) > _LISTED else ''}" if names else ""
    of = f" of {case.n}" if case.n else ""
    text = f"{exact + near:g}{of} test items are in the training set, {exact:g} exactly and {near:g} nearly"
    yield Finding("V12", text + listed, exact + near)


def merge_differs(case: Case, study: Study) -> Iterator[Finding]:
    """V14: merging changed what the adapter computes, by about as much as it changes itself.

    Where it isn't known how much that is: the logits, or which of them is the largest.
    """
    merge, limits = table(case.provenance.get("merge")), study.thresholds
    if "relative_rms" in merge:
        relative = number(merge["relative_rms"])  # null: the adapter changes next to nothing, which is V08's
        if relative is not None and relative > limits.merge_relative:
            text = f"merging changed the logits by {100 * relative:.0f} % of what the adapter changes in its base's"
            yield Finding("V14", text, relative, "relative")
        return
    gap, spread, flips = (number(merge.get(key)) for key in ("max_logit_gap", "logit_std", "argmax_flips"))
    apart = number(abs(gap) / spread) if gap is not None and spread is not None and spread > 1e-12 else None
    if apart is not None and apart > limits.merge_gap:
        text = f"merged logits are up to {apart:.2g} standard deviations from the unmerged"
        yield Finding("V14", text, apart, "gap")
    if flips is not None and flips > limits.merge_flips:
        yield Finding("V14", f"{100 * flips:.3g} % of the most likely tokens differ once merged", flips, "flips")
