"""The wheel: what is in it, and that pytest finds it where nothing but the wheel is."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import pytest_ftbench

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_suites_the_type_marker_and_the_licence(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert f"pytest_ftbench-{pytest_ftbench.__version__}" in wheel.name
    suites = {f"pytest_ftbench/suites/{path.name}" for path in (ROOT / "benchmarks" / "suites").glob("*.toml")}
    assert suites < set(names)
    assert "pytest_ftbench/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    (entries,) = (name for name in names if name.endswith("entry_points.txt"))
    assert "ftbench = pytest_ftbench.cli:main" in zipfile.ZipFile(wheel).read(entries).decode()
    assert not any(name.startswith(("tests", "benchmarks")) for name in names)


def test_the_wheel_registers_itself_and_finds_its_suites(wheel, tmp_path):
    site, project = tmp_path / "site", tmp_path / "project"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    project.mkdir()
    (project / "test_mine.py").write_text("def test_mine(cell):\n    pass\n")
    command = [sys.executable, "-m", "pytest", "--trace-config", "--collect-only", "-q", "-k", "squad and nopeft"]
    outcome = subprocess.run(
        command, cwd=project, env={"PYTHONPATH": str(site)}, capture_output=True, text=True, check=True
    )
    assert f"{site}/pytest_ftbench/plugin.py" in outcome.stdout
    assert "test_mine.py::test_mine[nano-nopeft-arc-to-squad]" in outcome.stdout
