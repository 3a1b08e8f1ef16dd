"""ControlNets on a network: read from a file or a folder, and put beside what they steer."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from darkroom.adapters.reading import config_json, native_part
from darkroom.errors import DarkroomError
from darkroom.networks.controlnet import ControlledUNet, ControlNet, ControlNetConfig
from darkroom.networks.unet import UNet
from darkroom.weights.loading import hollow, load_into
from darkroom.weights.store import open_store


def controlled(network: nn.Module, paths: Sequence[Path], allow_pickle: bool = False) -> nn.Module:
    """The network with the ControlNets in these files or folders beside it.

    Raises DarkroomError for a network that has none, and for one that does not fit.
    """
    if not isinstance(network, UNet):
        raise DarkroomError("this model takes no ControlNets; leave them out, or choose another model.")
    head = network.config.widths[0] // network.config.heads[0]
    told = (network.config.heads[0], None) if len(set(network.config.heads)) == 1 else (None, head)
    return ControlledUNet(network, [_loaded(path, network.dtype, *told, allow_pickle) for path in paths])


@lru_cache(maxsize=3)
def _loaded(
    path: Path, dtype: torch.dtype, heads: int | None, head_dim: int | None, allow_pickle: bool
) -> ControlNet:
    """A ControlNet in this precision; heads are counted as in the network that it steers."""
    store = native_part(open_store(path, allow_pickle), "controlnet")
    if told := config_json(path):
        config = ControlNetConfig.from_diffusers(told)
    else:
        config = ControlNetConfig.from_shapes(store.header.shapes, heads=heads, head_dim=head_dim)
    with hollow():
        made = ControlNet(config)
    load_into(made, store, dtype)
    return made.eval().requires_grad_(False)
