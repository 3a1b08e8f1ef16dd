"""A method that chooses its own steps."""

from collections.abc import Generator

import torch
from torch import Tensor

from darkroom.diffusion.grids import Grid
from darkroom.diffusion.levels import Level, left
from darkroom.diffusion.noise import Noise
from darkroom.diffusion.samplers.integrals import moments
from darkroom.diffusion.samplers.sampler import Sampling, sampler
from darkroom.diffusion.samplers.slopes import by_alpha, reach
from darkroom.diffusion.samplers.steps import step

TINY = 1e-8
"""Added to an error before division by it."""


@sampler(
    "dpm_adaptive",
    label="DPM adaptive",
    order=3,
    calls=3,
    adaptive=True,
    asks=lambda steps: 3 * steps,
    when="Chooses its own steps, to a tolerance; asks thrice in each.",
)
def dpm_adaptive(
    x: Tensor,
    grid: Grid,
    noise: Noise,
    rtol: float = 0.05,
    atol: float = 0.0078,
    h_init: float = 0.05,
    safety: float = 0.81,
) -> Sampling:
    """DPM-Solver-23 with the step control of k-diffusion: Lu et al. 2022 (arXiv 2206.00927).

    Of ``grid`` it takes the ends. Where one has infinite logsnr it walks to, or from, the middle of the step
    there, and goes the rest in a step of first order. ``rtol`` and ``atol`` bound the difference of a second
    and a third order step, as the root of its mean square over a row of x / alpha; ``h_init`` is the first
    step in logsnr, and a step is taken where the control would not shorten the next below ``safety`` of it.
    Rows choose for themselves; who is done waits for the others.
    """
    first, t, end, final = (level.expand(len(x)) for level in _ends(grid))
    if not torch.equal(first.sigma, t.sigma):
        x = step(x, (yield x, first), first, t)
    now, goal = t.logsnr, end.logsnr
    ahead = torch.full_like(now, h_init)
    before = x / left(t.alpha, x)
    while (moving := now < goal - 1e-5).any():
        to = torch.where(moving, torch.minimum(goal, now + ahead), now + ahead)
        s = grid.schedule.at_logsnr(to)
        low, high = yield from _pair(x, grid, (t, now), (s, to))
        near = low / left(s.alpha, x)
        error = _difference(near, high / left(s.alpha, x), before, rtol, atol).to(now)
        factor = 1 + torch.atan(error.add(TINY) ** (-1 / 3) - 1)
        taken = moving & ~(factor < safety)  # so that a signal that is not a number comes to an end
        ahead = ahead * factor
        here = left(taken, x) > 0
        x, before = torch.where(here, high, x), torch.where(here, near, before)
        now = torch.where(taken, to, now)
        t = s.where(taken, t)
    return step(x, (yield x, t), t, final) if not torch.equal(final.sigma, end.sigma) else x


def _ends(grid: Grid) -> tuple[Level, Level, Level, Level]:
    """Where it begins, from where and to where logsnr is finite, and where it ends."""
    places = (grid.levels.rows(i) for i in (0, 1, -2, -1))
    first, second, last_but_one, last = places
    return first, _finite(grid, first, second), _finite(grid, last, last_but_one), last


def _finite(grid: Grid, end: Level, inner: Level) -> Level:
    """``end``, or the middle of the step there where it is infinite."""
    return end.where(end.logsnr.isfinite(), grid.between(end, inner, 0.5))


def _pair(
    x: Tensor, grid: Grid, start: tuple[Level, Tensor], end: tuple[Level, Tensor]
) -> Generator[tuple[Tensor, Level], Tensor, tuple[Tensor, Tensor]]:
    """The same step by DPM-Solver-2 with r = 1/3 and by DPM-Solver-3 (algorithms 1 and 2), between levels
    given with their logsnr.
    """
    (t, now), (s, to) = start, end
    length = to - now
    x0 = yield x, t
    here = _eps(x, x0, t)
    third, two_thirds = (grid.schedule.at_logsnr(now + r * length) for r in (1 / 3, 2 / 3))

    def along(level: Level, change: Tensor, share: Tensor | float) -> Tensor:
        return step(x, x0, t, level) + left(share * reach(t, level, by_alpha), x) * change

    early = step(x, x0, t, third)
    change = _eps(early, (yield early, third), third) - here
    late = along(two_thirds, change, 2 * _lean(2 / 3 * length))
    second = _eps(late, (yield late, two_thirds), two_thirds) - here
    return along(s, change, 1.5), along(s, second, 1.5 * _lean(length))


def _lean(length: Tensor) -> Tensor:
    """Where on a step of that length in logsnr a value in eps counts, on average: from 0 to 1."""
    return moments(-length, 2)[..., 1]


def _eps(x: Tensor, x0: Tensor, t: Level) -> Tensor:
    """The slope of x / alpha over sigma / alpha."""
    return (x - left(t.alpha, x) * x0) / left(t.sigma, x)


def _difference(low: Tensor, high: Tensor, before: Tensor, rtol: float, atol: float) -> Tensor:
    """Of each row the difference in tolerances, (B,)."""
    allowed = (rtol * torch.maximum(low.abs(), before.abs())).clamp(min=atol)
    return ((low - high) / allowed).flatten(1).square().mean(1).sqrt()
