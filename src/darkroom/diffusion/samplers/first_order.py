"""Methods of first order, which ask once a step and keep no history."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from darkroom.diffusion.grids import Grid
from darkroom.diffusion.levels import Level, left
from darkroom.diffusion.noise import Noise
from darkroom.diffusion.samplers.sampler import Sampling, Split, noisy, renewed, sampler, step


def renewing(x: Tensor, grid: Grid, noise: Noise, split: Callable[[Level, Level], Split]) -> Sampling:
    """First order steps that renew part of the noise: Song et al. 2021 (arXiv 2010.02502), equation 12."""
    for draw, (t, s) in enumerate(grid.steps(), start=1):
        x0 = yield x, t
        kept, drawn = split(t, s)
        x = noisy(step(x, x0, t, s, kept), drawn, noise, draw, t, s)
    return x


@sampler("ddpm", label="DDPM", order=1, stochastic=True, when="The original, for a hundred steps or more.")
def ddpm(x: Tensor, grid: Grid, noise: Noise) -> Sampling:
    """Ho et al. 2020 (arXiv 2006.11239), algorithm 2 with the posterior's variance, on any grid."""
    return renewing(x, grid, noise, lambda t, s: renewed(t, s, 1.0))


@sampler("ddim", label="DDIM", order=1, when="Repeatable, can be run backwards; eta brings noise in.")
def ddim(x: Tensor, grid: Grid, noise: Noise, eta: float = 0.0) -> Sampling:
    """Song et al. 2021 (arXiv 2010.02502), equation 12; ``eta`` in [0, 1] of equation 16."""
    return renewing(x, grid, noise, lambda t, s: renewed(t, s, eta))


Plan = Iterator[tuple[Level, Level, Level]]
"""For each step: the level arrived at, the level to raise the noise to before the step, and its end."""


def churn(grid: Grid, s_churn: float = 0.0, s_tmin: float = 0.0, s_tmax: float = float("inf")) -> Plan:
    """Steps before which noise is added, ``s_churn`` over the whole: at most 2 ** 0.5 times sigma / alpha.

    Only where sigma / alpha lies from ``s_tmin`` to ``s_tmax``. Karras et al. 2022 (arXiv 2206.00364),
    algorithm 2.
    """
    gamma = min(s_churn / len(grid), 2**0.5 - 1)
    for t, s in grid.steps():
        ratio = t.sigma / t.alpha
        more = gamma * ((ratio >= s_tmin) & (ratio <= s_tmax) & ratio.isfinite()).to(ratio)
        higher = grid.schedule.at_logsnr(t.logsnr - torch.log1p(more))
        yield t, Level(*(torch.where(more > 0, new, old) for new, old in zip(higher, t, strict=True))), s


def raised(x: Tensor, t: Level, up: Level, noise: Noise, draw: int, s_noise: float = 1.0) -> Tensor:
    """From ``t`` back to the noisier level ``up`` by adding noise, ``s_noise`` times what is due.

    The noise is fresh, by its number: a Brownian path would give again what it gave on the way down.
    """
    if torch.equal(t.sigma, up.sigma) and torch.equal(t.alpha, up.alpha):
        return x
    ratio = torch.where(t.alpha > 0, up.alpha / t.alpha, 1.0)
    missing = (up.sigma**2 - (ratio * t.sigma) ** 2).clamp(min=0).sqrt()
    return left(ratio, x) * x + left(s_noise * missing, x) * noise(draw).to(x)


@sampler("euler", label="Euler", order=1, when="The plain one: robust, and exact on a straight flow.")
def euler(x: Tensor, grid: Grid, noise: Noise, s_noise: float = 1.0, **churning: float) -> Sampling:
    """Karras et al. 2022 (arXiv 2206.00364), algorithm 2 without its correction; options of :func:`churn`."""
    for draw, (t, up, s) in enumerate(churn(grid, **churning), start=1):
        x = raised(x, t, up, noise, draw, s_noise)
        x0 = yield x, up
        x = step(x, x0, up, s)
    return x


@sampler("euler_a", label="Euler a", order=1, stochastic=True, when="Soft detail in 20 to 40 steps.")
def euler_a(x: Tensor, grid: Grid, noise: Noise, eta: float = 1.0) -> Sampling:
    """Ancestral Euler steps of k-diffusion; in (alpha, sigma) they are DDIM's with ``eta`` 1."""
    return renewing(x, grid, noise, lambda t, s: renewed(t, s, eta))
