"""How fast each sampler's error falls with the number of steps: ``python -m bench.sampler_orders``.

All is in double precision on data whose best denoiser is known, so that the error is the sampler's alone.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from bench.mixture import GaussianMixture
from darkroom.diffusion.grids import Grid, at_times
from darkroom.diffusion.levels import VE, VP, Flow, Schedule
from darkroom.diffusion.samplers import SAMPLERS, Sampler, sample

STEPS = (16, 32, 64, 128, 256)

PATHS: dict[str, Schedule] = {"VP": VP.linear(), "flow": Flow(), "VE": VE(sigma_max=10.0)}

WHOLE = (1.0, 0.0)
"""From the noisiest level to the clean signal."""

INSIDE = (0.95, 0.05)
"""Clear of both ends, where (alpha, sigma) are singular functions of logsnr."""

LATE = (0.3, 0.05)
"""From where paths bend: the first steps, which have less memory, weigh as much as the rest."""

WITH_MEMORY = {"dpmpp_3m_sde": 3, "unipc": 4, "unipc_bh2": 4, "lms": 4, "ipndm": 4, "deis": 3}
"""The order of methods whose error, once they remember enough, falls faster than that of their start.

A step of order p that is taken once adds an error of order p + 1: Euler's for the three that use slopes, one
of UniPC with a single estimate for UniPC. Of DPM++ 3M SDE it is not the start that is slow but the halved
curvature, whose error is small where steps are short in logsnr.
"""


def _mixture(weights: Sequence[float], means: Sequence[float], stds: Sequence[float]) -> GaussianMixture:
    w, m, s = (torch.tensor(values, dtype=torch.float64) for values in (weights, means, stds))
    return GaussianMixture(w, m[:, None], s)


TWO_PEAKS = _mixture((0.4, 0.6), (-1.2, 0.9), (0.45, 0.35))
ONE_PEAK = _mixture((1.0,), (0.0,), (0.5,))


def even(schedule: Schedule, steps: int, span: tuple[float, float]) -> Grid:
    """Even steps in time over ``span`` of the path."""
    return at_times(schedule, torch.linspace(*span, steps + 1, dtype=torch.float64))


def error(sampler: Sampler, grid: Grid) -> float:
    """How wrong ``sampler`` is along ``grid``: path by path, or in the variance where it draws noise."""
    return variance_error(sampler, grid) if sampler.stochastic else path_error(sampler, grid)


def path_error(sampler: Sampler, grid: Grid) -> float:
    """Largest distance from where the flow of ``TWO_PEAKS`` ends, over starts up to 2 deviations out."""
    start, end = grid.levels.rows(0), grid.levels.rows(-1)
    x = torch.hypot(start.alpha, start.sigma) * torch.linspace(-2, 2, 17, dtype=torch.float64)[:, None]
    found = sample(sampler(x, grid, _no_noise), TWO_PEAKS.denoise)
    return (found - TWO_PEAKS.transport(x, start, end)).abs().max().item()


def variance_error(sampler: Sampler, grid: Grid) -> float:
    """How far the final variance is from the true one on ``ONE_PEAK``, relative to it; no chance is in it.

    With Gaussian data the best denoiser is linear, so the end is a weighted sum of the start and the draws.
    Give each an axis of its own, and the squared length of the end is its variance.
    """
    axes = torch.eye(2 * len(grid) + 1, dtype=torch.float64)[:, :, None]  # (draws, draws, 1)
    variances = (grid.levels.alpha * ONE_PEAK.stds) ** 2 + grid.levels.sigma**2
    end = sample(sampler(variances[0].sqrt() * axes[0], grid, lambda draw: axes[draw]), ONE_PEAK.denoise)
    return abs(end.square().sum() / variances[-1] - 1).item()


def _no_noise(draw: int) -> Tensor:
    raise AssertionError("a sampler that is not marked stochastic drew noise")


def orders(errors: Sequence[float]) -> list[float]:
    """The order seen from each number of steps to its double."""
    return [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]


def measured() -> list[Sampler]:
    """The methods whose error falls with the number of steps: neither adaptive nor for distilled networks."""
    return [sampler for sampler in SAMPLERS.values() if sampler.order and not sampler.adaptive]


def rows() -> Iterator[list[str]]:
    """One row a sampler and path: errors over the whole path, and the orders that the last two steps show."""
    seen = [f"order, {where}" for where in ("whole path", "inside", "late")]
    yield ["sampler", "path", "error of", *map(str, STEPS), *seen, "theory"]
    yield ["---"] * 3 + ["---:"] * (len(STEPS) + 4)
    for sampler in measured():
        for path, schedule in PATHS.items():
            whole, *inner = (
                [error(sampler, even(schedule, n, span)) for n in STEPS] for span in (WHOLE, INSIDE, LATE)
            )
            seen = [f"{orders(errors)[-1]:.2f}" for errors in (whole, *inner)]
            what = "variance" if sampler.stochastic else "path"
            yield [sampler.label, path, what, *(f"{e:.1e}" for e in whole), *seen, str(sampler.order)]


def report() -> str:
    """The table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in rows())


if __name__ == "__main__":
    print(report())
