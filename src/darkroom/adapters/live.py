"""Adapters computed beside a layer, which leave its weight alone: quick to change, fit for quantised layers.

A layer gets a forward hook that adds ``strength * delta(x)`` to its answer. Classes, parameters and the keys
of ``state_dict`` stay as they are, and the hook's handle takes it off.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.adapters.merging import own, wide
from darkroom.adapters.patches import LowRank, Patch
from darkroom.networks.quantized import StoredConv2d


class Beside:
    """A forward hook: the layer's answer and what the adapter adds to it. ``strength`` may be changed."""

    def __init__(self, patch: Patch, strength: float) -> None:
        self.patch, self.strength = patch, strength

    def __call__(self, layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        if not self.strength:
            return output
        x = inputs[0]
        if isinstance(self.patch, LowRank):
            self.patch = self.patch.on(x.device)  # once, should the model have moved
        return output + self.strength * added(self.patch, layer, x).to(output)


def added(patch: Patch, layer: nn.Module, x: Tensor) -> Tensor:
    """What the layer would answer with the patch's delta for its weight, and without bias."""
    if isinstance(patch, LowRank) and patch.mid is None:
        if is_convolution(layer):
            if getattr(layer, "groups", 1) == 1:
                return through_convolution(patch, layer, x)
        else:
            return patch.scale * F.linear(F.linear(x, patch.down.flatten(1).to(x)), patch.up.flatten(1).to(x))
    return operate(layer, x, patch.delta(weight_of(layer, x)).to(x))


def through_convolution(patch: LowRank, layer: nn.Module, x: Tensor) -> Tensor:
    """The layer's convolution to r channels, then one of 1x1."""
    down = patch.down.to(x).reshape(-1, *shape_of(layer)[1:])
    return patch.scale * F.conv2d(operate(layer, x, down), patch.up.to(x).flatten(1)[:, :, None, None])


def operate(layer: nn.Module, x: Tensor, weight: Tensor) -> Tensor:
    """The layer's operation with another weight and no bias."""
    if isinstance(layer, nn.Conv2d):
        return layer._conv_forward(x, weight, None)  # torch's own, which knows circular padding
    if isinstance(layer, StoredConv2d):
        return layer.convolved(x, weight)
    return F.linear(x, weight)


def weight_of(layer: nn.Module, x: Tensor) -> Tensor:
    """The layer's own weight to calculate with; zeros if it is quantised, as only DoRA would need it."""
    weight = getattr(layer, "weight", None)
    if isinstance(weight, nn.Parameter) and weight.is_floating_point():
        return own(weight).to(x.device, wide(weight.dtype))
    return torch.zeros(shape_of(layer), device=x.device)


def shape_of(layer: nn.Module) -> tuple[int, ...]:
    """The shape of a layer's weight as the layer uses it, however it is stored."""
    weight = getattr(layer, "weight", None)
    if isinstance(weight, nn.Parameter) and weight.is_floating_point():
        return tuple(weight.shape)
    if isinstance(layer, StoredConv2d):
        return layer.shape
    return (int(layer.out_features), int(layer.in_features))  # type: ignore[arg-type]


def is_convolution(layer: nn.Module) -> bool:
    """Whether the layer is a convolution, quantised or not."""
    return isinstance(layer, nn.Conv2d | StoredConv2d)


def is_linear(layer: nn.Module) -> bool:
    """Whether a change of the layer's weight can be computed beside it."""
    if is_convolution(layer) or isinstance(layer, nn.Linear):
        return True
    return hasattr(layer, "in_features") and hasattr(layer, "out_features")


def is_quantised(layer: nn.Module) -> bool:
    """Whether the layer keeps no weight that one could add to."""
    weight = getattr(layer, "weight", None)
    return not (isinstance(weight, nn.Parameter) and weight.is_floating_point())
