"""Weights of eight bits that have a factor beside them, as ComfyUI writes them, seen as they are meant.

``layer.weight`` is stored divided by ``layer.scale_weight``, one number or one a row. What else such files
hold (``scale_input``, the mark ``scaled_fp8``) is for hardware that multiplies eight bits.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from darkroom.weights.header import Header, TensorInfo
from darkroom.weights.store import Store

ENDS = (".scale_weight", ".weight_scale")
IDLE = (".scale_input", ".input_scale", ".scaled_fp8")


@dataclass(frozen=True)
class Scaled:
    """A store whose scaled weights are multiplied out, in float32, when they are asked for."""

    store: Store

    @cached_property
    def scales(self) -> dict[str, str]:
        """Weight -> its factor."""
        names = self.store.header.tensors
        found = {
            name.removesuffix(end) + ".weight": name for end in ENDS for name in names if name.endswith(end)
        }
        return {weight: scale for weight, scale in found.items() if weight in names}

    @cached_property
    def header(self) -> Header:
        """All names but those of the factors."""
        factors, infos = set(self.scales.values()), self.store.header.tensors
        kept = {
            name: TensorInfo(torch.float32, info.shape) if name in self.scales else info
            for name, info in infos.items()
            if name not in factors and not name.endswith(IDLE) and name != IDLE[-1][1:]
        }
        return replace(self.store.header, tensors=kept)

    def tensor(self, name: str) -> Tensor:
        """One tensor. Raises KeyError for names that are not in the header."""
        if name not in self.header.tensors:
            raise KeyError(name)
        tensor = self.store.tensor(name)
        if name not in self.scales:
            return tensor
        scale = self.store.tensor(self.scales[name]).float()
        rows = scale.view(-1, *[1] * (tensor.ndim - 1)) if scale.numel() > 1 else scale.view(())
        return tensor.float() * rows


def scaled(store: Store) -> Store:
    """The store itself, or with its scaled weights multiplied out."""
    return Scaled(store) if any(name.endswith(ENDS) for name in store.header.tensors) else store
