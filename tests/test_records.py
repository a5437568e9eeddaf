"""Records and ``results.json``: nothing is lost on the way to a file and back, and a broken file is said to be one."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies_grid import cells, json_values

from pytest_ftbench.grid import SCHEMA, Cell, CellRecord, Results, UserError, plain, read_results

PUBLISHED = Path(__file__).parents[2] / "shared" / "data" / "published"
# INTERFACES.md, schema 1
KEYS = [
    "id",
    "model",
    "method",
    "rank",
    "quantization",
    "train_task",
    "eval_task",
    "seed",
    "status",
    "error",
    "n",
    "scores",
    "format_rate",
    "empty_rate",
    "truncated_rate",
    "latency_s",
    "output_tokens",
    "memory_gib",
    "train",
    "eval_dtype",
    "items",
    "curve",
    "flags",
]
INNER_KEYS = {
    "latency_s": [
        *("mean", "median", "stddev", "p95", "n", "ttft_median", "tpot_median"),
        *("samples", "ttft", "tpot", "tokens", "fixed"),
        *("cores_of_others", "cores", "gpu_shared", "gpu_throttled"),
    ],
    "output_tokens": ["mean", "median", "samples"],
    "memory_gib": [
        *("train_allocated", "train_reserved", "eval_allocated", "eval_reserved"),
        *("train_process", "eval_process"),
    ],
    "train": [
        *("seconds", "steps", "final_loss", "learning_rate", "alpha", "trainable_params", "total_params", "dtype"),
        *("checkpoint_bytes", "merged_bytes", "quantization", "rows", "rows_left_out"),
        *("targets_empty", "targets_without_end", "template"),
    ],
}
POINT_KEYS = ["epoch", "step", "seconds", "loss", "scores", "format_rate", "empty_rate", "truncated_rate"]
CELL = Cell("nano", "lora", "arc", "squad", rank=8)
GOOD = {"schema": 1, "suite": "mine", "cells": [CellRecord.of(CELL).to_json()]}

_objects = st.dictionaries(st.text(), json_values, max_size=3)
_numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
_scores = st.dictionaries(st.text(), _numbers, max_size=3)
_points = st.fixed_dictionaries(
    {"scores": _scores, **dict.fromkeys(set(POINT_KEYS) - {"scores"}, _numbers)}, optional={"later": json_values}
)
_unknown = st.dictionaries(st.text().filter(lambda key: key not in KEYS), json_values, max_size=3)
records = st.builds(
    CellRecord.of,
    cells,
    status=st.sampled_from(("ok", "failed", "skipped")),
    error=st.none() | st.text(),
    n=st.none() | st.integers(0),
    scores=_scores,
    format_rate=_numbers,
    latency_s=_objects,
    output_tokens=_objects,
    memory_gib=_objects,
    train=st.none() | _objects,
    items=st.lists(_objects, max_size=2),
    curve=st.lists(_points, max_size=3),
    flags=st.lists(st.text(), max_size=2),
    extra=_unknown,
)


def as_file(value):
    """A JSON value as it is after a stay in a file."""
    return json.loads(json.dumps(value, allow_nan=False))


def results_file(tmp_path, value):
    path = tmp_path / "results.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def broken(path):
    """What is said of a broken results file."""
    with pytest.raises(UserError) as caught:
        read_results(path)
    said = str(caught.value)
    assert said.isprintable()
    assert said.startswith(f"{path}: ")
    return said.removeprefix(f"{path}: ")


@given(records)
@settings(deadline=None)
def test_a_record_comes_back_from_json_as_it_went(record):
    value = as_file(record.to_json())
    again = CellRecord.from_json(value)
    assert again.to_json() == value
    assert again.extra == record.extra
    for key in (*KEYS[:8], "scores", "items", "curve"):
        assert getattr(again, key) == getattr(record, key)


@given(st.lists(records, max_size=2), _objects, st.text())
@settings(deadline=None)
def test_results_come_back_from_json_as_they_went(measured, provenance, name):
    results = Results(name, measured, provenance, {"squad": {"always": {"f1": 49.0}}}, extra={"later": provenance})
    value = as_file(results.to_json())
    again = Results.from_json(value)
    assert again.to_json() == value
    assert (again.suite, again.provenance, again.trivial, again.extra) == (
        name,
        provenance,
        results.trivial,
        results.extra,
    )


def test_a_record_has_all_keys_of_schema_1_also_where_nothing_is_known():
    value = CellRecord.of(CELL, status="failed", train={"steps": 3}).to_json()
    assert set(value) == set(KEYS)
    for key, names in INNER_KEYS.items():
        assert set(value[key]) == set(names)
    assert value["train"]["steps"] == 3
    assert value["latency_s"] == dict.fromkeys(INNER_KEYS["latency_s"]) | {
        key: [] for key in ("samples", "ttft", "tpot", "tokens")
    }
    assert CellRecord.of(CELL).to_json()["train"] is None
    assert CellRecord.of(CELL).to_json()["curve"] == []


def test_a_point_of_a_curve_has_all_its_keys_also_where_little_is_known():
    (point,) = CellRecord.of(CELL, curve=[{"epoch": 3, "loss": math.nan}]).to_json()["curve"]
    assert point == dict.fromkeys(POINT_KEYS) | {"epoch": 3, "scores": {}}
    for least in ({"epoch": 3}, {"epoch": 3, "scores": None}):
        record = CellRecord.from_json(GOOD["cells"][0] | {"curve": [least]})
        assert record.curve == [{"epoch": 3, "scores": {}}]


def test_results_have_all_keys_of_schema_1():
    value = Results("mine", []).to_json()
    assert value == {"schema": SCHEMA, "suite": "mine", "provenance": {}, "trivial": {}, "cells": []}


def test_null_and_a_missing_key_are_the_same_unknown():
    least = {"id": "nano-base-to-arc", "model": "nano", "method": "base", "eval_task": "arc"}
    names = ("scores", "latency_s", "output_tokens", "memory_gib", "items", "curve", "flags", "train", "n")
    nulls = dict.fromkeys(names)
    assert CellRecord.from_json(least) == CellRecord.from_json(least | nulls) == CellRecord(**least)


def test_unknown_keys_are_kept_where_they_were():
    value = CellRecord.of(CELL, latency_s={"p99": 2.0}, train={"note": "x"}).to_json() | {"energy_j": {"mean": 1.5}}
    again = CellRecord.from_json(value).to_json()
    assert again == value
    assert again["energy_j"] == {"mean": 1.5}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_null(number):
    record = CellRecord.of(
        CELL, scores={"f1": number}, latency_s={"samples": [1.0, number]}, train={"loss": {"last": (number,)}}
    )
    value = as_file(record.to_json())
    assert value["scores"] == {"f1": None}
    assert value["latency_s"]["samples"] == [1.0, None]
    assert value["train"]["loss"] == {"last": [None]}


@given(json_values)
def test_what_is_plain_stays_what_it_is(value):
    assert plain(value) == value


def test_a_record_is_complete_when_every_item_was_scored():
    items = [{"item": index} for index in range(2)]
    assert CellRecord.of(CELL, n=2, items=items).complete
    assert not CellRecord.of(CELL, n=3, items=items).complete
    assert not CellRecord.of(CELL, items=items).complete
    assert not CellRecord.of(CELL, n=2, items=items, status="failed").complete


def test_stored_results_are_read_without_loss(tmp_path):
    good = GOOD | {"provenance": {"git_sha": None}, "trivial": {"arc": {"majority": {"accuracy": 25.0}}}, "later": [1]}
    for path in (results_file(tmp_path, good), *PUBLISHED.glob("*.json")):
        stored = json.loads(path.read_text(encoding="utf-8"))
        value = as_file(read_results(path).to_json())
        assert Results.from_json(value).to_json() == value
        assert value | {"cells": 0} == stored | {"cells": 0}
        for was, cell in zip(stored["cells"], value["cells"], strict=True):
            for key, inner in was.items():
                kept = {name: cell[key][name] for name in inner} if isinstance(inner, dict) else cell[key]
                assert kept == inner


@pytest.mark.parametrize("content", ["", "{", '{"schema": 1, "cells": []', "schema: 1", "9" * 5000])
def test_a_file_that_is_no_json_is_said_to_be_none(tmp_path, content):
    assert broken(results_file(tmp_path, content)).startswith("is no JSON")


@pytest.mark.parametrize(
    "content", ["[" * 100_000, json.dumps(GOOD | {"later": [[0]]}).replace("[0]", "[" * 70 + "]" * 70)]
)
def test_a_file_whose_values_lie_too_deep_is_said_to_be_one(tmp_path, content):
    assert broken(results_file(tmp_path, content)).startswith("holds values more than 64 deep in each other")


def test_numbers_that_a_test_of_its_own_adds_are_written_as_such():
    import numpy as np

    record = CellRecord.of(CELL, scores={"mine": np.float32(0.5), "n": np.int64(3)}, extra={"what": Path("a")})
    assert as_file(record.to_json())["scores"] == {"mine": 0.5, "n": 3}
    assert record.to_json()["what"] == "a"


def test_a_file_that_is_not_utf8_is_no_json(tmp_path):
    path = tmp_path / "results.json"
    path.write_bytes(b'{"schema": 1, "cells": [], "suite": "caf\xe9"}')
    assert broken(path).startswith("is no JSON")


def test_a_file_that_is_not_there_cant_be_read(tmp_path):
    assert broken(tmp_path / "absent.json").startswith("can't be read (No such file")


def good_cell(**changes):
    return GOOD | {"cells": [GOOD["cells"][0] | changes]}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "holds no object with a list under 'cells'"),
        ({"schema": 1}, "holds no object with a list under 'cells'"),
        (GOOD | {"cells": {}}, "holds no object with a list under 'cells'"),
        (GOOD | {"schema": 2}, "has schema 2, so a newer version wrote it; update pytest-ftbench"),
        (GOOD | {"schema": 0}, "has schema 0; this version reads schema 1"),
        (GOOD | {"schema": "1"}, "has schema '1'; this version reads schema 1"),
        (GOOD | {"schema": True}, "has schema True"),
        ({"cells": []}, "has no schema; this version reads schema 1"),
        (GOOD | {"cells": [1]}, "'cells[0]' is no object"),
        (GOOD | {"cells": [None]}, "'cells[0]' is no object"),
        (GOOD | {"provenance": "here"}, "'provenance' is no object"),
        (GOOD | {"trivial": [1]}, "'trivial' is no object"),
        (GOOD | {"cells": [{}]}, "a cell: 'id' is missing"),
        (good_cell(id=None), "a cell: 'id' is missing"),
        (good_cell(id=5), "a cell: 'id' is 5, no text"),
        (good_cell(id="x" * 1000, model=5), "x…: 'model' is 5, no text"),
        (good_cell(eval_task=["arc"]), "'eval_task' is ['arc'], no text"),
        (good_cell(status=None), "'status' is null"),
        (good_cell(scores=[60.0]), "nano-lora-r8-squad-to-arc: 'scores' is no object"),
        (good_cell(latency_s=1.5), "'latency_s' is no object"),
        (good_cell(output_tokens="many"), "'output_tokens' is no object"),
        (good_cell(memory_gib=2), "'memory_gib' is no object"),
        (good_cell(train=True), "'train' is no object"),
        (good_cell(items=5), "'items' is no list"),
        (good_cell(flags="V03"), "'flags' is no list"),
        (good_cell(curve={"epoch": 3}), "nano-lora-r8-squad-to-arc: 'curve' is no list"),
        (good_cell(curve=[3]), "nano-lora-r8-squad-to-arc: 'curve[0]' is no object"),
        (good_cell(curve=[{"scores": 60.0}]), "nano-lora-r8-squad-to-arc: 'curve[0].scores' is no object"),
        (good_cell(items=[{"item": "a"}, None]), "'items[1]' is no object"),
        (good_cell(items=[{"item": [1]}]), "'items[0].item' is [1], no text or number"),
        (good_cell(scores={"f1": [60.0]}), "'scores.f1' is [60.0], no number"),
        (good_cell(latency_s={"samples": [1.0, "fast"]}), "'latency_s.samples[1]' is 'fast', no number"),
        (good_cell(latency_s={"fixed": {"mean": True}}), "'latency_s.fixed.mean' is True, no number"),
        (good_cell(n=10**400), "'n' is 1000"),
        (good_cell(flags=[5]), "'flags[0]' is 5, no text"),
        (good_cell(provenance="here"), "'provenance' is no object"),
    ],
)
def test_a_file_of_another_shape_is_named_with_what_is_wrong(tmp_path, value, problem):
    assert problem in broken(results_file(tmp_path, value))


@given(st.sampled_from(KEYS), json_values | st.lists(st.dictionaries(st.sampled_from(POINT_KEYS), json_values)))
def test_whatever_a_cells_key_holds_it_is_a_record_or_a_sentence(key, value):
    try:
        record = CellRecord.from_json(GOOD["cells"][0] | {key: value})
    except UserError as error:
        said = str(error)
    else:
        as_file(record.to_json())
        return
    assert said.isprintable()


@pytest.mark.parametrize(("key", "value"), [("rank", [8]), ("seed", {}), ("train_task", 3), ("quantization", ["nf4"])])
def test_what_tells_checkpoints_apart_must_be_a_name_or_a_number(key, value):
    with pytest.raises(UserError, match=f"'{key}' is"):
        CellRecord.from_json(GOOD["cells"][0] | {key: value})
