"""A model set up as was chosen."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from darkroom.adapters.merging import bring_all
from darkroom.families.family import Model
from darkroom.networks import attend, integers, packed
from darkroom.networks.kernels import flash, levels
from darkroom.networks.quantize import quantize
from darkroom.studio import home
from darkroom.studio.placement.choices import Needs, Placement, choose
from darkroom.studio.placement.machine import found
from darkroom.studio.placement.precision import DTYPES


def needs_of(model: Model) -> Needs:
    """What of a model the choices depend on."""
    return Needs(sum(weight.numel() for weight in model.network.parameters()))


def place(model: Model, precision: str | None = None) -> Placement:
    """Set a model that was loaded in ``precision`` up for this machine; returns what came of it.

    Its parameters keep their names and values, so that adapters change it as ever.
    """
    return apply(model, choose(found(), needs_of(model), precision))


def apply(model: Model, chosen: Placement) -> Placement:
    """Set a model up as ``chosen``; returns what came of it, where a kernel could not be built."""
    if torch.get_num_threads() > chosen.threads:
        torch.set_num_threads(chosen.threads)
    if chosen.precision == "int8":
        in_eight_bits(model.network, chosen)
    for part in computing(model) if chosen.packed else ():
        packed.pack(part, DTYPES[chosen.precision])
    return attending(chosen) if chosen.attention == "ours" else chosen


def in_eight_bits(network: nn.Module, chosen: Placement) -> None:
    """Put layers of 8 bits in a network; where kernels are built, signals are rounded by one of them."""
    bring_all([network])
    quantize(network)
    if chosen.attention == "ours" and not isinstance(kernel := levels.available(kernels()), str):
        integers.use(kernel)


def attending(chosen: Placement) -> Placement:
    """Put our attention in force, which models that torch's was chosen for are too small to feel."""
    kernel = flash.available(kernels())
    if isinstance(kernel, str):
        return replace(chosen, attention="torch", why={**chosen.why, "attention": kernel})
    attend.use(kernel)
    return chosen


def computing(model: Model) -> Iterator[nn.Module]:
    """The parts where the time goes: what is asked at each step, and what makes pixels."""
    yield model.network
    yield from (part for name, part in model.parts.items() if name in ("vae", "autoencoder"))


def kernels() -> Path:
    """Where kernels lie that were built on this machine."""
    return home.home() / "kernels"
