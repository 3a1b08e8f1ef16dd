"""Which levels a sampler visits on its way from noise to the clean signal.

``grid`` says what a grid is and keeps the registry; ``times`` has those that are even in the time of training
or bend it, ``ratios`` those that spread sigma / alpha. Importing this package fills ``GRIDS``.
"""

from darkroom.diffusion.grids.grid import GRIDS, Grid, GridMaker, at_sigmas, at_times, find, grid
from darkroom.diffusion.grids.ratios import karras
from darkroom.diffusion.grids.times import trailing, uniform

__all__ = [
    "GRIDS",
    "Grid",
    "GridMaker",
    "at_sigmas",
    "at_times",
    "find",
    "grid",
    "karras",
    "trailing",
    "uniform",
]
