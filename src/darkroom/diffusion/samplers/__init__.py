"""Samplers: numerical methods that ask "what is the clean signal here?" and never see who answers.

A sampler is a generator: it yields ``(x, level)``, is sent the estimate of x0 there, and returns the final
signal. All are written in (alpha, sigma), regular at alpha = 0 and at sigma = 0, and take levels of shape ()
or (B,): rows of one batch may stand at different levels.
"""

# ruff: noqa: I001 - imported in the order in which they are listed to users
from darkroom.diffusion.samplers.sampler import SAMPLERS, Denoiser, Sampler, Sampling, sample
from darkroom.diffusion.samplers.first_order import ddim, ddpm, euler, euler_a
from darkroom.diffusion.samplers.two_stage import dpm2, dpm2_a, dpmpp_2s_a, dpmpp_sde, heun, restart
from darkroom.diffusion.samplers.multistep import (
    deis,
    dpmpp_2m,
    dpmpp_2m_sde,
    dpmpp_2m_sde_heun,
    dpmpp_3m_sde,
    ipndm,
    lms,
    sa_solver,
    unipc,
    unipc_bh2,
)
from darkroom.diffusion.samplers.adaptive import dpm_adaptive
from darkroom.diffusion.samplers.distilled import lcm, tcd
from darkroom.diffusion.samplers.inverse import invert

__all__ = [
    "SAMPLERS",
    "Denoiser",
    "Sampler",
    "Sampling",
    "ddim",
    "ddpm",
    "deis",
    "dpm2",
    "dpm2_a",
    "dpm_adaptive",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_2m_sde_heun",
    "dpmpp_2s_a",
    "dpmpp_3m_sde",
    "dpmpp_sde",
    "euler",
    "euler_a",
    "heun",
    "invert",
    "ipndm",
    "lcm",
    "lms",
    "restart",
    "sa_solver",
    "sample",
    "tcd",
    "unipc",
    "unipc_bh2",
]
