"""Grids in the time of training: a thousand indices, of which index i lies at (i + 1) / 1000 of the path.

Other tools read the levels of a grid from a table of these thousand, for VP and flow alike; here they are
the schedule's own, and equal at the indices.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from darkroom.diffusion.grids.grid import Grid, at_sigmas, at_times, grid
from darkroom.diffusion.grids.quantile import beta_quantile
from darkroom.diffusion.levels import Schedule

TRAINED = 1000
"""How many times networks are trained at; index 0 is the last before the clean signal."""

LAST_T = 1 / TRAINED
"""Its fraction of the path."""


def at_indices(schedule: Schedule, indices: Sequence[float] | Tensor) -> Grid:
    """The levels at these indices, falling from 999 at most, and then the clean signal."""
    fractions = (torch.as_tensor(indices, dtype=torch.float64) + 1) / TRAINED
    return at_times(schedule, torch.cat([fractions, fractions.new_zeros(1)]))


@grid(
    "trailing", label="Trailing", when="The default: even steps in time from pure noise to the clean signal."
)
def trailing(schedule: Schedule, steps: int) -> Grid:
    """Lin et al. 2024 (arXiv 2305.08891), table 2."""
    return at_times(schedule, torch.linspace(1, 0, steps + 1, dtype=torch.float64))


@grid(
    "uniform",
    label="Uniform",
    aliases=("normal", "linspace"),
    when="To match older pictures: even in time down to the last trained level.",
)
def uniform(schedule: Schedule, steps: int) -> Grid:
    """Both ends of the trained times, evenly, then the clean signal (table 2 there calls it linspace)."""
    return at_indices(schedule, torch.linspace(TRAINED - 1, 0, steps, dtype=torch.float64))


@grid(
    "leading",
    label="DDIM",
    aliases=("ddim_uniform",),
    when="As the first Stable Diffusion was shown: even, but starting short of pure noise.",
)
def leading(schedule: Schedule, steps: int, offset: int = 1) -> Grid:
    """Whole strides from index ``offset`` up (table 2 there); the offset is 1 in Stable Diffusion."""
    indices = offset + torch.arange(steps).flip(0) * (TRAINED // steps)
    return at_indices(schedule, indices.clamp(max=TRAINED - 1))


@grid(
    "sgm_uniform",
    label="SGM Uniform",
    when="Even in time like trailing, as Stability's generative-models and what followed it have it.",
)
def sgm_uniform(schedule: Schedule, steps: int) -> Grid:
    """From index 999 towards 0, which is left out."""
    return at_indices(schedule, torch.linspace(TRAINED - 1, 0, steps + 1, dtype=torch.float64)[:-1])


@grid("simple", label="Simple", when="Trailing at whole indices: what ComfyUI proposes for flow models.")
def simple(schedule: Schedule, steps: int) -> Grid:
    """Equal shares of the table, rounded towards noise."""
    return at_indices(schedule, [TRAINED - 1 - int(i * (TRAINED / steps)) for i in range(steps)])


@grid("beta", label="Beta", when="Short steps at both ends: structure first, detail last.")
def beta(schedule: Schedule, steps: int, a: float = 0.6, b: float = 0.6) -> Grid:
    """Quantiles of the beta distribution in time (Lee et al. 2024, arXiv 2407.12173).

    At whole indices as others have it, unless two would be the same.
    """
    shares = [beta_quantile(1 - i / steps, a, b) for i in range(steps)]
    indices = torch.tensor(shares, dtype=torch.float64) * (TRAINED - 1)
    whole = indices.round()
    return at_indices(schedule, whole if (whole.diff() < 0).all() else indices)


@grid(
    "linear_quadratic",
    label="Linear Quadratic",
    when="Flow models in many steps: half of them small and near pure noise.",
)
def linear_quadratic(schedule: Schedule, steps: int, threshold: float = 0.025) -> Grid:
    """Of Mochi 1: in the first half of the steps t falls by ``threshold`` in all, then as a parabola to 0.

    In ``t = sigma / (alpha + sigma)``, whatever the shift, from the schedule's noisiest level.
    """
    flat = steps // 2
    fallen = threshold if flat else 0.0
    slope, bent = fallen / max(flat, 1), steps - flat
    curve = (1 - fallen - slope * bent) / bent**2
    place = torch.arange(steps, dtype=torch.float64)
    gone = slope * place + curve * (place - flat).clamp(min=0) ** 2
    noisiest = schedule.at(torch.tensor(1.0, dtype=torch.float64))
    t = (1 - gone) * noisiest.sigma / (noisiest.alpha + noisiest.sigma)
    return at_sigmas(schedule, torch.cat([t / (1 - t), t.new_zeros(1)]))
