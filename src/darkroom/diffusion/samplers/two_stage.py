"""Methods that ask twice in a step, at its ends or in its middle, and keep nothing for the next."""

import torch
from torch import Tensor

from darkroom.diffusion.grids import Grid
from darkroom.diffusion.levels import Level, left
from darkroom.diffusion.noise import Noise
from darkroom.diffusion.samplers.first_order import Plan, churn, raised
from darkroom.diffusion.samplers.sampler import (
    Sampling,
    Unit,
    by_alpha,
    increment,
    noisy,
    reach,
    renewed,
    sampler,
    slope,
    step,
    unit_of,
)


def bend(x: Tensor, x0: Tensor, t: Level, at: tuple[Tensor, Tensor, Level], unit: Unit) -> Tensor:
    """By how much the slope at ``at`` (x, x0, level) differs from that at ``t``."""
    return slope(*at, unit) - slope(x, x0, t, unit)


def trapezoids(x: Tensor, plan: Plan, unit: Unit, noise: Noise, s_noise: float = 1.0) -> Sampling:
    """The mean of the slopes at both ends; a step to the clean signal, where there is none, is Euler's."""
    for draw, (t, up, s) in enumerate(plan, start=1):
        x = raised(x, t, up, noise, draw, s_noise)
        x0 = yield x, up
        guess = step(x, x0, up, s)
        if s.sigma.any():
            gain = torch.where(s.sigma > 0, reach(up, s, unit) / 2, 0.0)
            guess = guess + left(gain, x) * bend(x, x0, up, (guess, (yield guess, s), s), unit)
        x = guess
    return x


@sampler("heun", label="Heun", order=2, calls=2, when="Accurate where calls do not matter.")
def heun(x: Tensor, grid: Grid, noise: Noise, s_noise: float = 1.0, **churning: float) -> Sampling:
    """Karras et al. 2022 (arXiv 2206.00364), algorithm 2; options of :func:`churn`."""
    return trapezoids(x, churn(grid, **churning), unit_of(grid.schedule), noise, s_noise)


def _restarted(steps: int, begin: float, end: float, times: int) -> list[int]:
    """Which steps to take, by number: those from ``begin`` to ``end`` of all ``times`` times more."""
    first, last = int(steps * begin), int(steps * end)
    return [*range(last), *list(range(first, last)) * times, *range(last, steps)]


def restarts(grid: Grid, begin: float, end: float, times: int) -> Plan:
    """The steps of ``grid``, going back by adding noise from where ``end`` of them are done to ``begin``."""
    arrived = 0
    for i in _restarted(len(grid), begin, end, times):
        yield grid.levels.rows(arrived), grid.levels.rows(i), grid.levels.rows(i + 1)
        arrived = i + 1


@sampler(
    "restart",
    label="Restart",
    order=2,
    calls=2,
    stochastic=True,
    asks=lambda steps: 2 * len(_restarted(steps, 0.4, 0.9, 1)) - 1,
    when="Heun that goes back to noise half-way: detail of the stochastic ones.",
)
def restart(x: Tensor, grid: Grid, noise: Noise) -> Sampling:
    """Xu et al. 2023 (arXiv 2306.14878): one restart, from 0.9 of the steps back to 0.4."""
    return trapezoids(x, restarts(grid, 0.4, 0.9, 1), unit_of(grid.schedule), noise)


@sampler("dpm2", label="DPM2", order=2, calls=2, when="As Heun, with its second look in the middle.")
def dpm2(x: Tensor, grid: Grid, noise: Noise, s_noise: float = 1.0, **churning: float) -> Sampling:
    """The slope at the middle in logsnr, after Karras et al. 2022 (arXiv 2206.00364), algorithm 2.

    Also after DPM-Solver-2 (Lu et al. 2022, arXiv 2206.00927, algorithm 1); so k-diffusion has it.
    """
    unit = unit_of(grid.schedule)
    for draw, (t, up, s) in enumerate(churn(grid, **churning), start=1):
        x = raised(x, t, up, noise, draw, s_noise)
        x = yield from _through_middle(x, grid, up, s, unit)
    return x


@sampler(
    "dpm2_a", label="DPM2 a", order=2, calls=2, stochastic=True, when="As DPM2 with fresh noise in each step."
)
def dpm2_a(x: Tensor, grid: Grid, noise: Noise, eta: float = 1.0) -> Sampling:
    """DPM2 to less noise than due, then fresh noise: k-diffusion's ``sample_dpm_2_ancestral``."""
    for draw, (t, s) in enumerate(grid.steps(), start=1):
        kept, drawn = renewed(t, s, eta)
        x = yield from _through_middle(x, grid, t, s._replace(sigma=kept), by_alpha)
        x = noisy(x, drawn, noise, draw, t, s)
    return x


def _through_middle(x: Tensor, grid: Grid, t: Level, s: Level, unit: Unit) -> Sampling:
    """One step along the slope at the middle, Euler's where it ends at the clean signal."""
    x0 = yield x, t
    end = step(x, x0, t, s)
    if not s.sigma.any():
        return end
    middle = grid.between(t, s, 0.5)
    halfway = step(x, x0, t, middle)
    gain = torch.where(s.sigma > 0, reach(t, s, unit), 0.0)
    return end + left(gain, x) * bend(x, x0, t, (halfway, (yield halfway, middle), middle), unit)


@sampler(
    "dpmpp_2s_a",
    label="DPM++ 2S a",
    order=2,
    calls=2,
    stochastic=True,
    when="Accurate steps with fresh noise.",
)
def dpmpp_2s_a(x: Tensor, grid: Grid, noise: Noise, eta: float = 1.0) -> Sampling:
    """DPM-Solver++(2S) to less noise than due, then fresh noise: k-diffusion's ``sample_dpmpp_2s_ancestral``.

    Lu et al. 2022 (arXiv 2211.01095), algorithm 1.
    """
    for draw, (t, s) in enumerate(grid.steps(), start=1):
        x0 = yield x, t
        kept, drawn = renewed(t, s, eta)
        if s.sigma.any():
            middle = grid.between(t, s._replace(sigma=kept), 0.5)
            x0 = _where_noisy(s, x0, (yield step(x, x0, t, middle), middle))
        x = noisy(step(x, x0, t, s, kept), drawn, noise, draw, t, s)
    return x


@sampler(
    "dpmpp_sde", label="DPM++ SDE", order=2, calls=2, stochastic=True, when="Fine detail in 10 to 20 steps."
)
def dpmpp_sde(x: Tensor, grid: Grid, noise: Noise, eta: float = 1.0) -> Sampling:
    """DPM-Solver++ for the stochastic equation in two stages: k-diffusion's ``sample_dpmpp_sde``."""
    for draw, (t, s) in enumerate(grid.steps(), start=1):
        x0 = yield x, t
        kept, drawn = renewed(t, s, eta)
        if not s.sigma.any():
            return step(x, x0, t, s)
        middle = grid.between(t, s, 0.5)
        kept_first, drawn_first = renewed(t, middle, eta)
        first, whole = halves(noise, draw, t, middle, s)
        halfway = step(x, x0, t, middle, kept_first) + left(drawn_first, x) * first.to(x)
        x0 = _where_noisy(s, x0, (yield halfway, middle))
        x = step(x, x0, t, s, kept) + left(drawn, x) * whole.to(x)
    return x


def halves(noise: Noise, draw: int, t: Level, middle: Level, s: Level) -> tuple[Tensor, Tensor]:
    """Noise for the way from ``t`` to ``middle`` and for the whole way to ``s``, of which that is a part.

    Without a Brownian path step i takes draws 2i - 1 and 2i: one for each half of the way. They go into the
    whole as the reverse stochastic equation puts them together.
    """
    if hasattr(noise, "between"):
        return increment(noise, draw, t, middle), increment(noise, draw, t, s)
    first, second = noise(2 * draw - 1), noise(2 * draw)
    (_, early), (onward, late), (_, total) = (
        renewed(a, b, 1.0) for a, b in ((t, middle), (middle, s), (t, s))
    )
    share = torch.where(total > 0, onward / middle.sigma * early / total, 0.0)
    rest = torch.where(total > 0, late / total, 1.0)
    return first, left(share, first) * first + left(rest, first) * second


def _where_noisy(s: Level, first: Tensor, second: Tensor) -> Tensor:
    """The second answer, but the first in rows that step to the clean signal."""
    return first + left((s.sigma > 0).to(s.sigma), first) * (second - first)
