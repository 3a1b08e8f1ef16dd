"""Grids in sigma / alpha, which is the sigma of EDM and k-diffusion, for every schedule alike."""

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor

from darkroom.diffusion.grids.grid import Grid, at_sigmas, grid
from darkroom.diffusion.grids.times import LAST_T
from darkroom.diffusion.levels import Schedule

SIGMA_MAX = 80.0
"""Where these grids start when the schedule goes on to infinity (arXiv 2206.00364, table 1)."""


def _ends(schedule: Schedule, low: float | None, high: float | None) -> tuple[float, float]:
    """The least and largest sigma / alpha: those asked for, or those that networks are trained on."""
    times = torch.tensor([LAST_T, 1.0], dtype=torch.float64)
    trained = schedule.at(times).logsnr.neg().exp().clamp(max=SIGMA_MAX).tolist()
    return low or trained[0], high or trained[1]


def _then_clean(schedule: Schedule, sigmas: Tensor) -> Grid:
    return at_sigmas(schedule, torch.cat([sigmas, sigmas.new_zeros(1)]))


def _ramp(steps: int) -> Tensor:
    """From 0, the noisiest, to 1, the last before the clean signal."""
    return torch.linspace(0, 1, steps, dtype=torch.float64)


@grid("karras", label="Karras", when="Few steps with VP models: short steps near the clean signal.")
def karras(
    schedule: Schedule,
    steps: int,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    rho: float = 7.0,
) -> Grid:
    """Karras et al. 2022 (arXiv 2206.00364), equation 5.

    By default over the levels that networks are trained on.
    """
    low, high = _ends(schedule, sigma_min, sigma_max)
    start, end = high ** (1 / rho), low ** (1 / rho)
    return _then_clean(schedule, (start + (end - start) * _ramp(steps)) ** rho)


@grid("exponential", label="Exponential", when="Even in log sigma: the same care for every scale.")
def exponential(schedule: Schedule, steps: int, **ends: float) -> Grid:
    """Crowson's k-diffusion; even in logsnr, as Lu et al. 2022 (arXiv 2206.00927) advise."""
    return polyexponential.make(schedule, steps, **ends, rho=1.0)


@grid("polyexponential", label="Polyexponential", when="As exponential; rho above 1 sees to detail first.")
def polyexponential(
    schedule: Schedule,
    steps: int,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    rho: float = 1.0,
) -> Grid:
    """Crowson's k-diffusion: log sigma as a power of the way."""
    low, high = (math.log(end) for end in _ends(schedule, sigma_min, sigma_max))
    return _then_clean(schedule, torch.exp(low + (high - low) * (1 - _ramp(steps)) ** rho))


@grid("kl_optimal", label="KL Optimal", when="Few steps: the best for data that are one Gaussian.")
def kl_optimal(
    schedule: Schedule, steps: int, sigma_min: float | None = None, sigma_max: float | None = None
) -> Grid:
    """Even in the arc tangent of sigma (Sabour et al. 2024, arXiv 2404.14507, section 3)."""
    low, high = (math.atan(end) for end in _ends(schedule, sigma_min, sigma_max))
    return _then_clean(schedule, torch.tan(high + (low - high) * _ramp(steps)))


ALIGNED = {
    "SD 1.5": (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029),
    "SDXL": (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029),
    "SVD": (700.00, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002),
}
"""The ends of ten steps, found for each model by Sabour et al. 2024 (arXiv 2404.14507)."""


def aligned(schedule: Schedule, steps: int, model: str = "SD 1.5") -> Grid:
    """The ends of ``ALIGNED``, and for other counts points between them on straight lines in log sigma.

    The last step goes on to the clean signal.
    """
    table = ALIGNED[model]
    ends = np.linspace(0, len(table) - 1, steps + 1)[:-1]
    sigmas = np.exp(np.interp(ends, np.arange(len(table)), np.log(table)))
    return _then_clean(schedule, torch.from_numpy(sigmas))


for suffix, model in {"": "SD 1.5", "_sdxl": "SDXL", "_svd": "SVD"}.items():
    grid(
        f"align_your_steps{suffix}",
        label=f"Align Your Steps {model}" if suffix else "Align Your Steps",
        when=f"Ten steps or so of {model}.",
    )(partial(aligned, model=model))
