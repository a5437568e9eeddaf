"""The report as a page in a file: --ftbench-html."""

import json
from pathlib import Path

import pytest
from test_report_html import HOSTILE, check, study

PAGES = ("report.html", "new folder/report.html")


@pytest.fixture
def stored(pytester):
    """Stored results, some of whose texts are hostile."""
    # json files in UTF-8 hold no half characters
    results = study(error=HOSTILE.replace("\ud800", ""))
    (pytester.path / "results.json").write_text(json.dumps(results.to_json()), encoding="utf-8")
    return pytester


@pytest.mark.parametrize("name", PAGES)
def test_stored_results_become_a_page(stored, name):
    outcome = stored.runpytest_subprocess("--ftbench-from", "results.json", "--ftbench-html", name)
    assert outcome.ret == pytest.ExitCode.OK
    outcome.stdout.fnmatch_lines(["*Base models*", f"results written to *{Path(name).name}"])
    assert "suite: small" in check((stored.path / name).read_text(encoding="utf-8")).text


def test_a_page_holds_the_ranking_against_a_baseline(stored):
    outcome = stored.runpytest_subprocess(
        *(
            "--ftbench-from",
            "results.json",
            "--ftbench-baseline",
            "results.json",
            "--ftbench-gate",
            "off",
            "--ftbench-html",
            "report.html",
        ),
        *("--ftbench-json", "again.json"),
    )
    assert outcome.ret == pytest.ExitCode.OK
    assert (stored.path / "again.json").exists()
    assert "this run" in check((stored.path / "report.html").read_text(encoding="utf-8")).text


def test_a_run_without_cells_writes_no_page(pytester):
    pytester.makepyfile("def test_it(): pass")
    pytester.runpytest_subprocess("--ftbench-html", "report.html").assert_outcomes(passed=1)
    assert not (pytester.path / "report.html").exists()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a_folder", "is no place for a file"),
        ("results.json/report.html", "is no place for a file"),
        ("results.json", "is the file of --ftbench-from"),
    ],
)
def test_a_place_for_no_page_is_said_before_anything_is_rendered(stored, name, problem):
    stored.mkdir("a_folder")
    before = (stored.path / "results.json").read_bytes()
    outcome = stored.runpytest_subprocess("--ftbench-from", "results.json", "--ftbench-html", name)
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stderr.fnmatch_lines([f"ERROR: --ftbench-html {name}: {problem}*"])
    assert (stored.path / "results.json").read_bytes() == before


def test_a_page_that_cannot_be_written_is_told_at_the_end(stored):
    stored.makeconftest(
        """
        import pathlib
        def pytest_sessionstart():
            pathlib.Path("out").write_text("in the way")
        """
    )
    outcome = stored.runpytest_subprocess(
        "--ftbench-from", "results.json", "--ftbench-html", "out/report.html", "--ftbench-json", "again.json"
    )
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stdout.fnmatch_lines(["--ftbench-html: the report can't be written*"])
    assert (stored.path / "again.json").exists()
