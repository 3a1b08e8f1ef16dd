"""Methods for networks distilled to few steps, which answer where the flow ends and not the mean of x0."""

import torch
from torch import Tensor

from darkroom.diffusion.grids import Grid
from darkroom.diffusion.levels import Level
from darkroom.diffusion.noise import Noise
from darkroom.diffusion.samplers.first_order import churn, renewing
from darkroom.diffusion.samplers.sampler import Sampling, sampler
from darkroom.diffusion.samplers.steps import Split


@sampler(
    "lcm", label="LCM", order=0, stochastic=True, when="Only for networks distilled for it: 1 to 8 steps."
)
def lcm(x: Tensor, grid: Grid, noise: Noise) -> Sampling:
    """Renew all the noise in each step: Song et al. 2023 (arXiv 2303.01469), algorithm 1."""
    return renewing(x, churn(grid, noise), lambda t, s: (torch.zeros_like(s.sigma), s.sigma))


@sampler(
    "tcd",
    label="TCD",
    order=0,
    stochastic=True,
    when="For networks distilled for it; gamma 0 to 1 adds noise.",
)
def tcd(x: Tensor, grid: Grid, noise: Noise, gamma: float = 0.3) -> Sampling:
    """Step ``gamma`` of the time too far, then go back by adding noise; 0 is DDIM, 1 is LCM but for the
    little noise that a table of times has at its first.

    Zheng et al. 2024 (arXiv 2402.19159). Time is what the network is told.
    """

    def split(t: Level, s: Level) -> Split:
        told = torch.minimum(s.t, (1 - gamma) * s.t)
        beyond = grid.schedule.at_time(told)
        kept = torch.where(told < s.t, s.alpha / beyond.alpha * beyond.sigma, s.sigma)
        return kept, (s.sigma**2 - kept**2).clamp(min=0).sqrt()

    return renewing(x, churn(grid, noise), split)
