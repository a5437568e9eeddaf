"""--ftbench-markdown on stored results: written beside what is printed, and never over what is read."""

import json

import pytest
from test_report_text import record

from pytest_ftbench.grid import Results

QUICK = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")


@pytest.fixture
def stored(pytester):
    """A file of stored results in pytester's folder."""
    pytester.makeini("[pytest]\n")
    records = [record(), record(rank=2, format_rate=0.1), record("arc", 0.5, status="failed", error="| gone")]
    trivial = {"squad": {"always_abstain": {"f1": 49.0}}}
    content = Results("small", records, {"device": "cpu"}, trivial).to_json()
    (pytester.path / "stored.json").write_text(json.dumps(content), encoding="utf-8")
    return lambda *arguments: pytester.runpytest_inprocess(*QUICK, "--ftbench-from", "stored.json", *arguments)


def test_stored_results_become_a_page_beside_what_is_printed(stored, pytester):
    outcome = stored("--ftbench-markdown", "out/page.md", "--ftbench-json", "again.json")
    assert outcome.ret == pytest.ExitCode.OK
    outcome.stdout.fnmatch_lines(["*fine-tuning comparison*", f"results written to {pytester.path / 'out/page.md'}"])
    page = (pytester.path / "out/page.md").read_text(encoding="utf-8")
    assert page.startswith("### Fine-tuning comparison: small\n\n**3 cells: 2 ok (1 INVALID), 1 failed**\n")
    assert "failed: &#124; gone" in page
    assert (pytester.path / "again.json").exists()


def test_with_more_detail_printed_there_is_more_on_the_page(stored, pytester):
    stored("--ftbench-markdown", "page.md")
    stored("-v", "--ftbench-markdown", "more.md")
    pages = [(pytester.path / name).read_text(encoding="utf-8") for name in ("page.md", "more.md")]
    assert ["Latency: one answer at a time" in page for page in pages] == [False, True]


@pytest.mark.parametrize("option", ["from", "baseline", "json"])
def test_a_page_never_overwrites_what_another_option_reads_or_writes(stored, pytester, option):
    before = (pytester.path / "stored.json").read_bytes()
    arguments = () if option == "from" else (f"--ftbench-{option}", "other.json")
    name = "stored.json" if option == "from" else "other.json"
    outcome = stored(*arguments, "--ftbench-markdown", name)
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stderr.fnmatch_lines([f"ERROR: --ftbench-markdown {name}: is the file of --ftbench-{option}*"])
    assert (pytester.path / "stored.json").read_bytes() == before
    assert not (pytester.path / "other.json").exists()


def test_a_page_that_cant_be_written_is_told_at_the_end_and_the_results_are_written(stored, pytester):
    pytester.makeconftest(
        """
        import pathlib
        def pytest_sessionstart(session):
            pathlib.Path("out").write_text("in the way")
        """
    )
    outcome = stored("--ftbench-markdown", "out/page.md", "--ftbench-json", "again.json")
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stdout.fnmatch_lines(["results written to *again.json", "--ftbench-markdown: the report can't be written*"])
    assert (pytester.path / "again.json").exists()
