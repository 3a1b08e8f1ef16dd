"""Methods that ask twice in a step, at its ends or in its middle, and keep nothing for the next."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from darkroom.diffusion.grids import Grid
from darkroom.diffusion.levels import Level, left
from darkroom.diffusion.noise import Noise
from darkroom.diffusion.samplers.first_order import Plan, churn
from darkroom.diffusion.samplers.sampler import Sampling, sampler
from darkroom.diffusion.samplers.slopes import Unit, by_alpha, reach, slope, unit_of
from darkroom.diffusion.samplers.steps import Split, any_row, draws, mixers, renewed, straight

Noises = Iterable[Sequence[Tensor]]
"""Step by step those for the way to the second look, where there are any, and for the whole way."""


def two_looks(
    x: Tensor,
    plan: Plan,
    look: Level,
    approach: Sequence[Tensor],
    arrive: Sequence[Tensor],
    noises: Noises | None = None,
) -> Sampling:
    """Steps that ask, walk to ``look`` to ask again, and go to their end by what was seen from both places.

    ``approach`` weighs (x, x0, noise), ``arrive`` (x, x0, noise, x there, x0 there). By default the way to
    ``look`` has no noise. A step to the clean signal asks once.
    """
    t, s = plan.starts, plan.ends
    noises = noises or ((eps,) for eps in draws(x, plan.noise, arrive[2], t, s))
    levels, walks = (t.each(), look.each(), any_row(s.sigma)), (mixers(x, *approach), mixers(x, *arrive))
    for (rise, more), start, there, again, near, far, (*early, whole) in zip(
        plan.rises(x), *levels, *walks, noises, strict=True
    ):
        x = rise(x, more)
        x0 = yield x, start
        halfway = near(x, x0, *early)
        x = far(x, x0, whole, halfway, (yield halfway, there)) if again else far(x, x0, whole)
    return x


def two_slopes(x: Tensor, plan: Plan, look: Level, gain: Tensor, split: Split, unit: Unit) -> Sampling:
    """The step along the slope at its start, and ``gain`` times the difference of that at ``look`` from it.

    A step to the clean signal is Euler's.
    """
    t, s, (kept, drawn) = plan.starts, plan.ends, split
    gain = torch.where(s.sigma > 0, gain, 0.0)
    here, there = ([gain * part for part in slope(level, unit)] for level in (t, look))
    along = [whole - part for whole, part in zip(straight(t, s, kept), here, strict=True)]
    return two_looks(x, plan, look, straight(t, look), [*along, drawn, *there])


def trapezoids(x: Tensor, plan: Plan, unit: Unit) -> Sampling:
    """The mean of the slopes at both ends."""
    t, s = plan.starts, plan.ends
    return two_slopes(x, plan, s, reach(t, s, unit) / 2, renewed(t, s, 0.0), unit)


def midpoints(x: Tensor, grid: Grid, plan: Plan, unit: Unit, eta: float = 0.0) -> Sampling:
    """The slope in the middle, in logsnr, of the way to the noise that is kept; ``eta`` draws the rest."""
    t, s = plan.starts, plan.ends
    kept, drawn = renewed(t, s, eta)
    low = s._replace(sigma=kept)
    return two_slopes(x, plan, grid.between(t, low, 0.5), reach(t, low, unit), (kept, drawn), unit)


@sampler("heun", label="Heun", order=2, calls=2, when="Accurate where calls do not matter.")
def heun(x: Tensor, grid: Grid, noise: Noise, **churning: float) -> Sampling:
    """Karras et al. 2022 (arXiv 2206.00364), algorithm 2; options of :func:`churn`."""
    return trapezoids(x, churn(grid, noise, **churning), unit_of(grid.schedule))


def _restarted(steps: int, begin: float, end: float, times: int) -> list[int]:
    """Which steps to take, by number: those from ``begin`` to ``end`` of all ``times`` times more."""
    first, last = int(steps * begin), int(steps * end)
    return [*range(last), *list(range(first, last)) * times, *range(last, steps)]


def restarts(grid: Grid, noise: Noise, begin: float, end: float, times: int) -> Plan:
    """The steps of ``grid``, going back by adding noise from where ``end`` of them are done to ``begin``."""
    taken = _restarted(len(grid), begin, end, times)
    arrived = torch.tensor([0, *(i + 1 for i in taken[:-1])])
    starts, levels = torch.tensor(taken), grid.levels
    return Plan(levels.rows(arrived), levels.rows(starts), levels.rows(starts + 1), noise)


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
    return trapezoids(x, restarts(grid, noise, 0.4, 0.9, 1), unit_of(grid.schedule))


@sampler("dpm2", label="DPM2", order=2, calls=2, when="As Heun, with its second look in the middle.")
def dpm2(x: Tensor, grid: Grid, noise: Noise, **churning: float) -> Sampling:
    """The slope at the middle in logsnr, after Karras et al. 2022 (arXiv 2206.00364), algorithm 2.

    Also after DPM-Solver-2 (Lu et al. 2022, arXiv 2206.00927, algorithm 1); so k-diffusion has it.
    """
    return midpoints(x, grid, churn(grid, noise, **churning), unit_of(grid.schedule))


@sampler(
    "dpm2_a", label="DPM2 a", order=2, calls=2, stochastic=True, when="As DPM2 with fresh noise in each step."
)
def dpm2_a(x: Tensor, grid: Grid, noise: Noise, eta: float = 1.0) -> Sampling:
    """DPM2 to less noise than due, then fresh noise: k-diffusion's ``sample_dpm_2_ancestral``."""
    return midpoints(x, grid, churn(grid, noise), by_alpha, eta)


def two_estimates(
    x: Tensor, plan: Plan, look: Level, splits: tuple[Split, Split], noises: Noises | None = None
) -> Sampling:
    """Steps with x0 as it is seen at ``look``; in rows that step to the clean signal, at the start.

    ``splits`` are those of the noise at ``look`` and at the end.
    """
    (low, early), (kept, drawn) = splits
    of_x, of_x0 = straight(plan.starts, plan.ends, kept)
    clean = torch.where(plan.ends.sigma > 0, 0.0, of_x0)
    arrive = of_x, clean, drawn, torch.zeros_like(of_x), of_x0 - clean
    return two_looks(x, plan, look, (*straight(plan.starts, look, low), early), arrive, noises)


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
    t, s = grid.starts, grid.ends
    kept, drawn = renewed(t, s, eta)
    look = grid.between(t, s._replace(sigma=kept), 0.5)
    return two_estimates(x, churn(grid, noise), look, (renewed(t, look, 0.0), (kept, drawn)))


@sampler(
    "dpmpp_sde", label="DPM++ SDE", order=2, calls=2, stochastic=True, when="Fine detail in 10 to 20 steps."
)
def dpmpp_sde(x: Tensor, grid: Grid, noise: Noise, eta: float = 1.0) -> Sampling:
    """DPM-Solver++ for the stochastic equation in two stages: k-diffusion's ``sample_dpmpp_sde``."""
    t, s = grid.starts, grid.ends
    look = grid.between(t, s, 0.5)
    splits = renewed(t, look, eta), renewed(t, s, eta)
    return two_estimates(x, churn(grid, noise), look, splits, halves(x, noise, t, look, s))


def halves(x: Tensor, noise: Noise, t: Level, middle: Level, s: Level) -> Noises:
    """Step by step noise for the way from ``t`` to ``middle`` and for the whole way to ``s``.

    Without a Brownian path step i takes draws 2i - 1 and 2i: one for each half of the way. They go into the
    whole as the reverse stochastic equation puts them together. 0 on the way to the clean signal.
    """
    if hasattr(noise, "along"):
        return zip(draws(x, noise, s.sigma, t, middle), draws(x, noise, s.sigma, t, s), strict=True)
    first = draws(x, lambda draw: noise(2 * draw - 1), s.sigma, t, middle)
    second = draws(x, lambda draw: noise(2 * draw), s.sigma, middle, s)
    (_, early), (onward, late), (_, total) = (
        renewed(a, b, 1.0) for a, b in ((t, middle), (middle, s), (t, s))
    )
    share = left(torch.where(total > 0, onward / middle.sigma * early / total, 0.0), x[None])
    rest = left(torch.where(total > 0, late / total, 1.0), x[None])
    return ((one, a * one + b * two) for a, one, b, two in zip(share, first, rest, second, strict=True))
