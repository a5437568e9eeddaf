"""Malformed files in whole runs of pytest: what is read is told, what is not is one sentence; never a traceback."""

import json

import numpy.fft  # noqa: F401 # pytester forgets what a run within the process imports, and these can't be imported twice
import pytest
import scipy.optimize
import scipy.special
import scipy.stats  # noqa: F401
from hypothesis import given
from hypothesis import strategies as st
from plugin_project import TEST
from strategies_faults import mutated, text_of
from test_faults_schema import GOLDEN, golden, is_sentence, many, small_results
from test_golden import ENTRIES, SHAPES

import pytest_ftbench.report.html
from pytest_ftbench.analysis import compare
from pytest_ftbench.benchmark_bridge import _record, check_stored
from pytest_ftbench.grid import CellRecord, Results, UserError, read_results
from pytest_ftbench.ml.stored import read_entry
from pytest_ftbench.store import read_json, write_json
from pytest_ftbench.store.manifest import seal

HOSTILE = ["\ud800", "a\x1b[31mb", "a\nb", "a::b[c]", "<b>&amp;|`", "\u202eevil", "x" * 300, " ", "é中😀"]
TROUBLE = ("INTERNALERROR", "Traceback")


@pytest.fixture
def rendered(pytester, monkeypatch):
    """Runs pytest on stored results, and writes every kind of report."""
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setattr(pytest_ftbench.report.html, "can_draw", lambda: False)  # figures take a second
    written = ("--ftbench-json", "o.json", "--ftbench-markdown", "o.md", "--ftbench-html", "o.html", "--junitxml", "j")

    def run(*arguments):
        outcome = pytester.runpytest_inprocess(
            *("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-v"), *written, *arguments
        )
        said = "\n".join([*outcome.outlines, *outcome.errlines])
        assert not any(word in said for word in TROUBLE), said
        return outcome

    return run


def sentence_of(outcome):
    """The one sentence that a run says of what it can't read."""
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in [*outcome.outlines, *outcome.errlines] if line.startswith("ERROR: ")]
    assert line.endswith(".")
    return line


@pytest.mark.parametrize("first", [0, 5])
def test_any_text_in_stored_results_is_told_and_written_again(pytester, rendered, first):
    value = json.loads(json.dumps(golden("gated.json")[0]))
    for index, cell in enumerate(value["cells"], first):
        text = HOSTILE[index % len(HOSTILE)]
        cell["id"] = cell["id"].replace("tiny", text)
        cell |= {"model": text, "eval_dtype": text, "error": text}
        cell["provenance"] |= {"data": text, "reasoning": text}
        cell["items"][0] |= {"item": text, "output": text, "gold": text, "parsed": text, "cluster": text}
    value["provenance"] |= {"device_name": HOSTILE[first], "hygiene": HOSTILE, "git_sha": HOSTILE[first]}
    (pytester.path / "s.json").write_text(json.dumps(value))
    (pytester.path / "then.json").write_text(json.dumps(value))
    outcome = rendered("--ftbench-from", "s.json", "--ftbench-baseline", "then.json")
    assert outcome.ret in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    assert not any("\x1b[31m" in line for line in outcome.outlines)
    again = read_results(pytester.path / "o.json")
    assert [cell.model for cell in again.cells] == [cell["model"] for cell in value["cells"]]
    assert all((pytester.path / name).stat().st_size > 1000 for name in ("o.md", "o.html"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "deep"),
        ('{"cells": []}', "has no schema"),
        ('{"schema": 2, "cells": []}', "update pytest-ftbench"),
        ('{"schema": "1", "cells": []}', "has schema '1'"),
        ('{"schema": true, "cells": []}', "has schema True"),
        ('{"schema": 1, "cells": [{"id": "a"}]}', "'model' is missing"),
        ('{"schema": 1, "cells": [null]}', "'cells[0]' is no object"),
        ('{"schema": 1, "cells": [], "provenance": ' + '{"a":' * 80 + "1" + "}" * 81, "deep"),
    ],
)
@pytest.mark.parametrize("option", ["--ftbench-from", "--ftbench-baseline"])
def test_a_file_that_cant_be_read_ends_the_run_with_a_sentence(pytester, rendered, option, content, said):
    (pytester.path / "s.json").write_text(content)
    (pytester.path / "good.json").write_text(json.dumps(small_results()[0]))
    other = () if option == "--ftbench-from" else ("--ftbench-from", "good.json")
    assert said in sentence_of(rendered(option, "s.json", *other))


def test_mutated_results_in_whole_runs(faults, pytester, rendered):
    count, ended = faults(8, 150), []

    @many(count)
    @given(mutated(small_results(), 1), mutated(small_results(), 1) | st.sampled_from(small_results()))
    def check(value, other):
        (pytester.path / "s.json").write_text(text_of(value))
        (pytester.path / "then.json").write_text(text_of(other))
        outcome = rendered("--ftbench-from", "s.json", "--ftbench-baseline", "then.json")
        if outcome.ret == pytest.ExitCode.USAGE_ERROR:
            sentence_of(outcome)
        ended.append(outcome.ret)

    check()
    errors = ended.count(pytest.ExitCode.USAGE_ERROR)
    print(f"{len(ended)} runs on mutated results: {len(ended) - errors} reports, {errors} sentences, 0 tracebacks")


def test_a_mutated_stored_run_of_pytest_benchmark_is_compared_or_a_sentence(faults):
    count, compared = faults(200, 10_000), []
    results = Results.from_json(small_results()[-1])

    @many(count)
    @given(mutated(golden("benchmark.json"), 5))
    def check(value):
        value = json.loads(text_of(value)) if "@d" not in json.dumps(value) else {}
        if not isinstance(value, dict):
            return  # pytest-benchmark itself passes such a file by
        try:
            check_stored(value)
        except pytest.UsageError as error:
            is_sentence(error, "--benchmark-compare")
            compared.append(False)
            return
        workers = value["machine_info"].get("ftbench_workers", 1)
        records = [record for each in value["benchmarks"] if (record := _record(each, workers)) is not None]
        compare(results.cells, records, results.trivial)
        compared.append(True)

    check()
    print(f"{len(compared)} stored runs mutated: {sum(compared)} compared, {compared.count(False)} sentences")
    assert 0 < sum(compared) < len(compared)


@pytest.mark.parametrize(
    "change",
    [
        lambda run: run.pop("machine_info"),
        lambda run: run["benchmarks"][0].pop("fullname"),
        lambda run: run["benchmarks"][0]["stats"].update(mean="x"),
        lambda run: run["benchmarks"][0]["stats"].pop("iqr"),
        lambda run: run.update(machine_info=[1]),
    ],
    ids=range(5),
)
def test_a_stored_run_that_is_none_ends_the_run_before_it_begins(pytester, rendered, change):
    run = json.loads(json.dumps(golden("benchmark.json")[0]))
    change(run)
    folder = pytester.mkdir("stored")
    (folder / "0001_then.json").write_text(json.dumps(run))
    pytester.makepyfile("def test_x(benchmark):\n    benchmark(sum, [1])\n")
    said = sentence_of(rendered("--benchmark-storage", folder, "--benchmark-compare=0001"))
    assert "--benchmark-compare: the stored run" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[tool.pytest.ini_options]\nftbench_suite = "a\\u0000b"', "is neither a file nor a known name"),
        ('[tool.pytest.ini_options]\nftbench_suite = "a\\u0000b.toml"', "is no name for a file"),
        (f'[tool.pytest.ini_options]\nftbench_suite = "{"x" * 5000}"', "is no name for a file"),
        ('[tool.pytest.ini_options]\nftbench_suite = ["a"]', "is no name for a file"),
        ('[tool.pytest.ini_options]\nftbench_cache = "a\\u0000b"', "give the path of a folder as text"),
        ('[tool.pytest.ini_options]\nftbench_cache = ["a"]', "give the path of a folder as text"),
        ('[tool.pytest.ini_options]\nftbench_cache = "~nobody-has-this-name/x"', "name a folder that is there"),
        ("[tool.ftbench]\nx = 1", "is an unknown key"),
        ("[tool]\nftbench = 1", "write it as a table"),
        ("[tool.ftbench.gate]\nalpha = 0x" + "f" * 5000, "give at most"),
        ("[tool.ftbench.gate]\nbaseline" + ".a" * 3000 + " = 1", "give a value of type str"),
    ],
    ids=range(11),
)
def test_what_the_project_says_of_itself_is_used_or_a_sentence(pytester, monkeypatch, content, said):
    pytester.makepyfile(test_cells=TEST)
    (pytester.path / "pyproject.toml").write_text(content + "\n", encoding="utf-8")
    outcome = pytester.runpytest_inprocess(
        *("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--collect-only", "-W", "ignore")
    )
    text = "\n".join([*outcome.outlines, *outcome.errlines])
    assert not any(word in text for word in TROUBLE)
    assert said in text
    assert outcome.ret in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.USAGE_ERROR)


def test_a_mutated_entry_of_the_store_is_read_or_a_sentence(faults, tmp_path):
    good = {folder.parent.name: read_json(folder / SHAPES[folder.parent.name][0]) for folder in ENTRIES}
    path, read = tmp_path / "entry.json", []

    @many(faults(200, 5_000))
    @given(st.sampled_from(sorted(good)).flatmap(lambda kind: st.tuples(st.just(kind), mutated([good[kind]], 5))))
    def check(drawn):
        kind, value = drawn
        path.write_text(text_of(value), encoding="utf-8")
        try:
            found = read_entry(path, SHAPES[kind][1])
            if kind == "records":
                CellRecord.from_json(found).to_json()
            read.append(True)
        except UserError as error:
            is_sentence(error, path)
            read.append(False)

    check()
    print(f"{len(read)} entries of the store mutated: {sum(read)} read, {read.count(False)} sentences, 0 tracebacks")
    assert 0 < sum(read) < len(read)


@pytest.mark.torch
def test_an_entry_of_another_shape_fails_its_cell_alone(project):
    project.run("-k", "base").assert_outcomes(passed=2)
    records = {read_json(path)["id"]: path for path in project.cache.glob("records/*/record.json")}
    path = records["nano-base-to-arc"]
    manifest = read_json(path.with_name("manifest.json"))
    path.with_name("manifest.json").unlink()
    write_json(path, {"id": "nano-base-to-arc", "model": "nano", "scores": [1.0]})
    seal(path.parent, manifest["kind"], manifest["material"])
    outcome = project.run("-k", "base")
    outcome.assert_outcomes(passed=1, errors=1)  # where results are made, in a fixture
    said = (
        f"{path}: isn't what this version stores there ('method' is missing); remove its folder, and it is made anew."
    )
    assert said in outcome.outlines
    assert not any(word in outcome.stdout.str() for word in TROUBLE)


def test_the_golden_files_are_there():
    assert golden("results.json")
    assert GOLDEN.is_dir()
