"""Guides: they turn a sampler's question into questions for the network, and the answers into one.

A guide is a function of ``(x, level)`` that returns a generator: it yields a tuple of :class:`Query`, is
sent their answers (estimates of x0, in the same order) and returns x0. What it asks in one tuple may be
answered in one batch.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from darkroom.diffusion.levels import Level, LevelFunction, left
from darkroom.diffusion.samplers import Denoiser


class Query(NamedTuple):
    """What is the clean signal in ``x`` (B, ...) at ``level``, given ``cond``?"""

    x: Tensor
    level: Level
    cond: Any


Guiding = Generator[tuple[Query, ...], Sequence[Tensor], Tensor]
Guide = Callable[[Tensor, Level], Guiding]


def unguided(cond: Any) -> Guide:
    """Ask what was asked."""

    def guide(x: Tensor, level: Level) -> Guiding:
        (x0,) = yield (Query(x, level, cond),)
        return x0

    return guide


def cfg(positive: Any, negative: Any, scale: float | LevelFunction, rescale: float = 0.0) -> Guide:
    """Classifier-free guidance, ``negative + scale * (positive - negative)``, both asked in one tuple.

    ``scale`` is a number or a function of the level; where it is 1 for every row the negative is not asked.
    ``rescale`` in [0, 1] pulls the standard deviation of each row back to the positive answer's.

    Ho and Salimans 2022 (arXiv 2207.12598), equation 6; rescaling: Lin et al. 2024 (arXiv 2305.08891),
    equations 15 and 16, here of x0.
    """

    def guide(x: Tensor, level: Level) -> Guiding:
        strength = scale(level) if callable(scale) else torch.full_like(level.alpha, scale)
        if (strength == 1).all():
            return (yield from unguided(positive)(x, level))
        wanted, unwanted = yield (Query(x, level, positive), Query(x, level, negative))
        guided = unwanted + left(strength, x) * (wanted - unwanted)
        return torch.lerp(guided, _with_std_of(guided, wanted), rescale) if rescale else guided

    return guide


def interval(scale: float, low: float, high: float) -> LevelFunction:
    """A scale that is 1 but where sigma / alpha lies above ``low`` and up to ``high``.

    Kynkaanniemi et al. 2024 (arXiv 2404.07724), equation 6.
    """

    def at(level: Level) -> Tensor:
        inside = (level.sigma > low * level.alpha) & (level.sigma <= high * level.alpha)
        return torch.where(inside, scale, 1.0).to(level.alpha)

    return at


def guided(guide: Guide, answer: Callable[[tuple[Query, ...]], Sequence[Tensor]]) -> Denoiser:
    """The denoiser that ``guide`` makes of ``answer``, for use without an engine."""

    def denoise(x: Tensor, level: Level) -> Tensor:
        guiding = guide(x, level)
        try:
            queries = next(guiding)
            while True:
                queries = guiding.send(answer(queries))
        except StopIteration as stop:
            return stop.value

    return denoise


def _with_std_of(x: Tensor, model: Tensor) -> Tensor:
    """Rows of ``x`` scaled to the standard deviation of the rows of ``model``."""
    axes = tuple(range(1, x.ndim))
    return x * (
        model.std(axes, keepdim=True) / x.std(axes, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    )
