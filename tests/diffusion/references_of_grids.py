"""Grids and schedules as others compute them: k-diffusion and diffusers where they are installed.

ComfyUI is no package; its published formulas are written out here, on its own table of a thousand sigmas.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats


def k_diffusion() -> ModuleType:
    """k-diffusion's sampling module alone: the package itself imports what training needs."""
    spec = importlib.util.find_spec("k_diffusion")
    if spec is None or spec.origin is None:
        pytest.skip("k-diffusion is not installed")
    before = {name: sys.modules.get(name) for name in ("k_diffusion", "k_diffusion.utils")}
    bare, utils = ModuleType("k_diffusion"), ModuleType("k_diffusion.utils")
    bare.__path__ = [str(Path(spec.origin).parent)]
    bare.utils, utils.append_dims = utils, lambda x, ndim: x[(...,) + (None,) * (ndim - x.ndim)]
    sys.modules |= {"k_diffusion": bare, "k_diffusion.utils": utils}
    try:
        return importlib.import_module("k_diffusion.sampling")
    except ImportError as error:
        pytest.skip(f"k-diffusion lacks what it needs: {error}")
    finally:
        for name, module in before.items():
            sys.modules.pop(name) if module is None else sys.modules.__setitem__(name, module)


def diffusers(module: str, name: str) -> type:
    """One scheduler of diffusers."""
    pytest.importorskip("diffusers")
    return getattr(importlib.import_module(f"diffusers.schedulers.{module}"), name)


def table(shift: float | None = None) -> np.ndarray:
    """ComfyUI's sigmas, rising: Stable Diffusion's sigma / alpha, or for a shift the sigma of a flow."""
    if shift is None:
        power = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
        return np.sqrt((1 - power) / power)
    t = np.arange(1, 1001) / 1000
    return shift * t / (1 + (shift - 1) * t)


def simple(sigmas: np.ndarray, steps: int) -> np.ndarray:
    stride = len(sigmas) / steps
    return np.array([*(sigmas[-(1 + int(i * stride))] for i in range(steps)), 0.0])


def ddim_uniform(sigmas: np.ndarray, steps: int) -> np.ndarray:
    stride = max(len(sigmas) // steps, 1)
    return np.array([*sigmas[1::stride][::-1], 0.0])


def beta(sigmas: np.ndarray, steps: int) -> np.ndarray:
    """Repeated indices are dropped there, so that steps may be fewer than asked for."""
    shares = 1 - np.linspace(0, 1, steps, endpoint=False)
    indices = np.rint(stats.beta.ppf(shares, 0.6, 0.6) * (len(sigmas) - 1)).astype(int)
    return np.array([*sigmas[[i for n, i in enumerate(indices) if n == 0 or i != indices[n - 1]]], 0.0])


def linear_quadratic(sigmas: np.ndarray, steps: int, threshold: float = 0.025) -> np.ndarray:
    """Mochi's, as a polynomial in the number of the step."""
    if steps == 1:
        return np.array([1.0, 0.0]) * sigmas[-1]
    flat = steps // 2
    left = flat - threshold * steps
    a = left / (flat * (steps - flat) ** 2)
    b = threshold / flat - 2 * left / (steps - flat) ** 2
    first = [i * threshold / flat for i in range(flat)]
    then = [a * i**2 + b * i + a * flat**2 for i in range(flat, steps)]
    return (1 - np.array([*first, *then, 1.0])) * sigmas[-1]


def kl_optimal(sigmas: np.ndarray, steps: int) -> np.ndarray:
    way = np.arange(steps) / (steps - 1)
    angles = way * np.arctan(sigmas[0]) + (1 - way) * np.arctan(sigmas[-1])
    return np.array([*np.tan(angles), 0.0])


def along_times(first: float, last: float, steps: int, sgm: bool) -> np.ndarray:
    """The times of ComfyUI's ``normal`` and, without the last of one more, ``sgm_uniform``."""
    return np.linspace(first, last, steps + 1)[:-1] if sgm else np.linspace(first, last, steps)


def log_linear(sigmas: np.ndarray, times: np.ndarray) -> np.ndarray:
    """ComfyUI's and k-diffusion's sigma between two indices."""
    return np.exp(np.interp(times, np.arange(len(sigmas)), np.log(sigmas)))


def log_linear_table(points: list[float], count: int) -> np.ndarray:
    """Align Your Steps' interpolation of a list to another length."""
    ends = np.linspace(0, 1, len(points))
    return np.exp(np.interp(np.linspace(0, 1, count), ends, np.log(points)))
