"""What earlier versions have written is read for good: results, baselines, stored runs, entries of the store."""

import json
from pathlib import Path

import pytest
from plugin_project import import_libraries
from test_faults_schema import GOLDEN, go_all_the_way

from pytest_ftbench.analysis.gates import judge
from pytest_ftbench.benchmark_bridge import _record, check_stored
from pytest_ftbench.grid import SCHEMA, CellRecord, Gate, UserError, acceptance, read_results
from pytest_ftbench.grid.schema import ANSWERS, RECORD, TIMINGS, TRAIN
from pytest_ftbench.ml.stored import read_entry
from pytest_ftbench.store import digest, file_digest, read_json

FILES = {name: sorted(GOLDEN.glob(f"*/{name}.json")) for name in ("results", "gated", "baseline", "benchmark")}
ENTRIES = sorted(path.parent for path in GOLDEN.glob("*/store/*/*/manifest.json"))
SHAPES = {
    "checkpoints": ("train.json", TRAIN),
    "answers": ("answers.json", ANSWERS),
    "timings": ("timings.json", TIMINGS),
    "records": ("record.json", RECORD),
}
LATEST = GOLDEN / "af0b6ee"
"""The version whose entries are what is stored today; to be the next one's folder once these are of another shape."""
ROOM = 500_000  # bytes that all golden files may take


def named(path):
    return path.relative_to(GOLDEN).as_posix()


def files(*names):
    """Each golden file of these names, as a test's parameter."""
    found = [path for name in names for path in FILES[name]]
    return pytest.mark.parametrize("path", found, ids=map(named, found))


def entries(*kinds):
    """Each golden entry of the store of these kinds, as a test's parameter."""
    found = [folder for folder in ENTRIES if folder.parent.name in kinds]
    return pytest.mark.parametrize("folder", found, ids=map(named, found))


def kept(before, after):
    """Check that a value has all that another had, and the same of it."""
    if isinstance(before, dict):
        assert before.keys() <= after.keys()
        for key, inner in before.items():
            kept(inner, after[key])
    elif isinstance(before, list):
        assert len(before) == len(after)
        for one, other in zip(before, after, strict=True):
            kept(one, other)
    else:
        assert before == after


def test_there_are_files_of_several_versions_and_they_are_small():
    assert len(FILES["results"]) >= 5
    assert all(FILES[name] for name in FILES)
    assert {folder.parent.name for folder in ENTRIES} == set(SHAPES)
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*") if path.is_file()) < ROOM


@files("results", "gated", "baseline")
def test_a_file_loads_and_is_written_again_without_losing_a_key(path):
    value = read_json(path)
    assert value["schema"] == SCHEMA
    again = json.loads(json.dumps(read_results(path).to_json(), allow_nan=False))
    kept(value, again)
    assert read_results(path).to_json() == again


@files("results", "gated", "baseline")
def test_a_file_is_told_in_every_form(path, tmp_path):
    results = read_results(path)
    assert all(record.ok for record in results.cells)
    go_all_the_way(results, None, tmp_path, figures=path.stem == "results")
    for name in ("r.md", "r.html"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert "golden" in text
        assert "INVALID" in text or "tiny" in text


@files("results", "gated", "baseline")
def test_a_file_is_a_baseline_that_another_run_is_held_against(path, tmp_path):
    then = read_results(path)
    now = read_results(FILES["results"][-1])
    verdicts = judge(now.cells, then.cells, Gate(), now.trivial)
    ways = {record.id.removesuffix(f"-s{record.seed}") for record in now.cells}
    assert {verdict.cell for verdict in verdicts if verdict.metric == "score"} == ways
    assert {verdict.outcome.value for verdict in judge(then.cells, then.cells, Gate(), then.trivial)} <= {
        *("pass", "inconclusive", "incomparable")
    }
    go_all_the_way(now, then, tmp_path)


@files("baseline")
def test_a_baseline_says_why_it_was_accepted(path):
    assert acceptance(read_results(path))["reason"] == "the first one"


@files("benchmark")
def test_a_stored_run_of_pytest_benchmark_holds_its_cells(path):
    run = read_json(path)
    check_stored(run)
    records = [_record(each, 1) for each in run["benchmarks"]]
    ids = {record.id for record in read_results(path.with_name("results.json")).cells}
    assert {record.id for record in records} == ids
    assert all(record.scores and record.latency_s["mean"] for record in records)


@entries(*SHAPES)
def test_a_stored_entry_matches_its_manifest_and_is_read_or_a_sentence(folder):
    """What an earlier version stored has another shape in part: its key, which holds that version's code, finds it."""
    manifest = read_json(folder / "manifest.json")
    assert (manifest["schema"], manifest["kind"]) == (1, folder.parent.name)
    assert digest(manifest["material"]) == folder.name
    for name, said in manifest["files"].items():
        assert (folder / name).stat().st_size == said["size"]
        assert file_digest(folder / name) == said["sha256"]
    name, shape = SHAPES[folder.parent.name]
    if shape.fits(read_json(folder / name)):
        assert read_entry(folder / name, shape)
    else:
        assert LATEST not in folder.parents
        with pytest.raises(UserError, match=r"is missing.*remove its folder"):
            read_entry(folder / name, shape)
    assert manifest["material"]["code"]


@entries("records")
def test_a_stored_record_is_that_of_the_results(folder):
    record = CellRecord.from_json(read_json(folder / "record.json"))
    results = read_results(folder.parents[2] / "results.json")
    (told,) = [each for each in results.cells if each.id == record.id]
    assert (told.scores, told.items) == (record.scores, record.items)


@pytest.mark.torch
@entries("checkpoints")
def test_a_stored_checkpoint_is_found_in_a_store_and_answers(folder, tmp_path, runtime, model_folder):
    import_libraries()
    import shutil

    from pytest_ftbench.grid import ModelSpec
    from pytest_ftbench.ml.base import find_base
    from pytest_ftbench.ml.checkpoint import Checkpoint, load_decoder
    from pytest_ftbench.ml.runtime import at_work
    from pytest_ftbench.store import Store

    shutil.copytree(folder.parents[1], tmp_path / "cache")
    material = read_json(folder / "manifest.json")["material"]
    found = Store(tmp_path / "cache", say=pytest.fail).find("checkpoints", material)
    assert found == tmp_path / "cache" / "checkpoints" / folder.name
    base = find_base(ModelSpec("tiny", str(model_folder)))
    checkpoint = Checkpoint(base, found.name, found, read_json(found / "train.json"))
    assert checkpoint.weights
    with at_work():
        decoder = load_decoder(checkpoint, runtime, 4, "merged", None)
        (answer,) = decoder.answers(["What is it?"], 1, print)
    assert 0 < answer.tokens <= 4


def test_what_says_how_to_add_one_is_there():
    text = (GOLDEN / "README.md").read_text(encoding="utf-8")
    assert all(f"`{path.name}`" in text for path in GOLDEN.iterdir() if path.is_dir() and path.name != "__pycache__")
    assert Path(GOLDEN / "make.py").is_file()
