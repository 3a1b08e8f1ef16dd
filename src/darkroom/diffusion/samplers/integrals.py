"""The integrals of multistep methods: what to make of values at several levels over one step.

Every multistep method lays a polynomial through the last values and integrates it over the step against a
density exp(rate * v), v from 0 to 1. For x0 that is exp(logsnr), for eps exp(-logsnr), and for slopes it is
flat. The weights that do this exactly for polynomials solve a small Vandermonde system; its right side holds
the moments of the density, and the methods differ in little else.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

_NODES, _WEIGHTS = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(32))
_NODES, _LOG_WEIGHTS = (_NODES + 1) / 2, _WEIGHTS.log()
_POWERS = _NODES[:, None] ** torch.arange(9)

Rule = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(moments (..., n), rate, number of values in use) -> the moments that a method has in their place."""


def moments(rate: Tensor, count: int) -> Tensor:
    """Means of 1, v, v**2, ... over [0, 1] under a density exp(rate * v): (..., count).

    By Gauss and Legendre's rule with 32 nodes, which is exact to double precision for rates up to 60 and has
    no cancellation anywhere; closed forms lose all digits as the rate goes to zero.
    """
    density = (rate[..., None] * _NODES.to(rate) + _LOG_WEIGHTS.to(rate)).softmax(-1)
    return density @ _POWERS[:, :count].to(rate)


def exact(means: Tensor, rate: Tensor, used: Tensor) -> Tensor:
    """Integrate the polynomial as it is."""
    return means


def midpoint(means: Tensor, rate: Tensor, used: Tensor) -> Tensor:
    """With two values take the line's middle, of the same order: DPM-Solver++(2M), and bh2 of UniPC."""
    return _first(means, torch.where(used == 2, 0.5, means[..., 1:2]))


def bh1(means: Tensor, rate: Tensor, used: Tensor) -> Tensor:
    """With two values take what UniPC's B(h) = h gives (Zhao et al. 2023, arXiv 2302.04867)."""
    half = (rate / 2 / -torch.expm1(-rate))[..., None]
    return _first(means, torch.where(used == 2, half, means[..., 1:2]))


def half_curved(means: Tensor, rate: Tensor, used: Tensor) -> Tensor:
    """Half of the second moment: k-diffusion's DPM++ 3M SDE takes a second difference for a derivative."""
    return torch.cat([means[..., :2], means[..., 2:] / 2], -1)


def _first(means: Tensor, first: Tensor) -> Tensor:
    return torch.cat([means[..., :1], first, means[..., 2:]], -1)[..., : means.shape[-1]]


def weights(places: Sequence[Tensor], rate: Tensor, rule: Rule = exact, most: Tensor | int = 9) -> Tensor:
    """The weights (..., n) of a value at place 0, where the step begins, and of those at ``places``.

    Places are in steps: 1 is the end of the step, below 0 lie former levels. Row by row only the first values
    are used, ``most`` of them and none from a place that is infinite on; over a step of infinite rate only
    that at place 0.
    """
    v = torch.stack([torch.zeros_like(rate), *places], -1)  # (..., n)
    number = torch.arange(v.shape[-1])
    allowed = torch.as_tensor(most)[..., None]
    used = (number == 0) | (v.isfinite() & rate.isfinite()[..., None] & (number < allowed))
    used = used.cumprod(-1).bool()
    means = rule(moments(rate, len(number)), rate, used.sum(-1, keepdim=True))
    system = torch.where(
        used[..., None, :] & used[..., None], v[..., None, :] ** number[:, None], torch.eye(len(number)).to(v)
    )
    return torch.linalg.solve(system, torch.where(used, means, 0.0).where(number > 0, torch.ones_like(v)))


def places(along: Tensor, count: int) -> list[Tensor]:
    """Where the ``count`` levels before each step lie in it, newest first, (steps, ...); nan where none is.

    ``along`` (steps + 1, ...) is what the polynomials run in, such as the logsnr of a grid's levels.
    """
    length = along.diff(dim=0)
    padded = torch.cat([torch.full_like(along[:1], torch.nan).expand(count, *along.shape[1:]), along])
    return [(padded[count - j : -1 - j] - along[:-1]) / length for j in range(1, count + 1)]
