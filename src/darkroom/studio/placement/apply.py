"""A model set up as was chosen."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from darkroom.families.family import Model
from darkroom.networks import attend, packed
from darkroom.networks.kernels import flash
from darkroom.studio import home
from darkroom.studio.placement.choices import Needs, Placement, choose
from darkroom.studio.placement.machine import found


def needs_of(model: Model) -> Needs:
    """What of a model the choices depend on."""
    weights = [weight for part in model.parts.values() for weight in part.parameters()]
    return Needs(
        sum(weight.numel() for weight in model.network.parameters()),
        sum(weight.numel() * weight.element_size() for weight in weights),
    )


def place(model: Model, precision: str) -> Placement:
    """Set a model that was loaded in ``precision`` up for this machine; returns what was chosen.

    Its parameters keep their names and values, so that adapters change it as ever.
    """
    chosen = choose(found(), needs_of(model), precision)
    apply(model, chosen)
    return chosen


def apply(model: Model, chosen: Placement) -> None:
    """Set a model up as ``chosen``."""
    if torch.get_num_threads() > chosen.threads:
        torch.set_num_threads(chosen.threads)
    for part in computing(model):
        if chosen.channels_last:
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if chosen.packed:
            packed.pack(part, getattr(torch, chosen.precision))
    if chosen.attention == "ours":
        kernel = flash.available(kernels())
        if not isinstance(kernel, str):
            attend.use(kernel)


def computing(model: Model) -> Iterator[nn.Module]:
    """The parts where the time goes: what is asked at each step, and what makes pixels."""
    yield model.network
    yield from (part for name, part in model.parts.items() if name == "vae")


def kernels() -> Path:
    """Where kernels lie that were built on this machine."""
    return home.home() / "kernels"
