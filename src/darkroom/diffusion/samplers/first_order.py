"""Methods of first order, which ask once a step and keep no history."""

from collections.abc import Callable, Iterator
from math import inf
from typing import NamedTuple

import torch
from torch import Tensor

from darkroom.diffusion.grids import Grid
from darkroom.diffusion.levels import Level
from darkroom.diffusion.noise import Noise
from darkroom.diffusion.samplers.sampler import Sampling, sampler
from darkroom.diffusion.samplers.steps import Mixer, Split, draws, mixers, renewed, straight


class Plan(NamedTuple):
    """Of all steps the levels arrived at, those to raise the noise to before a step, and the steps' ends.

    ``noise`` raises it, ``s_noise`` times as much as is due.
    """

    arrived: Level
    starts: Level
    ends: Level
    noise: Noise
    s_noise: float = 1.0

    def rises(self, x: Tensor) -> Iterator[tuple[Mixer, Tensor]]:
        """Step by step what leads back up from x and noise, and that noise.

        It is fresh, by its number: a Brownian path would give again what it gave on the way down.
        """
        t, up = self.arrived, self.starts
        ratio = torch.where(t.alpha > 0, up.alpha / t.alpha, 1.0)
        missing = self.s_noise * (up.sigma**2 - (ratio * t.sigma) ** 2).clamp(min=0).sqrt()
        fresh = draws(x, lambda draw: self.noise(draw), missing, t, up)
        return zip(mixers(x, ratio, missing), fresh, strict=True)


def churn(
    grid: Grid, noise: Noise, s_churn: float = 0, s_tmin: float = 0, s_tmax: float = inf, s_noise: float = 1
) -> Plan:
    """Steps before which noise is added, ``s_churn`` over the whole: at most 2 ** 0.5 times sigma / alpha.

    Only where sigma / alpha lies from ``s_tmin`` to ``s_tmax``. Karras et al. 2022 (arXiv 2206.00364),
    algorithm 2.
    """
    t, gamma = grid.starts, min(s_churn / len(grid), 2**0.5 - 1)
    ratio = t.sigma / t.alpha
    more = gamma * ((ratio >= s_tmin) & (ratio <= s_tmax) & ratio.isfinite()).to(ratio)
    higher = grid.schedule.at_logsnr(t.logsnr - torch.log1p(more))
    return Plan(t, higher.where(more > 0, t), grid.ends, noise, s_noise)


def renewing(x: Tensor, plan: Plan, split: Callable[[Level, Level], Split]) -> Sampling:
    """First order steps that renew part of the noise: Song et al. 2021 (arXiv 2010.02502), equation 12."""
    t, s = plan.starts, plan.ends
    kept, drawn = split(t, s)
    moves = mixers(x, *straight(t, s, kept), drawn), draws(x, plan.noise, drawn, t, s)
    for (rise, more), level, move, eps in zip(plan.rises(x), t.each(), *moves, strict=True):
        x = rise(x, more)
        x0 = yield x, level
        x = move(x, x0, eps)
    return x


@sampler("ddpm", label="DDPM", order=1, stochastic=True, when="The original, for a hundred steps or more.")
def ddpm(x: Tensor, grid: Grid, noise: Noise) -> Sampling:
    """Ho et al. 2020 (arXiv 2006.11239), algorithm 2 with the posterior's variance, on any grid."""
    return renewing(x, churn(grid, noise), lambda t, s: renewed(t, s, 1.0))


@sampler("ddim", label="DDIM", order=1, when="Repeatable, can be run backwards; eta brings noise in.")
def ddim(x: Tensor, grid: Grid, noise: Noise, eta: float = 0.0) -> Sampling:
    """Song et al. 2021 (arXiv 2010.02502), equation 12; ``eta`` in [0, 1] of equation 16."""
    return renewing(x, churn(grid, noise), lambda t, s: renewed(t, s, eta))


@sampler("euler", label="Euler", order=1, when="The plain one: robust, and exact on a straight flow.")
def euler(x: Tensor, grid: Grid, noise: Noise, **churning: float) -> Sampling:
    """Karras et al. 2022 (arXiv 2206.00364), algorithm 2 without its correction; options of :func:`churn`."""
    return renewing(x, churn(grid, noise, **churning), lambda t, s: renewed(t, s, 0.0))


@sampler("euler_a", label="Euler a", order=1, stochastic=True, when="Soft detail in 20 to 40 steps.")
def euler_a(x: Tensor, grid: Grid, noise: Noise, eta: float = 1.0) -> Sampling:
    """Ancestral Euler steps of k-diffusion; in (alpha, sigma) they are DDIM's with ``eta`` 1."""
    return renewing(x, churn(grid, noise), lambda t, s: renewed(t, s, eta))
