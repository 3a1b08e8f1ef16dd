"""Parameters with adapters laid over them: their own bits are kept, and come back when the last is taken off.

What lies over a parameter is known to the parameter itself, in an attribute that goes when the last adapter
does; no list is kept elsewhere, and neither the names nor the number of parameters change.
"""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from darkroom.adapters.patches import Patch

ATTRIBUTE = "adapters_laid_over"


@dataclass
class Layers:
    """``own`` are the parameter's own bits, ``changes`` the patch and strength of each adapter by its key."""

    own: Tensor
    changes: dict[Hashable, tuple[Patch, float]] = field(default_factory=dict)

    def merged(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        """All changes added up in single precision or better, and rounded once."""
        weight = self.own.to(device, wide(dtype))
        total = weight.clone()
        for patch, strength in self.changes.values():
            if strength:
                total += strength * patch.delta(weight)
        return total.to(dtype)


def wide(dtype: torch.dtype) -> torch.dtype:
    """The type to calculate in."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def own(parameter: nn.Parameter) -> Tensor:
    """The parameter's value without any adapter, where it is now and in its type."""
    layers: Layers | None = getattr(parameter, ATTRIBUTE, None)
    return parameter.data if layers is None else layers.own.to(parameter)


def lay(parameter: nn.Parameter, key: Hashable, patch: Patch, strength: float) -> None:
    """Lay a patch over a parameter, or change its strength. ``key`` is whose it is."""
    with as_it_was_made(parameter):
        layers: Layers | None = getattr(parameter, ATTRIBUTE, None)
        if layers is None:
            layers = Layers(kept(parameter.data))
            setattr(parameter, ATTRIBUTE, layers)
        layers.changes[key] = (patch, strength)
        parameter.data = layers.merged(parameter.device, parameter.dtype)


def lift(parameter: nn.Parameter, key: Hashable) -> None:
    """Take an adapter's patch off; with the last, the parameter has its own bits again."""
    layers: Layers | None = getattr(parameter, ATTRIBUTE, None)
    if layers is None or layers.changes.pop(key, None) is None:
        return
    with as_it_was_made(parameter):
        if layers.changes:
            parameter.data = layers.merged(parameter.device, parameter.dtype)
            return
        parameter.data = layers.own.to(parameter)
        delattr(parameter, ATTRIBUTE)


@contextmanager
def as_it_was_made(parameter: nn.Parameter) -> Iterator[None]:
    """No gradients, and inference mode if the parameter was made in it: the two kinds do not mix."""
    with torch.no_grad(), torch.inference_mode(parameter.is_inference()):
        yield


def kept(tensor: Tensor) -> Tensor:
    """A parameter's own bits in main memory: the tensor itself if it lies there, maybe in a mapped file."""
    return tensor if tensor.device.type == "cpu" else tensor.cpu()
