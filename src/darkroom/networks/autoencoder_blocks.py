"""What encoder and decoder of the latent diffusion autoencoder are built of; names as in diffusers.

Rombach et al. 2022 (arXiv 2112.10752, appendix G): residual blocks without time, one attention in the middle.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.networks.attend import attend

EPSILON = 1e-6
"""What group norms add to the variance."""


class ResidualBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), x led through a 1x1 convolution where the width changes."""

    def __init__(self, width_in: int, width_out: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, width_in, EPSILON)
        self.conv1 = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, width_out, EPSILON)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(width_in, width_out, 1) if width_in != width_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, width_in, H, W) -> (B, width_out, H, W)."""
        change = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        return self.conv_shortcut(x) + change


class PixelAttention(nn.Module):
    """Every position attends to all, in a single head as wide as the signal; added to what comes in."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, width, EPSILON)
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        tokens = self.group_norm(x).flatten(2).transpose(1, 2)  # (B, H * W, C)
        q, k, v = (project(tokens)[:, None] for project in (self.to_q, self.to_k, self.to_v))
        seen = attend(q, k, v)[:, 0]
        # the sum has the memory order of its first part, in which later norms add up: diffusers' order
        return self.to_out[0](seen).transpose(1, 2).unflatten(2, x.shape[2:]) + x


class MiddleBlock(nn.Module):
    """Residual block, attention where there is one, residual block."""

    def __init__(self, width: int, groups: int, attention: bool) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([PixelAttention(width, groups)] if attention else [])
        self.resnets = nn.ModuleList(ResidualBlock(width, width, groups) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same."""
        x = self.resnets[0](x)
        for attention in self.attentions:
            x = attention(x)
        return self.resnets[1](x)


class Halve(nn.Module):
    """A convolution of stride 2, zeros laid to the right and below alone: sides halved, rounded down."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H // 2, W // 2)."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Double(nn.Module):
    """Every position four times, then a convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 2 * H, 2 * W)."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Stage(nn.Module):
    """Residual blocks of one resolution, the first of which changes the width."""

    def __init__(self, width_in: int, width_out: int, depth: int, groups: int) -> None:
        super().__init__()
        widths = [width_in] + depth * [width_out]
        self.resnets = nn.ModuleList(ResidualBlock(one, two, groups) for one, two in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width_in, H, W) -> (B, width_out, H, W)."""
        for block in self.resnets:
            x = block(x)
        return x


class DownStage(Stage):
    """A stage, and half the sides unless it is the last."""

    def __init__(self, width_in: int, width_out: int, depth: int, groups: int, last: bool) -> None:
        super().__init__(width_in, width_out, depth, groups)
        self.downsamplers = nn.ModuleList([] if last else [Halve(width_out)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, width_in, H, W) -> (B, width_out, H // 2, W // 2)."""
        x = super().forward(x)
        for halve in self.downsamplers:
            x = halve(x)
        return x


class UpStage(Stage):
    """A stage, and double the sides unless it is the last."""

    def __init__(self, width_in: int, width_out: int, depth: int, groups: int, last: bool) -> None:
        super().__init__(width_in, width_out, depth, groups)
        self.upsamplers = nn.ModuleList([] if last else [Double(width_out)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, width_in, H, W) -> (B, width_out, 2 * H, 2 * W)."""
        x = super().forward(x)
        for double in self.upsamplers:
            x = double(x)
        return x


def stages(
    kind: type[DownStage] | type[UpStage], widths: Sequence[int], depth: int, groups: int
) -> nn.ModuleList:
    """One stage a width, in the order of the signal's way."""
    steps = list(pairwise([widths[0], *widths]))
    return nn.ModuleList(
        kind(one, two, depth, groups, last=i == len(steps) - 1) for i, (one, two) in enumerate(steps)
    )


class Encoder(nn.Module):
    """Pictures -> parameters of the latents, every stage half as large as the one before."""

    def __init__(
        self, channels: tuple[int, int], widths: Sequence[int], depth: int, groups: int, attention: bool
    ) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(channels[0], widths[0], 3, padding=1)
        self.down_blocks = stages(DownStage, widths, depth, groups)
        self.mid_block = MiddleBlock(widths[-1], groups, attention)
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], EPSILON)
        self.conv_out = nn.Conv2d(widths[-1], channels[1], 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels[0], H, W) -> (B, channels[1], H // downscale, W // downscale)."""
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))


class Decoder(nn.Module):
    """Latents -> pictures: the encoder's way back, each stage one block deeper."""

    def __init__(
        self, channels: tuple[int, int], widths: Sequence[int], depth: int, groups: int, attention: bool
    ) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(channels[0], widths[-1], 3, padding=1)
        self.mid_block = MiddleBlock(widths[-1], groups, attention)
        self.up_blocks = stages(UpStage, widths[::-1], depth + 1, groups)
        self.conv_norm_out = nn.GroupNorm(groups, widths[0], EPSILON)
        self.conv_out = nn.Conv2d(widths[0], channels[1], 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels[0], h, w) -> (B, channels[1], h * downscale, w * downscale)."""
        x = self.mid_block(self.conv_in(x))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


def per_channel(values: Sequence[float], like: Tensor) -> Tensor:
    """(C, 1, 1) or, of one value, (1, 1, 1): to be broadcast over ``like`` (B, C, H, W)."""
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]
