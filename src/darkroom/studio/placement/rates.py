"""How fast the machine multiplies matrices: what all else is measured against."""

from collections.abc import Callable
from time import perf_counter

import torch

SIDE = 1536
ROUNDS = 5


def rates() -> dict[str, float]:
    """Multiplications and additions a second of square matrices, in thousand millions, by type of number."""
    wide = torch.randn(SIDE, SIDE)
    half, whole = wide.bfloat16(), wide.clamp(-1, 1).mul(127).to(torch.int8)
    products: dict[str, Callable[[], object]] = {
        "float32": lambda: wide @ wide,
        "bfloat16": lambda: half @ half,
        "int8": lambda: torch._int_mm(whole, whole),
    }
    return {name: 2e-9 * SIDE**3 / fastest(product) for name, product in products.items()}


def fastest(action: Callable[[], object]) -> float:
    """Seconds of the quickest of some calls, after one that does not count; a slow one is not repeated."""
    first = timed(action)
    return first if first > 1 else min(timed(action) for _ in range(ROUNDS))


def timed(action: Callable[[], object]) -> float:
    """Seconds of a call."""
    start = perf_counter()
    action()
    return perf_counter() - start
