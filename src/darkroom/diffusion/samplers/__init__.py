"""Samplers: numerical methods that ask "what is the clean signal here?" and never see who answers.

A sampler is a generator: it yields ``(x, level)``, is sent the estimate of x0 there, and returns the final
signal. All are written in (alpha, sigma), regular at alpha = 0 and at sigma = 0, and take levels of shape ()
or (B,): rows of one batch may stand at different levels. Importing this package fills ``SAMPLERS``.
"""

# ruff: noqa: I001 - imported in the order in which they are listed to users
from darkroom.diffusion.samplers.sampler import SAMPLERS, Denoiser, Sampler, Sampling, sample
from darkroom.diffusion.samplers.first_order import ddim, ddpm, euler, euler_a
from darkroom.diffusion.samplers.two_stage import heun
from darkroom.diffusion.samplers.multistep import dpmpp_2m
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
    "dpm_adaptive",
    "dpmpp_2m",
    "euler",
    "euler_a",
    "heun",
    "invert",
    "lcm",
    "sample",
    "tcd",
]
