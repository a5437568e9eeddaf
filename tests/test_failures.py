"""What a failure is: its class, its advice, how records and reports tell it; what the kernel says of memory."""

import errno
import gc
import traceback
import weakref
from pathlib import Path

import pytest

from pytest_ftbench.grid import (
    CellRecord,
    DivergedError,
    FailedBeforeError,
    Failure,
    KilledError,
    Results,
    ShortageError,
    UserError,
    parse_cell,
    read_results,
    release,
)
from pytest_ftbench.report import render, render_html, render_markdown
from pytest_ftbench.store import Trail, available_bytes, killed_since, kills, write_json

CELL = parse_cell("nano-lora-r8-squad-to-squad")
GIB = 2**30


@pytest.mark.parametrize(
    ("error", "kind", "advice"),
    [
        (UserError("x.toml", "is wrong", "mend it"), "input", "mend it"),
        (ShortageError("nano", "needs about 14 GiB, 8 GiB free", "use lora"), "out-of-memory", None),
        (DivergedError("step 3", "the loss is nan", "lower it"), "diverged", "lower it"),
        (KilledError("nano", "was killed", "begin a new run"), "killed", "begin a new run"),
        (MemoryError(), "out-of-memory", None),
        (RuntimeError("no idea"), "error", None),
        (AssertionError(), "error", None),
    ],
    ids=lambda param: getattr(type(param), "__name__", "") if isinstance(param, Exception) else None,
)
def test_each_error_has_its_class_and_advice(error, kind, advice):
    wanted = "needs about 14 GiB, 8 GiB free: use lora" if isinstance(error, ShortageError) else advice
    found = Failure.of(error)
    assert (found.kind, found.advice) == (kind, wanted)
    # the cells that share what failed say the same, but for the sentence
    again = Failure.of(FailedBeforeError("nano", "training", found))
    assert (again.kind, again.advice) == (kind, wanted)
    assert found.said in str(FailedBeforeError("nano", "training", found))


def test_a_failed_record_carries_both_and_an_old_one_is_read_without(tmp_path):
    failure = Failure("out-of-memory", "use lora")
    failed = CellRecord.of(CELL, status="failed", error="no room", extra=failure.as_extra())
    value = Results("mine", [failed]).to_json()
    assert value["cells"][0]["failure"] == {"class": "out-of-memory", "advice": "use lora"}
    write_json(tmp_path / "new.json", value)
    (again,) = read_results(tmp_path / "new.json").cells
    assert Failure.told(again) == failure
    del value["cells"][0]["failure"]
    write_json(tmp_path / "old.json", value)
    (old,) = read_results(tmp_path / "old.json").cells
    assert Failure.told(old) is None
    assert old.to_json() == value["cells"][0]


@pytest.mark.parametrize("said", [None, "killed", [], {}, {"class": 3}, {"class": ""}, {"class": None, "advice": "x"}])
def test_what_is_no_failure_is_told_as_none(said):
    assert Failure.told(CellRecord.of(CELL, status="failed", extra={"failure": said})) is None


def test_of_a_measured_cell_no_failure_is_told():
    assert Failure.told(CellRecord.of(CELL, extra=Failure("error").as_extra())) is None


def test_every_report_names_the_class_and_the_advice_once():
    def failed(rank, error, **failure):
        cell = parse_cell(f"nano-lora-r{rank}-squad-to-squad")
        return CellRecord.of(cell, status="failed", error=error, extra=Failure(**failure).as_extra())

    results = Results(
        "mine",
        [
            failed(
                1, "nano: out of memory, needs 4 GiB; use lora.", kind="out-of-memory", advice="needs 4 GiB: use lora"
            ),
            failed(2, "worker 'gw0' crashed", kind="killed", advice="start fewer workers"),
            failed(3, "KeyError: 3", kind="error", advice=None),
            CellRecord.of(parse_cell("nano-lora-r4-squad-to-squad"), status="failed", error="of old"),
        ],
    )
    texts = ["\n".join(render(results, 200)), render_markdown(results), render_html(results)]
    for text in texts:
        assert "4 failed (1 out-of-memory, 1 killed, 1 error)" in text
        assert "failed (out-of-memory): nano: out of memory, needs 4 GiB; use lora." in text
        assert text.count("use lora") == 1
        assert text.count("start fewer workers") == 1
        assert "failed (error): KeyError: 3" in text
        assert "squad-to-squad failed: of old" in text


class Model:
    """What takes the memory."""


def test_an_error_that_is_released_holds_on_to_nothing_and_keeps_its_words():
    kept = []

    def load():
        model = Model()
        kept.append(weakref.ref(model))
        raise MemoryError("no room")

    def train():
        model = Model()
        kept.append(weakref.ref(model))
        try:
            load()
        except MemoryError as error:
            raise UserError("nano", "has no room", "use lora") from error

    caught = []
    try:
        train()
    except UserError as error:
        caught.append(error)
    gc.collect()
    assert all(each() is not None for each in kept)
    release(caught[0])
    gc.collect()
    assert [each() for each in kept] == [None, None]
    assert str(caught[0]) == "nano: has no room; use lora."
    assert "no room" in "".join(traceback.format_exception(caught[0]))


def files(root, **contents):
    """A root folder with these files, ``__`` for a slash and ``_0`` for a dot in their names."""
    for name, text in contents.items():
        path = root / name.replace("__", "/").replace("_0", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MEMINFO = "MemTotal: 33554432 kB\nMemAvailable: 16777216 kB\nSwapFree: 1048576 kB\n"


def test_a_machine_without_limits_has_what_it_says_and_swap_where_that_counts(tmp_path):
    root = files(tmp_path, proc__meminfo=MEMINFO, proc__self__cgroup="0::/\n", sys__fs__cgroup__memory_0max="max\n")
    assert available_bytes(root) == 16 * GIB
    assert available_bytes(root, swap=True) == 17 * GIB
    assert available_bytes(tmp_path / "nothing") is None


@pytest.mark.parametrize("inner", ["", "pod/job/"])
def test_the_second_version_of_cgroups_limits_it_from_any_level_and_caches_count_as_free(tmp_path, inner):
    root = files(tmp_path, proc__meminfo=MEMINFO, proc__self__cgroup=f"0::/{inner}\n")
    files(
        root / "sys/fs/cgroup" / inner,
        memory_0max=f"{4 * GIB}\n",
        memory_0current=f"{3 * GIB}\n",
        memory_0stat=f"anon 5\nfile {GIB}\nshmem {GIB // 4}\nslab_reclaimable {GIB // 4}\n",
    )
    (root / "sys/fs/cgroup/pod/job").mkdir(parents=True, exist_ok=True)
    assert available_bytes(root) == 2 * GIB


def test_the_first_version_does_too_and_in_a_container_its_own_path_isnt_there(tmp_path):
    root = files(tmp_path, proc__meminfo=MEMINFO, proc__self__cgroup="4:memory:/docker/abc\n1:cpu:/docker/abc\n0::/\n")
    group = files(
        root / "sys/fs/cgroup/memory",
        memory_0limit_in_bytes=f"{2 * GIB}\n",
        memory_0usage_in_bytes=f"{2 * GIB}\n",
        memory_0stat=f"cache 1\ntotal_cache {GIB}\ntotal_shmem 0\n",
    )
    assert available_bytes(root) == GIB
    (group / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert available_bytes(root) == 16 * GIB


def test_only_a_count_of_the_kernels_says_that_it_killed(tmp_path):
    root = files(tmp_path, proc__vmstat="nr_free 3\noom_kill 7\n", proc__self__cgroup="0::/a\n")
    group = files(root / "sys/fs/cgroup/a", memory_0events="low 0\noom 2\noom_kill 2\n")
    before = kills(root)
    assert before == {"this machine": 7, "this control group": 2}
    assert killed_since(before, root) is None
    files(root, proc__vmstat="nr_free 3\noom_kill 8\n")
    assert killed_since(before, root) == "this machine"
    files(group, memory_0events="low 0\noom 3\noom_kill 3\n")
    assert killed_since(before, root) == "this control group"
    assert killed_since({}, root) is None
    assert kills(tmp_path / "nothing") == {}


def test_the_counts_of_the_first_version_are_where_it_has_them(tmp_path):
    root = files(tmp_path, proc__self__cgroup="4:memory:/\n")
    files(root / "sys/fs/cgroup/memory", memory_0oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 4\n")
    assert kills(root) == {"this control group": 4}


def test_a_work_that_ended_its_process_is_not_begun_again_and_any_other_is(tmp_path):
    first, second = Trail(tmp_path / "trail", "worker gw0"), Trail(tmp_path / "trail", "worker gw1")
    with first.work("nano-lora-squad", "a.toml"):
        # as if the first had died here: its mark is there, and its lock on the entry isn't
        with (
            pytest.raises(KilledError, match="nano-lora-squad: worker gw0 was killed"),
            second.work("nano-lora-squad", "a.toml"),
        ):
            pytest.fail("it was begun")
        with second.work("nano-lora-squad", "b.toml"), second.work("nano-lora-arc", "a.toml"):
            pass
    with second.work("nano-lora-squad", "a.toml"):
        pass
    with pytest.raises(KeyError), second.work("nano-lora-squad", "a.toml"):
        raise KeyError
    with first.work("nano-lora-squad", "a.toml"):
        pass
    assert list((tmp_path / "trail").iterdir()) == []


def test_without_a_folder_or_room_for_a_mark_works_are_done_all_the_same(tmp_path):
    (tmp_path / "file").write_text("")
    for trail in (Trail(), Trail(tmp_path / "file" / "trail")):
        for _ in range(2):
            with trail.work("nano-lora-squad"):
                pass


ON_CUDA = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 512.00 MiB is "
    "free. Including non-PyTorch memory, this process has 78.60 GiB memory in use. Of the allocated memory 76.00 GiB "
    "is allocated by PyTorch, and 1.50 GiB is reserved by PyTorch but unallocated."
)
ON_CPU = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 3221225472 bytes. Error code 12"


@pytest.mark.parametrize(
    ("text", "outlay", "words"),
    [
        (ON_CUDA, {"free": 77 * GIB}, "needs at least 78 GiB, 77 GiB free"),
        (ON_CUDA, {"free": 90 * GIB}, "2 GiB asked for at once, 512 MiB left"),
        (ON_CPU, {"free": 8 * GIB, "weights": 6 * GIB}, "needs at least 9 GiB, 8 GiB free"),
        (ON_CPU, {"free": 20 * GIB}, "3 GiB asked for at once, 20 GiB free before"),
        ("", {"free": 8 * GIB, "weights": 2 * GIB, "states": 9 * GIB}, "needs at least 11 GiB, 8 GiB free"),
        (
            ON_CPU,
            {"free": 8 * GIB, "weights": 2 * GIB, "states": 6 * GIB, "activations": 6 * GIB},
            "needs about 14 GiB, 8 GiB free",
        ),
        ("", {"free": 50 * 2**20}, "though 50 MiB were free before"),
    ],
)
def test_what_is_said_of_a_shortage_is_what_is_known(text, outlay, words):
    from pytest_ftbench.ml.outlay import Outlay

    assert Outlay(**outlay).found(RuntimeError(text)) == words


@pytest.mark.torch
def test_a_shortage_is_told_whoever_says_it_and_anything_else_isnt(runtime):
    from pytest_ftbench.ml.outlay import Outlay, told

    def shortage(error, cause=None):
        with told("nano", Outlay(GIB), lambda _: "use lora"):
            raise error from cause

    for error in (MemoryError(), RuntimeError(ON_CPU), OSError(errno.ENOMEM, "no memory")):
        with pytest.raises(ShortageError, match=r"nano: out of memory, .*; use lora"):
            shortage(error)
        with pytest.raises(ShortageError, match="out of memory"):
            shortage(UserError("x", "can't be loaded", "save it again"), error)
    for error in (RuntimeError("no such kernel"), OSError(errno.ENOENT, "gone"), UserError("x", "is wrong", "mend")):
        with pytest.raises(type(error)) as caught:
            shortage(error)
        assert caught.value is error


@pytest.mark.torch
@pytest.mark.parametrize(
    ("method", "recipe", "fits", "words"),
    [
        ("nopeft", {"per_device_train_batch_size": 8}, True, "lower recipe.per_device_train_batch_size (8), use lora"),
        ("nopeft", {"per_device_train_batch_size": 8}, False, "use lora or qlora or take a smaller model"),
        ("nopeft", {}, True, "use lora or qlora, lower recipe.max_length (1024) or take a smaller model"),
        ("lora", {"gradient_checkpointing": False}, True, "set recipe.gradient_checkpointing, use qlora, lower"),
        ("qlora", {}, True, "lower recipe.max_length (1024) or take a smaller model"),
    ],
)
def test_the_remedies_are_those_that_help(method, recipe, fits, words, runtime):
    from pytest_ftbench.grid import MethodSpec, Recipe
    from pytest_ftbench.ml.outlay import Outlay
    from pytest_ftbench.ml.remedies import for_answering, for_training

    outlay = Outlay(8 * GIB, weights=GIB if fits else 9 * GIB)
    assert for_training(MethodSpec(method, (2,)), Recipe(**recipe), runtime, outlay).startswith(words)
    from pytest_ftbench.grid import EvaluationSpec

    said = for_answering(EvaluationSpec(batch_size=4, max_new_tokens=9), runtime, outlay)
    whole = "lower evaluation.batch_size (4), lower evaluation.max_new_tokens (9) or take a smaller model"
    assert said == (whole if fits else "take a smaller model")


def test_the_classes_are_named_once():
    text = (Path(__file__).parents[1] / "src/pytest_ftbench/grid/failures.py").read_text(encoding="utf-8")
    documented = text.partition('"""')[2].partition('"""')[0]
    for kind in ("input", "out-of-memory", "diverged", "timeout", "killed", "storage", "error"):
        assert f"``{kind}``" in documented
