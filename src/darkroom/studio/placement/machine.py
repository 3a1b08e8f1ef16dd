"""What the machine has that matters for speed and memory."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from darkroom.errors import UnknownName
from darkroom.networks.kernels.library import COMPILERS

FEATURES = ("avx2", "avx512", "bf16", "vnni", "amx", "onednn", "compiler")
"""What is looked for. ``bf16``: the processor multiplies bfloat16 itself; ``vnni``: 8-bit integers."""
WITHOUT = "DARKROOM_WITHOUT"
"""The environment's variable that names features to do without, with commas between."""
CGROUP = Path("/sys/fs/cgroup")
KEPT_ISA = {"AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX512_CORE_AMX", "AVX10_1_512", "DEFAULT", "ALL"}
"""Settings of ONEDNN_MAX_CPU_ISA under which bfloat16 is still multiplied by the processor."""


@dataclass(frozen=True)
class Machine:
    """``cores`` and ``memory`` (bytes) are those that this process may use, not those that there are."""

    name: str
    cores: int
    memory: int
    features: frozenset[str]

    def has(self, feature: str) -> bool:
        """Whether it has one of ``FEATURES``."""
        return feature in self.features


@cache
def found() -> Machine:
    """This machine, less what the environment says to do without. Raises UnknownName for what that is."""
    able = torch.cpu.get_capabilities()
    return Machine(str(able.get("cpu_name") or able.get("architecture")), cores(), memory(), features(able))


def features(able: Mapping[str, object]) -> frozenset[str]:
    """The features of a processor that says of itself what torch reads."""
    x86 = able.get("architecture") == "x86_64"
    has = {
        "avx2": x86 and able.get("avx2"),
        "avx512": x86 and able.get("avx512_f"),
        "bf16": (able.get("avx512_bf16") if x86 else able.get("bf16")) and not held_back(),
        "vnni": able.get("avx512_vnni") or able.get("avx_vnni"),
        "amx": able.get("amx_bf16") and not held_back(),
        "onednn": torch.backends.mkldnn.is_available(),
        "compiler": any(map(shutil.which, [os.environ.get("CXX") or "c++", *COMPILERS])),
    }
    return frozenset(name for name, there in has.items() if there) - without()


def held_back() -> bool:
    """Whether the environment keeps oneDNN from the instructions for bfloat16."""
    isa = os.environ.get("ONEDNN_MAX_CPU_ISA", "DEFAULT").upper()
    return isa not in KEPT_ISA or torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2")


def without() -> frozenset[str]:
    """What the environment says to do without."""
    named = {name.strip() for name in os.environ.get(WITHOUT, "").split(",")} - {""}
    for name in sorted(named):
        if name not in FEATURES:
            raise UnknownName(f"feature in ${WITHOUT}", name, FEATURES)
    return frozenset(named)


def cores() -> int:
    """Cores that this process may keep busy: those it may run on, and what its control group grants."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _read(CGROUP / "cpu.max").partition(" ")
    if not quota.isdigit() or not period.strip().isdigit():
        return here
    return max(1, min(here, round(int(quota) / int(period))))


def memory() -> int:
    """Bytes that this process may fill: the machine's, or what its control group grants."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    granted = _read(CGROUP / "memory.max")
    return min(there, int(granted)) if granted.isdigit() else there


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
