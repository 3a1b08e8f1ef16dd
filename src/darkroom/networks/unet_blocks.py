"""The blocks of a Stable Diffusion U-Net: residual, transformer, down, middle and up.

Rombach et al. 2022 (latent diffusion, arXiv 2112.10752, appendix E) with the names that diffusers gives to
weights. Signals keep the memory layout (contiguous or channels last) that they come in.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.networks.attend import attend
from darkroom.networks.layers import merge_heads, split_heads
from darkroom.networks.unet_config import UNetConfig


@dataclass(frozen=True)
class Context:
    """What all blocks are told in one pass.

    ``time`` (B, embedding) behind its activation; ``tokens`` (B, L, D); ``mask`` (B, 1, 1, L) bool or None;
    ``perturb`` (B, blocks) bool or None; ``images``, for each image adapter that is given a picture, its
    number, tokens (B, n, D) and scale (B,) or (B, blocks).
    """

    time: Tensor
    tokens: Tensor | None = None
    mask: Tensor | None = None
    perturb: Tensor | None = None
    images: tuple[tuple[int, Tensor, Tensor], ...] = ()


def sinusoids_of(value: Tensor, width: int, flip_sin_to_cos: bool = True, freq_shift: float = 0) -> Tensor:
    """Sinusoids in single precision: (...,) -> (..., width), cosines first where flipped.

    Ho et al. 2020 (arXiv 2006.11239, appendix B); ``freq_shift`` 1 makes the slowest rate 1 / 10000.
    """
    half = width // 2
    steps = -math.log(10_000) * torch.arange(half, dtype=torch.float32, device=value.device)
    angles = value[..., None].float() * torch.exp(steps / (half - freq_shift))
    pair = (angles.cos(), angles.sin()) if flip_sin_to_cos else (angles.sin(), angles.cos())
    return F.pad(torch.cat(pair, dim=-1), (0, width % 2))


class TimeEmbedding(nn.Module):
    """Two layers over sinusoids, to which an embedding of guidance may be added, or another vector."""

    def __init__(self, width: int, hidden: int, guidance_width: int | None = None) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(width, hidden)
        self.linear_2 = nn.Linear(hidden, hidden)
        self.cond_proj = nn.Linear(guidance_width, width, bias=False) if guidance_width else None

    def forward(self, x: Tensor, guidance: Tensor | None = None) -> Tensor:
        """``x`` (B, width), ``guidance`` (B, guidance_width) -> (B, hidden)."""
        if self.cond_proj is not None and guidance is not None:
            x = x + self.cond_proj(guidance)
        return self.linear_2(F.silu(self.linear_1(x)))


class ResBlock(nn.Module):
    """Two convolutions around the time embedding; a third brings the input to another width."""

    def __init__(self, config: UNetConfig, width_in: int, width: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(config.groups, width_in, config.eps)
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1)
        self.time_emb_proj = nn.Linear(config.embedding_width, width)
        self.norm2 = nn.GroupNorm(config.groups, width, config.eps)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(width_in, width, 1) if width_in != width else None

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """``x`` (B, width_in, H, W), ``time`` (B, embedding) -> (B, width, H, W)."""
        hidden = self.conv1(F.silu(self.norm1(x))) + self.time_emb_proj(time)[:, :, None, None]
        hidden = self.conv2(F.silu(self.norm2(hidden)))
        return (x if self.conv_shortcut is None else self.conv_shortcut(x)) + hidden


class Attention(nn.Module):
    """Attention of ``x`` to ``source``, and, where an image adapter is attached, to its tokens beside.

    The latter is the decoupled attention of IP-Adapter (Ye et al. 2023, arXiv 2308.06721, eq. 5), whose
    projections :func:`darkroom.networks.ip_adapter.attach` puts in ``to_k_ip`` and ``to_v_ip``.
    """

    def __init__(self, width: int, source_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(source_width, width, bias=False)
        self.to_v = nn.Linear(source_width, width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width))
        self.to_k_ip: nn.ModuleList | None = None
        self.to_v_ip: nn.ModuleList | None = None

    def forward(
        self,
        x: Tensor,
        source: Tensor,
        mask: Tensor | None = None,
        images: Sequence[tuple[int, Tensor, Tensor]] = (),
    ) -> Tensor:
        """``x`` (B, N, width), ``source`` (B, L, source_width), ``images`` with scales (B,)."""
        q = split_heads(self.to_q(x), self.heads)
        mixed = self.attend(q, self.to_k(source), self.to_v(source), mask)
        if self.to_k_ip is not None and self.to_v_ip is not None:
            for i, tokens, scale in images:
                seen = self.attend(q, self.to_k_ip[i](tokens), self.to_v_ip[i](tokens))
                mixed = (mixed + scale[:, None, None] * seen).to(q.dtype)
        return self.to_out(mixed)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        """``q`` (B, heads, N, d); ``k`` and ``v`` (B, L, heads * d) -> (B, N, heads * d)."""
        k, v = split_heads(k, self.heads), split_heads(v, self.heads)
        return merge_heads(attend(q, k, v, mask))

    def blind(self, x: Tensor) -> Tensor:
        """What comes of self-attention whose every position sees itself alone."""
        return self.to_out(self.to_v(x))


class GEGLU(nn.Module):
    """x W * gelu(x V) (Shazeer 2020, arXiv 2002.05202, eq. 6)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 2 * hidden)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class GatedFeedForward(nn.Module):
    """GEGLU of four times the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(GEGLU(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class TransformerBlock(nn.Module):
    """Attention over the picture, attention to the prompt, feed-forward.

    ``index`` is the block's column in ``Conditioning.perturb``, counted over the network in the order of
    computation.
    """

    index = 0

    def __init__(self, config: UNetConfig, width: int, heads: int, only_cross: bool) -> None:
        super().__init__()
        self.only_cross = only_cross
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = Attention(width, config.context_width if only_cross else width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.attn2 = Attention(width, config.context_width, heads)
        self.norm3 = nn.LayerNorm(width)
        self.ff = GatedFeedForward(width)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """``x`` (B, N, width)."""
        assert context.tokens is not None
        x = x + self.attend_first(self.norm1(x), context)
        x = x + self.attn2(self.norm2(x), context.tokens, context.mask, self.images(context))
        return x + self.ff(self.norm3(x))

    def attend_first(self, x: Tensor, context: Context) -> Tensor:
        """Self-attention, blind in perturbed rows (Ahn et al. 2024, arXiv 2403.17377, eq. 12)."""
        if self.only_cross:
            assert context.tokens is not None
            return self.attn1(x, context.tokens, context.mask)
        seeing = self.attn1(x, x)
        if context.perturb is None:
            return seeing
        return torch.where(context.perturb[:, self.index, None, None], self.attn1.blind(x), seeing)

    def images(self, context: Context) -> tuple[tuple[int, Tensor, Tensor], ...]:
        """The images with this block's own scale."""
        return tuple(
            (i, tokens, scale if scale.dim() == 1 else scale[:, self.index])
            for i, tokens, scale in context.images
        )


class SpatialTransformer(nn.Module):
    """Transformer blocks over the positions of a grid, added to it."""

    def __init__(self, config: UNetConfig, width: int, depth: int, heads: int, only_cross: bool) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(config.groups, width, eps=1e-6)
        self.linear = config.linear_projection
        self.proj_in = nn.Linear(width, width) if self.linear else nn.Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList(
            TransformerBlock(config, width, heads, only_cross) for _ in range(depth)
        )
        self.proj_out = nn.Linear(width, width) if self.linear else nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(B, width, H, W) to the same."""
        size = x.shape[-2:]
        hidden = self.norm(x)
        tokens = self.proj_in(as_tokens(hidden)) if self.linear else as_tokens(self.proj_in(hidden))
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        if self.linear:
            return x + as_grid(self.proj_out(tokens), size)
        return x + self.proj_out(as_grid(tokens, size))


def as_tokens(grid: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H * W, C), row by row."""
    return grid.permute(0, 2, 3, 1).flatten(1, 2)


def as_grid(tokens: Tensor, size: Sequence[int]) -> Tensor:
    """The inverse of :func:`as_tokens`."""
    return tokens.unflatten(1, tuple(size)).permute(0, 3, 1, 2)


class Downsample(nn.Module):
    """A convolution that halves the sides, rounded up."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Upsample(nn.Module):
    """Positions repeated up to the size asked for, then a convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        return self.conv(F.interpolate(x, size=tuple(size), mode="nearest"))


class Block(nn.Module):
    """Residual blocks, each with a spatial transformer behind it where the level has attention."""

    def __init__(
        self,
        config: UNetConfig,
        level: int,
        widths_in: Sequence[int],
        depths: Sequence[int],
        only_cross: bool = False,
    ) -> None:
        super().__init__()
        width, heads = config.widths[level], config.heads[level]
        self.resnets = nn.ModuleList(ResBlock(config, width_in, width) for width_in in widths_in)
        self.attentions = nn.ModuleList(
            SpatialTransformer(config, width, depth, heads, only_cross) for depth in depths if depth
        )

    def attend(self, i: int, x: Tensor, context: Context) -> Tensor:
        """The i-th spatial transformer, if there is one."""
        return self.attentions[i](x, context) if i < len(self.attentions) else x


class DownBlock(Block):
    """One level on the way down; all but the coarsest downsample at the end."""

    def __init__(self, config: UNetConfig, level: int) -> None:
        width, depths = config.widths[level], config.down[level]
        widths_in = [config.widths[max(level - 1, 0)]] + [width] * (len(depths) - 1)
        super().__init__(config, level, widths_in, depths, config.only_cross[level])
        coarsest = level + 1 == len(config.widths)
        self.downsamplers = nn.ModuleList([] if coarsest else [Downsample(width)])

    def forward(self, x: Tensor, context: Context) -> tuple[Tensor, list[Tensor]]:
        """The signal one level down, and what was left on the way."""
        left = []
        for i, resnet in enumerate(self.resnets):
            x = self.attend(i, resnet(x, context.time), context)
            left.append(x)
        for downsample in self.downsamplers:
            x = downsample(x)
            left.append(x)
        return x, left


class MidBlock(Block):
    """Two residual blocks around a transformer, whose first attention sees the picture, or a single one."""

    def __init__(self, config: UNetConfig) -> None:
        width, depth = config.widths[-1], config.mid or 0
        super().__init__(config, -1, [width] * (2 if depth else 1), [depth])

    def forward(self, x: Tensor, context: Context) -> Tensor:
        for i, resnet in enumerate(self.resnets):
            x = self.attend(i, resnet(x, context.time), context)
        return x


class UpBlock(Block):
    """One level on the way up, ``step`` counted from the coarsest; all but the finest upsample at the end."""

    def __init__(self, config: UNetConfig, step: int, width_before: int, skips: Sequence[int]) -> None:
        """``skips``, the widths of what was left on the way down, in the order of their use."""
        level = len(config.widths) - 1 - step
        width = config.widths[level]
        carried = [width_before] + [width] * (len(skips) - 1)
        widths_in = [a + b for a, b in zip(carried, skips, strict=True)]
        super().__init__(config, level, widths_in, config.up[step], config.only_cross[level])
        self.upsamplers = nn.ModuleList([Upsample(width)] if level else [])

    def forward(self, x: Tensor, left: list[Tensor], context: Context) -> Tensor:
        """Takes its skips off the end of ``left``; grows to the size of the one that comes next."""
        for i, resnet in enumerate(self.resnets):
            joined = torch.cat([x, left.pop()], dim=1)
            x = self.attend(i, resnet(joined, context.time), context)
        for upsample in self.upsamplers:
            x = upsample(x, left[-1].shape[-2:])
        return x
