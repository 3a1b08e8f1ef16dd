"""Methods that ask once a step and remember former answers."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from darkroom.diffusion.grids import Grid
from darkroom.diffusion.levels import Level, left
from darkroom.diffusion.noise import Noise
from darkroom.diffusion.samplers.integrals import (
    Rule,
    along_logsnr,
    bh1,
    blend,
    exact,
    half_curved,
    midpoint,
    weights,
)
from darkroom.diffusion.samplers.sampler import (
    Sampling,
    Unit,
    by_alpha,
    diffused,
    noisy,
    reach,
    sampler,
    slope,
    step,
    unit_of,
)

Past = Sequence[tuple[Level, Tensor]]
"""Levels and what was found there, the newest first."""

# ---- x0 integrated over logsnr


class Leg(NamedTuple):
    """A step from ``t``, where x was, to ``s``: the noise kept, the fresh noise and the values to use."""

    x: Tensor
    t: Level
    s: Level
    kept: Tensor
    fresh: Tensor
    most: Tensor


def multistep(
    x: Tensor,
    grid: Grid,
    noise: Noise,
    order: int,
    rule: Rule,
    corrector: int = 0,
    eta: float = 0.0,
    settle: bool = False,
) -> Sampling:
    """Steps with the mean of a polynomial through the last ``order`` estimates of x0, over logsnr.

    A ``corrector`` takes each step again, from the same noise, once the estimate at its end is there: with as
    many estimates as it says. ``eta`` brings noise in, and ``settle`` lowers the order to the number of steps
    left where the grid ends at the clean signal; the step that goes there is of first order always.
    """
    past: list[tuple[Level, Tensor]] = []
    leg: Leg | None = None
    settling = settle & (grid.levels.sigma[-1] == 0)
    for draw, (t, s) in enumerate(grid.steps(), start=1):
        x0 = yield x, t
        if leg and corrector:
            x = walk(leg, [past[0], (t, x0), *past[1:]][:corrector], leg.most + 1, eta, rule)
        past = [(t, x0), *past][:order]
        kept, drawn = diffused(t, s, eta)
        most = torch.where(settling, len(grid) + 1 - draw, order)
        leg = Leg(x, t, s, kept, noisy(torch.zeros_like(x), drawn, noise, draw, t, s), most)
        x = walk(leg, past, most, eta, rule)
    return x


def walk(leg: Leg, found: Past, most: Tensor, eta: float, rule: Rule) -> Tensor:
    """The end of a step with the mean of x0 over it; the first of ``found`` is from where it starts."""
    places, length = along_logsnr([level for level, _ in found[1:]], leg.t, leg.s)
    shares = weights(places, (1 + eta) * length, rule, most)
    return step(leg.x, blend([x0 for _, x0 in found], shares), leg.t, leg.s, leg.kept) + leg.fresh


@sampler("dpmpp_2m", label="DPM++ 2M", order=2, when="The best for its cost in 10 to 30 steps.")
def dpmpp_2m(x: Tensor, grid: Grid, noise: Noise) -> Sampling:
    """DPM-Solver++(2M): Lu et al. 2022 (arXiv 2211.01095), algorithm 2, first order in the last step."""
    return multistep(x, grid, noise, 2, midpoint)


@sampler(
    "dpmpp_2m_sde",
    label="DPM++ 2M SDE",
    order=2,
    stochastic=True,
    when="Fine detail at one call a step, 20 and more.",
)
def dpmpp_2m_sde(x: Tensor, grid: Grid, noise: Noise, eta: float = 1.0) -> Sampling:
    """SDE-DPM-Solver++(2M): Lu et al. 2022 (arXiv 2211.01095), with k-diffusion's midpoints."""
    return multistep(x, grid, noise, 2, midpoint, eta=eta)


@sampler(
    "dpmpp_2m_sde_heun",
    label="DPM++ 2M SDE Heun",
    order=2,
    stochastic=True,
    when="As DPM++ 2M SDE, sharper in long steps.",
)
def dpmpp_2m_sde_heun(x: Tensor, grid: Grid, noise: Noise, eta: float = 1.0) -> Sampling:
    """The same, the line through two estimates integrated exactly: ``solver_type="heun"`` there."""
    return multistep(x, grid, noise, 2, exact, eta=eta)


@sampler(
    "dpmpp_3m_sde",
    label="DPM++ 3M SDE",
    order=2,
    stochastic=True,
    when="As DPM++ 2M SDE, for 30 steps and more.",
)
def dpmpp_3m_sde(x: Tensor, grid: Grid, noise: Noise, eta: float = 1.0) -> Sampling:
    """k-diffusion's ``sample_dpmpp_3m_sde``, which halves the curvature: at ``eta`` 0 of order 2, not 3."""
    return multistep(x, grid, noise, 3, half_curved, eta=eta)


@sampler("unipc", label="UniPC", order=3, when="The fewest steps, 5 to 15, as other tools have it (bh1).")
def unipc(x: Tensor, grid: Grid, noise: Noise, order: int = 3) -> Sampling:
    """UniPC with B(h) = h: Zhao et al. 2023 (arXiv 2302.04867), algorithms 1 and 2; ``order`` 1 and up."""
    return multistep(x, grid, noise, order, bh1, corrector=order + 1, settle=True)


@sampler("unipc_bh2", label="UniPC bh2", order=3, when="The fewest steps, 5 to 15, with strong guidance.")
def unipc_bh2(x: Tensor, grid: Grid, noise: Noise, order: int = 3) -> Sampling:
    """The same with B(h) = exp(h) - 1."""
    return multistep(x, grid, noise, order, midpoint, corrector=order + 1, settle=True)


@sampler(
    "sa_solver",
    label="SA-Solver",
    order=2,
    stochastic=True,
    when="Stochastic and corrected: 15 steps and more.",
)
def sa_solver(x: Tensor, grid: Grid, noise: Noise, tau: float = 1.0) -> Sampling:
    """Xue et al. 2023 (arXiv 2309.05019), with predictor and corrector of two estimates each."""
    return multistep(x, grid, noise, 2, bh1, corrector=2, eta=tau**2, settle=True)


# ---- slopes


Weigh = Callable[[Sequence[Level], Level, Level], Tensor]
"""(former levels, t, s) -> the weights (..., n) of the slope at t and of the former ones."""


def adams(x: Tensor, grid: Grid, unit: Unit, order: int, weigh: Weigh) -> Sampling:
    """Adams and Bashforth's steps: the weighted mean of the last ``order`` slopes."""
    past: list[tuple[Level, Tensor]] = []
    for t, s in grid.steps():
        x0 = yield x, t
        here = slope(x, x0, t, unit)
        past = [(t, here), *past][:order]
        shares = weigh([level for level, _ in past[1:]], t, s)
        x = step(x, x0, t, s) + left(reach(t, s, unit), x) * (blend([d for _, d in past], shares) - here)
    return x


@sampler("lms", label="LMS", order=2, when="As Euler, smoother; not below 20 steps.")
def lms(x: Tensor, grid: Grid, noise: Noise, order: int = 4) -> Sampling:
    """The polynomial through ``order`` slopes over sigma, integrated: k-diffusion's ``sample_lms``.

    Its first steps have less to go by, and the first, Euler's, holds the whole to second order.
    """
    unit = unit_of(grid.schedule)

    def weigh(former: Sequence[Level], t: Level, s: Level) -> Tensor:
        start, end = (level.sigma / unit(level) for level in (t, s))
        places = [(level.sigma / unit(level) - start) / (end - start) for level in former]
        return weights(places, 0 * (end - start))  # not a number, so of first order, over an infinite step

    return adams(x, grid, unit, order, weigh)


@sampler("ipndm", label="iPNDM", order=2, when="As LMS for steps of even length, its weights being fixed.")
def ipndm(x: Tensor, grid: Grid, noise: Noise, order: int = 4) -> Sampling:
    """Weights of even steps, such as (55, -59, 37, -9) / 24: Zhang and Chen 2022 (arXiv 2204.13902)."""

    def weigh(former: Sequence[Level], t: Level, s: Level) -> Tensor:
        return weights(
            [torch.full_like(t.sigma, -i) for i in range(1, len(former) + 1)], torch.zeros_like(t.sigma)
        )

    return adams(x, grid, unit_of(grid.schedule), order, weigh)


@sampler("deis", label="DEIS", order=2, when="Few steps, 8 to 20; steady where guidance is weak.")
def deis(x: Tensor, grid: Grid, noise: Noise, order: int = 3) -> Sampling:
    """The polynomial in log(sigma / alpha) through ``order`` estimates of eps, integrated exactly.

    Zhang and Chen 2022 (arXiv 2204.13902).
    """

    def weigh(former: Sequence[Level], t: Level, s: Level) -> Tensor:
        places, length = along_logsnr(former, t, s)
        return weights(places, -length)

    return adams(x, grid, by_alpha, order, weigh)
