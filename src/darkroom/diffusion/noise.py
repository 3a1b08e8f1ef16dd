"""Who draws the noise.

Noise is a pure function of (seed, stream, position): whatever the batch, the order of drawing or the device,
the same picture gets the same bits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

SEEDS = 2**64
"""Seeds and streams are whole numbers below this."""


class Noise(Protocol):
    """Standard normal noise for a batch, (B, ...), by number of the draw.

    Draw 0 is what sampling starts from; step i (from 1) of a stochastic sampler takes draw i.
    """

    def __call__(self, draw: int) -> Tensor:
        """The same draw gives the same noise, in whatever order draws are asked for."""
        ...


def normal(seed: int, stream: int, count: int) -> np.ndarray:
    """``count`` independent standard normals in float64 that depend on nothing but (seed, stream).

    Raw bits of Philox4x64-10 (Salmon et al. 2011, doi 10.1145/2063384.2063405) keyed by (seed, stream),
    through Box and Muller's transform (1958), so that no library's way from bits to normals matters.
    A shorter draw is the beginning of a longer one.
    """
    bits = np.random.Philox(key=np.array([seed % SEEDS, stream % SEEDS], dtype=np.uint64)).random_raw(
        count + count % 2
    )
    uniform = (bits >> np.uint64(11)) * 2.0**-53  # in [0, 1)
    radius = np.sqrt(-2 * np.log1p(-uniform[0::2]))
    angle = 2 * math.pi * uniform[1::2]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)[:count]


@dataclass(frozen=True)
class Philox:
    """Darkroom's own :class:`Noise`: row i is drawn from ``seeds[i]`` alone, the draw is the stream.

    ``shape`` is that of one row, such as (C, H, W).
    """

    seeds: Sequence[int]
    shape: Sequence[int]
    device: torch.device | str = "cpu"
    dtype: torch.dtype = torch.float32

    @staticmethod
    def run(
        seed: int,
        count: int,
        shape: Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> "Philox":
        """The noise of a run: image i has seed ``seed + i``."""
        return Philox(tuple((seed + i) % SEEDS for i in range(count)), tuple(shape), device, dtype)

    def __call__(self, draw: int) -> Tensor:
        rows = np.stack([normal(seed, draw, math.prod(self.shape)) for seed in self.seeds])
        return torch.from_numpy(rows).to(self.dtype).to(self.device).unflatten(1, tuple(self.shape))
