"""How much memory this process may still take: what the machine has free, and what limits say."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from darkroom.errors import UnknownName
from darkroom.studio.placement.budget import Budget

SETTINGS = ("low", "auto", "high")
"""The least that works; as the machine has room; everything stays in memory."""
KEPT_FREE = 1 << 29
"""Bytes left to the rest of the machine, and to what no estimate sees."""
UNLIMITED = 1 << 60
"""From here on a limit is none: kernels write large numbers for it."""
ROOT = Path("/")


def check_setting(setting: str) -> None:
    """Raise UnknownName unless it is one of ``SETTINGS``."""
    if setting not in SETTINGS:
        raise UnknownName("memory setting", setting, SETTINGS)


def budget_of(setting: str, held: int = 0) -> Budget:
    """What a run may take with one of ``SETTINGS``; ``held`` is what its model has taken already."""
    if setting == "high":
        return Budget()
    return Budget(available() + held - KEPT_FREE, sparing=setting == "low")


def available(root: Path = ROOT) -> float:
    """Bytes that this process can still take before something gives: the least of all that bounds it."""
    return min([*_of_machine(root), *_of_groups(root), *_of_process(root)], default=float("inf"))


def _of_machine(root: Path) -> Iterator[float]:
    """What Linux says can be had without swapping; elsewhere three quarters of all there is."""
    if (free := _fields(root / "proc/meminfo").get("MemAvailable")) is not None:
        yield 1024 * free
    elif sys.platform != "win32" and root == ROOT:
        yield 0.75 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_groups(root: Path) -> Iterator[float]:
    """What the control groups of this process leave, each one and those above it, of either version.

    Pages of files that nobody has touched lately count as free: the kernel takes them back first.
    """
    for line in _lines(root / "proc/self/cgroup"):
        _, kinds, place = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        base = root / "sys/fs/cgroup" / ("memory" if kinds else "")
        names = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes") if kinds else ("memory.max", "memory.current")
        )
        folder = base / place.lstrip("/")
        for one in (folder, *folder.parents):
            limit, used = (_number(one / name) for name in names)
            if limit is not None and used is not None and limit < UNLIMITED:
                stat = _fields(one / "memory.stat")
                yield limit - used + stat.get("total_inactive_file", stat.get("inactive_file", 0))
            if one == base:
                break


def _of_process(root: Path) -> Iterator[float]:
    """What ``ulimit`` leaves of the address space."""
    try:
        import resource
    except ImportError:  # Windows has none
        return
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    taken = _fields(root / "proc/self/status").get("VmSize")
    if 0 <= most < UNLIMITED and taken is not None:
        yield most - 1024 * taken


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _number(path: Path) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdecimal() else None


def _fields(path: Path) -> dict[str, int]:
    """Name -> number, from lines as "MemAvailable: 123 kB" or "inactive_file 123"."""
    found = {}
    for line in _lines(path):
        name, *rest = line.replace(":", " ").split()
        if rest and rest[0].isdecimal():
            found[name] = int(rest[0])
    return found
