"""Slopes: how fast a signal changes with its noise, and in which unit of both."""

from collections.abc import Callable

import torch
from torch import Tensor

from darkroom.diffusion.levels import Level, Schedule

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


def slope(level: Level, unit: Unit) -> tuple[Tensor, Tensor]:
    """How much of x and of x0 is in the slope d(x / unit) / d(sigma / unit) where x0 is what it is.

    None of either at the clean signal, which has no slope.
    """
    of_x = torch.where(level.sigma > 0, 1 / level.sigma, 0.0)
    return of_x, -unit(level) * of_x


def reach(t: Level, s: Level, unit: Unit) -> Tensor:
    """How far x goes from ``t`` to ``s`` for each unit of slope; 0 where it is infinite, from alpha = 0.

    ``step(x, x0, t, s)`` is one along the slope at ``t``; another slope adds reach times the difference.
    """
    value = s.sigma - t.sigma * unit(s) / unit(t)
    return torch.where(value.isfinite(), value, 0.0)
