"""What a phase of work takes: the peak of the device's allocator, and of the process as the system sees it.

Each phase is measured by itself: what nothing refers to any more is given back before it begins.
"""

import contextlib
import ctypes
import errno
import gc
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pytest_ftbench.grid import UserError
from pytest_ftbench.ml.runtime import Runtime
from pytest_ftbench.store import available_bytes

_GIB = 1024**3
_KIB = 1024
_PEAK_ANEW = "5"  # what proc(5) says to write to clear_refs to begin VmHWM again

Peak = dict[str, float | None]


def free(runtime: Runtime) -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    # the C library keeps what is freed, and what the next phase takes of it would not be seen
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    if runtime.device == "cuda":
        import torch

        # 32 MiB per thread that has multiplied matrices, which PyTorch keeps for good: training leaves one more of them
        # than answering does, and the next phase would be charged for it
        clear: Any = getattr(torch._C, "_cuda_clearCublasWorkspaces", None)
        if clear is not None:
            clear()
        torch.cuda.empty_cache()


def free_bytes(runtime: Runtime) -> int:
    """What can still be taken on the device: on CUDA with what torch's allocator holds unused, on a CPU for a worker.

    Where the system doesn't say, nothing is known to be free.
    """
    if runtime.device == "cuda":
        import torch

        unused = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return int(torch.cuda.mem_get_info()[0]) + unused
    return (available_bytes() or 0) // runtime.workers


def is_shortage(error: BaseException | None) -> bool:
    """Whether an error says that memory has run out, or was raised for one that does."""
    import torch
    from safetensors import SafetensorError

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    # of a CPU's allocator, and of CUDA's libraries
    words = ("not enough memory", "can't allocate memory", "cannot allocate memory", "out of memory", "alloc_failed")
    if isinstance(error, (RuntimeError, SafetensorError)) and any(word in str(error).lower() for word in words):
        return True
    # one of ours, in a sentence
    return isinstance(error, UserError) and is_shortage(error.__cause__)


def resident_level(runtime: Runtime, *libraries: str) -> int | None:
    """The resident set in KiB with nothing to give back and these libraries imported; None where nobody says.

    No model may be loaded yet.
    """
    _import(libraries)
    if runtime.device == "cuda":
        return None
    free(runtime)
    return _status_kib("VmRSS")


def _import(libraries: Sequence[str]) -> None:
    """Import what there is of libraries, once; what is alive then, the garbage collector looks at no more.

    Theirs are half a million objects that stay, and to look for garbage among them takes a quarter of a second.
    """
    missing = [library for library in libraries if library not in sys.modules and find_spec(library)]
    if not missing:
        return
    with warnings.catch_warnings():
        # what libraries deprecate of each other is nothing to who runs cells
        warnings.simplefilter("ignore", DeprecationWarning)
        for library in missing:  # what isn't there, loading the model will say
            importlib.import_module(library)
    gc.collect()
    gc.freeze()


@contextlib.contextmanager
def peak_memory(runtime: Runtime, level: int | None) -> Iterator[Callable[[], Peak]]:
    """Measure the peaks inside the block, in GiB; the yielded call reads them. Unknown is None.

    ``allocated`` and ``reserved`` are those of torch's CUDA allocator. ``process`` is on CUDA what the driver says the
    process holds when it is read, CUDA's own context included (NVML, where nvidia-ml-py is installed and process ids
    can be told); on a CPU the growth of the peak of its resident set over the ``level`` that it had with the libraries
    imported and no model loaded (Linux).
    """
    free(runtime)
    if runtime.device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
        yield lambda: {
            "allocated": torch.cuda.max_memory_allocated() / _GIB,
            "reserved": torch.cuda.max_memory_reserved() / _GIB,
            "process": _held_on_device(torch.cuda.current_device()),
        }
    else:
        begun = _begin_resident_peak()
        yield lambda: {"allocated": None, "reserved": None, "process": _resident_growth(level) if begun else None}


def _begin_resident_peak() -> bool:
    """Begin the peak of the resident set anew; whether the system lets that be done."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text(_PEAK_ANEW, encoding="ascii")
        return True
    return False


def _resident_growth(level: int | None) -> float | None:
    peak = None if level is None else _status_kib("VmHWM")
    return None if level is None or peak is None else max(0, peak - level) * _KIB / _GIB


def resident_bytes() -> int | None:
    """What of this process is in memory now; None where nobody says."""
    found = _status_kib("VmRSS")
    return None if found is None else found * _KIB


def _status_kib(key: str) -> int | None:
    """A size of this process, in KiB."""
    return _kib("/proc/self/status", key)


def _kib(file: str, key: str) -> int | None:
    """A size from one of the system's files of names and sizes, in KiB; None where it doesn't say."""
    with contextlib.suppress(OSError), Path(file).open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith(f"{key}:"):
                return int(line.split()[1])
    return None


def nvml_device(index: int | None = None) -> Any:
    """NVML's handle of a CUDA device, by default the current one; raises what pynvml raises."""
    import pynvml
    import torch

    index = torch.cuda.current_device() if index is None else index
    pynvml.nvmlInit()
    return pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(index).uuid}".encode())


def _held_on_device(index: int) -> float | None:
    """What the driver says this process holds on a device, in GiB; in a container it may know it by another id."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        for process in pynvml.nvmlDeviceGetComputeRunningProcesses(nvml_device(index)):
            if process.pid == os.getpid() and process.usedGpuMemory:
                return float(process.usedGpuMemory / _GIB)
    except (pynvml.NVMLError, AttributeError):
        return None
    return None
