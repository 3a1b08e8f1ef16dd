"""The samplers of k-diffusion and diffusers, to compare with: loaded without the rest of those packages.

Both run in double precision here, on levels that we choose.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

import pytest
import torch
from bench.sampler_orders import TWO_PEAKS
from torch import Tensor

from darkroom.diffusion.grids import Grid
from darkroom.diffusion.levels import VE, Level

STARTS = torch.linspace(-1.6, 1.6, 5, dtype=torch.float64)[:, None]


def k_diffusion() -> ModuleType:
    """``k_diffusion.sampling``. The package's own ``__init__`` would import torchvision and much else."""
    spec = PathFinder.find_spec("k_diffusion")
    if spec is None or spec.submodule_search_locations is None:
        pytest.skip("k-diffusion is not installed; 'make test' installs it")
    if "k_diffusion" not in sys.modules:
        package, utils = ModuleType("k_diffusion"), ModuleType("k_diffusion.utils")
        package.__path__ = list(spec.submodule_search_locations)
        utils.append_dims = lambda x, dims: x[(...,) + (None,) * (dims - x.ndim)]  # type: ignore[attr-defined]
        package.utils = utils  # type: ignore[attr-defined]
        sys.modules |= {"k_diffusion": package, "k_diffusion.utils": utils}
    return importlib.import_module("k_diffusion.sampling")


def scheduler(name: str, file: str, **config: Any) -> Any:
    """A scheduler of diffusers that expects x0, of the thousand scaled-linear steps of Stable Diffusion."""
    if PathFinder.find_spec("diffusers") is None:
        pytest.skip("diffusers is not installed; 'make test' installs it")
    module = importlib.import_module(f"diffusers.schedulers.scheduling_{file}")
    return getattr(module, name)(**config)


@contextmanager
def in_double() -> Iterator[None]:
    """Both packages make tensors of the default type where they mean to have the type of x."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def denoise_at_sigma(x: Tensor, sigma: Tensor) -> Tensor:
    """The best denoiser of the two peaks as k-diffusion asks for it: x is x0 + sigma * eps."""
    return TWO_PEAKS.denoise(x, VE().at_logsnr(-sigma.double().log()))


def ratios(grid: Grid) -> Tensor:
    """sigma / alpha of each level."""
    return grid.levels.sigma / grid.levels.alpha


def path(start: Tensor, end: Tensor) -> Tensor:
    """Noise for the way between two values of sigma / alpha: any fixed function will do, (5, 1)."""
    return torch.sin(37 * start + 91 * end + torch.arange(5, dtype=torch.float64)[:, None] ** 2) * 1.3


class Path:
    """The same as a noise with a Brownian path."""

    def __call__(self, draw: int) -> Tensor:
        raise AssertionError("a noise with a path is asked for increments")

    def along(self, t: Level, s: Level) -> Callable[[int], Tensor]:
        starts, ends = t.sigma / t.alpha, s.sigma / s.alpha
        return lambda i: path(starts[i], ends[i])


def drawn(draw: int) -> Tensor:
    """Noise by number, (5, 1)."""
    return torch.cos(11.0 * draw + 5 * torch.arange(5, dtype=torch.float64))[:, None]


def drive(stepper: Any, grid: Grid, x: Tensor, step: Callable[..., Any] | None = None) -> Tensor:
    """Run a scheduler of diffusers from ``x`` along the levels of ``grid``, which it is made to take."""
    stepper.set_timesteps(len(grid))
    stepper.sigmas, stepper.timesteps = table(stepper, grid), torch.arange(len(grid), 0, -1) * 10
    stepper.set_begin_index(0)
    with in_double():
        for i in range(len(grid)):
            x0 = TWO_PEAKS.denoise(x, grid.levels.rows(i))
            x = (step or stepper.step)(x0, stepper.timesteps[i], x).prev_sample
    return x


def table(stepper: Any, grid: Grid) -> Tensor:
    """Diffusers counts flows in sigma and all else in sigma / alpha."""
    return grid.levels.sigma if stepper.config.get("use_flow_sigmas") else ratios(grid)
