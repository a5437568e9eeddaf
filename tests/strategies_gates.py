"""Gates of any rules, and runs of ways whose seeds have the scores that a test says."""

from hypothesis import strategies as st
from strategies_compare import SAID

from pytest_ftbench.analysis import judge
from pytest_ftbench.grid import GATE_METRICS, Cell, CellRecord, Gate, GateRule

HEADLINE = {"arc": ("macro_f1", 1.0), "openmath": ("solve_rate", 1.0), "squad": ("f1", 100.0)}
ACTIONS = st.sampled_from(["fail", "warn", "skip", "pass"])
SCORE = Gate(rules=(GateRule.usual("score"),))
WAY = "nano-lora-r8-squad-to-squad"
THEN = (91.0, 92.0, 90.5)
"""A gate of scores alone, a way's id, and what its seeds scored then."""
CASES = ["on_inconclusive", "on_missing_baseline", "on_incomparable"]


def seeds(
    points=(90.0, 91.0, 89.0),
    task="squad",
    train="squad",
    rank=8,
    first=0,
    form=100.0,
    ms=10.0,
    memory=3.0,
    tokens=20.0,
    n=200,
    items=None,
    said=None,
    method="lora",
    noise=(0.97, 1.0, 1.03, 1.01),
    **rest,
):
    """The records of one way: its score under each seed in points, and the other metrics, which all seeds share."""
    key, full = HEADLINE[task]
    made = []
    for index, score in enumerate(points):
        cell = Cell(
            "nano", method if train else "base", task, train, rank if train else None, None, first + index, True
        )
        given = {
            "n": n,
            "scores": {key: score * full / 100},
            "format_rate": form / 100,
            "latency_s": {"tpot_median": ms / 1000, "tpot": [ms * each / 1000 for each in noise], "n": 4, "workers": 1},
            "output_tokens": {"mean": tokens},
            "memory_gib": {"train_allocated": memory if train else None, "eval_allocated": memory / 2},
            "train": {"dtype": "bfloat16"} if train else None,
            "eval_dtype": "bfloat16",
            "items": [] if items is None else items[index],
            "extra": {"provenance": SAID | (said or {})},
        }
        made.append(CellRecord.of(cell, **(given | rest)))
    return made


def answered(right, wrong=0, unparsed=0, full=1.0, start=0):
    """Items of which so many are answered rightly, wrongly, not in form; named from ``start`` on."""
    kinds = [("A", full)] * right + [("B", 0.0)] * wrong + [(None, 0.0)] * unparsed
    return [
        {"item": f"q{start + index}", "output": str(parsed), "gold": "A", "parsed": parsed, "score": score, "tokens": 6}
        for index, (parsed, score) in enumerate(kinds)
    ]


def outcome_of(verdicts, metric="score", cell=None):
    """The verdict of the one cell, or of that one, on a metric."""
    (found,) = [each for each in verdicts if each.metric == metric and cell in (None, each.cell)]
    return found


def score(now, then=THEN, gate=SCORE, **rest):
    """The verdict on a score whose seeds were and are as given."""
    return outcome_of(judge(seeds(now, first=10, **rest), seeds(then, **rest), gate))


def only(now, then, metric="score", gate=None, **rule):
    """The verdict of a gate of one metric on the only cell."""
    usual = GateRule.usual(metric)
    given = {"allowed": usual.allowed, "effect": usual.effect} | rule
    return outcome_of(judge(now, then, gate or Gate(rules=(GateRule(metric, **given),))), metric)


_numbers = st.floats(0, 100, allow_nan=False)


@st.composite
def rules(draw):
    """A rule as a suite may give it."""
    metric = draw(st.sampled_from(sorted(GATE_METRICS)))
    allowed = draw(_numbers)
    limit = draw(st.none() | _numbers)
    return GateRule(
        metric,
        cells=draw(st.sampled_from([("all",), ("base",), ("tuned", "in-domain"), ("*-to-squad",)])),
        limit=limit,
        allowed=allowed,
        effect=allowed + draw(_numbers),
        compares=limit is None or draw(st.booleans()),
        on=draw(st.dictionaries(st.sampled_from(CASES), ACTIONS)),
    )


gates = st.builds(
    Gate,
    rules=st.lists(rules(), min_size=1, max_size=6).map(tuple),
    alpha=st.floats(0.001, 0.5),
    correction=st.sampled_from(["holm", "none"]),
    rerun=st.just(0),
    seed_stddev=st.none() | _numbers,
    timing_noise=_numbers,
    on_inconclusive=ACTIONS,
    on_missing_baseline=ACTIONS,
    on_incomparable=ACTIONS,
)
