"""Results with a bit of everything, so that a report on them has all its tables and all its marks."""

from dataclasses import replace

from strategies_items import suite_records
from test_analysis_sweeps import TOLD

from pytest_ftbench.grid import CellRecord, Results

TRIVIAL = {"squad": {"always_abstain": {"f1": 49.0}}, "arc": {"majority_class": {"macro_f1": 0.3}}}
TABLES = (
    "Latency: one answer at a time",
    "Seeds: the score of each training",
    "Cost of training",
    "Learning rates tried, and what each reached on validation rows",
    "Transfer: change of the headline score",
    "Who is better on the same items",
    "Ranking of the ways of tuning",
    "Correlation with the rank",
    "Scores with intervals",
    "Learning curves: what one training has reached",
)
LESS = ("Seeds:", "Scores with intervals")
"""What is only told in more detail."""

_ODD = {
    ("nano", "lora", 8, "squad", "arc"): {"format_rate": 0.2},
    ("nano", "lora", 8, "arc", "squad"): {"status": "failed", "error": "CUDA out of memory: tried to allocate 2 GiB"},
    ("nano", "lora", 32, "squad", "squad"): {"error": "its test failed: assert 61.2 > 70"},
    ("nano", "lora", 32, "arc", "openmath"): {"status": "skipped"},
}
_MEMORY = {"train_allocated": 1.25, "train_reserved": 1.5, "eval_allocated": 0.5, "eval_reserved": 0.75}


def rich_results():
    """Two models, three seeds, sweeps, learning curves and memory; of each kind of mark at least one."""
    records = [
        _rich(record, seed)
        for seed in range(3)
        for record in suite_records(seed, ranks=(8, 32, 128), n=60, tasks=("arc", "squad", "openmath"))
        if seed == 0 or record.train_task is not None
    ]
    other = [
        replace(each, model="some-organisation/a-rather-long-name-1.7b") for each in records if not each.train_task
    ]
    provenance = {"device_name": "NVIDIA H200", "git_sha": "0123456789abcdef", "hygiene": ["train.jsonl: 2 rows twice"]}
    return Results("rich", [*records, *other], provenance, TRIVIAL)


def _rich(record: CellRecord, seed: int) -> CellRecord:
    fixed = {"mean": 0.3, "median": 0.3, "tpot_median": 0.01, "n": 4, "new_tokens": 9}
    measured = {"seed": seed, "memory_gib": _MEMORY, "latency_s": record.latency_s | {"fixed": fixed}}
    if record.train_task is not None:
        points = [(1, 0.4), (2, 0.8), (3, 1.0)] if record.train_task == record.eval_task else []
        scale = {name: value for name, value in record.scores.items() if value is not None}
        measured["curve"] = [
            {"epoch": epoch, "loss": 2.5 / epoch, "seconds": 3.0 * epoch, "format_rate": 1.0}
            | {"scores": {name: value * part for name, value in scale.items()}}
            for epoch, part in points
        ]
        measured["train"] = {"seconds": 12.5, "trainable_params": 28_700, "total_params": 1_050_000}
        measured["extra"] = {"provenance": {"sweep": TOLD | {"metric": "f1"}}}
    key = (record.model, record.method, record.rank, record.train_task, record.eval_task)
    return replace(record, **(measured | _ODD.get(key, {})))
