"""Guides that treat one part of a picture unlike another: keep it, give it a prompt of its own, or tile it.

Masks are numbers in [0, 1] that broadcast against signals (B, C, H, W), such as (1, 1, H, W).
"""

from collections.abc import Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

from darkroom.diffusion.guidance import Guide, Guiding, together
from darkroom.diffusion.levels import Level, left


def inpaint(guide: Guide, known: Tensor, eps: Tensor, mask: Tensor) -> Guide:
    """Paint where ``mask`` is 1 and keep ``known`` (B, ...) where it is 0.

    There the network sees ``known`` under the noise ``eps`` that sampling began with, and the answer is
    ``known`` itself, so that a sampler ends at it: to the bit when its last step is of first order.
    Replacement as in Song et al. 2021 (arXiv 2011.13456), with one noise for all levels.
    """

    def blend(painted: Tensor, kept: Tensor) -> Tensor:
        here = mask.to(painted)
        return here * painted + (1 - here) * kept.to(painted)

    def inside(x: Tensor, level: Level) -> Guiding:
        noised = left(level.alpha, x) * known.to(x) + left(level.sigma, x) * eps.to(x)
        x0 = yield from guide(blend(x, noised), level)
        return blend(x0, known)

    return inside


def regions(parts: Sequence[tuple[Guide, Tensor]]) -> Guide:
    """Each part of the picture by its own guide: the mean of their answers weighted by their masks.

    Raises ValueError when some place lies under no mask.

    Bar-Tal et al. 2023 (MultiDiffusion, arXiv 2302.08113). They average the next signals; as a step is linear
    in x0, that is to average x0.
    """
    total = torch.stack(torch.broadcast_tensors(*(mask for _, mask in parts))).sum(0)
    if not (total > 0).all():
        raise ValueError("some places lie under no mask; add a part for the background.")

    def guide(x: Tensor, level: Level) -> Guiding:
        answers = yield from together([one(x, level) for one, _ in parts])
        shares = ((mask / total).to(x) for _, mask in parts)
        return torch.stack([share * x0 for share, x0 in zip(shares, answers, strict=True)]).sum(0)

    return guide


def tiles(guide: Guide, size: tuple[int, int], overlap: int) -> Guide:
    """Ask ``guide`` in windows of ``size`` (high, wide) that share ``overlap`` positions or more, and blend.

    For pictures larger than a network was trained on; each window weighs less towards its edges. Every
    window is asked with the same conditions, which must not have the shape of the picture.
    Raises ValueError when windows would not move on.

    Bar-Tal et al. 2023 (arXiv 2302.08113).
    """
    if not 0 <= overlap < min(size):
        raise ValueError(f"an overlap of {overlap} does not fit windows of {size[0]} x {size[1]}.")

    def whole(x: Tensor, level: Level) -> Guiding:
        windows = list(_windows(x.shape[-2:], size, overlap))
        answers = yield from together([guide(x[..., down, across], level) for down, across in windows])
        painted, weight = torch.zeros_like(x), x.new_zeros(x.shape[-2:])
        for (down, across), x0 in zip(windows, answers, strict=True):
            share = _hill(x0.shape[-2], x)[:, None] * _hill(x0.shape[-1], x)
            painted[..., down, across] += share * x0
            weight[down, across] += share
        return painted / weight

    return whole


def _windows(shape: Sequence[int], size: Sequence[int], overlap: int) -> Iterator[tuple[slice, slice]]:
    """Windows that cover a picture, row by row."""
    down, across = (list(_spans(*sides, overlap)) for sides in zip(shape, size, strict=True))
    yield from product(down, across)


def _spans(length: int, size: int, overlap: int) -> Iterator[slice]:
    """As few stretches of ``size`` as cover ``length``, evenly spread; all of it where it is shorter."""
    size = min(size, length)
    count = 1 if size == length else -(-(length - overlap) // (size - overlap))
    for i in range(count):
        start = i * (length - size) // max(count - 1, 1)
        yield slice(start, start + size)


def _hill(length: int, like: Tensor) -> Tensor:
    """Weights across a window, from about 0 at its edges to 1 in its middle: (length,)."""
    place = (torch.arange(length, device=like.device) + 0.5) / length
    return (torch.pi * place).sin().square().to(like)
