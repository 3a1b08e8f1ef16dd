"""Grids that belong to one family's tools: they make a picture that those tools made come out again.

Importing this file adds them to the registry of grids.
"""

import torch

from darkroom.diffusion.grids import Grid, at_times, grid
from darkroom.diffusion.grids.times import LAST_T, TRAINED, at_indices
from darkroom.diffusion.levels import Schedule

LCM_STRIDE = 20
"""LCM was distilled at every twentieth index: 19, 39, ... 999."""


@grid("sd3", label="SD3", when="SD 3 as diffusers and ComfyUI's normal have it: the last level is noisier.")
def sd3(schedule: Schedule, steps: int) -> Grid:
    """Even from noise to the sigma of the last trained level, taken for a time: there a shift acts twice."""
    last = schedule.at(torch.tensor(LAST_T, dtype=torch.float64))
    end = float(last.sigma / (last.alpha + last.sigma))
    times = torch.linspace(1, end, steps, dtype=torch.float64)
    return at_times(schedule, torch.cat([times, times.new_zeros(1)]))


@grid(
    "ddim_original",
    label="DDIM original",
    when="DDIM as Stable Diffusion was shown: it ends one level short of clean.",
)
def ddim(schedule: Schedule, steps: int, offset: int = 1) -> Grid:
    """As "leading", but the last step goes to index 0: what LDM, A1111 and diffusers do for DDIM."""
    indices = (offset + torch.arange(steps).flip(0) * (TRAINED // steps)).clamp(max=TRAINED - 1)
    return at_times(schedule, (torch.cat([indices, indices.new_zeros(1)]).double() + 1) / TRAINED)


@grid("lcm", label="LCM", when="LCM and its LoRAs as diffusers has them: at the indices of the distillation.")
def lcm(schedule: Schedule, steps: int) -> Grid:
    """Some of the fifty distilled indices, evenly, the noisiest first; then the clean signal.

    More than fifty steps take the trailing times, of which each distilled index is one.
    """
    count = max(TRAINED // LCM_STRIDE, steps)
    places = torch.linspace(0, count, steps + 1, dtype=torch.float64)[:-1].floor()
    return at_times(schedule, torch.cat([1 - places / count, places.new_zeros(1)]))


@grid("dpm", label="DPM", when="PixArt, and DPM++ as diffusers has it without Karras: even whole indices.")
def dpm(schedule: Schedule, steps: int) -> Grid:
    """Whole indices from the last one down, in even steps towards 0, which is the clean signal."""
    indices = [round((TRAINED - 1) * (steps - i) / steps) for i in range(steps)]
    return at_indices(schedule, indices)
