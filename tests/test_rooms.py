"""The rooms of the house: who may import whom, and that nothing heavy is imported before a cell runs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_ftbench

REPOSITORY = Path(__file__).parents[1]
SOURCE = Path(pytest_ftbench.__file__).parent
PACKAGE = SOURCE.name

# from bottom to top; a room imports rooms below it. Above all of them are the package's own modules, the pytest layer.
ROOMS = ("grid", "store", "lab", "tasks", "ml", "analysis", "report")
PYTEST_LAYER = ""
# what is computed from records must be computable without torch
FORBIDDEN = {("analysis", "ml"), ("report", "ml")}
TRAINING = {
    *("torch", "transformers", "trl", "peft", "datasets", "tokenizers", "accelerate", "huggingface_hub"),
    *("safetensors", "pyarrow", "bitsandbytes", "pynvml", "sentence_transformers", "triton", "vllm"),
}
THIRD_PARTY = {
    "store": {"filelock"},
    "ml": TRAINING | {"jinja2", "numpy"},
    "analysis": {"numpy", "scipy"},
    "report": {"matplotlib"},
    PYTEST_LAYER: {"pytest"},
    "__main__": set(),
    "baseline_cli": set(),
    "benchmark_bridge": {"pytest", "pytest_benchmark"},
    "cache_cli": set(),
    "cache_words": set(),
    "cli": set(),
    "xdist_bridge": {"pytest", "xdist"},
    "xdist_scheduling": {"pytest", "xdist"},
}
HEAVY = [
    "matplotlib",
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "numpy",
    "scipy",
    "pyarrow",
    "sentence_transformers",
]


def module_name(path):
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


def room_of(module):
    """The room of one of our modules; the pytest layer where it is in none."""
    part = module.removeprefix(PACKAGE).strip(".").partition(".")[0]
    return part if part in ROOMS else PYTEST_LAYER


def imports(node, when="top"):
    """What a syntax tree imports, and when: at the ``top``, ``late`` in a function, or for ``types`` only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, when) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = "." * child.level + (child.module or "")
            for alias in child.names:
                inner = f"{base}.{alias.name}"
                yield (inner if inner in MODULES else base), when
        elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            yield from imports(ast.Module(child.body, []), "types")
            yield from imports(ast.Module(child.orelse, []), when)
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from imports(child, "late")
        else:
            yield from imports(child, when)


def violations(module, tree):
    """What a module imports although its room may not."""
    room = room_of(module)
    own = THIRD_PARTY.get(module.rpartition(".")[2]) if room == PYTEST_LAYER else None
    outside = (THIRD_PARTY.get(room, set()) if own is None else own) | sys.stdlib_module_names
    order = (*ROOMS, PYTEST_LAYER)
    for name, _ in imports(tree):
        if name.partition(".")[0] != PACKAGE:
            if name.partition(".")[0] not in outside:
                yield f"{module} imports {name}"
        elif order.index(room_of(name)) > order.index(room) or (room, room_of(name)) in FORBIDDEN:
            yield f"{module} imports {name}, which is above it"


def imported_at_once(*modules):
    """Everything outside the standard library that importing these modules imports, directly or through others."""
    seen, todo = set(), list(modules)
    while todo:
        name = todo.pop()
        # importing a.b.c imports a and a.b
        for part in [".".join(name.split(".")[: depth + 1]) for depth in range(name.count(".") + 1)]:
            if part not in seen and part in MODULES:
                tree = ast.parse(MODULES[part].read_text(encoding="utf-8"))
                todo += [inner for inner, when in imports(tree) if when == "top"]
            seen.add(part)
    return {name.partition(".")[0] for name in seen} - sys.stdlib_module_names - {PACKAGE} | (seen & set(MODULES))


def test_every_folder_is_a_room():
    assert {path.parent.name for path in SOURCE.rglob("__init__.py")} - {PACKAGE} == set(ROOMS)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_its_room_may(module):
    assert list(violations(module, ast.parse(MODULES[module].read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("grid.cell", "import numpy"),
        ("grid.cell", "import pytest_ftbench.store"),
        ("grid.cell", "from pytest_ftbench import store"),
        ("grid.cell", "from pytest_ftbench import get_task"),
        ("grid.cell", "from . import suite"),
        ("store.store", "def f():\n    import torch"),
        ("tasks.arc", "from pytest_ftbench.ml.base import live_dtype"),
        ("tasks.arc", "import pytest"),
        ("ml.train", "from pytest_ftbench.settings import Settings"),
        ("analysis.table", "if TYPE_CHECKING:\n    import torch"),
        ("analysis.table", "from pytest_ftbench.ml import runtime"),
        ("report.text", "try:\n    import pytest_ftbench.ml.record\nexcept ImportError:\n    pass"),
        ("report.text", "import pytest"),
        ("plugin", "class A:\n    def f(self):\n        import torch.nn"),
        ("plugin", "import pytest_benchmark"),
        ("benchmark_bridge", "import xdist"),
        ("cli", "import pytest"),
    ],
)
def test_an_import_that_breaks_the_rules_is_found(module, source):
    assert len(list(violations(f"{PACKAGE}.{module}", ast.parse(source)))) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("grid.cell", "import re\nfrom pytest_ftbench.grid.errors import UserError"),
        ("store.store", "import filelock\nfrom pytest_ftbench import grid"),
        ("ml.train", "def f():\n    import torch, trl\n    from pytest_ftbench import lab"),
        ("report.text", "from pytest_ftbench.analysis import full_table"),
        ("benchmark_bridge", "import pytest\nfrom pytest_benchmark.stats import Metadata"),
        ("xdist_bridge", "import xdist.dsession"),
        ("plugin", "from pytest_ftbench.ml.workbench import Workbench"),
    ],
)
def test_an_import_that_keeps_the_rules_is_allowed(module, source):
    assert list(violations(f"{PACKAGE}.{module}", ast.parse(source))) == []


def test_a_run_without_cells_imports_nothing_but_pytest():
    assert imported_at_once(f"{PACKAGE}.plugin") == {"pytest", PACKAGE, f"{PACKAGE}.plugin", f"{PACKAGE}.fixtures"}


def test_the_command_imports_neither_pytest_nor_what_analyses_results_before_it_knows_what_to_do():
    assert imported_at_once(f"{PACKAGE}.__main__", f"{PACKAGE}.cli") - set(MODULES) == {"filelock"}


def test_collection_imports_nothing_that_training_needs():
    imported = imported_at_once(f"{PACKAGE}.plugin", f"{PACKAGE}.collection")
    assert {f"{PACKAGE}.ml.base", f"{PACKAGE}.ml.rows"} < imported
    assert imported - set(MODULES) == {"pytest", "filelock"}


COLLECT = """
import sys
import pytest

code = pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *sys.argv[1:]])
print("exit", int(code))
print("imported", *sorted(sys.modules))
"""


def collected(folder, *arguments):
    """The lines that a collection in a process of its own prints, and the modules that are imported after it."""
    done = subprocess.run(
        [sys.executable, "-c", COLLECT, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    *lines, code, imported = done.stdout.splitlines()
    assert code == "exit 0", done.stdout + done.stderr
    return lines, set(imported.split())


def test_collecting_a_project_without_cells_imports_nothing_heavy(tmp_path):
    (tmp_path / "test_other.py").write_text("def test_other():\n    assert True\n", encoding="utf-8")
    lines, imported = collected(tmp_path, "test_other.py")
    assert lines[0] == "test_other.py::test_other"
    assert {module for module in imported if module.startswith(PACKAGE)} == {
        PACKAGE,
        f"{PACKAGE}.plugin",
        f"{PACKAGE}.fixtures",
    }
    assert imported.isdisjoint(HEAVY)


def test_collecting_cells_imports_nothing_heavy():
    lines, imported = collected(REPOSITORY, "benchmarks", "--ftbench-suite", "embedded")
    assert "benchmarks/test_finetuning.py::test_cell[nano-lora-r8-squad-to-arc]" in lines
    assert f"{PACKAGE}.collection" in imported
    assert imported.isdisjoint(HEAVY)
