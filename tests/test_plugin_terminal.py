"""What pytest prints of stored results in a process of its own, to terminals that can show less than ours."""

import json
import os
import re
import subprocess
import sys

import pytest
from rich_results import TABLES, rich_results

PLAIN = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What is printed under some environment variables, as bytes."""
    folder = tmp_path_factory.mktemp("terminal")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (folder / "stored.json").write_text(json.dumps(rich_results().to_json()), encoding="utf-8")

    def run(*arguments, **environment):
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-v"]
        inherited = {name: value for name, value in os.environ.items() if not name.endswith(("COLOR", "_COLORS"))}
        done = subprocess.run(
            [*command, "--ftbench-from", "stored.json", *arguments],
            cwd=folder,
            capture_output=True,
            env=inherited | {"COLUMNS": "100"} | environment,
        )
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
        assert b"UnicodeEncodeError" not in done.stdout + done.stderr
        return done.stdout

    return run


def ours(text):
    """The lines of our report."""
    lines = text.replace("\r\n", "\n").split("\n")
    start = next(index for index, line in enumerate(lines) if "fine-tuning comparison" in line)
    return lines[start + 1 : -2]


@pytest.fixture(scope="module")
def whole(printed):
    """Our lines where the terminal can show all of them."""
    return ours(printed(PYTHONIOENCODING="utf-8").decode("utf-8"))


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, PLAIN])
def test_a_terminal_of_ascii_gets_the_same_columns(printed, whole, environment):
    lines = ours(printed(**environment).decode("ascii"))
    assert [len(line) for line in lines] == [len(line) for line in whole]
    # neither escaped nor given up; a question mark of ours is a mark like others
    assert "\\" not in "".join(lines)
    assert "".join(lines).count("?") == "".join(whole).count("?")
    assert [title for title in TABLES if not any(line.startswith(title[:60]) for line in lines)] == []
    assert any("F1 ^" in line for line in lines)


def test_a_code_page_keeps_what_it_has(printed, whole):
    lines = ours(printed(PYTHONIOENCODING="cp1252").decode("cp1252"))
    assert [len(line) for line in lines] == [len(line) for line in whole]
    text = "\n".join(lines)
    assert "†" in text
    assert "↑" not in text
    assert text.count("?") == "".join(whole).count("?")


def test_colours_only_where_they_are_wanted(printed, whole):
    coloured = printed(FORCE_COLOR="1", PYTHONIOENCODING="utf-8").decode("utf-8")
    assert "\x1b[1m" in coloured
    assert ours(re.sub(r"\x1b\[[\d;]*m", "", coloured)) == whole
    for arguments, environment in (((), {"NO_COLOR": "1"}), (("--color=no",), {})):
        text = printed(*arguments, FORCE_COLOR="1", PYTHONIOENCODING="utf-8", **environment).decode("utf-8")
        assert "\x1b" not in text
        assert ours(text) == whole
