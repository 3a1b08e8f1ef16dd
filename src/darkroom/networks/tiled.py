"""Any autoencoder, in tiles, so that memory stays bounded whatever the picture.

Tiles overlap. At an inner edge a quarter of the overlap is thrown away, for there the network missed its
neighbours; over the half in the middle of the overlap one tile fades smoothly into the next. A network that
looks no further than that quarter answers as if it had seen the whole. Attention and group norms look at all
there is, and answer a little differently: the fading hides the seams, not a slow change of tint.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from darkroom.errors import InvalidRequest
from darkroom.networks.posterior import LatentAutoencoder, Posterior


@dataclass(frozen=True)
class Tiled:
    """A :class:`~darkroom.networks.posterior.LatentAutoencoder` that shows another one tile after tile.

    ``tile`` and ``overlap`` count latent positions along a side. What fits in one tile is done as without.
    Raises InvalidRequest for an overlap that is not smaller than the tile.
    """

    autoencoder: LatentAutoencoder
    tile: int = 64
    overlap: int = 16

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.tile:
            raise InvalidRequest(
                f"tiles of {self.tile} positions cannot overlap by {self.overlap}; "
                f"the overlap must be from 0 to {self.tile - 1}."
            )

    @property
    def downscale(self) -> int:
        """Picture pixels a latent position, along a side."""
        return self.autoencoder.downscale

    def encode(self, pictures: Tensor) -> Posterior:
        """(B, 3, H, W) in [-1, 1] -> latents; means and deviations fade between tiles alike."""

        def parameters(part: Tensor) -> Tensor:
            posterior = self.autoencoder.encode(part)
            return torch.cat([posterior.mean, posterior.std], dim=1)

        sides = [side // self.downscale for side in pictures.shape[-2:]]
        rows, columns = (strips(side, self.tile, self.overlap, taken=self.downscale) for side in sides)
        return Posterior(*over_tiles(parameters, pictures, rows, columns).chunk(2, dim=1))

    def decode(self, latents: Tensor) -> Tensor:
        """Latents -> (B, 3, H, W), not clamped."""
        rows, columns = (
            strips(side, self.tile, self.overlap, made=self.downscale) for side in latents.shape[-2:]
        )
        return over_tiles(self.autoencoder.decode, latents, rows, columns)


class Strip(NamedTuple):
    """One tile along one side: what of the input it takes, what it makes, and its share (made,) of that."""

    taken: slice
    made: slice
    share: Tensor


def strips(length: int, tile: int, overlap: int, taken: int = 1, made: int = 1) -> list[Strip]:
    """The tiles of a side of ``length`` latent positions, all of one size; shares sum to one everywhere.

    A position stands for ``taken`` values of the input and ``made`` values of the answer. The last tile takes
    also what the input has beyond a whole position.
    """
    starts = places(length, tile, overlap)
    tile = min(tile, length)
    weights = torch.stack([fade(length, start, tile, overlap, made) for start in starts])
    shares = (weights / weights.sum(dim=0)).float()
    spans = [slice(start * made, (start + tile) * made) for start in starts]
    ends = [*((start + tile) * taken for start in starts[:-1]), None]
    return [
        Strip(slice(start * taken, end), span, share[span])
        for start, end, span, share in zip(starts, ends, spans, shares, strict=True)
    ]


def places(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles start: as few as there need be, evenly spread, the last flush with the end."""
    steps = max(math.ceil((length - tile) / (tile - overlap)), 0)
    return [round(i * (length - tile) / steps) for i in range(steps + 1)] if steps else [0]


def fade(length: int, start: int, tile: int, overlap: int, made: int) -> Tensor:
    """How much a tile counts, (length * made,): fully in the middle, not at all outside; double precision.

    It rises over half the overlap, a quarter away from the edges, by 3 r^2 - 2 r^3. Edges of the picture are
    no edges.
    """
    place = (torch.arange(length * made, dtype=torch.float64) + 0.5) / made
    before = place - start if start else torch.full_like(place, torch.inf)
    after = start + tile - place if start + tile < length else torch.full_like(place, torch.inf)
    inside = torch.minimum(before, after)
    if not overlap:
        return (inside > 0).double()
    risen = ((inside - overlap / 4) / (overlap / 2)).clamp(0, 1)
    return risen**2 * (3 - 2 * risen)


def over_tiles(
    function: Callable[[Tensor], Tensor], x: Tensor, rows: Sequence[Strip], columns: Sequence[Strip]
) -> Tensor:
    """A function of (B, C, H, W) on each tile of ``x``, its answers put together in single precision."""
    if len(rows) == len(columns) == 1:
        return function(x)
    answer = torch.zeros(0)
    for row in rows:
        for column in columns:
            part = function(x[..., row.taken, column.taken])
            if not answer.numel():
                sides = rows[-1].made.stop, columns[-1].made.stop
                answer = part.new_zeros(*part.shape[:2], *sides, dtype=torch.float32)
            share = (row.share[:, None] * column.share).to(part.device)
            answer[..., row.made, column.made].addcmul_(part.float(), share)
    return answer.to(x.dtype)
