"""What checkpoints cost, of records: told once each, ranked only among like, and never more than was recorded."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ftbench.analysis import PEAKS, Cost, checkpoint_costs, full_table, leanest
from pytest_ftbench.grid import Cell, CellRecord

TRIVIAL = {"squad": {"always_abstain": {"f1": 49.0}}}
NONSENSE = st.one_of(
    st.none(), st.floats(), st.integers(), st.just(10**400), st.text(max_size=9), st.booleans(), st.just([1])
)


def record(task="squad", train="squad", method="lora", rank=8, memory=None, trained=None, adapter=None, **measured):
    """A measured cell with good answers, unless said otherwise."""
    cell = Cell("nano", method if train else "base", task, train, rank if train and method == "lora" else None)
    given = {"scores": {"f1": 60.0}, "format_rate": 1.0, "eval_dtype": "bfloat16"}
    said = {"provenance": {"adapter": adapter}}
    training = {"dtype": "bfloat16"} | (trained or {}) if train else None
    return CellRecord.of(cell, memory_gib=memory or {}, train=training, extra=said, **(given | measured))


def peaks(*values):
    """A record's memory by the four peaks."""
    return dict(zip(PEAKS, values, strict=False))


def only(*records):
    """The cost of the only checkpoint."""
    (cost,) = checkpoint_costs(records).values()
    return cost


def lowest(*records, peak="train_allocated"):
    """The ranks that are best in a peak, of all blocks."""
    table, costs = full_table(records, TRIVIAL), checkpoint_costs(records)
    return {key.rank for block in table.blocks for key in leanest(block, costs, peak)}


def test_a_checkpoint_is_told_once_however_many_tasks_it_was_tested_on():
    trained = {"trainable_params": 50, "total_params": 200, "seconds": 9.5, "checkpoint_bytes": 7, "merged_bytes": 70}
    cost = only(*(record(task, memory=peaks(4.0, 3.0), trained=trained) for task in ("squad", "arc")))
    assert cost.peaks_gib == {"train_reserved": 4.0, "train_allocated": 3.0}
    assert (cost.train_s, cost.checkpoint_bytes, cost.merged_bytes) == (9.5, 7, 70)
    assert cost.trained_percent == 25.0


def test_of_the_peaks_of_answering_the_largest_of_all_tasks_counts():
    measured = {"squad": (5.0, 4.0, 1.5, 1.25), "arc": (5.0, 4.0, 1.25, 1.75), "openmath": (5.0, 4.0)}
    cost = only(*(record(task, memory=peaks(*values)) for task, values in measured.items()))
    assert [cost.peaks_gib[peak] for peak in PEAKS] == [5.0, 4.0, 1.5, 1.75]
    assert cost.peak_tasks == {"squad", "arc"}


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_a_cell_that_was_not_measured_tells_nothing(status):
    gone = record(memory=peaks(5, 4, 3, 2), trained={"seconds": 9.0}, status=status)
    assert only(gone) == Cost({})
    assert not only(gone).is_known
    assert only(gone, record("arc", memory=peaks(1.0))).peaks_gib == {"train_reserved": 1.0}


def test_what_one_record_lacks_another_may_tell():
    cost = only(record(trained={"seconds": None}), record("arc", trained={"seconds": 3.0, "quantization": "nf4"}))
    assert (cost.train_s, cost.quantization) == (3.0, "nf4")


@pytest.mark.parametrize("value", [None, "3", True, math.nan, math.inf, -1.0, 10**400, [1]])
def test_what_is_no_size_is_unknown(value):
    keys = ("trainable_params", "total_params", "seconds", "checkpoint_bytes", "merged_bytes")
    memory = dict.fromkeys((*PEAKS, "train_process", "eval_process"), value)
    quantized = {"quantization": None if isinstance(value, str) else value}
    cost = only(record(memory=memory, trained=dict.fromkeys(keys, value) | quantized))
    assert cost == Cost({}, train_dtypes=("bfloat16",), eval_dtypes=("bfloat16",))
    assert not cost.is_known


def test_a_process_may_not_have_grown_and_an_allocator_always_does():
    cost = only(record(memory={"train_process": 0.0, "train_allocated": 0.0}))
    assert (cost.train_process_gib, cost.peaks_gib) == (0.0, {})
    assert cost.is_known


def test_a_part_is_never_more_than_the_whole():
    assert only(record(trained={"trainable_params": 3, "total_params": 2})).trained_percent is None
    assert only(record(trained={"trainable_params": 2, "total_params": 2})).trained_percent == 100


def test_how_an_adapter_was_evaluated_is_told_of_all_its_cells():
    ways = ("merged", "unmerged", None)
    cost = only(*(record(task, adapter=way) for task, way in zip(("squad", "arc", "facts"), ways, strict=True)))
    assert cost.adapters == {"merged", "unmerged"}


def test_the_lowest_of_a_block_is_best():
    small, large = record(rank=1, memory=peaks(5.0, 2.0)), record(rank=2, memory=peaks(4.0, 3.0))
    elsewhere = record(rank=3, train="arc", memory=peaks(1.0, 1.0))
    unknown = record(rank=4)
    assert lowest(small, large, elsewhere, unknown) == {1}
    assert lowest(small, large, elsewhere, unknown, peak="train_reserved") == {2}


def test_nothing_is_best_where_nothing_takes_more():
    same = [record(rank=rank, memory=peaks(5.0, 2.0)) for rank in (1, 2)]
    assert lowest(same[0]) == lowest(*same) == set()
    # what four digits don't show is an answer's length or the allocator's rounding
    assert lowest(*same, record(rank=3, memory=peaks(5.0, 2.0001))) == set()
    assert lowest(*same, record(rank=3, memory=peaks(5.0, 2.001))) == {1, 2}


@pytest.mark.parametrize("measured", [{"format_rate": 0.1}, {"scores": {"f1": 3.0}}])
def test_what_answers_nothing_wins_nothing(measured):
    useless = record(rank=1, memory=peaks(1.0, 1.0), **measured)
    assert lowest(useless, record(rank=2, memory=peaks(3.0, 3.0))) == set()
    others = [record(rank=rank, memory=peaks(rank, rank)) for rank in (2, 3)]
    assert lowest(useless, *others) == {2}
    # one task on which it can be compared is enough
    assert lowest(useless, record("arc", rank=1), *others) == {1}


@pytest.mark.parametrize(
    ("peak", "one", "other"),
    [("train_allocated", {"trained": {"dtype": "float32"}}, {}), ("eval_allocated", {"eval_dtype": "float32"}, {})],
)
def test_memory_in_different_dtypes_is_not_compared(peak, one, other):
    cells = [record(rank=1, memory=peaks(5, 4, 3, 2), **one), record(rank=2, memory=peaks(4, 3, 2, 1), **other)]
    assert lowest(*cells, peak=peak) == set()
    # the other phase was in one dtype
    assert lowest(*cells, peak={"train_allocated": "eval_allocated"}.get(peak, "train_allocated")) == {2}
    # and one that doesn't take part keeps nobody from it
    cells[0].format_rate = 0.1
    assert lowest(*cells, record(rank=4, memory=peaks(9, 9, 9, 9)), peak=peak) == {2}


def test_an_unknown_dtype_is_no_difference():
    cells = [record(rank=rank, memory=peaks(rank, rank, rank, rank), eval_dtype=["x"]) for rank in (1, 2)]
    assert lowest(*cells, record(rank=3, memory=peaks(3, 3, 3, 3)), peak="eval_allocated") == {1}


def test_the_largest_over_one_set_of_tasks_is_not_compared_with_that_over_another():
    cells = [record(task, rank=rank, memory=peaks(9, 9, rank, rank)) for rank in (1, 2) for task in ("arc", "squad")]
    assert lowest(*cells, peak="eval_reserved") == {1}
    assert lowest(*cells[1:], peak="eval_reserved") == set()


@given(st.lists(st.dictionaries(st.sampled_from(PEAKS), NONSENSE), min_size=1, max_size=6), st.sampled_from(PEAKS))
def test_no_other_row_is_lower_than_the_best(measured, peak):
    records = [record(rank=rank, memory=memory) for rank, memory in enumerate(measured)]
    costs = checkpoint_costs(records)
    known = {key.rank: cost.peaks_gib[peak] for key, cost in costs.items() if peak in cost.peaks_gib}
    best = lowest(*records, peak=peak)
    assert best <= known.keys()
    assert all(value >= known[rank] * 0.999 for value in known.values() for rank in best)
    assert all(0 < value < math.inf for value in known.values())


@pytest.mark.parametrize(
    ("train", "dtypes"),
    [
        ({"dtype": "bfloat16+float32", "base_dtype": "bfloat16"}, ("bfloat16",)),
        ({"dtype": "bfloat16+nf4", "quantization": "nf4"}, ("bfloat16",)),
        ({"dtype": "float32", "base_dtype": None}, ("float32",)),
        ({"dtype": "bfloat16+nf4"}, ("bfloat16+nf4",)),
    ],
)
def test_an_adapters_own_dtype_and_a_declared_quantization_are_no_difference(train, dtypes):
    record = CellRecord.of(Cell("nano", "lora", "squad", "squad", 8), train=train)
    assert [cost.train_dtypes for cost in checkpoint_costs([record]).values()] == [dtypes]
