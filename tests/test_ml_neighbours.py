"""Neighbours during a timing: cores that others keep busy, a GPU that is shared or held down."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_ftbench.ml import neighbours as watching
from pytest_ftbench.ml.neighbours import neighbours

pytestmark = pytest.mark.torch

SECONDS = 1.5


@contextmanager
def neighbour():
    """Another process that keeps one core busy."""
    process = subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.communicate()


def seen(runtime, work):
    with neighbours(runtime) as beside:
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            work()
        return beside()


def test_a_busy_neighbour_is_seen(runtime):
    with neighbour():
        said = seen(runtime, lambda: time.sleep(0.05))
    assert said["cores_of_others"] > 0.6
    assert said["cores"] == len(os.sched_getaffinity(0))
    assert said["gpu_shared"] is said["gpu_throttled"] is None


def stat(*cores):
    return (
        "cpu 1 2 3\n" + "".join(f"cpu{n} {' '.join(map(str, ticks))}\n" for n, ticks in enumerate(cores)) + "intr 5\n"
    )


def test_only_busy_time_of_the_cores_that_may_be_used_counts(runtime, monkeypatch):
    # user nice system idle iowait irq softirq steal guest
    texts = iter([stat([0] * 9, [0] * 9), stat([100, 10, 20, 900, 500, 3, 4, 63, 7], [999] * 9)])
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: next(texts))
    monkeypatch.setattr(watching.os, "sched_getaffinity", lambda _: {0})
    monkeypatch.setattr(watching.os, "sysconf", lambda _: 100)
    clock, own = iter([10.0, 12.0]), iter([1.0, 1.5])
    monkeypatch.setattr(watching.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(watching.time, "process_time", lambda: next(own))
    with neighbours(runtime) as beside:
        said = beside()
    assert said["cores_of_others"] == pytest.approx((2.00 - 0.5) / 2)


@pytest.mark.parametrize("text", ["", "cpu0 1 2\n", "cpu0 a b c d e f\n"])
def test_what_the_system_does_not_tell_is_unknown(runtime, monkeypatch, text):
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)
    with neighbours(runtime) as beside:
        assert beside()["cores_of_others"] is None


class RefusedError(Exception):
    """What NVML says where it may not be asked."""


def nvml(processes, reasons):
    """A driver's library that answers with these, one after the other."""
    processes, reasons = iter(processes), iter(reasons)
    return SimpleNamespace(
        NVMLError=RefusedError,
        nvmlDeviceGetComputeRunningProcesses=lambda _: next(processes),
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda _: next(reasons),
    )


@pytest.mark.parametrize(
    ("processes", "reasons", "expected"),
    [
        ([[1, 2, 3], [1, 2, 3]], [0, 0], (True, False)),
        ([[1], [1]], [0x0, 0x1], (False, False)),  # idle is no throttling
        ([[1], [1, 2]], [0x2, 0x40], (True, True)),
        ([[1, 2], [1]], [0x4, 0x0], (True, True)),
        ([[], []], [0x10, 0x100], (None, False)),
    ],
)
def test_a_gpu_is_shared_or_held_down_if_it_was_before_or_after(runtime, monkeypatch, processes, reasons, expected):
    monkeypatch.setitem(sys.modules, "pynvml", nvml(processes, reasons))
    monkeypatch.setattr(watching, "nvml_device", lambda: "device")
    with neighbours(replace(runtime, device="cuda")) as beside:
        said = beside()
    assert said == {"cores_of_others": None, "cores": None, "gpu_shared": expected[0], "gpu_throttled": expected[1]}


def test_other_workers_of_the_run_may_be_those_that_hold_the_gpu(runtime, monkeypatch):
    monkeypatch.setattr(watching, "nvml_device", lambda: "device")
    for processes, expected in (([1, 2], None), ([1, 2, 3], True), ([1], False)):
        monkeypatch.setitem(sys.modules, "pynvml", nvml([processes] * 2, [0, 0]))
        with neighbours(replace(runtime, device="cuda", workers=2)) as beside:
            assert beside()["gpu_shared"] is expected


def test_workers_on_several_gpus_hold_each_only_their_share(runtime, monkeypatch):
    monkeypatch.setattr(watching, "nvml_device", lambda: "device")
    for workers, gpus, holders, expected in ((4, 4, 2, True), (4, 2, 2, None), (5, 2, 3, None), (5, 2, 4, True)):
        monkeypatch.setitem(sys.modules, "pynvml", nvml([range(holders)] * 2, [0, 0]))
        with neighbours(replace(runtime, device="cuda", workers=workers, gpus=gpus)) as beside:
            assert beside()["gpu_shared"] is expected


def test_a_driver_that_may_not_be_asked_leaves_it_unknown(runtime, monkeypatch):
    def refuse():
        raise RefusedError

    monkeypatch.setitem(sys.modules, "pynvml", nvml([], []))
    monkeypatch.setattr(watching, "nvml_device", refuse)
    with neighbours(replace(runtime, device="cuda")) as beside:
        assert set(beside().values()) == {None}
