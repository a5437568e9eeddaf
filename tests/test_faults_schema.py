"""Malformed suites, results, baselines and stored runs: a report or one sentence, never a traceback.

Files are made from good ones, golden ones among them, by replacing, losing and repeating what is in them.
"""

import contextlib
import functools
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies_faults import mutated, odd_values, places, shrunk, text_of
from test_suite import TASKS, VALID, changed, toml

from pytest_ftbench.analysis import set_flags
from pytest_ftbench.analysis.gate_words import message
from pytest_ftbench.analysis.gates import gone, judge
from pytest_ftbench.grid import (
    Acceptance,
    Gate,
    Results,
    UserError,
    baseline_of,
    baseline_text,
    load_suite,
    read_results,
)
from pytest_ftbench.report import Contents, render, render_html, render_markdown
from pytest_ftbench.store import write_json

GOLDEN = Path(__file__).parent / "golden"
LONGEST = 1500


@functools.cache
def golden(name):
    """The golden files of a name, of every version, made small."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(GOLDEN.glob(f"*/{name}"))]


@functools.cache
def small_results():
    return [shrunk(each) for name in ("results.json", "gated.json", "baseline.json") for each in golden(name)]


def many(count):
    """So many examples, the same in every run."""
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def is_sentence(error, path):
    """Check that what is said is one sentence that names the file."""
    said = str(error)
    assert said.isprintable()
    assert said.startswith(str(path))
    assert said.endswith(".")
    assert len(said.removeprefix(str(path))) < LONGEST


def read(path, content):
    """What a results file of this content is: results, or None and a sentence."""
    path.write_text(content, encoding="utf-8")
    try:
        return read_results(path)
    except UserError as error:
        is_sentence(error, path)
        return None


def go_all_the_way(results, then, folder, figures=False):
    """What --ftbench-from does with results, and with those it holds them against; figures take a second."""
    contents = Contents.of(results, None if then is None else ("then.json", then))
    set_flags(results.cells, contents.alone)
    gate = Gate.from_json(results.provenance.get("gate")) or Gate()
    verdicts = judge(results.cells, None if then is None else then.cells, gate, results.trivial)
    assert all("\n" not in message(verdict) for verdict in verdicts)
    gone(None if then is None else then.cells, {verdict.cell for verdict in verdicts}, gate)
    assert all(line.isprintable() for line in render(contents, 100, False, True))
    render(contents, 80)
    (folder / "r.md").write_text(render_markdown(contents, True), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        if not figures:
            patch.setattr("pytest_ftbench.report.html.can_draw", lambda: False)
        (folder / "r.html").write_text(render_html(contents), encoding="utf-8")
    write_json(folder / "again.json", results.to_json())
    again = read_results(folder / "again.json")
    assert again.to_json() == results.to_json()
    with contextlib.suppress(UserError):  # where no cell was measured
        accepted = baseline_of(again, Acceptance("because", "now", "again.json", "0" * 64))
        (folder / "baseline.json").write_text(baseline_text(accepted), encoding="utf-8")
        read_results(folder / "baseline.json")


def test_whatever_became_of_results_they_are_read_or_a_sentence(faults, tmp_path):
    count = faults(300, 20_000)
    found = {"read": 0, "sentence": 0}

    @many(count)
    @given(mutated(small_results()))
    def check(value):
        found["sentence" if read(tmp_path / "r.json", text_of(value)) is None else "read"] += 1

    check()
    print(f"{sum(found.values())} results mutated: {found['read']} read, {found['sentence']} sentences, 0 tracebacks")
    assert min(found.values()) > count / 20


def test_whatever_is_read_is_told_judged_and_written_again(faults, tmp_path):
    count, told = faults(40, 2_000), []
    then = Results.from_json(small_results()[-1])

    @many(count)
    @given(mutated(small_results(), 3), mutated(small_results(), 2) | st.none(), st.integers(0, 24))
    def check(value, other, drawn):
        results = read(tmp_path / "r.json", text_of(value))
        held = then if other is None else read(tmp_path / "then.json", text_of(other))
        if results is not None:
            go_all_the_way(results, held, tmp_path, figures=drawn == 24)
            told.append(held is not None)

    check()
    print(f"{count} results mutated: {len(told)} told whole, {sum(told)} against another file, 0 tracebacks")
    assert len(told) > count / 20


def test_an_untuned_model_at_several_ranks_has_a_line_in_its_figure(tmp_path):
    value = json.loads(json.dumps(small_results()[0]))
    (base,) = [cell for cell in value["cells"] if cell["id"] == "tiny-base-to-arc"]
    value["cells"] += [base | {"rank": rank, "id": f"tiny-base-r{rank}-to-arc"} for rank in (2, 4, 8)]
    go_all_the_way(Results.from_json(value), None, tmp_path, figures=True)
    assert "Score against rank" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_each_leaf_of_a_record_may_be_anything(faults, tmp_path):
    """Not at random: every key of one record of each version with every kind of odd value."""
    odd = [None, True, "x", "\ud800", [], {}, [{}], -1, 1e308, 10**400, float("nan"), [1, "x"], {"a": [1]}]
    tried = told = 0
    for value in small_results()[: faults(1, 100)]:
        for parent, key in list(places(value["cells"][-1]))[:: faults(5, 2)]:
            kept = parent[key]
            for other in odd:
                parent[key], tried = other, tried + 1
                results = read(tmp_path / "r.json", json.dumps(value))
                if results is not None and tried % faults(20, 10) == 0:
                    go_all_the_way(results, None, tmp_path)
                    told += 1
            parent[key] = kept
    print(f"{tried} leaves replaced, {told} of what was read told whole, 0 tracebacks")
    assert tried > faults(200, 5_000)


NESTED = 3000
RAW = [
    b"",
    b"\x00",
    b"\xff\xfe",
    b'name = "caf\xe9"',
    b"\xef\xbb\xbf[models]",
    b"[models]\n[models]\n",
    b'[models]\na = "x"\na = "y"\n',
    b"seeds = " + b"[" * NESTED + b"]" * NESTED,
    b"seeds." + b"a." * NESTED + b"a = 1\n[models]\n[methods]\n[tasks]\n",
    b"a." * NESTED + b"a = 1",
    b"seeds = [" + b"9" * 5000 + b"]",
    b"seeds = [0x" + b"f" * 5000 + b"]\n[models]\n[methods]\n[tasks]\n",
    b"name = 1979-05-27T07:32:00Z\n[models]\n[methods]\n[tasks]\n",
    b'name = "' + b"x" * 100_000 + b'"\n[models]\n[methods]\n',
    b"x" * 100_000 + b" = 1",
    b'[models]\nm = "a\\u0000b"\n[methods]\nbase = {}\n[tasks]\neval = ["arc"]\n',
    b'[models]\nm = "~nobody-has-this-name/x"\n[methods]\nbase = {}\n[tasks]\neval = ["arc"]\n',
    b'[models]\nm = "' + b"x" * 5000 + b'"\n[methods]\nbase = {}\n[tasks]\neval = ["arc"]\n',
]
ODD_TOML = [
    "1979-05-27",
    "07:32:00",
    "1979-05-27T07:32:00+01:00",
    "0x" + "f" * 5000,
    "nan",
    "-inf",
    "1e400",
    "[1, 'x']",
]
WHOLE = VALID | {
    "quantizations": ["none"],
    "planning": "on",
    "questions": ["does-rank-matter"],
    "sweep": {"trials": 3, "seed": 7, "centre": 1e-3, "factor": 2.0, "extensions": 1, "validation_samples": 20},
    "methods": VALID["methods"]
    | {
        "mine": {"peft_type": "LOHA", "ranks": [8], "alpha": 16, "target_modules": ["q_proj"], "adapters": "merged"},
        "qlora": {"ranks": [8], "quantizations": ["none", "nf4"], "train_quantization": "nf4"},
    },
    "gate": {
        "alpha": 0.05,
        "rerun": 1,
        "correction": "holm",
        "baseline": "b.json",
        "on_inconclusive": "warn",
        "score": {"floor": 60, "cells": ["in-domain"], "largest_drop": 0, "smallest_effect": 5},
        "format_rate": [{"floor": 90, "compare": False}],
    },
}


def is_suite_or_sentence(path):
    """Check that loading ends in one of the two ways it may end in; whether it was a suite."""
    try:
        assert load_suite(path, TASKS).cells()
    except UserError as error:
        is_sentence(error, path)
        return False
    return True


def test_whatever_a_suite_file_holds_it_is_a_suite_or_a_sentence(faults):
    count, suites = faults(300, 20_000), []
    texts = st.sampled_from(ODD_TOML) | odd_values.filter(lambda value: "null" not in json.dumps(value)).map(toml)

    @many(count)
    @given(st.sampled_from(list(places(WHOLE))), texts, st.booleans())
    def check(place, text, beside):
        parent, key = place
        kept = parent[key]
        # a mark, and the text in its place: not all that TOML can say is a value to json
        if beside and isinstance(parent, dict):
            parent["other"] = "@here@"
        else:
            parent[key] = "@here@"
        try:
            content = "".join(f"{toml(name)} = {toml(inner)}\n" for name, inner in WHOLE.items())
        finally:
            parent.pop("other", None) if isinstance(parent, dict) else None
            parent[key] = kept
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "any.toml"
            path.write_text(content.replace('"@here@"', text), encoding="utf-8", errors="replace")
            suites.append(is_suite_or_sentence(path))

    check()
    print(f"{len(suites)} suite files mutated: {sum(suites)} suites, {len(suites) - sum(suites)} sentences")
    assert 0 < sum(suites) < len(suites)


@pytest.mark.parametrize("content", RAW, ids=range(len(RAW)))
def test_a_file_that_is_hardly_toml_is_said_to_be_so(tmp_path, content):
    path = tmp_path / "any.toml"
    path.write_bytes(content)
    is_suite_or_sentence(path)


def test_the_whole_suite_that_is_mutated_is_one(tmp_path):
    path = tmp_path / "whole.toml"
    path.write_text("".join(f"{toml(name)} = {toml(inner)}\n" for name, inner in WHOLE.items()), encoding="utf-8")
    assert is_suite_or_sentence(path)
    assert changed() == VALID
