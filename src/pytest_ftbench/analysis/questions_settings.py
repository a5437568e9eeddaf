"""What a setting costs and saves, all else being equal: quantized weights in answering and in training, reasoning."""

from collections.abc import Sequence

from pytest_ftbench.analysis.answers import AnswerTable, Entry, Reply
from pytest_ftbench.analysis.clauses import gap_entries, gap_text, speed_entries
from pytest_ftbench.analysis.material import Gap, Material
from pytest_ftbench.analysis.wording import UNKNOWN, label, listed, percent, short
from pytest_ftbench.grid import CellRecord

NO_QUANTIZED = "cells that answer on nf4 or int8 weights beside the same ones on unquantized weights, with scores"
NO_QLORA = "QLoRA and LoRA of one rank, trained and tested on one task, with scores"
NO_REASONING = (
    "the same cells answered with reasoning on and off: run the suite twice, with --ftbench-reasoning on and with off, "
    "and hold one run against the other's results with --ftbench-baseline FILE"
)
_Pair = tuple[CellRecord, CellRecord]


def quantized_answers(material: Material) -> Reply:
    """Each cell on quantized weights against the same one on unquantized ones."""
    plain = {_but_quantization(r): r for r in material.records if r.quantization is None}
    pairs = [
        (record, plain[_but_quantization(record)])
        for record in material.in_order(material.records)
        if record.quantization is not None and _but_quantization(record) in plain
    ]
    # of what was tuned, on the task it was tuned on
    pairs = [pair for pair in pairs if pair[0].train_task in (None, pair[0].eval_task)]
    return _compared(material, pairs, NO_QUANTIZED, "quantized weights", "eval", "Plain")


def qlora_or_lora(material: Material) -> Reply:
    """QLoRA against LoRA of the same rank."""
    lora = {
        (r.model, r.rank, r.quantization, r.eval_task): r
        for cells in material.trained.values()
        for r in cells
        if r.method == "lora"
    }
    pairs = [
        (record, lora[key])
        for cells in material.trained.values()
        for record in cells
        if record.method == "qlora"
        and (key := (record.model, record.rank, record.quantization, record.eval_task)) in lora
    ]
    return _compared(material, pairs, NO_QLORA, "QLoRA", "train", "LoRA")


def reasoning(material: Material) -> Reply:
    """A run against another that differs in its reasoning."""
    said, then_said = _said(material.records), _said(() if material.beside is None else material.beside.cells)
    other = material.other if said and then_said and said != then_said else None
    if other is None:
        tokens = [t for r in material.records if r.train_task is None and (t := material.cell(r).output_tokens)]
        now = f"; here it was {listed(said)}" if said else "; these records don't say what it was"
        ends = list(dict.fromkeys(f"{end(tokens):.0f}" for end in (min, max))) if tokens else []
        used = f", and untuned answers took {' to '.join(ends)} tokens" if ends else ""
        return Reply(missing=NO_REASONING + now + used)
    then = {record.id: record for record in other.records}
    pairs = [(record, then[record.id]) for record in material.records if record.id in then]
    items = [_items(one) == _items(two) for one, two in pairs]
    if not pairs or not all(items):
        return Reply(missing=f"{NO_REASONING}; the two runs have no cells in common on the same test items")
    return _compared(
        Material(
            [*material.records, *(two for _, two in pairs)],
            material.trivial,
            material.evidence,
            {**other.found, **material.found},
        ),
        pairs,
        NO_REASONING,
        f"reasoning {listed(said)} instead of {listed(then_said)}",
        "eval",
        listed(then_said),
    )


def _compared(material: Material, pairs: Sequence[_Pair], missing: str, what: str, phase: str, reference: str) -> Reply:
    gaps = [(pair, gap) for pair in pairs if (gap := material.gap(*pair, comparisons=len(pairs))) is not None]
    if not gaps:
        return Reply(missing=missing)
    worse = [f"{_named(material, pair[0])} {gap_text(gap)}" for pair, gap in gaps if gap.shown < 0]
    better = [f"{_named(material, pair[0])} {gap_text(gap)}" for pair, gap in gaps if gap.shown > 0]
    memory = [change for pair, _ in gaps if (change := _memory(material, pair, phase)) != UNKNOWN]
    said = (
        f"With {what} the score is shown to be worse in {len(worse)} of {_cells(len(gaps))}"
        f"{f' ({listed(worse, 2)})' if worse else ''} and better in {len(better)}"
        f"{f' ({listed(better, 2)})' if better else ''}{_corrected(len(pairs))}."
    )
    ordered = sorted(memory, key=float)
    peak = "training" if phase == "train" else "answering"
    between = f"{ordered[0]} to {ordered[-1]} %" if len(ordered) > 1 else f"{ordered[0]} %" if ordered else "not known"
    of = f" of {len(ordered)} cells" if 0 < len(ordered) < len(gaps) else ""
    saved = f"Memory of {peak}{of}: {between}."
    rows = tuple(_row(material, pair, gap, phase) for pair, gap in gaps)
    headings = (
        "Task",
        "Way",
        "Score",
        reference,
        "Change",
        "95 %",
        "Lat %",
        "ms/tok %",
        "Tok",
        "then",
        "Mem %",
        "Flags",
    )
    return Reply((said, saved), AnswerTable(headings, rows, labels=2))


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def _corrected(count: int) -> str:
    return f"; intervals corrected for {count} comparisons" if count > 1 else ""


def _row(material: Material, pair: _Pair, gap: Gap, phase: str) -> tuple[Entry, ...]:
    return (
        Entry(label(pair[0].eval_task)),
        Entry(_trained(pair[0]) + material.way(pair[0])),
        material.scored(pair[0], best=gap.shown > 0),
        material.scored(pair[1], best=gap.shown < 0),
        *gap_entries(gap),
        *speed_entries(material, *pair),
        Entry(_memory(material, pair, phase)),
        material.flagged(*pair),
    )


def _trained(record: CellRecord) -> str:
    return "" if record.train_task in (None, record.eval_task) else f"{label(str(record.train_task))}: "


def _named(material: Material, record: CellRecord) -> str:
    return f"{label(record.eval_task)} {_trained(record)}{material.way(record)}"


def _memory(material: Material, pair: _Pair, phase: str) -> str:
    peaks = material.peaks(pair, phase)
    return UNKNOWN if peaks is None else percent(peaks[1][id(pair[0])], peaks[1][id(pair[1])])


def _but_quantization(record: CellRecord) -> tuple[object, ...]:
    return (record.model, record.method, record.rank, record.train_task, record.eval_task)


def _said(records: Sequence[CellRecord]) -> list[str]:
    found = {record.provenance("reasoning") for record in records if record.ok} - {None}
    return sorted(short(said) for said in found)


def _items(record: CellRecord) -> str | None:
    return record.provenance("items")
