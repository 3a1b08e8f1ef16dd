"""Numbers as levels of 8 bits, and oneDNN's products of them, which torch has for processors.

A level is signed for weights and unsigned, around ``ZERO``, for signals: what VNNI instructions multiply.
(For signed signals torch has these products too, and takes a thousand times as long.)
"""

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

MOST = 127
"""The largest level; the levels lie evenly about zero, so -128 is not used."""
ZERO = 128
"""Where 0 lies among the levels of a signal."""
Rounding = Callable[[Tensor, tuple[int, ...]], tuple[Tensor, Tensor]]
"""``rounding(x, axes)``, as :func:`signal_levels` says."""
TINY = torch.finfo(torch.float32).tiny


def weight_levels(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(out, ...) -> int8 levels of that shape, and scales (out,) in single precision."""
    wide = weight.detach().float()
    scale = (wide.flatten(1).abs().amax(1) / MOST).clamp_min(TINY)
    return (wide / scale.reshape(-1, *[1] * (wide.ndim - 1))).round().to(torch.int8), scale


def signal_levels(x: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """uint8 levels around ``ZERO``, and their scale over ``axes``, which become 1.

    The scale is in bf16 where ``x`` is, else in single precision, and is rounded to that before it is used.
    ``axes`` are the last, or, of (B, C, H, W), the channels alone or all that a picture has.
    """
    return _in_force(x, axes)


def torch_levels(x: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """:func:`signal_levels` for every machine."""
    scale = (torch.amax(x.abs(), axes, keepdim=True).float() / MOST).clamp_min(TINY)
    scale = scale.to(torch.bfloat16 if x.dtype == torch.bfloat16 else torch.float32)
    return (x.float() * (1 / scale.float()) + (ZERO + 0.5)).to(torch.uint8), scale


_in_force: Rounding = torch_levels


def use(rounding: Rounding) -> Rounding:
    """Let ``rounding`` answer from now on, in every thread; returns the one that did so far."""
    global _in_force
    before, _in_force = _in_force, rounding
    return before


@cache
def multiplies_exactly() -> bool:
    """Whether the products can be had on this machine and are right.

    Without VNNI instructions oneDNN adds pairs of them up in 16 bits, which overflow: a product of the
    largest levels comes out at a hundredth of its value. So one is tried.
    """
    levels, weight = torch.full((16, 256), 255, dtype=torch.uint8), torch.full((16, 256), MOST).to(torch.int8)
    try:
        product = multiply(levels, pack(weight), torch.ones(16), torch.float32)
    except (AttributeError, RuntimeError):
        return False
    return bool((product == 256 * MOST * (255 - ZERO)).all())


def pack(levels: Tensor) -> Tensor:
    """Weights (out, in) in the order in which oneDNN reads them."""
    return torch.ops.onednn.qlinear_prepack(levels, None)


torch.library.define(
    "darkroom::multiply", "(Tensor levels, Tensor packed, Tensor scale, ScalarType dtype) -> Tensor"
)


def multiply(levels: Tensor, packed: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """(..., in) levels of a signal times packed weights of the ``scale`` (out,): (..., out) in ``dtype``.

    An operation of our own, as torch's compiler takes oneDNN's only where weights are frozen into the code.
    """
    return torch.ops.darkroom.multiply(levels, packed, scale, dtype)


@torch.library.impl("darkroom::multiply", "CompositeExplicitAutograd")
def _multiply(levels: Tensor, packed: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    zeros = torch.zeros(scale.shape, dtype=torch.int32)
    return torch.ops.onednn.qlinear_pointwise(
        levels, 1.0, ZERO, packed, scale, zeros, None, 1.0, 0, dtype, "none", [], ""
    )


@torch.library.register_fake("darkroom::multiply")
def _shape(levels: Tensor, packed: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    return levels.new_empty((*levels.shape[:-1], scale.shape[0]), dtype=dtype)


def pack_window(levels: Tensor, scale: Tensor, stride: Sequence[int], padding: Sequence[int]) -> Tensor:
    """Weights (out, in, high, wide) in the order in which oneDNN's convolution reads them."""
    return torch.ops.onednn.qconv_prepack(levels, scale, 1.0, ZERO, stride, padding, [1, 1], 1, None)


def convolve(
    levels: Tensor,
    packed: Tensor,
    scale: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dtype: torch.dtype,
) -> Tensor:
    """(B, in, H, W) levels, channels last, to (B, out, H', W') in ``dtype``; beyond the edge all is zero."""
    zeros = torch.zeros(scale.shape, dtype=torch.int32)
    window = (stride, padding, [1, 1], 1)
    return torch.ops.onednn.qconv_pointwise(
        levels, 1.0, ZERO, packed, scale, zeros, None, *window, 1.0, 0, dtype, "none", [], ""
    )
