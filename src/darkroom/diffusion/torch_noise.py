"""The noise of other tools, to make their pictures again from their seeds.

A1111, and diffusers given a list of generators, have one generator a picture, of which each draw is the next.
ComfyUI draws a whole batch at once: alike for one picture, but not for the others of a batch.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from darkroom.diffusion.noise import Noise

WORD = np.uint64(0xFFFFFFFF)


def torch_cpu(seeds: Sequence[int], shape: Sequence[int]) -> Noise:
    """``torch.randn`` on the CPU, row i from ``seeds[i]``.

    A draw repeats those before it, as the generator has no other way there.
    """

    def row(seed: int, draw: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        for _ in range(draw):
            torch.randn(*shape, generator=generator)
        return torch.randn(*shape, generator=generator)

    return lambda draw: torch.stack([row(seed, draw) for seed in seeds])


def torch_gpu(seeds: Sequence[int], shape: Sequence[int]) -> Noise:
    """What ``torch.randn`` gives on an NVIDIA GPU, made anywhere.

    Element n of draw d is a Philox4x32-10 block (Salmon et al. 2011, doi 10.1145/2063384.2063405) of counter
    (d, 0, n, 0) and the seed, of which two words make one normal. So it is as long as the GPU has a thread
    for each element; beyond that (from about 40,000 on small ones) torch itself depends on the GPU. A1111's
    option "NV" goes on as here.
    """

    def noise(draw: int) -> Tensor:
        rows = np.stack([gpu_normal(seed, draw, math.prod(shape)) for seed in seeds])
        return torch.from_numpy(rows).unflatten(1, tuple(shape))

    return noise


def comfy(seeds: Sequence[int], shape: Sequence[int]) -> Noise:
    """ComfyUI on a GPU: draw 0 from the CPU, those of a stochastic sampler from the GPU's generator."""
    start, under_way = torch_cpu(seeds, shape), torch_gpu(seeds, shape)
    return lambda draw: under_way(draw - 1) if draw else start(0)


def gpu_normal(seed: int, draw: int, count: int) -> np.ndarray:
    """``count`` standard normals in float32: one of the two that cuRAND's Box-Muller transform (1958) gives.

    Its constants are those of single precision; the arithmetic is double, then rounded.
    """
    counter = np.zeros((4, count), np.uint64)
    counter[0], counter[2] = draw, np.arange(count)
    first, second, _, _ = philox4x32(counter, (seed & int(WORD), seed >> 32 & int(WORD)))
    unit = np.float64(np.float32(2.3283064e-10))
    turn = np.float64(np.float32(2.3283064e-10 * 6.2831855))
    radius = np.sqrt(-2 * np.log(first * unit + unit / 2))
    return (radius * np.sin(second * turn + turn / 2)).astype(np.float32)


def philox4x32(counter: np.ndarray, key: tuple[int, int], rounds: int = 10) -> np.ndarray:
    """The random words, (4, N), of counters (4, N): 32 bits each, kept in uint64."""
    a, b, c, d = counter
    low, high = key
    for _ in range(rounds):
        left, right = a * np.uint64(0xD2511F53), c * np.uint64(0xCD9E8D57)
        a, b = (right >> np.uint64(32)) ^ b ^ np.uint64(low), right & WORD
        c, d = (left >> np.uint64(32)) ^ d ^ np.uint64(high), left & WORD
        low, high = (low + 0x9E3779B9) & int(WORD), (high + 0xBB67AE85) & int(WORD)
    return np.stack([a, b, c, d])
