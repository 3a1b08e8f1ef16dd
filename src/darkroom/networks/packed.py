"""Layers whose weights lie as the processor multiplies them fastest, packed once instead of at each call.

oneDNN multiplies in blocks of its own layout. Torch brings a weight into it at every call, which costs up to
half of a convolution with many channels and few pixels. A packed layer is the same layer, with the same
parameters under the same names; it keeps a second copy in blocks, and makes it anew when the weight changes,
as it does when an adapter is merged into it.
"""

from typing import Any, cast
from weakref import ref

import torch
from torch import Tensor, nn

Stamp = tuple[tuple[ref[torch.UntypedStorage], int, int], ...]


def stamp_of(*tensors: Tensor | None) -> Stamp:
    """What is another when a tensor has other memory, or has been written to.

    An address does not tell memories apart: one that was freed is soon given to the next tensor of its size.
    Storages do, and references to them that do not keep them; one that is gone is like no other.
    """
    return tuple(
        (ref(tensor.untyped_storage()), tensor.data_ptr(), tensor._version)
        for tensor in tensors
        if tensor is not None
    )


class Packed(nn.Module):
    """What packed layers share: the copy in blocks, and what it was made of."""

    dtype: torch.dtype
    keeps: bool = True
    stamp: Stamp | None = None
    blocks: Tensor | None = None
    offset: Tensor | None = None

    def plain(self, x: Tensor) -> bool:
        """Whether torch's own layer is to answer."""
        return x.requires_grad or not x.numel()

    def keep(self, keeps: bool) -> None:
        """Whether there is memory for a second copy of the weight; without, it is made at each call."""
        self.keeps = keeps
        if not keeps:
            self.stamp = self.blocks = self.offset = None

    def packed(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Weight in blocks and bias, in the precision that is computed in."""
        stamp = stamp_of(cast(Tensor, self.weight), cast(Tensor | None, self.bias))
        if self.blocks is not None and stamp == self.stamp:
            return self.blocks, self.offset
        blocks, offset = self.anew(x)
        if self.keeps:
            self.blocks, self.offset, self.stamp = blocks, offset, stamp
        return blocks, offset

    def anew(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The same, of the weight and bias as they are now."""
        weight, bias = cast(Tensor, self.weight), cast(Tensor | None, self.bias)
        offset = None if bias is None else bias.detach().to(self.dtype)
        return self.pack(weight.detach().to(self.dtype), x), offset

    def pack(self, weight: Tensor, x: Tensor) -> Tensor:
        """The weight in blocks, for inputs such as ``x``."""
        raise NotImplementedError


class PackedLinear(Packed, nn.Linear):
    """A linear layer (..., in) -> (..., out). Bits as torch's own in the same precision."""

    def pack(self, weight: Tensor, x: Tensor) -> Tensor:
        rows = x.numel() // x.shape[-1]
        return cast(Tensor, torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), rows))

    def forward(self, x: Tensor) -> Tensor:
        if self.plain(x):
            return super().forward(x)
        blocks, bias = self.packed(x)
        x = x.to(self.dtype)
        return cast(Tensor, torch.ops.mkldnn._linear_pointwise(x, blocks, bias, "none", [], ""))


class PackedConv2d(Packed, nn.Conv2d):
    """A convolution (B, C, H, W) -> (B, C', H', W'). Bits as torch's own in the same precision."""

    def geometry(self) -> tuple[list[int], list[int], list[int], int]:
        """Padding, stride, dilation and groups, as oneDNN wants them."""
        assert not isinstance(self.padding, str)
        return list(self.padding), list(self.stride), list(self.dilation), self.groups

    def pack(self, weight: Tensor, x: Tensor) -> Tensor:
        blocked: Any = torch._C._nn.mkldnn_reorder_conv2d_weight
        return cast(Tensor, blocked(weight.contiguous().to_mkldnn(), *self.geometry(), list(x.shape)))

    def forward(self, x: Tensor) -> Tensor:
        if self.plain(x):
            return super().forward(x)
        x = x.to(self.dtype)
        if self.dtype == torch.bfloat16:  # oneDNN is quick there only with a position's channels together
            x = x.contiguous(memory_format=torch.channels_last)
        blocks, bias = self.packed(x)
        args: Any = (x, blocks, bias, *self.geometry(), "none", [], "")
        return cast(Tensor, torch.ops.mkldnn._convolution_pointwise(*args))


def available() -> bool:
    """Whether this torch can pack."""
    return torch.backends.mkldnn.is_available()


def packable(layer: nn.Module) -> bool:
    """Whether a layer is plain enough: torch's own, with zeros around what a convolution sees."""
    if type(layer) is nn.Conv2d:
        return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return type(layer) is nn.Linear


def pack(network: nn.Module, dtype: torch.dtype) -> int:
    """Replace the layers of a network by packed ones that compute in ``dtype``; returns how many."""
    packed = 0
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if packable(layer):
                setattr(parent, name, packed_of(layer, dtype))
                packed += 1
    return packed


def packed_of(layer: nn.Module, dtype: torch.dtype) -> Packed:
    """The packed layer with the same parameters, hooks and all."""
    kind = PackedLinear if isinstance(layer, nn.Linear) else PackedConv2d
    made = cast(Packed, kind.__new__(kind))
    made.__dict__ = dict(layer.__dict__)
    made.dtype = dtype
    return made


def keep(network: nn.Module, keeps: bool) -> None:
    """Let the packed layers of a network keep their second copies, or not."""
    for layer in network.modules():
        if isinstance(layer, Packed) and layer.keeps != keeps:
            layer.keep(keeps)
