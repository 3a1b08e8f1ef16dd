"""Layers with weights of 8 bits, in place of ``nn.Linear`` and ``nn.Conv2d``.

:class:`QuantizedLinear` and :class:`QuantizedConv2d` multiply integers: weights, rounded once, and signals,
rounded as they come. A weight is ``scale * level`` with a scale for each output channel; a signal has a scale
for each token or, before a convolution that sees neighbours, for each picture. So no sample of data is needed
beforehand, and no row's answer depends on what else is in the batch. It is the scheme of ZeroQuant (Yao et
al. 2022, arXiv 2206.01861, section 3.2).

:class:`StoredLinear` and :class:`StoredConv2d` keep their weights so, and calculate in the signal's
precision.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.errors import DarkroomError
from darkroom.networks import integers
from darkroom.networks.integers import ZERO, signal_levels, weight_levels


class EightBits(nn.Module, ABC):
    """``weight`` holds levels, in whatever order; ``scale`` (out,) what one level is worth.

    Made of a layer, whose bias it takes over. ``movable`` says whether it may go to another device.
    """

    weight: Tensor
    scale: Tensor
    movable = True

    def __init__(self, layer: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.take(layer)
        levels, scale = weight_levels(layer.weight)
        self.register_buffer("weight", self.ordered(levels, scale), persistent=False)
        self.register_buffer("scale", scale, persistent=False)
        self.bias = layer.bias

    @abstractmethod
    def take(self, layer: nn.Module) -> None:
        """Take over the layer's sizes."""

    def ordered(self, levels: Tensor, scale: Tensor) -> Tensor:
        """The levels as they are kept."""
        return levels

    def along(self, vector: Tensor) -> Tensor:
        """A vector (out,), shaped to lie along the output's channels."""
        return vector

    def rescaled(self, product: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
        """``product * scale``, and the bias added."""
        if self.bias is None:
            return (product * scale).to(dtype)
        return torch.addcmul(self.along(self.bias).to(product.dtype), product, scale).to(dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Moves or casts the bias; scales stay in single precision, packed weights where they are."""
        weight, scale = self._buffers["weight"], self.scale
        if not self.movable:
            self._buffers["weight"] = None  # torch cannot cast what oneDNN has packed, not even to itself
        super()._apply(fn, recurse)
        self.scale = scale.to(self.scale.device)
        if not self.movable:
            self._buffers["weight"] = weight
            self.check_device()
        return self

    def check_device(self) -> None:
        """Raise DarkroomError where the bias went and the weight cannot follow."""
        if self.scale.device != self.weight.device:
            raise DarkroomError(
                "a network in int8 cannot leave the processor; load it without, or with 'int8-weights'."
            )


class StoredLinear(EightBits):
    """A linear layer whose weights are kept in 8 bits; it calculates in the signal's precision."""

    def take(self, layer: nn.Module) -> None:
        assert isinstance(layer, nn.Linear)
        self.in_features, self.out_features = layer.in_features, layer.out_features

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (..., in) -> (..., out)."""
        return self.rescaled(F.linear(x, self.weight.to(x.dtype)), self.scale.to(x.dtype), x.dtype)


class StoredConv2d(EightBits):
    """A convolution whose weights are kept in 8 bits; it calculates in the signal's precision."""

    def take(self, layer: nn.Module) -> None:
        assert isinstance(layer, nn.Conv2d)
        self.in_channels, self.out_channels = layer.in_channels, layer.out_channels
        assert not isinstance(layer.padding, str)
        self.kernel_size, self.stride, self.padding = layer.kernel_size, layer.stride, layer.padding

    @property
    def shape(self) -> tuple[int, ...]:
        """(out, in, high, wide) of the weight."""
        return (self.out_channels, self.in_channels, *self.kernel_size)

    def along(self, vector: Tensor) -> Tensor:
        return vector[:, None, None]

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (B, in, H, W) -> (B, out, H', W')."""
        product = self.convolved(x, self.weight.to(x.dtype))
        return self.rescaled(product, self.along(self.scale.to(x.dtype)), x.dtype)

    def convolved(self, x: Tensor, weight: Tensor) -> Tensor:
        """The layer's convolution with a weight (..., in, high, wide) of real numbers, and no bias."""
        return F.conv2d(x, weight, None, self.stride, self.padding)


class QuantizedLinear(StoredLinear):
    """A linear layer on integers, with a scale for each token of the signal."""

    movable = False

    def ordered(self, levels: Tensor, scale: Tensor) -> Tensor:
        self.exact = integers.multiplies_exactly()
        return integers.pack(levels) if self.exact else levels

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (..., in) -> (..., out)."""
        levels, scale = signal_levels(x, (-1,))
        return self.rescaled(self.product(levels, scale.dtype), scale, x.dtype)

    def product(self, levels: Tensor, dtype: torch.dtype) -> Tensor:
        """(..., in) levels -> (..., out), all but the signal's scale and the bias."""
        if self.exact:
            return integers.multiply(levels, self.weight, self.scale, dtype)
        return (F.linear(levels.float() - ZERO, self.weight.float()) * self.scale).to(dtype)


class QuantizedConv2d(StoredConv2d):
    """A convolution on integers, with a scale for each picture; where its kernel is 1x1, for each position.

    Its answer lies in memory channels last.
    """

    movable = False

    def take(self, layer: nn.Module) -> None:
        super().take(layer)
        self.pointwise = self.kernel_size == self.stride == (1, 1) and self.padding == (0, 0)

    def ordered(self, levels: Tensor, scale: Tensor) -> Tensor:
        self.exact = integers.multiplies_exactly()
        if not self.exact:
            return levels
        if self.pointwise:
            return integers.pack(levels.flatten(1))
        return integers.pack_window(levels, scale, self.stride, self.padding)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (B, in, H, W) -> (B, out, H', W')."""
        levels, scale = signal_levels(x, (1,) if self.pointwise else (1, 2, 3))
        levels = levels.contiguous(memory_format=torch.channels_last)
        return self.rescaled(self.product(levels, scale.dtype), scale, x.dtype)

    def product(self, levels: Tensor, dtype: torch.dtype) -> Tensor:
        """(B, in, H, W) levels -> (B, out, H', W'), all but the signal's scale and the bias."""
        if not self.exact:
            product = self.convolved(levels.float() - ZERO, self.weight.float())
            return (product * self.along(self.scale)).to(dtype)
        if self.pointwise:
            product = integers.multiply(levels.permute(0, 2, 3, 1), self.weight, self.scale, dtype)
            return product.permute(0, 3, 1, 2)
        return integers.convolve(levels, self.weight, self.scale, self.stride, self.padding, dtype)
