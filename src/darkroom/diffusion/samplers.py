"""Samplers: numerical methods that ask "what is the clean signal here?" and never see who answers.

A sampler is a generator: it yields ``(x, level)``, is sent the estimate of x0 there, and returns the final
signal. All are written in (alpha, sigma), regular at alpha = 0 and at sigma = 0, and take levels of shape ()
or (B,): rows of one batch may stand at different levels.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from darkroom.diffusion.grids import Grid
from darkroom.diffusion.levels import Level, left
from darkroom.diffusion.noise import Noise

Sampling = Generator[tuple[Tensor, Level], Tensor, Tensor]
"""Yields (x, level), is sent x0, returns the final x."""

Denoiser = Callable[[Tensor, Level], Tensor]
"""(x, level) -> estimate of x0."""


@dataclass(frozen=True)
class Sampler:
    """A method: call it with a signal at ``grid.start``, a grid and a noise.

    ``order`` is that of its convergence in the step, ``calls`` how often it asks in a step, ``stochastic``
    whether it draws noise under way and ``when`` what it is good for.
    """

    name: str
    label: str
    order: int
    calls: int
    when: str
    stochastic: bool
    method: Callable[..., Sampling]

    def __call__(self, x: Tensor, grid: Grid, noise: Noise, **options: float) -> Sampling:
        """``x`` (B, ...); options are those of the method."""
        return self.method(x, grid, noise, **options)

    def questions(self, grid: Grid) -> int:
        """How often it asks along ``grid``: methods of several calls make do with one in the last step."""
        return self.calls * len(grid) - (self.calls - 1)


SAMPLERS: dict[str, Sampler] = {}


def sampler(
    name: str, *, label: str, order: int, when: str, calls: int = 1, stochastic: bool = False
) -> Callable[[Callable[..., Sampling]], Sampler]:
    """Register a method (x, grid, noise, ...) under ``name``."""

    def register(method: Callable[..., Sampling]) -> Sampler:
        SAMPLERS[name] = Sampler(name, label, order, calls, when, stochastic, method)
        return SAMPLERS[name]

    return register


def sample(sampling: Sampling, denoiser: Denoiser) -> Tensor:
    """Run a sampler to its end with ``denoiser`` answering; returns the final signal."""
    try:
        x, level = next(sampling)
        while True:
            x, level = sampling.send(denoiser(x, level))
    except StopIteration as stop:
        return stop.value


def step(x: Tensor, x0: Tensor, t: Level, s: Level, noise_left: Tensor | None = None) -> Tensor:
    """From ``t`` to ``s`` with x0 held fixed, leaving ``noise_left`` of the noise (default ``s.sigma``).

    Exact when x0 is. Song et al. 2021 (arXiv 2010.02502), equation 12, without division by alpha.
    """
    ratio = (s.sigma if noise_left is None else noise_left) / t.sigma
    return left(ratio, x) * x + left(s.alpha - t.alpha * ratio, x) * x0


def renewed(t: Level, s: Level, eta: float) -> tuple[Tensor, Tensor]:
    """How much noise to keep and how much to draw from ``t`` to ``s``; the squares add up to ``s.sigma**2``.

    At ``eta`` 1 this is the posterior of x at s given x0 and x at t (Ho et al. 2020, arXiv 2006.11239,
    equation 7); at 0 nothing is drawn.
    """
    ratio = (t.alpha * s.sigma) / (s.alpha * t.sigma)  # of the two sigma / alpha, in [0, 1)
    drawn = eta * s.sigma * (1 - ratio**2).clamp(min=0).sqrt()
    return (s.sigma**2 - drawn**2).clamp(min=0).sqrt(), drawn


def ancestral(x: Tensor, grid: Grid, noise: Noise, eta: float) -> Sampling:
    """First order steps that renew part of the noise: Song et al. 2021 (arXiv 2010.02502), equation 12."""
    for draw, (t, s) in enumerate(grid.steps(), start=1):
        x0 = yield x, t
        kept, drawn = renewed(t, s, eta)
        x = step(x, x0, t, s, kept)
        if drawn.any():
            x = x + left(drawn, x) * noise(draw).to(x)
    return x


@sampler("ddpm", label="DDPM", order=1, stochastic=True, when="The original, for a hundred steps or more.")
def ddpm(x: Tensor, grid: Grid, noise: Noise) -> Sampling:
    """Ho et al. 2020 (arXiv 2006.11239), algorithm 2 with the posterior's variance, on any grid."""
    return ancestral(x, grid, noise, eta=1.0)


@sampler("ddim", label="DDIM", order=1, when="Repeatable, can be run backwards; eta brings noise in.")
def ddim(x: Tensor, grid: Grid, noise: Noise, eta: float = 0.0) -> Sampling:
    """Song et al. 2021 (arXiv 2010.02502), equation 12; ``eta`` in [0, 1] of equation 16."""
    return ancestral(x, grid, noise, eta)


@sampler("euler", label="Euler", order=1, when="The plain one: robust, and exact on a straight flow.")
def euler(x: Tensor, grid: Grid, noise: Noise) -> Sampling:
    """Karras et al. 2022 (arXiv 2206.00364), algorithm 1 without its correction."""
    for t, s in grid.steps():
        x0 = yield x, t
        x = step(x, x0, t, s)
    return x


@sampler("euler_a", label="Euler a", order=1, stochastic=True, when="Soft detail in 20 to 40 steps.")
def euler_a(x: Tensor, grid: Grid, noise: Noise, eta: float = 1.0) -> Sampling:
    """Ancestral Euler steps of k-diffusion; in (alpha, sigma) they are DDIM's with ``eta`` 1."""
    return ancestral(x, grid, noise, eta)


@sampler("heun", label="Heun", order=2, calls=2, when="Accurate where calls do not matter.")
def heun(x: Tensor, grid: Grid, noise: Noise) -> Sampling:
    """Karras et al. 2022 (arXiv 2206.00364), algorithm 1: the mean of the slopes at both ends.

    Written as a step with a corrected x0: with slopes (x - x0) / sigma, their mean moves x0 by
    ``t.sigma / (2 s.sigma)`` of its change. The last step has no slope at its end and stays first order.
    This is native on VE and flow. On VP k-diffusion takes slopes in sigma / alpha, of the same order but
    singular at alpha = 0.
    """
    for t, s in grid.steps():
        x0 = yield x, t
        guess = step(x, x0, t, s)
        if not s.sigma.any():
            return guess
        change = (yield guess, s) - x0
        gain = torch.where(s.sigma > 0, t.sigma / (2 * s.sigma), 0.0)
        x = step(x, x0 + left(gain, x) * change, t, s)
    return x


@sampler("dpmpp_2m", label="DPM++ 2M", order=2, when="The best for its cost in 10 to 30 steps.")
def dpmpp_2m(x: Tensor, grid: Grid, noise: Noise) -> Sampling:
    """DPM-Solver++(2M): Lu et al. 2022 (arXiv 2211.01095), algorithm 2, first order in the last step."""
    before, length_before = None, None
    for t, s in grid.steps():
        x0 = yield x, t
        length = s.logsnr - t.logsnr
        x = step(x, extrapolate(x0, before, length, length_before), t, s)
        before, length_before = x0, length
    return x


def extrapolate(x0: Tensor, before: Tensor | None, length: Tensor, length_before: Tensor | None) -> Tensor:
    """x0 half a step on in logsnr, on the line through the last two; unchanged where a step is infinite."""
    if before is None or length_before is None:
        return x0
    gain = length / (2 * length_before)
    return x0 + left(gain.where(gain.isfinite(), torch.zeros_like(gain)), x0) * (x0 - before)
