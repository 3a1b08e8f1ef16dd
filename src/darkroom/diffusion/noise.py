"""Who draws the noise.

Noise is a pure function of (seed, stream, position): whatever the batch, the order of drawing or the device,
the same picture gets the same bits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor
from torch.linalg import vector_norm

SEEDS = 2**64
"""Seeds and streams are whole numbers below this."""

AHEAD = 2**15
"""Values of a row that are drawn ahead at most."""
FEWEST_ROWS = 4
"""Of latents, from which on columns turn by themselves."""


class Noise(Protocol):
    """Standard normal noise for a batch, (B, ...), by number of the draw.

    Draw 0 is what sampling starts from; step i (from 1) of a stochastic sampler takes draw i.
    """

    def __call__(self, draw: int) -> Tensor:
        """The same draw gives the same noise, in whatever order draws are asked for."""


def normals(seed: int, streams: Sequence[int], count: int) -> np.ndarray:
    """Independent standard normals (streams, count), each row by nothing but (seed, stream), in float64.

    Raw bits of Philox through Box and Muller's transform (1958), so that no library's way from bits to
    normals matters. A shorter row is the beginning of a longer one.
    """
    uniform = (raw(seed, streams, count + count % 2) >> np.uint64(11)) * 2.0**-53  # in [0, 1)
    pairs = uniform.reshape(-1, 2)
    radius = np.sqrt(-2 * np.log1p(-pairs[:, 0]))
    angle = torch.from_numpy(2 * math.pi * pairs[:, 1])  # whose cosine torch has faster than numpy
    pairs[:, 0] = radius * angle.cos().numpy()
    pairs[:, 1] = radius * angle.sin().numpy()
    return uniform[:, :count]


def raw(seed: int, streams: Sequence[int], count: int) -> np.ndarray:
    """``count`` words of Philox4x64-10 keyed by (seed, stream) for each of ``streams``.

    Salmon et al. 2011 (doi 10.1145/2063384.2063405). Its state is set, as a new generator costs more than
    the words.
    """
    source = np.random.Philox(key=0)
    state, words = source.state, np.empty((len(streams), count), np.uint64)
    for row, stream in zip(words, streams, strict=True):
        state["state"]["key"][:] = seed % SEEDS, stream % SEEDS
        source.state = state
        row[:] = source.random_raw(count)
    return words


@dataclass(frozen=True)
class Philox:
    """Darkroom's own :class:`Noise`: row i is drawn from ``seeds[i]`` alone, the draw is the stream.

    ``shape`` is that of one row, such as (C, H, W). Small draws are made ahead: a call costs more than they.
    """

    seeds: Sequence[int]
    shape: Sequence[int]
    device: torch.device | str = "cpu"
    dtype: torch.dtype = torch.float32
    _ahead: dict[int, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def run(cls, seed: int, count: int, shape: Sequence[int], **kind: Any) -> Self:
        """The noise of a run: image i has seed ``seed + i``; ``kind`` are device and dtype."""
        return cls(tuple((seed + i) % SEEDS for i in range(count)), tuple(shape), **kind)

    def __call__(self, draw: int) -> Tensor:
        if draw not in self._ahead:
            places = math.prod(self.shape)
            streams = range(draw, draw + max(1, AHEAD // places)) if draw else [0]  # which may be all
            rows = self._signal(*(normals(seed, streams, places) for seed in self.seeds))
            self._ahead.clear()
            self._ahead.update(zip(streams, rows.unbind(1), strict=True))
        return self._ahead.pop(draw)  # not kept, as who takes it may write to it

    def _signal(self, *rows: np.ndarray) -> Tensor:
        """Rows whose places are flat, (..., places) each, as they are asked for: (B, ..., *shape)."""
        flat = torch.from_numpy(rows[0][None] if len(rows) == 1 else np.stack(rows))
        return flat.to(self.dtype).to(self.device).unflatten(-1, tuple(self.shape))


def varied(start: Tensor, other: Tensor, strength: float) -> Tensor:
    """A variation of a picture: what it starts from, turned by ``strength`` in [0, 1] towards another start.

    Both (B, C, H, W). Each pair of columns turns on the great circle through it, as with A1111's variation
    seed; of low pictures, whose columns all but lie on a line, the whole turns. Where two are about parallel
    the way is straight.
    """
    parts = (2,) if start.shape[2] >= FEWEST_ROWS else (1, 2, 3)
    lengths = vector_norm(start, dim=parts, keepdim=True) * vector_norm(other, dim=parts, keepdim=True)
    cosine = (start * other).sum(parts, keepdim=True) / lengths.clamp(min=torch.finfo(start.dtype).tiny)
    angle = cosine.clamp(-1, 1).acos()
    turned = (((1 - strength) * angle).sin() * start + (strength * angle).sin() * other) / angle.sin()
    return torch.where(cosine.abs() > 0.9995, torch.lerp(start, other, strength), turned)


def resized(start: Tensor, small: Tensor) -> Tensor:
    """Much the same picture at another size: ``start`` (B, C, H, W) with ``small`` in its middle.

    Where ``small`` (B, C, h, w) is the larger its middle is taken. A1111's seed resize.
    """
    whole = start.clone()
    inner: list[slice] = []
    outer: list[slice] = []
    for length, part in zip(start.shape[-2:], small.shape[-2:], strict=True):
        first = (length - part) // 2
        kept = part + 2 * min(first, 0)
        outer.append(slice(max(first, 0), max(first, 0) + kept))
        inner.append(slice(max(-first, 0), max(-first, 0) + kept))
    whole[..., outer[0], outer[1]] = small[..., inner[0], inner[1]]
    return whole
