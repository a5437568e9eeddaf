"""Puts a cell's record together from what was measured."""

import hashlib
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from pytest_ftbench.grid import Cell, CellRecord
from pytest_ftbench.ml.latency import latency_summary, strided
from pytest_ftbench.tasks import Item, Row, Task

_TRAIN_KEYS = (
    "seconds",
    "steps",
    "final_loss",
    "mean_loss",
    "learning_rate",
    "alpha",
    "use_rslora",
    "trainable_params",
    "total_params",
    "dtype",
    "base_dtype",
    "quantization",
    "checkpoint_bytes",
    "merged_bytes",
    "device_name",
    "threads",
    "rows",
    "rows_left_out",
    "targets_empty",
    "targets_without_end",
    "template",
    "tokens",
    "losses",
    "plan",
)
_CLUSTER_LENGTH = 12  # hexadecimal digits: enough to tell the passages of any test set apart
_CIRCUMSTANCES = ("workers", "threads", "exclusive", "cores_of_others", "cores", "gpu_shared", "gpu_throttled")
_QUALITY = ("scores", "format_rate", "empty_rate", "truncated_rate")


def assemble(
    cell: Cell,
    task: Task,
    rows: list[Row],
    train: dict[str, Any] | None,
    answered: dict[str, Any],
    timed: dict[str, Any],
    provenance: dict[str, Any],
) -> CellRecord:
    """The record of a cell from its eval task and test rows, its training (None: untuned), answers and timings."""
    answers = answered["answers"]
    measured, scored_items = _quality(task, rows, answers)
    tokens = [answer["tokens"] for answer in answers]
    items = [
        dict(item, tokens=count, cluster=_cluster(task, row))
        for item, count, row in zip(scored_items, tokens, rows, strict=True)
    ]
    return CellRecord.of(
        cell,
        n=len(rows),
        **measured,
        latency_s=latency_summary(timed) | {key: timed[key] for key in _CIRCUMSTANCES if key in timed},
        output_tokens={"mean": statistics.fmean(tokens), "median": statistics.median(tokens), "samples": tokens},
        memory_gib=_memory(train, timed),
        train=None if train is None else {key: train.get(key) for key in _TRAIN_KEYS},
        eval_dtype=answered["dtype"],
        items=items,
        extra={
            "provenance": provenance
            | {key: answered[key] for key in ("template", "merge")}
            | {"engine": engine_told(answered, timed)}
        },
    )


def learning_curve(
    record: CellRecord,
    task: Task,
    rows: list[Row],
    trained: Sequence[dict[str, Any]],
    answered: Iterable[dict[str, Any]],
) -> list[dict[str, Any]]:
    """The record's ``curve``: how far the training was at each snapshot and what that answered, and then its end."""
    *snapshots, end = trained
    points = [point | _quality(task, rows, each["answers"])[0] for point, each in zip(snapshots, answered, strict=True)]
    return [*points, end | {key: getattr(record, key) for key in _QUALITY}]


def engine_told(answered: dict[str, Any], timed: dict[str, Any]) -> dict[str, Any]:
    """Who answered, and how many of the answers ``checked`` are others at batch 1: ``flips``.

    What was timed was answered by ``generate()`` one by one; where nothing was, nothing is checked.
    """
    told: dict[str, Any] = answered["engine"]
    answers, texts = answered["answers"], timed.get("texts", [])
    sample = [answers[index] for index in strided(len(answers), len(texts))]
    flips = [
        (answer["text"], answer["tokens"]) != alone
        for answer, alone in zip(sample, zip(texts, timed["tokens"], strict=False), strict=True)
    ]
    return told | {"checked": len(flips), "flips": sum(flips) if flips else None}


def _quality(task: Task, rows: list[Row], answers: list[dict[str, Any]]) -> tuple[dict[str, Any], list[Item]]:
    """How good answers are, under the keys of ``_QUALITY``; and each item's own outcome."""
    scored = task.score([answer["text"] for answer in answers], rows)
    measured = {
        "scores": scored["scores"],
        "format_rate": scored["format_rate"],
        "empty_rate": _share(not answer["text"].strip() for answer in answers),
        "truncated_rate": _share(answer["truncated"] for answer in answers),
    }
    return measured, scored["items"]


def _cluster(task: Task, row: Row) -> str:
    """What items share that aren't independent of each other, such as a passage; short, for it is only compared."""
    digest = hashlib.sha256(task.group(row).encode(errors="surrogatepass")).hexdigest()
    return digest[:_CLUSTER_LENGTH]


def _memory(train: dict[str, Any] | None, timed: dict[str, Any]) -> dict[str, float | None]:
    """The record's ``memory_gib`` object: peaks of training under its recipe and of answering at batch 1, GiB."""
    phases = {"train": (train or {}).get("peak_memory_gib") or {}, "eval": timed["peak_memory_gib"]}
    kinds = ("allocated", "reserved", "process")
    return {f"{phase}_{kind}": peak.get(kind) for phase, peak in phases.items() for kind in kinds}


def _share(hits: Any) -> float:
    """The fraction of true values."""
    return statistics.fmean(map(bool, hits))
