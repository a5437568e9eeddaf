"""The workflows to copy: they parse, may do little, and every command in them is one that there is."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from strategies_items import suite_records

from pytest_ftbench.cli import main, parser
from pytest_ftbench.grid import Results, load_suite
from pytest_ftbench.store import write_json
from pytest_ftbench.tasks import TASK_NAMES

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
WORKFLOWS = sorted(EXAMPLES.glob("github-actions*.yml"))
BASELINES = ("mine.json", "mine-gpu.json")


def workflow(path):
    # "on" is a truth value to YAML 1.1, and a key to GitHub
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


def steps(path):
    """Every step, and the job that it is of."""
    for job in workflow(path)["jobs"].values():
        yield from ((job, step) for step in job["steps"])


def commands(text):
    """The commands of a script or a console's transcript, each as its words."""
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line.removeprefix("$ ")) for line in lines if line.strip()]


def pytest_options():
    """What each workflow gives to pytest."""
    for path in WORKFLOWS:
        for _, step in steps(path):
            for words in commands(step.get("run", "")):
                if words[1:3] == ["-m", "pytest"]:
                    yield pytest.param(words[3:], id=path.stem)


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A repository with what the examples say to copy, and baselines."""
    shutil.copytree(EXAMPLES, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "results.json", Results("mine", suite_records()).to_json())
    for name in BASELINES:
        assert (
            main(["baseline", "accept", "results.json", "--reason", "first", "--to", f"benchmarks/baselines/{name}"])
            == 0
        )
    return tmp_path


def test_there_is_one_for_a_hosted_runner_and_one_for_a_gpu():
    assert [path.stem for path in WORKFLOWS] == ["github-actions-gpu", "github-actions"]
    assert "self-hosted" in workflow(WORKFLOWS[0])["jobs"]["gate"]["runs-on"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_code_of_a_pull_request_runs_where_a_token_may_write(path):
    found = workflow(path)
    assert found["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in found["on"]
    for job in found["jobs"].values():
        may_write = "write" in job.get("permissions", {}).values()
        runs_code = any("run" in step or step.get("uses", "").startswith("actions/checkout") for step in job["steps"])
        assert may_write != runs_code
    assert found["jobs"]["comment"]["permissions"] == {"pull-requests": "write"}
    whose = "github.event.pull_request.head.repo.full_name == github.repository"
    guarded = "gate" if "self-hosted" in found["jobs"]["gate"]["runs-on"] else "comment"
    assert whose in found["jobs"][guarded]["if"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_jobs_end_and_no_event_is_pasted_into_a_shell(path):
    for job, step in steps(path):
        assert int(job["timeout-minutes"]) <= 240
        assert "${{" not in step.get("run", "")
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+(/restore|/save)?@v[0-9]+", step["uses"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_a_failing_gate_leaves_is_kept(path):
    gate = workflow(path)["jobs"]["gate"]["steps"]
    (run,) = (index for index, step in enumerate(gate) if "pytest" in step.get("run", ""))
    assert len(gate) > run + 1
    assert {step["if"] for step in gate[run + 1 :]} == {"always()"}
    (upload,) = (step["with"] for step in gate if "upload-artifact" in step.get("uses", ""))
    (download,) = (step["with"] for _, step in steps(path) if "download-artifact" in step.get("uses", ""))
    assert download == upload
    assert {name.split("/")[0] for name in re.findall(r"report/\S+", gate[run]["run"])} == {upload["path"]}


@pytest.mark.parametrize("arguments", list(pytest_options()))
def test_every_option_is_one_that_pytest_takes_and_the_cells_are_there(copied, arguments):
    wanted = {"--ftbench-suite", "--junitxml", "--ftbench-json", "--ftbench-html", "--ftbench-markdown"}
    assert wanted < set(arguments)
    command = [sys.executable, "-m", "pytest", *arguments, "--collect-only", "-q"]
    done = subprocess.run(command, cwd=copied, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    cells = {f"nano-nopeft-squad-to-squad-s{seed}" for seed in range(3)} | {"nano-base-to-squad"}
    assert {f"benchmarks/test_finetuning.py::test_cell[{name}]" for name in cells} <= set(done.stdout.split())


def test_an_option_that_is_none_is_found(copied):
    command = [sys.executable, "-m", "pytest", "benchmarks", "--ftbench-markdwn", "x", "--collect-only", "-q"]
    assert subprocess.run(command, cwd=copied, capture_output=True).returncode == pytest.ExitCode.USAGE_ERROR


def test_the_suite_gates_what_a_hosted_runner_can_give():
    suite = load_suite(EXAMPLES / "benchmarks" / "mine.toml", TASK_NAMES)
    assert {rule.metric for rule in suite.gate.rules} == {"score", "format_rate"}
    assert suite.gate.baseline == EXAMPLES / "benchmarks" / "baselines" / "mine.json"
    assert suite.gate.on_missing_baseline == "fail"
    assert len(suite.seeds) == 3


def test_what_the_readme_says_to_type_is_what_the_command_takes():
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    typed = [
        words for words in commands("\n".join(re.findall(r"^\$ .*$", text, re.MULTILINE))) if words[0] == "ftbench"
    ]
    assert len(typed) == 1
    given = parser().parse_args(typed[0][1:])
    assert str(given.to) == "benchmarks/baselines/mine.json"


def test_every_file_that_is_named_is_there():
    texts = [path.read_text(encoding="utf-8") for path in (*WORKFLOWS, EXAMPLES / "README.md")]
    named = set(re.findall(r"\b(?:benchmarks/)?[a-z_-]+\.(?:toml|py|txt|yml)\b", "\n".join(texts)))
    copies = {"finetuning.yml", "finetuning-gpu.yml"}
    assert {"requirements.txt", "requirements-gpu.txt", "benchmarks/mine.toml"} < named
    assert [name for name in named - copies if not (EXAMPLES / name).is_file()] == []


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-gpu.txt"])
def test_the_extras_to_install_are_those_of_the_package(name):
    extras = re.search(r"pytest-ftbench\[(.+)\]", (EXAMPLES / name).read_text(encoding="utf-8"))[1].split(",")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(extras) <= set(project["optional-dependencies"])
