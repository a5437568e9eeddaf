"""Gates over stored results: --ftbench-from judges what a file holds, and GitHub is told of it."""

import json
import xml.etree.ElementTree as ET

import numpy.fft  # noqa: F401 # pytester forgets what a run within the process imports, and these can't be imported twice
import pytest
import scipy.optimize
import scipy.special
import scipy.stats  # noqa: F401
from test_analysis_ranking import records

from pytest_ftbench.github_actions import command
from pytest_ftbench.grid import Gate, Results

GATE = {"gate": Gate().as_dict()}
LORA, FULL = "gate[nano-lora-r8-openmath-to-openmath]", "gate[nano-nopeft-openmath-to-openmath]"


@pytest.fixture
def stored(pytester, monkeypatch):
    """Files of runs that differ in what LoRA's answers are worth, and what judges them."""
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    for name, lora, provenance in (
        ("good", 0.9, {}),
        ("bad", 0.4, {}),
        ("plain", 0.9, {}),
        ("gated", 0.9, GATE),
    ):
        results = Results("suite", records(nopeft=0.9, lora=lora), provenance=provenance)
        (pytester.path / f"{name}.json").write_text(json.dumps(results.to_json()))
    return pytester


def judged(stored, *arguments):
    return stored.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:hypothesispytest", *arguments)


def test_a_worse_run_fails_with_the_numbers_in_a_line_and_one_is_as_good(stored):
    outcome = judged(stored, "--ftbench-from", "bad.json", "--ftbench-baseline", "good.json", "--junitxml", "j.xml")
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    outcome.assert_outcomes(passed=1, failed=1)
    outcome.stdout.fnmatch_lines(["*fine-tuning comparison*"])
    (line,) = [line for line in outcome.outlines if line.startswith("FAILED")]
    assert line.startswith(f"FAILED bad.json::{LORA} - Failed: {LORA[5:-1]}: score 90.")
    cases = {case.get("name"): case for case in ET.parse(stored.path / "j.xml").iter("testcase")}
    assert set(cases) == {LORA, FULL}
    assert [child.tag for child in cases[LORA]] == ["properties", "failure"]
    assert [child.tag for child in cases[FULL]] == ["properties"]
    properties = {each.get("name"): each.get("value") for each in cases[LORA].iter("property")}
    assert properties["score.outcome"] == "fail"
    assert float(properties["score.now"]) < float(properties["score.was"])
    assert float(properties["score.change"]) == pytest.approx(
        float(properties["score.now"]) - float(properties["score.was"])
    )
    assert float(properties["score.low"]) < float(properties["score.high"]) < 0
    assert float(properties["score.p"]) < 0.05
    assert properties["score.limit"]


def test_the_same_run_passes_and_says_so(stored):
    outcome = judged(stored, "--ftbench-from", "good.json", "--ftbench-baseline", "good.json", "-v")
    assert outcome.ret == pytest.ExitCode.OK
    outcome.assert_outcomes(passed=2)
    outcome.stdout.fnmatch_lines(["collected 2 items"])
    shown = [line.split()[:2] for line in outcome.outlines if line.startswith("good.json::")]
    assert shown == [[f"good.json::{FULL}", "PASSED"], [f"good.json::{LORA}", "PASSED"]]


@pytest.mark.parametrize(
    "options", [("plain.json",), ("plain.json", "--ftbench-baseline", "good.json", "--ftbench-gate", "off")]
)
def test_without_a_gate_and_a_baseline_or_with_gates_off_nothing_is_judged(stored, options):
    outcome = judged(stored, "--ftbench-from", *options)
    assert outcome.ret == pytest.ExitCode.OK
    outcome.stdout.fnmatch_lines(["*no tests ran*"])


def test_a_gate_without_a_baseline_fails_and_says_what_is_missing(stored):
    outcome = judged(stored, "--ftbench-from", "gated.json")
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    outcome.assert_outcomes(failed=2)
    outcome.stdout.fnmatch_lines(["*no baseline*ftbench baseline accept*"])


@pytest.mark.parametrize("options", [("-k", "lora"), ("-m", "cell(method='lora')")])
def test_options_that_choose_items_choose_gates(stored, options):
    outcome = judged(stored, "--ftbench-from", "bad.json", "--ftbench-baseline", "good.json", *options)
    outcome.assert_outcomes(failed=1, deselected=1)


def test_last_failed_gates_are_judged_again(stored):
    arguments = ("--ftbench-from", "bad.json", "--ftbench-baseline", "good.json", "-p", "no:hypothesispytest")
    stored.runpytest_inprocess(*arguments).assert_outcomes(failed=1, passed=1)
    stored.runpytest_inprocess(*arguments, "--lf").assert_outcomes(failed=1)


def test_workers_are_none_and_the_first_failure_may_end_it(stored):
    arguments = ("--ftbench-from", "bad.json", "--ftbench-baseline", "good.json")
    outcome = stored.runpytest_subprocess("-n", "2", *arguments, "-x", "-p", "no:cacheprovider")
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    outcome.assert_outcomes(passed=1, failed=1)
    assert judged(stored, *arguments, "--collect-only", "-q").outlines[:2] == [f"bad.json::{FULL}", f"bad.json::{LORA}"]


def test_verdicts_are_kept_and_shown_again_where_no_baseline_is_named(stored):
    arguments = ("--ftbench-from", "bad.json", "--ftbench-baseline", "good.json", "--ftbench-json", "judged.json")
    judged(stored, *arguments)
    kept = json.loads((stored.path / "judged.json").read_text())
    assert {verdict["cell"]: verdict["outcome"] for verdict in kept["gates"] if verdict["metric"] == "score"} == {
        "nano-nopeft-openmath-to-openmath": "pass",
        "nano-lora-r8-openmath-to-openmath": "fail",
    }
    assert kept["provenance"]["gate"] == Gate().as_dict()
    again = judged(stored, "--ftbench-from", "judged.json")
    again.assert_outcomes(passed=1, failed=1)
    # against another baseline, they are others
    judged(stored, "--ftbench-from", "judged.json", "--ftbench-baseline", "bad.json").assert_outcomes(passed=2)


@pytest.fixture
def github(stored, monkeypatch):
    """A run of GitHub Actions: what it prints as commands, and the summary of its step."""
    summary = stored.path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))

    def run(*arguments):
        outcome = judged(stored, "--ftbench-from", *arguments)
        return [line for line in outcome.outlines if line.startswith("::")], summary, outcome

    return run


def test_at_github_a_failing_verdict_is_an_annotation_and_the_report_a_summary(github, stored):
    (stored.path / "summary.md").write_text("# Before\n")
    commands, summary, _ = github("bad.json", "--ftbench-baseline", "good.json")
    assert [line.partition("::nano")[0] for line in commands] == [
        "::error title=score of nano-lora-r8-openmath-to-openmath%3A fail"
    ]
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("# Before\n")
    assert "### Fine-tuning comparison" in text


def test_at_github_nine_are_annotated_and_the_rest_counted(github, stored):
    ways = records(nopeft=0.9, lora=0.9, dora=0.9)
    many = [
        type(each)(**{**vars(each), "model": f"m{n}", "id": f"m{n}{each.id[4:]}"}) for n in range(4) for each in ways
    ]
    results = Results("suite", many, provenance=GATE)
    (stored.path / "many.json").write_text(json.dumps(results.to_json()))
    commands, _, outcome = github("many.json")
    outcome.assert_outcomes(failed=12)
    assert len(commands) == 10
    assert all(line.startswith("::error title=") for line in commands)
    assert commands[-1].startswith("::error title=")
    assert " more" in commands[-1]


def test_a_summary_that_cant_be_written_is_said_and_changes_no_verdict(github, stored, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(stored.path))
    _, _, outcome = github("good.json", "--ftbench-baseline", "good.json")
    assert outcome.ret == pytest.ExitCode.OK
    outcome.stdout.fnmatch_lines(["GITHUB_STEP_SUMMARY: the report can't be written*"])


def test_a_summary_without_room_is_left_as_it_is(github, stored):
    full = "x" * (1024 * 1024 - 100)
    (stored.path / "summary.md").write_text(full)
    _, summary, outcome = github("good.json", "--ftbench-baseline", "good.json")
    assert summary.read_text() == full
    outcome.stdout.fnmatch_lines(["GITHUB_STEP_SUMMARY: the report has no room there*"])


def test_elsewhere_nothing_is_annotated(stored, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(stored.path / "summary.md"))
    outcome = judged(stored, "--ftbench-from", "bad.json", "--ftbench-baseline", "good.json")
    outcome.stdout.no_fnmatch_line("::error*")
    assert not (stored.path / "summary.md").exists()


def test_a_command_is_escaped_as_githubs_runner_reads_it():
    # https://docs.github.com/actions/reference/workflow-commands-for-github-actions
    said = command("error", {"file": "a,b:c%.toml", "title": "x\ny"}, "50 %: a,b\r\nc")
    assert said == "::error file=a%2Cb%3Ac%25.toml,title=x%0Ay::50 %25: a,b%0D%0Ac"
