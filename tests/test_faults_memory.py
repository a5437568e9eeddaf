"""Memory that runs out, numbers that are none, processes that are killed: one cell fails, named by its class.

What the kernel itself kills can't be provoked where tests run: SIGKILL from within stands for it. Its counters are read
from files of both versions of cgroups in ``test_failures``.
"""

import gc
import json
import os
import signal
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from models import FAST, SHAPE, make_examples, make_folder, training_of, tune
from plugin_project import SUITE, Project

from pytest_ftbench.grid import DivergedError, ShortageError, UserError, read_results
from pytest_ftbench.report import render

pytestmark = pytest.mark.torch

ONE_TASK = SUITE.replace('["arc", "squad"]', '["arc"]')
WIDE = 100_000
"""The width of a model of which each row's activations are huge, though its weights aren't: 77 MB."""

# address space, as ulimit -v has it: what is over it is refused by the kernel as on a machine that has no more
LIMITED = """
import resource
from pathlib import Path
import pytest

MIB = 2**20
ROOM = {"base": 40 * MIB, "nopeft": 290 * MIB, "lora": 290 * MIB}

@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    if "wide" not in item.name:
        return (yield)
    taken = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmSize"))
    room = next(room for name, room in ROOM.items() if name in item.name)
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (int(taken.split()[1]) * 1024 + room, before[1]))
    try:
        return (yield)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
"""

# as the kernel ends it: amid a training, with nothing said
KILLING = """
import os, signal
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    if "nopeft" not in item.name or "KILLING" not in os.environ:
        return (yield)
    from torch.optim.optimizer import register_optimizer_step_pre_hook
    handle = register_optimizer_step_pre_hook(lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    try:
        return (yield)
    finally:
        handle.remove()
"""


@pytest.fixture(scope="module")
def wide_folder(tmp_path_factory):
    """The folder of a model whose activations have no room where its weights do."""
    folder = tmp_path_factory.mktemp("wide")
    SHAPE["intermediate_size"], before = WIDE, SHAPE["intermediate_size"]
    try:
        return make_folder(folder)
    finally:
        SHAPE["intermediate_size"] = before


def with_model(suite, name, folder):
    return suite.replace("[models]\n", f'[models]\n{name} = "{folder}"\n')


def failures(results):
    """Class and advice of each failed cell, by its id."""
    return {cell["id"]: cell["failure"] for cell in results["cells"] if cell["status"] == "failed"}


def classes_in(path):
    """The class that a JUnit file has of each case that has one, by the cell's id."""
    found = {}
    for case in ElementTree.parse(path).iter("testcase"):
        for each in case.iter("property"):
            if each.get("name") == "ftbench_failure":
                found[case.get("name").partition("[")[2].rstrip("]")] = each.get("value")
    return found


def test_where_memory_runs_out_a_cell_says_how_much_it_needs_and_the_next_one_has_it_back(
    pytester, plugin_cache, wide_folder
):
    project = Project(pytester, plugin_cache, suite=with_model(ONE_TASK, "wide", wide_folder))
    pytester.makeconftest(LIMITED)
    path = pytester.path / "junit.xml"
    outcome, results = project.results("--junitxml", path, columns=300)
    outcome.assert_outcomes(errors=3, passed=3)
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    found = failures(results)
    assert {name: said["class"] for name, said in found.items()} == dict.fromkeys(
        ("wide-base-to-arc", "wide-nopeft-arc-to-arc", "wide-lora-r2-arc-to-arc"), "out-of-memory"
    )
    assert classes_in(path) == {name: said["class"] for name, said in found.items()}
    advice = {name.split("-")[1]: said["advice"] for name, said in found.items()}
    # known before it is begun, from the files alone
    assert "for weights, gradients and optimizer, " in advice["nopeft"]
    assert "use lora" in advice["nopeft"]
    # what it asked for was refused, and that is told
    assert "asked for at once" in advice["lora"] or "needs at least" in advice["lora"]
    assert "use qlora" in advice["lora"]
    assert "take a smaller model" in advice["base"]
    assert all(" MiB" in said and "free" in said for said in advice.values())
    outcome.stdout.fnmatch_lines(["*6 cells: 3 ok*, 3 failed (3 out-of-memory)*"])
    outcome.stdout.fnmatch_lines(["wide-nopeft-arc-to-arc failed (out-of-memory): *needs at least*"])
    import torch

    tensors = torch.Tensor, torch.nn.Parameter
    # pytester keeps every report and what it was made of, and pytest what failed
    gc.collect()
    assert not [each for each in gc.get_objects() if type(each) in tensors and WIDE in each.shape]
    print(f"3 shortages (loading, training, known before): 3 cells failed, 3 passed; {advice['lora']!r}")


def test_numbers_that_are_none_fail_their_cells_alone_and_score_nothing(pytester, plugin_cache, tmp_path):
    broken = make_folder(tmp_path / "broken")
    break_weights(broken)
    suite = with_model(ONE_TASK, "broken", broken).replace(
        "ranks = [2]", "ranks = [2], lora_alpha = 9e15, recipe = {learning_rate = 9e15}"
    )
    project = Project(pytester, plugin_cache, suite=suite)
    reports = {kind: pytester.path / f"report.{kind}" for kind in ("markdown", "html")}
    options = [text for kind, path in reports.items() for text in (f"--ftbench-{kind}", path)]
    outcome, results = project.results("--junitxml", pytester.path / "junit.xml", *options, columns=300)
    outcome.assert_outcomes(errors=4, passed=2)
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    found = failures(results)
    assert {name: said["class"] for name, said in found.items()} == {
        "broken-base-to-arc": "input",
        "broken-nopeft-arc-to-arc": "input",
        "broken-lora-r2-arc-to-arc": "input",
        "nano-lora-r2-arc-to-arc": "diverged",
    }
    assert classes_in(pytester.path / "junit.xml") == {name: said["class"] for name, said in found.items()}
    errors = {cell["id"]: cell["error"] for cell in results["cells"]}
    assert "model 'broken'" in errors["broken-base-to-arc"]
    assert "q_proj.weight holds a number that is not finite" in errors["broken-base-to-arc"]
    assert found["nano-lora-r2-arc-to-arc"]["advice"].startswith("lower the learning rate")
    stored = read_results(pytester.path / "results.json")
    shown = [*render(stored, 300), *(path.read_text(encoding="utf-8") for path in reports.values())]
    for word in ("failed (diverged)", "failed (input)"):
        assert sum(word in text for text in shown) >= 3
    print("weights that are NaN, a rate of 9e15: 4 cells failed as input and diverged, 2 passed")


def break_weights(folder):
    """Let one weight of a model not be a number."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.self_attn.q_proj.weight"][3, 5] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("epochs", "words"),
    [(9, "the loss is"), (1, "holds a number that is not finite")],
    ids=["the loss", "the last step's weights, whose loss nobody sees"],
)
def test_a_training_that_leaves_the_numbers_is_stopped(epochs, words, model_folder, runtime, tmp_path):
    recipe = replace(FAST, learning_rate=1e30, num_train_epochs=epochs)
    training = training_of(make_examples(model_folder), recipe=recipe)
    with pytest.raises(DivergedError, match=words) as caught:
        tune(model_folder, runtime, tmp_path / "out", training)
    assert caught.value.failure == "diverged"


def test_a_loss_that_is_infinite_from_the_first_step_is_a_divergence_too(model_folder, runtime, tmp_path):
    import torch
    from models import at_work, load_tokenizer, load_weights, train

    (tmp_path / "out").mkdir()
    given = load_tokenizer(model_folder), training_of(make_examples(model_folder)), runtime, tmp_path / "out"
    with at_work():
        model = load_weights(model_folder, runtime)
        with torch.no_grad():
            model.model.norm.weight.fill_(3e38)
        with pytest.raises(DivergedError, match="training step 1: the loss is"):
            train(model, *given, lambda _: None)


@pytest.mark.parametrize("engine", ["auto", "plain"])
def test_logits_that_are_no_numbers_are_no_answers_and_the_model_is_named(engine, model_folder, runtime):
    import torch
    from models import at_work, load_tokenizer, load_weights

    from pytest_ftbench.ml.engine import Engines
    from pytest_ftbench.ml.generate import Decoder

    with at_work():
        decoder = Decoder(load_weights(model_folder, runtime), load_tokenizer(model_folder), 4, engines=Engines(engine))
        assert len(decoder.answers(["One two"] * 3, 2, print)) == 3
        # each weight is a number, their products aren't
        with torch.no_grad():
            decoder.model.model.norm.weight.fill_(3e38)
            ids = decoder.encode(["One two"])
            assert decoder.model(**ids).logits.isnan().any()
            silent = decoder.generate(ids)
        with pytest.raises(DivergedError, match="its logits are not numbers") as caught:
            decoder.answers(["One two"] * 3, 2, print)
    assert str(model_folder) in str(caught.value)
    print(f"logits of NaN: greedy decoding alone says {silent.tolist()}, the {engine} engine refuses")


# libraries are imported before pytester takes note of what is
@pytest.mark.usefixtures("plugin_cache")
@pytest.mark.parametrize("tries", ["-n 1", "-n 2", "-n 0"])
def test_a_training_that_kills_its_process_is_begun_once_in_a_run_and_again_in_the_next(
    pytester, tmp_path, monkeypatch, tries, faults
):
    if tries not in ("-n 1", "-n 2", "-n 0")[: faults(1, 3)]:
        pytest.skip("a part of make faults")
    suite = SUITE.replace('train = ["arc", "squad"]', 'train = ["arc"]')
    project = Project(pytester, tmp_path / "cache", suite=suite)
    pytester.makeconftest(KILLING)
    monkeypatch.setenv("KILLING", "1")
    path = pytester.path / "junit.xml"
    options = (*tries.split(), "--junitxml", path)
    if tries == "-n 0":
        assert project.run(*options, new_process=True).ret == -signal.SIGKILL
    else:
        outcome, results = project.results(*options, new_process=True, columns=300)
        outcome.assert_outcomes(passed=4, failed=1, errors=1)
        assert outcome.ret == pytest.ExitCode.TESTS_FAILED
        assert [line for line in outcome.outlines if "nopeft-arc: training on" in line][1:] == []
        check_killed(results, path.read_text())
        outcome.stdout.fnmatch_lines(["*(2 killed)*"])
    monkeypatch.delenv("KILLING")
    outcome, results = project.results()
    outcome.assert_outcomes(passed=6)
    assert not any("killed" in line for line in outcome.outlines)
    assert not failures(results)
    print(f"{tries}: a training that kills its process was begun once, and the next run completed it")


def check_killed(results, junit):
    """One cell was lost with its worker, and the other of its checkpoint isn't tried."""
    found = failures(results)
    assert {said["class"] for said in found.values()} == {"killed"}
    assert set(found) == {"nano-nopeft-arc-to-arc", "nano-nopeft-arc-to-squad"}
    errors = sorted(cell["error"] for cell in results["cells"] if cell["error"])
    assert "was killed while it trained this, so it isn't tried again" in errors[0]
    assert errors[1].endswith("killed by SIGKILL, most likely by the kernel for want of memory")
    assert "crashed while running" in errors[1]
    assert "for want of memory" in next(said["advice"] for said in found.values() if "if it was" in said["advice"])
    assert all(error.partition(": ")[0] in junit for error in errors)
    assert json.dumps("killed") in junit


def test_full_fine_tuning_is_refused_where_it_plainly_has_no_room_and_never_where_it_has(
    model_folder, runtime, monkeypatch
):
    from pytest_ftbench.grid import MethodSpec, Recipe
    from pytest_ftbench.ml import remedies
    from pytest_ftbench.ml.base import BaseModel

    base = BaseModel("tiny", model_folder, "")
    need = 4 * remedies.stored_bytes(base, runtime)
    assert need > 100_000

    def check(method, have, recipe=None):
        monkeypatch.setattr(remedies, "available_bytes", lambda swap: have)
        remedies.check_room("here", base, MethodSpec(method, (2,)), recipe or Recipe(), runtime)

    check("nopeft", need)
    check("nopeft", None)
    check("lora", need // 10)
    # of this optimizer it isn't known what it keeps
    check("nopeft", need // 4, Recipe(optim="adafactor"))
    with pytest.raises(ShortageError, match="for weights, gradients and optimizer") as caught:
        check("nopeft", need - 1)
    assert caught.value.failure == "out-of-memory"
    with pytest.raises(ShortageError):
        check("nopeft", need // 4 - 1, Recipe(optim="adafactor"))


def test_files_that_hold_more_than_the_model_refuse_nothing(model_folder, runtime, tmp_path, monkeypatch):
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    from pytest_ftbench.grid import MethodSpec, Recipe
    from pytest_ftbench.ml import remedies
    from pytest_ftbench.ml.base import BaseModel

    folder = tmp_path / "more"
    shutil.copytree(model_folder, folder)
    weights = load_file(folder / "model.safetensors")
    need = 4 * sum(each.nbytes for each in weights.values())
    save_file({**weights, "vision": torch.zeros(10**6)}, folder / "model.safetensors", metadata={"format": "pt"})
    monkeypatch.setattr(remedies, "available_bytes", lambda swap: need)
    remedies.check_room("here", BaseModel("more", folder, ""), MethodSpec("nopeft"), Recipe(), runtime)


def test_a_base_that_is_no_numbers_is_refused_in_one_sentence(tmp_path, runtime):
    from pytest_ftbench.ml.base import BaseModel
    from pytest_ftbench.ml.checkpoint import Checkpoint, load_decoder

    folder = make_folder(tmp_path / "broken")
    break_weights(folder)
    with pytest.raises(UserError, match=r"model 'mine' in .*not finite; take another copy") as caught:
        load_decoder(Checkpoint(BaseModel("mine", folder, ""), ""), runtime, 4, None, None)
    assert caught.value.failure == "input"
    assert os.fspath(folder) in str(caught.value)
