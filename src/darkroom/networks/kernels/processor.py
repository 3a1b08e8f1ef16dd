"""What kernels need to know of the machine."""

import ctypes
from functools import cache
from pathlib import Path


@cache
def processor_flags() -> frozenset[str]:
    """What /proc/cpuinfo says the processor can do; nothing where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line for line in lines if line.startswith("flags")), "").split())


@cache
def parallel() -> int | None:
    """The address of GOMP_parallel in the OpenMP that torch has loaded, so that its threads are ours."""
    try:
        return ctypes.cast(ctypes.CDLL(None).GOMP_parallel, ctypes.c_void_p).value
    except (AttributeError, OSError, TypeError):
        return None
