"""A method that chooses its own steps."""

from collections.abc import Generator

import torch
from torch import Tensor

from darkroom.diffusion.grids import Grid
from darkroom.diffusion.levels import Level, Schedule, left
from darkroom.diffusion.noise import Noise
from darkroom.diffusion.samplers.integrals import moments
from darkroom.diffusion.samplers.sampler import Sampling, sampler
from darkroom.diffusion.samplers.steps import step

THIRDS = torch.tensor((0, 1 / 3, 2 / 3, 1), dtype=torch.float64)[:, None]
"""Where in its step the method asks, and where that ends."""


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
    y = before = x / left(t.alpha, x)
    while (moving := now < goal - 1e-5).any():
        length = torch.where(moving, torch.minimum(goal - now, ahead), ahead)
        low, high = yield from _pair(y, grid.schedule, now, length)
        error = _difference(low, high, before, rtol, atol).to(now)
        factor = 1 + torch.atan((error + 1e-8) ** (-1 / 3) - 1)
        taken = moving & ~(factor < safety)  # so that a signal that is not a number comes to an end
        ahead = ahead * factor
        now = torch.where(taken, now + length, now)
        here = left(taken, y) > 0
        y, before = torch.where(here, high, y), torch.where(here, low, before)
    x = left(end.alpha, y) * y
    return step(x, (yield x, end), end, final) if not torch.equal(final.sigma, end.sigma) else x


def _ends(grid: Grid) -> tuple[Level, Level, Level, Level]:
    """Where it begins, from where and to where logsnr is finite, and where it ends."""
    first, second, last_but_one, last = (grid.levels.rows(i) for i in (0, 1, -2, -1))
    return first, _finite(grid, first, second), _finite(grid, last, last_but_one), last


def _finite(grid: Grid, end: Level, inner: Level) -> Level:
    """``end``, or the middle of the step there where it is infinite."""
    return end.where(end.logsnr.isfinite(), grid.between(end, inner, 0.5))


def _pair(
    y: Tensor, schedule: Schedule, now: Tensor, length: Tensor
) -> Generator[tuple[Tensor, Level], Tensor, tuple[Tensor, Tensor]]:
    """From y at logsnr ``now``, y that lies ``length`` in it later, by DPM-Solver-2 with r = 1/3 and by
    DPM-Solver-3 (algorithms 1 and 2).

    y is x / alpha, whose slope over sigma / alpha is eps. What all levels ask for is worked out together;
    ``lean`` is where on a step a value in eps counts, on average, from 0 to 1.
    """
    lengths = THIRDS.to(now) * length
    levels, ratios = schedule.at_logsnr(now + lengths), torch.exp(-now - lengths)
    first, third, two_thirds, _ = levels.each()
    parts = torch.cat([ratios, levels.alpha, ratios - ratios[0], moments(-lengths[2:], 2)[..., 1]])
    noise, alpha, far, lean = (part.unbind() for part in left(parts, y[None]).split_with_sizes([4, 4, 4, 2]))
    here = (y - (yield alpha[0] * y, first)) / noise[0]
    early = torch.addcmul(y, far[1], here)
    there = (early - (yield alpha[1] * early, third)) / noise[1]
    late = torch.addcmul(y, far[2], torch.lerp(here, there, 2 * lean[0]))
    low = torch.addcmul(y, far[3], torch.lerp(here, there, 1.5))
    there = (late - (yield alpha[2] * late, two_thirds)) / noise[2]
    return low, torch.addcmul(y, far[3], torch.lerp(here, there, 1.5 * lean[1]))


def _difference(low: Tensor, high: Tensor, before: Tensor, rtol: float, atol: float) -> Tensor:
    """Of each row the difference in tolerances, (B,)."""
    allowed = (rtol * torch.maximum(low.abs(), before.abs())).clamp(min=atol)
    return ((low - high) / allowed).flatten(1).square().mean(1).sqrt()
