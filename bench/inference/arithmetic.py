"""What a machine's arithmetic allows: the rates of matrix products, and how much a U-Net step takes."""

from time import perf_counter

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bench.measure import median
from darkroom.networks.conditioning import Conditioning
from darkroom.networks.unet import UNet
from darkroom.networks.unet_config import UNetConfig

SHAPE = 4096, 2560, 2560
"""Rows, depth and columns: large enough that nothing but arithmetic counts."""


def rates(rounds: int = 7) -> dict[str, float]:
    """Operations a second of one large matrix product, by the type of its factors."""
    m, k, n = SHAPE
    seconds = {name: fastest(*factors(name), rounds) for name in ("float32", "bfloat16", "int8")}
    return {name: 2 * m * k * n / took for name, took in seconds.items()}


def factors(name: str) -> tuple[Tensor, Tensor]:
    m, k, n = SHAPE
    if name == "int8":
        return torch.randint(-99, 99, (m, k), dtype=torch.int8), torch.randint(
            -99, 99, (k, n), dtype=torch.int8
        )
    dtype = getattr(torch, name)
    return torch.randn(m, k).to(dtype), torch.randn(n, k).to(dtype).T


def fastest(a: Tensor, b: Tensor, rounds: int) -> float:
    """Median seconds of a product, after one that does not count."""
    multiply = torch._int_mm if a.dtype == torch.int8 else torch.matmul
    multiply(a, b)
    seconds = []
    for _ in range(rounds):
        begun = perf_counter()
        multiply(a, b)
        seconds.append(perf_counter() - begun)
    return median(seconds)


def operations(rows: int) -> int:
    """Additions and multiplications of a step's matrix products and convolutions, by the shapes alone."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        net = UNet(UNetConfig())
        x, time, tokens = torch.zeros(rows, 4, 64, 64), torch.zeros(rows), torch.zeros(rows, 77, 768)
        net(x, time, Conditioning(tokens=tokens))
    return int(counter.get_total_flops())
