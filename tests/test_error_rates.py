"""Error rates by simulation: no test finds more than its level where there is nothing, and power is what is printed.

Each rate is of a thousand comparisons or more on 200 items, the suite's default; it may exceed the nominal one by its
own binomial error (three standard errors), no more. Families are as large as the embedded suite's table: 15
comparisons.
"""

import numpy as np
import pytest
from scipy import stats
from strategies_items import measured

from pytest_ftbench.analysis import Evidence, contrasts, eval_task, pooled, rankings, reorderings, score_interval
from pytest_ftbench.analysis.correlations import correlate
from pytest_ftbench.analysis.intervals import seeds_interval, wilson
from pytest_ftbench.analysis.items import ItemTable
from pytest_ftbench.analysis.paired import holm_rows, mann_whitney, mcnemar, sign_flips, wilcoxon
from pytest_ftbench.analysis.paired_intervals import paired_interval
from pytest_ftbench.analysis.power import POWER, mcnemar_detectable, mean_detectable
from pytest_ftbench.analysis.resampling import macro_f1_sample, mean_sample, resampled
from pytest_ftbench.analysis.seeds import block_spread, p_value, variance_parts

ITEMS, FAMILY, ALPHA = 200, 15, 0.05


def at_most(hits, rate):
    """Whether the share of hits is at most a rate, but for its own error."""
    return np.mean(hits) <= rate + 3 * np.sqrt(rate * (1 - rate) / len(hits))


def assert_family_wise(p_values):
    """Each row is a family of true null hypotheses: any that is found is the family's error."""
    assert p_values.size >= 1_000
    assert at_most((holm_rows(p_values) <= ALPHA).any(axis=1), ALPHA)
    # a test that finds nothing ever would pass as well; single comparisons are independent enough between families
    assert at_most((p_values <= ALPHA).any(axis=1), 1 - (1 - ALPHA) ** FAMILY)
    assert (p_values <= ALPHA).mean() > ALPHA / 4


def answers(rng, families):
    """Answers of a reference and 15 cells no better, shape (families, 15, items), to items of different difficulty."""
    easy = rng.beta(1.2, 1.2, (families, 1, ITEMS))
    reference = rng.random((families, 1, ITEMS)) < easy
    return (rng.random((families, FAMILY, ITEMS)) < easy).astype(np.int8) - reference


def spans(rng, families):
    """F1 differences of such answers, a third of the wrong ones right in part."""
    right = np.where(answers(rng, families) != 0, answers(rng, families), 0).astype(np.float32)
    part = rng.choice(np.array([0, 40, 66.7], dtype=np.float32), right.shape)
    return 100 * right + part - rng.permuted(part, axis=0)


def test_mcnemar_keeps_its_level_in_families():
    found = answers(np.random.default_rng(1), 1_000)
    assert_family_wise(mcnemar((found > 0).sum(axis=2), (found < 0).sum(axis=2)))


def test_sign_flips_keep_their_level_in_families():
    found = spans(np.random.default_rng(2), 200)
    p = sign_flips(found.reshape(-1, ITEMS), permutations=1_999)
    assert_family_wise(p.reshape(-1, FAMILY))


def test_wilcoxon_keeps_its_level_in_families():
    rng = np.random.default_rng(3)
    # absolute differences of two cells alike: mostly none, else of any size
    off = np.where(rng.random((2, 250, FAMILY, ITEMS)) < 0.5, 0, rng.lognormal(2, 3, (2, 250, FAMILY, ITEMS)))
    assert_family_wise(wilcoxon((off[0] - off[1]).reshape(-1, ITEMS)).reshape(-1, FAMILY))


@pytest.mark.parametrize("timed", [4, 10, 200])
def test_mann_whitney_keeps_its_level_in_families(timed):
    times = np.random.default_rng(4).lognormal(0, 0.2, (2, 250 * FAMILY, timed))
    assert_family_wise(mann_whitney(*times).reshape(-1, FAMILY))


@pytest.mark.parametrize("points", [4, 5, 12])
def test_permutations_of_ranks_keep_their_level(points):
    rng = np.random.default_rng(5)
    ranks = 2.0 ** np.arange(points)
    found = [correlate(ranks, rng.choice(200, points) / 200, permutations=499) for _ in range(1_000)]
    for index in range(3):
        assert at_most([each is not None and each[index].p <= ALPHA for each in found], ALPHA)


@pytest.mark.parametrize("share", [0.03, 0.5, 0.95])
def test_wilson_covers_the_true_share(share):
    hits = np.random.default_rng(6).binomial(ITEMS, share, 1_000)
    intervals = [wilson(int(k) / ITEMS, ITEMS) for k in hits]
    # exactly, over all outcomes: a discrete interval covers more or less than its level by turns
    k = np.arange(ITEMS + 1)
    inside = [(i := wilson(int(each) / ITEMS, ITEMS)).low <= share <= i.high for each in k]
    nominal = max(ALPHA, 1 - stats.binom.pmf(k, ITEMS, share)[inside].sum())
    assert nominal < 0.075
    assert at_most([not i.low <= share <= i.high for i in intervals], nominal)


def interval(task, items, **rest):
    record = measured(task, items, **rest)
    return score_interval(record, eval_task(task, [record]), Evidence([record], resamples=999))


def table(scores, golds=None, parsed=None):
    return ItemTable(tuple((str(i), 0) for i in range(len(scores))), scores, None, golds, parsed)


def letters(golds, parsed):
    """Answers to multiple choice; what is no letter is unparsed."""
    return [
        {
            "item": str(i),
            "gold": "ABCD"[gold],
            "parsed": "ABCD"[said] if said < 4 else None,
            "score": float(gold == said),
        }
        for i, (gold, said) in enumerate(zip(golds, parsed, strict=True))
    ]


def spans_of(scores, clusters=None):
    """Answers with these scores, of 100 at most, to questions on passages."""
    passages = [{}] * len(scores) if clusters is None else [{"cluster": f"p{number}"} for number in clusters]
    return [{"item": str(i), "score": float(each)} | passages[i] for i, each in enumerate(scores)]


# of the bootstrap's intervals, whose level is reached with growing n only, 1 % more may miss
BOOTSTRAP = ALPHA + 0.01


def test_bca_covers_the_true_macro_f1():
    rng = np.random.default_rng(7)
    shape, skill = (1_000, ITEMS), np.array([0.8, 0.6, 0.5, 0.3])
    golds = rng.integers(0, 4, shape)
    others = (golds + rng.integers(1, 4, shape)) % 4
    parsed = np.where(rng.random(shape) < skill[golds], golds, np.where(rng.random(shape) < 0.1, 5, others))
    # the truth: the F1 of the expected counts, each class being a quarter of the items
    wrong = 0.9 * (1 - skill) / 3
    answered = skill + wrong.sum() - wrong
    truth = np.mean(2 * skill / (1 + answered))
    missed = []
    for gold, answer in zip(golds, parsed, strict=True):
        found = interval("arc", letters(gold, answer))
        missed.append(not found.low <= truth <= found.high)
    assert at_most(missed, BOOTSTRAP)


def test_bca_covers_the_true_mean():
    rng = np.random.default_rng(8)
    values, chances = np.array([0, 40, 66.7, 100]), [0.55, 0.1, 0.1, 0.25]
    truth = values @ chances
    rows = rng.choice(values, (1_000, ITEMS), p=chances)
    intervals = [interval("squad", spans_of(row)) for row in rows]
    assert at_most([not i.low <= truth <= i.high for i in intervals], BOOTSTRAP)


def test_whole_passages_cover_the_true_mean_and_single_items_do_not():
    rng = np.random.default_rng(9)
    clusters = np.repeat(np.arange(40), 5)
    skills = rng.beta(1, 1, (1_000, 40))  # a passage is hard or easy for all its questions; on average a half
    scores = 100.0 * (rng.random((1_000, ITEMS)) < skills[:, clusters])
    together = [interval("squad", spans_of(row, clusters)) for row in scores]
    alone = [interval("squad", spans_of(row)) for row in scores]
    missed = [[not i.low <= 50 <= i.high for i in each] for each in (together, alone)]
    assert at_most(missed[0], BOOTSTRAP + 0.005)  # forty passages are few
    assert np.mean(missed[1]) > 0.1


@pytest.mark.parametrize("skill", [0.01, 0.03, 0.1, 0.97, 0.99])
def test_scores_near_an_end_are_covered(skill):
    rng = np.random.default_rng(14)
    right = rng.random((1_000, ITEMS)) < skill
    golds = rng.integers(0, 4, right.shape)
    parsed = np.where(right, golds, 5)
    intervals = [interval("facts", spans_of(row), scores={"cosine": float(row.mean())}) for row in right]
    assert at_most([not i.low <= skill <= i.high for i in intervals], BOOTSTRAP)
    truth = 2 * skill / (1 + skill)  # what isn't right is unparsed: no false alarms
    of_f1 = [interval("arc", letters(*pair)) for pair in zip(golds, parsed, strict=True)]
    assert at_most([not i.low <= truth <= i.high for i in of_f1], BOOTSTRAP)


@pytest.mark.parametrize(("discordance", "difference"), [(0.02, 0), (0.04, 0), (0.08, 0), (0.05, 0.04), (0.3, 0.1)])
def test_paired_differences_are_covered_however_few_items_differ(discordance, difference):
    rng = np.random.default_rng(15)
    drawn = rng.random((1_000, ITEMS))
    won, lost = drawn < (discordance + difference) / 2, drawn > 1 - (discordance - difference) / 2
    reference = np.where(won | lost, lost, rng.random(drawn.shape) < 0.5).astype(float)
    missed = []
    for before, after in zip(reference, np.where(won, 1.0, np.where(lost, 0.0, reference)), strict=True):
        first, second = table(after), table(before)
        ours, theirs = resampled([mean_sample(first), mean_sample(second)], 999)
        found = paired_interval(ours.less(theirs), first, second)
        missed.append(not found.low - 1e-12 <= difference <= found.high + 1e-12)
    assert at_most(missed, BOOTSTRAP)


@pytest.mark.parametrize(("seeds", "spread"), [(3, 0.0), (3, 0.02), (3, 0.1), (5, 0.05), (10, 0.05)])
def test_seeds_and_items_cover_the_true_mean(seeds, spread):
    rng = np.random.default_rng(10)
    runs = 1_000
    easy = rng.beta(2, 2, (runs, 1, ITEMS))
    skill = rng.normal(0, spread, (runs, seeds, 1))
    right = rng.random((runs, seeds, ITEMS)) < np.clip(easy + skill, 0, 1)
    scores, of_items = right.mean(axis=2), right.mean(axis=1)
    missed = []
    for each, items in zip(scores, of_items, strict=True):
        found = seeds_interval(float(each.mean()), each.tolist(), float(items.var(ddof=1)) / ITEMS, ITEMS)
        missed.append(not found.low <= 0.5 <= found.high)
    assert at_most(missed, ALPHA)
    one = [wilson(float(each[0]), ITEMS) for each in scores]
    # what one seed says: with seeds that differ, it misses far more often
    assert np.mean([not i.low <= 0.5 <= i.high for i in one]) > (0.2 if spread > 0.04 else 0.0)


def seed_families(rng, families, seeds, spreads, shift=0.0):
    """The p-values of 15 ways against one reference; the standard error of a difference over items is 1."""
    off = rng.normal(0, 1 / 2**0.5, (families, FAMILY)) + rng.normal(0, 1 / 2**0.5, (families, 1)) + shift
    trained = rng.normal(0, 1, (families, FAMILY, seeds)) * np.resize(spreads, FAMILY)[:, None]
    found = np.empty((families, FAMILY))
    for family, (items, ways) in enumerate(zip(off, trained, strict=True)):
        block = block_spread(ways.tolist())
        found[family] = [
            p_value(float(item + scores.mean()), variance_parts(scores.tolist(), 1.0, ITEMS, block))
            for item, scores in zip(items, ways, strict=True)
        ]
    return found


# standard deviations: of the last two, variances differ by a factor of four
@pytest.mark.parametrize(
    ("seeds", "spreads"), [(2, [3.0]), (3, [0.0]), (3, [1.5]), (5, [1.0]), (3, [1.0, 2.0]), (3, [4.0] + 14 * [2.0])]
)
def test_means_over_seeds_keep_their_level_in_families(seeds, spreads):
    found = seed_families(np.random.default_rng(16), 300, seeds, spreads)
    assert at_most((holm_rows(found) <= ALPHA).any(axis=1), ALPHA)
    assert at_most(found.ravel() <= ALPHA, ALPHA)


def test_a_thousand_families_of_means_over_seeds_hold_though_ways_vary_unlike():
    found = seed_families(np.random.default_rng(17), 1_000, 3, [1.0, 2.0])
    assert at_most((holm_rows(found) <= ALPHA).any(axis=1), ALPHA)


def test_seeds_of_all_ways_together_find_what_those_of_each_do_not():
    # 20 points of 100, items' standard error 4, seeds' 5: in units of the items'
    found = seed_families(np.random.default_rng(18), 30, 3, [1.25], shift=5.0)
    assert np.mean(holm_rows(found) <= ALPHA) > 0.75


def way_records(rng, ways, seeds, spread, n=60):
    """A base of one seed and ways no better, each answer right with a chance of its item's, which a seed shifts."""
    hard = rng.normal(0, 1.5, n)
    made = []
    for rank, seed in [(None, 0), *((rank, seed) for rank in range(ways) for seed in range(seeds))]:
        right = rng.random(n) < 1 / (1 + np.exp(hard + (0 if rank is None else rng.normal(0, spread))))
        off = np.where(right, 0.0, rng.lognormal(2, 2, n))
        items = [
            {"item": f"m{i}", "gold": "0", "parsed": repr(float(o)), "score": float(r)}
            for i, (r, o) in enumerate(zip(right, off, strict=True))
        ]
        train = None if rank is None else "openmath"
        method = "base" if rank is None else "lora"
        scores = {"solve_rate": float(right.mean())}
        made.append(measured("openmath", items, train, method, rank, seed=seed, scores=scores, latency_s={}))
    return pooled(made)


@pytest.mark.parametrize(("seeds", "spread", "families"), [(1, 0.0, 1_000), (3, 0.0, 300), (3, 0.4, 300)])
def test_records_of_ways_alike_are_compared_and_ranked_at_the_level(seeds, spread, families):
    rng = np.random.default_rng([19, seeds, int(10 * spread)])
    compared, nearer, ordered, otherwise, last = [], [], [], [], None
    for _ in range(families):
        records = way_records(rng, 4, seeds, spread)
        evidence = Evidence(records, resamples=99)
        found = contrasts(records, {}, evidence)
        mine = rankings(records, {}, evidence)
        compared.append(any(each.verdict for each in found))
        nearer.append(any(each.absolute is not None and each.absolute.adjusted <= ALPHA for each in found))
        ordered.append(any(gap.order for ranking in mine for gap in ranking.gaps.values()))
        otherwise.append(last is not None and bool(reorderings(mine, last)[0]))
        last = mine
    for wrong in (compared, nearer, ordered, otherwise):
        assert at_most(wrong, ALPHA)


def test_two_runs_of_one_truth_are_not_told_to_differ_for_one_seeing_more():
    rng = np.random.default_rng(20)
    told = []
    for _ in range(200):
        runs = []
        for _ in "ab":
            records = []
            for rank, share in ((8, 0.5), (16, 0.6)):
                items = [{"item": str(i), "gold": "1", "score": float(rng.random() < share)} for i in range(ITEMS)]
                scores = {"solve_rate": float(np.mean([item["score"] for item in items]))}
                records.append(measured("openmath", items, "openmath", "lora", rank, scores=scores))
            runs.append(rankings(records, {}, Evidence(records, resamples=99)))
        told.append(bool(reorderings(*runs)[0]))
    assert at_most(told, ALPHA)


@pytest.mark.parametrize(("share", "skills"), [(0.02, (0.9, 0.5)), (0.03, (0.5, 0.5)), (0.05, (0.7, 0.5))])
def test_differences_of_macro_f1_are_covered_however_rare_a_class(share, skills):
    rng = np.random.default_rng(21)
    classes = np.array([(1 - share) / 3] * 3 + [share])

    def truth(skill):
        right = classes * np.array([0.8, 0.8, 0.8, skill])
        wrong = classes - right
        answered = right + np.array([wrong[1:].sum(), wrong[0], 0, 0])  # what isn't right is A, of golds A it is B
        return np.mean(2 * right / (classes + answered))

    expected, missed = truth(skills[0]) - truth(skills[1]), []
    for _ in range(300):
        golds = rng.choice(4, ITEMS, p=classes)
        luck, rare = rng.random(ITEMS), golds == 3
        tables = []
        for skill in skills:
            # both know the same of the frequent classes
            chance = np.where(rare, rng.random(ITEMS), luck)
            answer = np.where(chance < np.where(rare, skill, 0.8), golds, np.where(golds == 0, 1, 0))
            tables.append(table((golds == answer).astype(float), golds, answer))
        first, second = resampled([macro_f1_sample(each) for each in tables], 499)
        found = paired_interval(first.less(second), *tables)
        missed.append(not found.low <= expected <= found.high)
    assert at_most(missed, ALPHA)


@pytest.mark.parametrize("discordance", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("family", [1, FAMILY])
def test_the_difference_that_could_have_been_seen_is_seen_in_four_of_five_runs(discordance, family):
    alpha = ALPHA / family
    difference = mcnemar_detectable(ITEMS, discordance, alpha)
    both = max(discordance, difference)
    chances = [(both + difference) / 2, (both - difference) / 2, 1 - both]
    counts = np.random.default_rng(11).multinomial(ITEMS, chances, 4_000)
    assert np.mean(mcnemar(counts[:, 0], counts[:, 1]) <= alpha) == pytest.approx(POWER, abs=0.02)


@pytest.mark.parametrize("family", [1, FAMILY])
def test_a_mean_difference_that_could_have_been_seen_is_seen_in_four_of_five_runs(family):
    alpha, rng = ALPHA / family, np.random.default_rng(12)
    values, chances = np.array([-100, -40, 0, 40, 100]), [0.12, 0.08, 0.6, 0.08, 0.12]
    error = np.sqrt(values**2 @ np.array(chances) / ITEMS)
    shifted = rng.choice(values, (1_000, ITEMS), p=chances) + mean_detectable([(error**2, np.inf)], alpha)
    found = np.mean(sign_flips(shifted, permutations=1_999) <= alpha)
    # the sign flips of shifted differences are a little more spread than those of the null
    assert found == pytest.approx(POWER, abs=0.06)


@pytest.mark.parametrize("seeds", [3, 5])
def test_what_few_seeds_could_have_seen_is_seen_in_four_of_five_runs(seeds):
    rng = np.random.default_rng(13)
    scores = rng.normal(mean_detectable([(1 / seeds, seeds - 1.0)], ALPHA), 1, (4_000, seeds))
    found = np.mean(stats.ttest_1samp(scores, 0, axis=1).pvalue <= ALPHA)
    assert found == pytest.approx(POWER, abs=0.07)  # two quantiles for the noncentral t they stand for
