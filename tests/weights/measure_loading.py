"""How much memory loading takes, in a process of its own: ``measure_loading.py LAYERS WIDTH FILE DTYPE ...``.

Prints, for each file and type, the most memory that was resident while a network was laid out and loaded,
less what was there before, over the bytes of its weights. The kernel counts (VmHWM, reset just before); pages
of the file count too.
"""

import re
import sys
from pathlib import Path

import torch
from torch import nn

from darkroom.weights.loading import hollow, load_into
from darkroom.weights.store import open_store


def network(layers: int, width: int) -> nn.Module:
    """Layers of one size, and an embedding four times as large as one of them."""
    return nn.ModuleDict(
        {
            "embedding": nn.Embedding(4 * width, width),
            "layers": nn.ModuleList(nn.Linear(width, width) for _ in range(layers)),
        }
    )


def resident(field: str) -> int:
    """Bytes, from the kernel."""
    match = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match is not None
    return 1024 * int(match[1])


def measured(path: str, dtype: torch.dtype, layers: int, width: int) -> float:
    """Resident bytes over bytes of weights."""
    with hollow():
        module = network(layers, width)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    load_into(module, open_store(path), dtype)
    most = resident("VmHWM")
    return (most - before) / sum(one.numel() * one.itemsize for one in module.parameters())


def main() -> None:
    layers, width, *jobs = sys.argv[1:]
    torch.zeros(1 << 16).to(torch.bfloat16).aminmax()  # what torch sets up at its first use
    for path, dtype in zip(jobs[::2], jobs[1::2], strict=True):
        print(measured(path, getattr(torch, dtype), int(layers), int(width)), flush=True)


if __name__ == "__main__":
    main()
