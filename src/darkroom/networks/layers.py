"""Small parts that several networks share."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.networks.attend import attend


class RMSNorm(nn.RMSNorm):
    """RMS norm (Zhang and Sennrich 2019, arXiv 1910.07467) that stays in the signal's precision.

    Torch's own falls back to a slow path, with a warning, where autocast gives it a signal in bf16.
    """

    def forward(self, x: Tensor) -> Tensor:
        gain = None if self.weight is None else self.weight.to(x.dtype)
        return F.rms_norm(x, self.normalized_shape, gain, self.eps)


class FeedForward(nn.Module):
    """SwiGLU, (silu(x W) * x V) W2 (Shazeer 2020, arXiv 2002.05202, eq. 6)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * value)


def sinusoids(position: Tensor, width: int, longest: float = 10_000.0) -> Tensor:
    """Sinusoidal embedding of real positions: (...,) -> (..., width) (Vaswani et al. 2017, section 3.5)."""
    half = width // 2
    rates = torch.exp(-math.log(longest) * torch.arange(half, device=position.device) / half)
    angles = position[..., None].float() * rates
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def rotary_1d(
    length: int, head: int, device: torch.device | None = None, longest: float = 10_000.0
) -> Tensor:
    """Rotary angles of a line of tokens: (length, head / 2) (Su et al. 2021, RoFormer, eq. 15)."""
    rates = longest ** (-torch.arange(0, head, 2, device=device) / head)
    return torch.arange(length, device=device)[:, None] * rates


def rotary_2d(height: int, width: int, head: int, device: torch.device | None = None) -> Tensor:
    """Rotary angles of a grid, row by row: (height * width, head / 2); half turn with y, half with x."""
    down = rotary_1d(height, head // 2, device, longest=100.0)  # grids are short, so the slowest turn is too
    across = rotary_1d(width, head // 2, device, longest=100.0)
    grid = torch.cat([down[:, None].expand(-1, width, -1), across[None].expand(height, -1, -1)], dim=-1)
    return grid.reshape(height * width, head // 2)


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Turn each pair (x[i], x[i + d/2]) of the last axis; x (B, heads, L, d), angles (L, d / 2)."""
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    one, two = x.chunk(2, dim=-1)
    return torch.cat([one * cos - two * sin, one * sin + two * cos], dim=-1)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, L, heads * d) -> (B, heads, L, d)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, heads, L, d) -> (B, L, heads * d)."""
    return x.transpose(1, 2).flatten(2)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Scaled dot-product attention; ``mask`` (B, 1, 1 or queries, keys) bool, True where a key counts.

    With gradients on a CPU it is written out: the backward pass of torch's own attention takes there six
    times as long for sequences as short as ours, a third of a training step.
    """
    if q.device.type != "cpu" or not q.requires_grad:
        return attend(q, k, v, mask)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)  # in single precision where that is autocast
    return weights.to(v.dtype) @ v
