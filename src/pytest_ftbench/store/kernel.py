"""What the kernel says of memory: how much of it can still be had, and how often it killed for want of it (Linux).

A process may have less than the machine: its control groups have limits, of the first version of cgroups or the second,
and so may the process itself (``ulimit -v``).
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

_KIB = 1024
_ROOT = Path("/")
_UNLIMITED = 2**60
"""Bytes: the first version of cgroups has a huge number where there is no limit."""


def available_bytes(root: Path = _ROOT, swap: bool = False) -> int | None:
    """The bytes that this process can still be given, caches counted as free; None where nobody says.

    With ``swap``, all of that which is free as well. The ``root`` is where ``proc`` and ``sys`` are.
    """
    memory = _sizes(root / "proc/meminfo")
    known = [memory["MemAvailable"] * _KIB] if "MemAvailable" in memory else []
    known += [room for group in _groups(root) if (room := _room(group)) is not None]
    if not known:
        return None
    found = min(known) + (memory.get("SwapFree", 0) * _KIB if swap else 0)
    return max(0, min([found, *_own_limit(root)]))


def kills(root: Path = _ROOT) -> dict[str, int]:
    """How many processes have been killed so far for want of memory, by where: in this control group, this machine."""
    found = {"this machine": _sizes(root / "proc/vmstat").get("oom_kill")}
    for group in _groups(root):
        events = _sizes(group / "memory.events") or _sizes(group / "memory.oom_control")
        found.setdefault("this control group", events.get("oom_kill"))
    return {place: count for place, count in found.items() if count is not None}


def killed_since(before: Mapping[str, int], root: Path = _ROOT) -> str | None:
    """Where the kernel has killed for want of memory since ``kills`` were counted, the nearest place; None: nowhere."""
    now = kills(root)
    places = ("this control group", "this machine")
    return next((place for place in places if now.get(place, 0) > before.get(place, now.get(place, 0))), None)


def _own_limit(root: Path) -> list[int]:
    """What is left of the address space that the process may have."""
    taken = _sizes(root / "proc/self/status").get("VmSize")
    if taken is None:
        return []
    import resource  # not everywhere, but where there is such a file

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return [] if limit == resource.RLIM_INFINITY else [limit - taken * _KIB]


def _groups(root: Path) -> Iterator[Path]:
    """The folders of this process's control groups that have to do with memory, from the innermost outwards.

    In a container, what is mounted may begin below the path that the kernel tells.
    """
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines():
            _, controllers, path = (*line.split(":", 2), "", "")[:3]
            if controllers and "memory" not in controllers.split(","):
                continue
            base = root / "sys/fs/cgroup" / ("memory" if controllers else "")
            inner = base / path.strip("/")
            yield from (each for each in (inner, *inner.parents) if each.is_relative_to(base) and each.is_dir())


def _room(group: Path) -> int | None:
    """What a control group may still take, None where it has no limit: what caches hold, it would give back."""
    stat = _sizes(group / "memory.stat")
    if (limit := _number(group / "memory.max")) is not None:
        taken = _number(group / "memory.current")
        kept = stat.get("file", 0) - stat.get("shmem", 0) + stat.get("slab_reclaimable", 0)
    else:
        limit, taken = _number(group / "memory.limit_in_bytes"), _number(group / "memory.usage_in_bytes")
        kept = stat.get("total_cache", 0) - stat.get("total_shmem", 0)
    return None if limit is None or taken is None or limit >= _UNLIMITED else limit - taken + max(0, kept)


def _number(path: Path) -> int | None:
    """The number that is all of a file; None for anything else, such as ``max``."""
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text(encoding="ascii", errors="replace"))
    return None


def _sizes(path: Path) -> dict[str, int]:
    """The names and numbers of one of the kernel's files, without their units; empty where it can't be read."""
    with contextlib.suppress(OSError):
        text = path.read_text(encoding="ascii", errors="replace")
        return {name: int(number) for name, number in re.findall(r"^(\w+):?\s+(\d+)", text, re.MULTILINE)}
    return {}
