"""The block formats of ggml: a few bits a number, with scales that a block shares.

After the structures in ggml-common.h (https://github.com/ggml-org/ggml): ``d`` is a block's scale and ``m``
what it begins at, both in half precision; ``q`` are the whole numbers. Each format's function takes blocks
(N, bytes) uint8 and returns numbers (N, numbers of a block) float32.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor


class Format(NamedTuple):
    """``block`` numbers lie in ``nbytes`` bytes."""

    name: str
    block: int
    nbytes: int
    unpack: Callable[[Tensor], Tensor]


def q4_0(blocks: Tensor) -> Tensor:
    """q4 - 8, times d."""
    return half(blocks[:, :2]) * (nibbles(blocks[:, 2:]).to(torch.int8) - 8)


def q4_1(blocks: Tensor) -> Tensor:
    """q4 times d, plus m."""
    return half(blocks[:, :2]) * nibbles(blocks[:, 4:]) + half(blocks[:, 2:4])


def q5_0(blocks: Tensor) -> Tensor:
    """q5 - 16, times d; the fifth bits lie by themselves."""
    q = nibbles(blocks[:, 6:]) | bits(blocks[:, 2:6]) << 4
    return half(blocks[:, :2]) * (q.to(torch.int8) - 16)


def q5_1(blocks: Tensor) -> Tensor:
    """q5 times d, plus m."""
    q = nibbles(blocks[:, 8:]) | bits(blocks[:, 4:8]) << 4
    return half(blocks[:, :2]) * q + half(blocks[:, 2:4])


def q8_0(blocks: Tensor) -> Tensor:
    """q8 times d."""
    return half(blocks[:, :2]) * blocks[:, 2:].view(torch.int8)


def q2_k(blocks: Tensor) -> Tensor:
    """16 groups of 16: a nibble of scale and a nibble of minimum each."""
    scales, d, m = blocks[:, :16], half(blocks[:, 80:82]), half(blocks[:, 82:84])
    q = crumbs(blocks[:, 16:80]).view(-1, 16, 16)
    return ((d * (scales & 15))[..., None] * q - (m * (scales >> 4))[..., None]).flatten(1)


def q3_k(blocks: Tensor) -> Tensor:
    """16 groups of 16, q3 - 4 with a scale of six bits; the third bits lie by themselves, plane by plane."""
    high = planes(blocks[:, :32], 1, 8)  # (N, 8, 32): one plane for each 32 numbers
    q = (crumbs(blocks[:, 32:96]).view(-1, 8, 32) | high << 2).to(torch.int8) - 4
    packed = blocks[:, 96:108]
    scales = nibbles(packed[:, :8]) | planes(packed[:, 8:], 2, 4).flatten(1) << 4
    d = half(blocks[:, 108:110]) * (scales.to(torch.int8) - 32)
    return (d[..., None] * q.view(-1, 16, 16)).flatten(1)


def q4_k(blocks: Tensor) -> Tensor:
    """Eight groups of 32."""
    q = nibbles(blocks[:, 16:].reshape(-1, 4, 32)).view(-1, 8, 32)
    return by_groups(blocks, q)


def q5_k(blocks: Tensor) -> Tensor:
    """Eight groups of 32; the fifth bits lie by themselves, plane by plane."""
    q = nibbles(blocks[:, 48:].reshape(-1, 4, 32)).view(-1, 8, 32) | planes(blocks[:, 16:48], 1, 8) << 4
    return by_groups(blocks, q)


def q6_k(blocks: Tensor) -> Tensor:
    """16 groups of 16, q6 - 32 with a scale of eight bits; four low bits, and two high ones by themselves."""
    low = nibbles(blocks[:, :128].reshape(-1, 2, 64)).view(-1, 2, 4, 32)
    high = planes(blocks[:, 128:192].reshape(-1, 2, 32), 2, 4)
    q = (low | high << 4).to(torch.int8) - 32
    d = half(blocks[:, 208:210]) * blocks[:, 192:208].view(torch.int8)
    return (d[..., None] * q.view(-1, 16, 16)).flatten(1)


def by_groups(blocks: Tensor, q: Tensor) -> Tensor:
    """``q`` (N, 8, 32) with the scale and the minimum of each group, six bits each, in bytes 4 to 16."""
    first, second, last = blocks[:, 4:8], blocks[:, 8:12], blocks[:, 12:16]
    scales = torch.cat([first & 63, last & 15 | first >> 6 << 4], dim=1)
    least = torch.cat([second & 63, last >> 4 | second >> 6 << 4], dim=1)
    d, m = half(blocks[:, :2]) * scales, half(blocks[:, 2:4]) * least
    return (d[..., None] * q - m[..., None]).flatten(1)


def half(data: Tensor) -> Tensor:
    """(N, 2) bytes -> (N, 1) float32."""
    return data.contiguous().view(torch.float16).float()


def nibbles(data: Tensor) -> Tensor:
    """(..., K) bytes -> (..., 2K): first all the low halves, then all the high ones."""
    return torch.cat([data & 15, data >> 4], dim=-1)


def crumbs(data: Tensor) -> Tensor:
    """(N, 64) bytes -> (N, 256) of two bits: of each 32 bytes the lowest pairs first."""
    return planes(data.reshape(-1, 2, 32), 2, 4).flatten(1)


def planes(data: Tensor, width: int, count: int) -> Tensor:
    """(..., K) bytes -> (..., ``count``, K): the ``width`` lowest bits of each, the next ones, and so on."""
    shifts = torch.arange(0, width * count, width, dtype=torch.uint8)
    return (data[..., None, :] >> shifts[:, None]) & (1 << width) - 1


def bits(data: Tensor) -> Tensor:
    """(N, K) bytes -> (N, 8K) of one bit, the lowest of each byte first."""
    return (data[..., None] >> torch.arange(8, dtype=torch.uint8)).flatten(1) & 1


FORMATS: Mapping[int, Format] = {
    2: Format("Q4_0", 32, 18, q4_0),
    3: Format("Q4_1", 32, 20, q4_1),
    6: Format("Q5_0", 32, 22, q5_0),
    7: Format("Q5_1", 32, 24, q5_1),
    8: Format("Q8_0", 32, 34, q8_0),
    10: Format("Q2_K", 256, 84, q2_k),
    11: Format("Q3_K", 256, 110, q3_k),
    12: Format("Q4_K", 256, 144, q4_k),
    13: Format("Q5_K", 256, 176, q5_k),
    14: Format("Q6_K", 256, 210, q6_k),
}
"""The formats by the number that ggml gives them."""
