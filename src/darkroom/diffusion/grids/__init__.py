"""Which levels a sampler visits on its way from noise to the clean signal.

``grid`` says what a grid is and keeps the registry; ``times`` has those that are even in the time of training
or bend it, ``ratios`` those that spread sigma / alpha. Importing this package fills ``GRIDS``.
"""

from darkroom.diffusion.grids.grid import GRIDS, Grid, GridMaker, at_sigmas, at_times, find, grid
from darkroom.diffusion.grids.ratios import (
    align_your_steps,
    align_your_steps_sdxl,
    align_your_steps_svd,
    exponential,
    karras,
    kl_optimal,
    polyexponential,
)
from darkroom.diffusion.grids.times import (
    beta,
    leading,
    linear_quadratic,
    sgm_uniform,
    simple,
    trailing,
    uniform,
)

__all__ = [
    "GRIDS",
    "Grid",
    "GridMaker",
    "align_your_steps",
    "align_your_steps_sdxl",
    "align_your_steps_svd",
    "at_sigmas",
    "at_times",
    "beta",
    "exponential",
    "find",
    "grid",
    "karras",
    "kl_optimal",
    "leading",
    "linear_quadratic",
    "polyexponential",
    "sgm_uniform",
    "simple",
    "trailing",
    "uniform",
]
