"""Who else used the machine while something was timed: other processes on its cores, or on its GPU.

Everything is read before and after, nothing during: a timing isn't disturbed by asking what disturbs it. What the
system doesn't tell is None.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pytest_ftbench.ml.memory import nvml_device
from pytest_ftbench.ml.runtime import Runtime

Seen = dict[str, float | bool | None]

# the columns of a processor's line in /proc/stat (proc(5)): its time is busy in all but these two; guests are in user
_IDLE, _IOWAIT, _COUNTED = 3, 4, 8
# NVML's reasons for lower clocks that are none of the work's own: power cap, hardware slowdown, heat, power brake
_THROTTLED = 0x04 | 0x08 | 0x20 | 0x40 | 0x80


@contextlib.contextmanager
def neighbours(runtime: Runtime) -> Iterator[Callable[[], Seen]]:
    """Watch who computes beside this process during the block; the yielded call, at its end, says what was seen.

    ``cores_of_others`` is on a CPU the mean number of cores, of those this process may use, that others kept busy; in a
    container these may be of another container. ``cores`` is how many it may use.
    ``gpu_shared`` is whether another process than the run's own holds the GPU, None where those that do may be other
    workers of this run, which hold still meanwhile. ``gpu_throttled`` is whether its clocks are held down, by heat or
    power. Both are looked at before and after.
    """
    if runtime.device == "cuda":
        before = _device_state(runtime)
        yield lambda: _device_neighbours(before, _device_state(runtime))
        return
    busy, own, begun = _busy_seconds(), _own_seconds(), time.perf_counter()

    def said() -> Seen:
        seconds, mine, after = time.perf_counter() - begun, _own_seconds() - own, _busy_seconds()
        known = busy is not None and after is not None and seconds > 0
        others = max(0.0, (after - busy - mine) / seconds) if known else None  # type: ignore[operator]
        return {"cores_of_others": others, "cores": _usable_cores(), "gpu_shared": None, "gpu_throttled": None}

    yield said


def _busy_seconds() -> float | None:
    """For how long the cores that this process may use have been busy since the machine started, in seconds."""
    with contextlib.suppress(OSError, ValueError, AttributeError, IndexError):
        allowed = {f"cpu{core}" for core in os.sched_getaffinity(0)}
        lines = Path("/proc/stat").read_text(encoding="ascii", errors="replace").splitlines()
        cores = [fields[1 : 1 + _COUNTED] for fields in map(str.split, lines) if fields and fields[0] in allowed]
        ticks = [sum(map(int, core)) - int(core[_IDLE]) - int(core[_IOWAIT]) for core in cores]
        return sum(ticks) / os.sysconf("SC_CLK_TCK") if ticks else None
    return None


def _usable_cores() -> int | None:
    """How many cores this process may use, the same that are watched; a quota of them takes none away from others."""
    with contextlib.suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return None


def _own_seconds() -> float:
    """How much processor time this process has used, all its threads together."""
    return time.process_time()


def _device_state(runtime: Runtime) -> tuple[bool | None, bool | None]:
    """Whether others than this run's workers hold the device, and whether its clocks are held down."""
    try:
        import pynvml
    except ImportError:
        return None, None
    shared: bool | None = None
    throttled: bool | None = None
    with contextlib.suppress(pynvml.NVMLError, AttributeError):
        device = nvml_device()
        # this process is one of them, by whatever id a container lets it be known
        holders = len(pynvml.nvmlDeviceGetComputeRunningProcesses(device))
        # workers go to the GPUs in turn
        own = -(-runtime.workers // max(1, runtime.gpus))
        shared = True if holders > own else False if holders == 1 else None
        # the newer of its names first
        reasons: Any = getattr(pynvml, "nvmlDeviceGetCurrentClocksEventReasons", None)
        reasons = reasons or pynvml.nvmlDeviceGetCurrentClocksThrottleReasons
        throttled = bool(reasons(device) & _THROTTLED)
    return shared, throttled


def _device_neighbours(*states: tuple[bool | None, bool | None]) -> Seen:
    """What was so before or after; None where neither is known."""
    shared, throttled = (_any(each) for each in zip(*states, strict=True))
    return {"cores_of_others": None, "cores": None, "gpu_shared": shared, "gpu_throttled": throttled}


def _any(values: tuple[bool | None, ...]) -> bool | None:
    known = [value for value in values if value is not None]
    return any(known) if known else None
