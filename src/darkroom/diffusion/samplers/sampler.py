"""What a sampler is, the registry of all, and the steps that they share."""

from collections.abc import Callable, Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from darkroom.diffusion.grids import Grid
from darkroom.diffusion.levels import Level, Schedule, left
from darkroom.diffusion.noise import Noise

Sampling = Generator[tuple[Tensor, Level], Tensor, Tensor]
"""Yields (x, level), is sent x0, returns the final x."""

Denoiser = Callable[[Tensor, Level], Tensor]
"""(x, level) -> estimate of x0."""

Split = tuple[Tensor, Tensor]
"""How much noise to keep and how much to draw; the squares add up to the square of sigma."""


@dataclass(frozen=True)
class Sampler:
    """A method: call it with a signal at ``grid.start``, a grid and a noise.

    ``order`` is that of its convergence in the step (0 for methods that want a distilled network, whose error
    is the network's), ``calls`` how often it asks in a step, ``stochastic`` whether it draws noise under way,
    ``adaptive`` whether it chooses its own steps between the grid's ends and ``when`` what it is good for.
    """

    name: str
    label: str
    order: int
    calls: int
    when: str
    stochastic: bool
    adaptive: bool
    asks: Callable[[int], int]
    method: Callable[..., Sampling]

    def __call__(self, x: Tensor, grid: Grid, noise: Noise, **options: float) -> Sampling:
        """``x`` (B, ...); options are those of the method."""
        return self.method(x, grid, noise, **options)

    def questions(self, grid: Grid) -> int:
        """How often it asks along ``grid``; an estimate for an adaptive method, which cannot know.

        From pure noise it may be one question less, where a second look would change nothing.
        """
        return self.asks(len(grid))


SAMPLERS: dict[str, Sampler] = {}


def sampler(
    name: str,
    *,
    label: str,
    order: int,
    when: str,
    calls: int = 1,
    stochastic: bool = False,
    adaptive: bool = False,
    asks: Callable[[int], int] | None = None,
) -> Callable[[Callable[..., Sampling]], Sampler]:
    """Register a method (x, grid, noise, ...) under ``name``.

    ``asks`` gives the questions for a number of steps. Without it there are ``calls`` to a step and one in
    the last, which has no level at its end to ask at.
    """

    def register(method: Callable[..., Sampling]) -> Sampler:
        count = asks or (lambda steps: calls * steps - (calls - 1))
        SAMPLERS[name] = Sampler(name, label, order, calls, when, stochastic, adaptive, count, method)
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


# ---- deterministic steps


def step(x: Tensor, x0: Tensor, t: Level, s: Level, noise_left: Tensor | None = None) -> Tensor:
    """From ``t`` to ``s`` with x0 held fixed, leaving ``noise_left`` of the noise (default ``s.sigma``).

    Exact when x0 is. Song et al. 2021 (arXiv 2010.02502), equation 12, without division by alpha.
    """
    ratio = (s.sigma if noise_left is None else noise_left) / t.sigma
    return left(ratio, x) * x + left(s.alpha - t.alpha * ratio, x) * x0


Unit = Callable[[Level], Tensor]
"""What signals and noise are divided by before slopes are taken."""


def by_alpha(level: Level) -> Tensor:
    """Slopes of x / alpha over sigma / alpha, along which every path is a straight line: they are eps."""
    return level.alpha


def unit_of(schedule: Schedule) -> Unit:
    """The unit in which the field takes slopes along ``schedule``.

    A flow runs on the line alpha + sigma = 1 and is straight as it is: its slope is the velocity. VP and VE
    are made straight by division by alpha, as in Karras et al. 2022 (arXiv 2206.00364), section 2.
    """
    level = schedule.at(torch.tensor((0.25, 0.5, 0.75), dtype=torch.float64))
    straight = ((level.alpha + level.sigma - 1).abs() < 1e-9).all()
    return (lambda level: torch.ones_like(level.alpha)) if straight else by_alpha


def slope(x: Tensor, x0: Tensor, t: Level, unit: Unit) -> Tensor:
    """d(x / unit) / d(sigma / unit) where x0 is what it is; zero at the clean signal, which has none."""
    rise = (x - left(unit(t), x) * x0) / left(t.sigma, x)
    return torch.where(left(t.sigma, x) > 0, rise, torch.zeros_like(rise))


def reach(t: Level, s: Level, unit: Unit) -> Tensor:
    """How far x goes from ``t`` to ``s`` for each unit of slope; 0 where it is infinite, from alpha = 0.

    ``step(x, x0, t, s)`` is one along the slope at ``t``; another slope adds reach times the difference.
    """
    return finite(s.sigma - t.sigma * unit(s) / unit(t))


def finite(value: Tensor) -> Tensor:
    """``value``, and 0 where it is infinite or not a number."""
    return value.where(value.isfinite(), torch.zeros_like(value))


# ---- noise


def renewed(t: Level, s: Level, eta: float) -> Split:
    """The split from ``t`` to ``s`` of ancestral samplers.

    At ``eta`` 1 this is the posterior of x at s given x0 and x at t (Ho et al. 2020, arXiv 2006.11239,
    equation 7); at 0 nothing is drawn. Song et al. 2021 (arXiv 2010.02502), equation 16.
    """
    drawn = eta * s.sigma * (1 - _shrink(t, s) ** 2).clamp(min=0).sqrt()
    return (s.sigma**2 - drawn**2).clamp(min=0).sqrt(), drawn


def diffused(t: Level, s: Level, eta: float) -> Split:
    """The split of the reverse stochastic equation with ``eta`` times its noise's power, solved exactly.

    Equal to :func:`renewed` at ``eta`` 0 and 1. Xue et al. 2023 (arXiv 2309.05019), with eta for their
    tau squared.
    """
    kept = _shrink(t, s) ** eta
    return s.sigma * kept, s.sigma * (1 - kept**2).clamp(min=0).sqrt()


def _shrink(t: Level, s: Level) -> Tensor:
    """By how much sigma / alpha falls: a factor in [0, 1)."""
    return (t.alpha * s.sigma) / (s.alpha * t.sigma)


def increment(noise: Noise, draw: int, t: Level, s: Level) -> Tensor:
    """Standard normal noise for the way from ``t`` to ``s``.

    A noise with a Brownian path gives the path's increment, the same for any number of steps; any other gives
    its draw.
    """
    between = getattr(noise, "between", None)
    return noise(draw) if between is None else between(draw, t, s)


def noisy(x: Tensor, drawn: Tensor, noise: Noise, draw: int, t: Level, s: Level) -> Tensor:
    """``x`` with ``drawn`` times the noise for the way from ``t`` to ``s``, asked for only where due."""
    return x + left(drawn, x) * increment(noise, draw, t, s).to(x) if drawn.any() else x
