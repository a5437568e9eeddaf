"""The machine a suite runs on: device, dtype, threads, and what a record says of them."""

import contextlib
import logging as python_logging
import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ftbench.grid import UserError
from pytest_ftbench.store import package_versions

if TYPE_CHECKING:
    import torch

LIBRARIES = ("torch", "transformers", "tokenizers", "accelerate", "trl", "peft")
"""The distributions whose versions belong to a key: what they compute may change with each."""


@dataclass(frozen=True)
class Runtime:
    """Where and how precisely a suite runs. ``device`` is ``cpu`` or ``cuda``, ``device_name`` the chip's own name.

    ``gpus`` is how many the run's ``workers`` are spread over.
    """

    device: str
    dtype: str
    device_name: str
    threads: int
    workers: int = 1
    gpus: int = 1
    versions: dict[str, str | None] = field(default_factory=lambda: package_versions(*LIBRARIES))

    @classmethod
    @cache
    def choose(cls, device: str, dtype: str, workers: int = 1, slot: int = 0) -> "Runtime":
        """The runtime that ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` means here; ``auto`` dtype is bfloat16 on CUDA.

        Where several ``workers`` share the machine and it has several GPUs, each gets the one of its ``slot``, in turn.
        Sets what has to be set before CUDA starts and can't be taken back after: the one visible
        device, and cuBLAS's deterministic workspace. Raises :class:`UserError` for a device that isn't there.
        """
        kind, _, index = device.partition(":")
        if kind not in ("auto", "cpu", "cuda") or (index and not index.isdigit()):
            raise UserError("device", f"is {device!r}", "give auto, cpu, cuda or cuda:N")
        gpus = 1
        if index:
            _show_only(int(index))
        elif kind != "cpu" and workers > 1 and (gpus := _gpu_count()) > 1:
            _show_only(slot % gpus)
        if kind != "cpu":
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        name = None if kind == "cpu" else _gpu_name()
        if kind == "cuda" and name is None:
            raise UserError(
                "device", f"is {device!r} but torch finds no CUDA device", "give cpu, or install torch with CUDA"
            )
        return cls(
            device="cpu" if name is None else "cuda",
            dtype=dtype if dtype != "auto" else ("float32" if name is None else "bfloat16"),
            device_name=_processor() if name is None else name,
            threads=usable_threads(),
            workers=workers,
            gpus=gpus,
        )

    @property
    def torch_dtype(self) -> "torch.dtype":
        """The dtype as torch's object."""
        import torch

        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype

    def as_dict(self) -> dict[str, Any]:
        """What provenance says of the machine."""
        return {
            "device": self.device,
            "device_name": self.device_name,
            "dtype": self.dtype,
            "threads": self.threads,
            "workers": self.workers,
            "python": platform.python_version(),
            "platform": platform.platform(),
        }

    def synchronize(self) -> None:
        """Wait until the device has done all it was given."""
        if self.device == "cuda":
            import torch

            torch.cuda.synchronize()


def _gpu_name() -> str | None:
    """The name of the GPU that torch would compute on; None where there is none.

    Where Linux has no device that a driver would have made, torch needn't be asked: importing it takes a second, and a
    run that finds everything stored needs it for nothing else.
    """
    devices = ("nvidiactl", "nvidia0", "nvmap", "nvhost-ctrl", "dxg", "kfd")  # of NVIDIA, its Jetsons, WSL and AMD
    if sys.platform == "linux" and not any(Path("/dev", name).exists() for name in devices):
        return None
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _gpu_count() -> int:
    """How many GPUs this process may use; asked of the driver's own tool, for asking torch would settle on all."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name])
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=True).stdout
        return sum(line.startswith("GPU ") for line in listed.splitlines())
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def _show_only(index: int) -> None:
    """Make the ``index``-th of the CUDA devices that this process may use the only one it sees."""
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        raise UserError(
            "device", f"is to be cuda:{index} but CUDA is in use already", "set CUDA_VISIBLE_DEVICES instead"
        )
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    allowed = None if visible is None else [name for name in visible.split(",") if name]
    if allowed is not None and index >= len(allowed):
        raise UserError("device", f"is cuda:{index} but {len(allowed)} can be seen", "give a lower number")
    os.environ["CUDA_VISIBLE_DEVICES"] = str(index) if allowed is None else allowed[index]


@contextlib.contextmanager
def own_randomness() -> Iterator[None]:
    """Give the block random states of its own: the caller's go on afterwards as if it hadn't been."""
    import random

    import numpy as np
    import torch

    python, numpy = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def usable_threads() -> int:
    """How many threads torch should compute with: those that OMP_NUM_THREADS says, else one for every four cores.

    Two threads on two cores wait for each other, and for whatever else runs, most of the time. The number doesn't
    depend on how many workers there are, for sums are rounded by how they are split: a training has one result.
    """
    if os.environ.get("OMP_NUM_THREADS"):
        import torch

        return torch.get_num_threads()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // 4)


@contextlib.contextmanager
def _on_threads(count: int) -> Iterator[None]:
    """Compute on so many threads; the setting doesn't outlive the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep progress bars and notices of the libraries out of pytest's output; nothing of it outlives the block."""
    from datasets import utils as data
    from huggingface_hub import utils as hub
    from transformers import logging

    verbosity = logging.get_verbosity()
    # bitsandbytes warns of a cast at every product
    products = python_logging.getLogger("bitsandbytes")
    warned = products.level
    # the Hub's bars come last: the switch of Transformers turns them too
    bars = [
        (logging.is_progress_bar_enabled, logging.enable_progress_bar, logging.disable_progress_bar),
        (lambda: not data.are_progress_bars_disabled(), data.enable_progress_bars, data.disable_progress_bars),
        (lambda: not hub.are_progress_bars_disabled(), hub.enable_progress_bars, hub.disable_progress_bars),
    ]
    before = [enabled() for enabled, _, _ in bars]
    logging.set_verbosity_error()
    products.setLevel(python_logging.ERROR)
    logging.disable_progress_bar()
    data.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            # "deprecated and will be removed in v6", of names that TRL and this package share with older versions
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.set_verbosity(verbosity)
        products.setLevel(warned)
        for (enabled, enable, disable), was_enabled in zip(bars, before, strict=True):
            if enabled() != was_enabled:
                (enable if was_enabled else disable)()


@contextlib.contextmanager
def at_work(threads: int | None = None) -> Iterator[None]:
    """All that a cell sets in this process while it loads, trains, answers or is timed; undone afterwards."""
    with quiet_libraries(), _on_threads(threads or usable_threads()), own_randomness():
        yield


def _processor() -> str:
    """The processor's name as Linux tells it, for timings only compare on the same one."""
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
