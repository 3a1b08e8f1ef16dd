"""Steps: what they take of each signal, and how all steps of a grid are prepared at once.

A step is a sum of signals whose weights follow from the levels alone. One operation on a single number costs
as much as one on a small picture, so samplers work out the weights of all steps, (steps, ...), together.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from darkroom.diffusion.levels import Level, left
from darkroom.diffusion.noise import Noise


def step(x: Tensor, x0: Tensor, t: Level, s: Level) -> Tensor:
    """From ``t`` to ``s`` with x0 held fixed: exact when x0 is."""
    of_x, of_x0 = straight(t, s)
    return left(of_x, x) * x + left(of_x0, x) * x0


def straight(t: Level, s: Level, noise_left: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """How much of x and of x0 a step from ``t`` to ``s`` takes, leaving ``noise_left`` (default ``s.sigma``).

    Song et al. 2021 (arXiv 2010.02502), equation 12, without division by alpha.
    """
    ratio = (s.sigma if noise_left is None else noise_left) / t.sigma
    return ratio, s.alpha - t.alpha * ratio


Split = tuple[Tensor, Tensor]
"""How much noise to keep and how much to draw; the squares add up to the square of sigma."""


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


Mixer = Callable[..., Tensor]
"""Adds up signals, each times its weight; weights without a signal are left out."""


def mixers(like: Tensor, *weights: Tensor) -> Iterator[Mixer]:
    """Step by step what adds up signals with these weights (steps, ...)."""
    by_step = zip(*(left(part, like[None]).unbind() for part in weights), strict=True)
    counts = zip(*map(any_row, weights), strict=True)
    return (partial(_mix, *each) for each in zip(by_step, counts, strict=True))


def _mix(weights: Sequence[Tensor], counts: Sequence[bool], first: Tensor, *others: Tensor) -> Tensor:
    mixed = weights[0] * first
    for weight, does_count, signal in zip(weights[1:], counts[1:], others, strict=False):
        mixed = torch.addcmul(mixed, weight, signal) if does_count else mixed
    return mixed


def draws(x: Tensor, noise: Noise, drawn: Tensor, t: Level, s: Level) -> Iterator[Tensor]:
    """Step by step standard normal noise for the way from ``t`` to ``s``; 0 where ``drawn`` is 0, unasked.

    A noise with a Brownian path gives the path's increment, the same for any number of steps; any other gives
    its draw.
    """
    along, none = getattr(noise, "along", None), x.new_zeros(())
    eps = along(t, s) if along else lambda i: noise(i + 1)
    for i, due in enumerate(any_row(drawn)):
        yield eps(i).to(x) if due else none


def any_row(values: Tensor) -> list[bool]:
    """Step by step whether there is any but 0."""
    return values.reshape(len(values), -1).any(1).tolist()
