"""Records with items, made by chance: cells of a known skill on known test sets, so that the truth is known."""

import numpy as np

from pytest_ftbench.grid import Cell, CellRecord
from pytest_ftbench.tasks.arc import macro_f1


def arc_items(skill, rng, n=200, golds=None):
    """Answers to multiple choice, right with a chance of ``skill``, one in fifty of the others unparsed."""
    golds = rng.choice(list("ABCD"), n) if golds is None else golds
    right = rng.random(n) < skill
    others = rng.choice([*"ABCD", None], n, p=[0.245] * 4 + [0.02])
    parsed = [gold if ok else other for gold, ok, other in zip(golds, right, others, strict=True)]
    return [
        {"item": f"q{i}", "gold": str(gold), "parsed": answer and str(answer), "score": float(gold == answer)}
        for i, (gold, answer) in enumerate(zip(golds, parsed, strict=True))
    ]


def number_items(skill, rng, n=200):
    """Answers that are numbers, wrong ones off by anything."""
    right = rng.random(n) < skill
    off = np.where(right, 0.0, rng.lognormal(2, 3, n))
    return [
        {"item": f"m{i}", "gold": "12", "parsed": str(12 + float(d)), "score": float(d == 0)} for i, d in enumerate(off)
    ]


def span_items(skill, rng, n=200, passages=None):
    """Answers with an F1 of 0..100; ``passages`` (None: no clusters) makes the items of one alike in difficulty."""
    hard = rng.normal(0, 0.15, passages)[np.arange(n) % passages] if passages else np.zeros(n)
    scores = np.where(rng.random(n) < np.clip(skill + hard, 0, 1), 100.0, rng.choice([0.0, 0.0, 40.0, 66.67], n))
    cluster = {} if passages is None else {"passage": passages}
    return [
        {"item": f"s{i}", "gold": "x", "parsed": "y", "score": float(score)}
        | ({"cluster": f"p{i % passages}"} if cluster else {})
        for i, score in enumerate(scores)
    ]


def scores_of(task, items):
    """The scores object that belongs to these items."""
    values = [item["score"] for item in items]
    if task == "arc":
        pairs = [(item["gold"], item["parsed"]) for item in items]
        return {"macro_f1": macro_f1(pairs), "accuracy": float(np.mean(values))}
    if task == "openmath":
        off = [abs(float(item["parsed"]) - 12) for item in items if item["parsed"] is not None]
        middle = {"abs_diff_mean": float(np.mean(off)), "abs_diff_median": float(np.median(off))}
        return {"solve_rate": float(np.mean(values)), **middle, "abs_diff_n": len(off)}
    return {"f1": float(np.mean(values))}


MAKERS = {"arc": arc_items, "openmath": number_items, "squad": span_items}


def measured(task, items, train=None, method="base", rank=None, seed=0, model="nano", **rest):
    """A record of these items, with times per token."""
    cell = Cell(model, method, task, train, rank, seed=seed)
    times = {"mean": 0.1, "tpot_median": 0.01, "tpot": [0.01, 0.011, 0.0105], "workers": 1}
    given = {"n": len(items), "format_rate": 0.99, "empty_rate": 0.0}
    given |= {} if "scores" in rest else {"scores": scores_of(task, items)}
    given |= {"latency_s": times, "output_tokens": {"mean": 5.0}, "items": items}
    return CellRecord.of(cell, **(given | rest))


def suite_records(seed=0, ranks=(8, 32), n=200, tasks=("arc", "openmath", "squad")):
    """A small study like the embedded suite's: a base, full fine-tuning and LoRA, better where they were trained."""
    rng = np.random.default_rng(seed)
    golds = {"arc": {"golds": rng.choice(list("ABCD"), n)}, "squad": {"passages": 120}}
    skills = {"nopeft": 0.75, "lora": 0.6}
    records = []
    for train in (None, *tasks):
        ways = [("base", None)] if train is None else [("nopeft", None), *(("lora", rank) for rank in ranks)]
        for method, rank in ways:
            for task in tasks:
                skill = skills.get(method, 0.4) if train == task else 0.4
                items = MAKERS[task](skill, rng, n, **golds.get(task, {}))
                tpot = (0.01 * rng.lognormal(0, 0.05, 20)).tolist()
                times = {"mean": 0.1, "tpot_median": float(np.median(tpot)), "tpot": tpot, "workers": 1}
                records.append(measured(task, items, train, method, rank, latency_s=times))
    return records
