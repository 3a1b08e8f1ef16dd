"""Parameters with adapters laid over them: their own bits are kept, and come back when the last is taken off.

What lies over a parameter is known to the parameter itself, in an attribute that goes when the last adapter
does; no list is kept elsewhere, and neither the names nor the number of parameters change. A parameter that
is absent (see :mod:`darkroom.weights.origin`) is told what lies over it, and merged when it is brought.
"""

import threading
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from darkroom.adapters.patches import Patch
from darkroom.weights.origin import Origin, absent, is_absent, origin_of

ATTRIBUTE = "adapters_laid_over"
CHANGING = threading.RLock()
"""Held while weights change: they may be brought by another thread than adapters are laid by."""


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
    with CHANGING, as_it_was_made(parameter):
        layers: Layers | None = getattr(parameter, ATTRIBUTE, None)
        if layers is None:
            layers = Layers(kept(parameter.data))
            setattr(parameter, ATTRIBUTE, layers)
        layers.changes[key] = (patch, strength)
        if not is_absent(parameter):
            parameter.data = layers.merged(parameter.device, parameter.dtype)


def lift(parameter: nn.Parameter, key: Hashable) -> None:
    """Take an adapter's patch off; with the last, the parameter has its own bits again."""
    with CHANGING, as_it_was_made(parameter):
        layers: Layers | None = getattr(parameter, ATTRIBUTE, None)
        if layers is None or layers.changes.pop(key, None) is None:
            return
        if not layers.changes:
            delattr(parameter, ATTRIBUTE)
        if is_absent(parameter):
            return
        if layers.changes:
            parameter.data = layers.merged(parameter.device, parameter.dtype)
        else:
            parameter.data = layers.own.to(parameter)


def bring(numbers: Mapping[nn.Parameter, Tensor]) -> None:
    """Give absent parameters their own numbers, wherever they are to be now, under what lies over them.

    All of a layer's come together: what lies over one may have to look at another.
    """
    with CHANGING, torch.no_grad(), torch.inference_mode(False):
        laid = {one: layers for one in numbers if (layers := getattr(one, ATTRIBUTE, None)) is not None}
        for parameter, own in numbers.items():
            parameter.data = own
            if parameter in laid:
                laid[parameter].own = own
            _known(parameter).present = True
        for parameter, layers in laid.items():
            parameter.data = layers.merged(parameter.device, parameter.dtype)


def bring_all(modules: Iterable[nn.Module]) -> None:
    """Have all weights in memory, the largest first, so that converting them takes little beside."""
    away = {id(one): one for module in modules for one in module.parameters() if is_absent(one)}
    for parameter in sorted(away.values(), key=lambda one: -one.numel()):
        bring({parameter: _known(parameter).fetch().to(parameter.device)})


def drop(parameters: Iterable[nn.Parameter], device: torch.device | str | None = None) -> None:
    """Make parameters absent, to be brought to ``device``; what lies over them stays known.

    None of them may be being brought meanwhile.
    """
    with torch.no_grad(), torch.inference_mode(False):
        for parameter in parameters:
            parameter.data = absent(parameter.shape, parameter.dtype, device or parameter.device)
            layers: Layers | None = getattr(parameter, ATTRIBUTE, None)
            if layers is not None:
                layers.own = parameter.data
            _known(parameter).present = False


def _known(parameter: nn.Parameter) -> Origin:
    """Where its numbers come from, which is known of whatever is brought and dropped."""
    origin = origin_of(parameter)
    assert origin is not None
    return origin


@contextmanager
def as_it_was_made(parameter: nn.Parameter) -> Iterator[None]:
    """No gradients, and inference mode if the parameter was made in it: the two kinds do not mix."""
    with torch.no_grad(), torch.inference_mode(parameter.is_inference()):
        yield


def kept(tensor: Tensor) -> Tensor:
    """A parameter's own bits in main memory: the tensor itself if it lies there, maybe in a mapped file."""
    return tensor if tensor.device.type == "cpu" else tensor.cpu()
