"""A diffusion transformer with its prompt in context.

Peebles and Xie 2023 (DiT, arXiv 2212.09748) with the parts that later work settled on: one adaLN projection
shared by all blocks (PixArt-alpha, arXiv 2310.00426, section 2.3), QK-norm, RMSNorm, SwiGLU, and rotary
positions on the two axes of the picture.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.networks.conditioning import Conditioning, only_middle
from darkroom.networks.layers import (
    FeedForward,
    RMSNorm,
    attention,
    merge_heads,
    rotary_2d,
    rotate,
    sinusoids,
    split_heads,
)
from darkroom.networks.recall import recalled


@dataclass(frozen=True)
class DiTConfig:
    """``channels`` of the signal, ``patch`` positions a token's side, ``text_width`` of prompt tokens."""

    channels: int
    patch: int = 1
    width: int = 256
    depth: int = 8
    heads: int = 4
    text_width: int = 256


class DiTBlock(nn.Module):
    """Attention of the picture over itself and the prompt, then a feed-forward; both modulated."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        width, head = config.width, config.width // config.heads
        self.heads = config.heads
        self.attention_norm = RMSNorm(width, elementwise_affine=False)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.text_kv = nn.Linear(config.text_width, 2 * width, bias=False)
        self.query_norm = RMSNorm(head)
        self.key_norm = RMSNorm(head)
        self.out = nn.Linear(width, width, bias=False)
        self.forward_norm = RMSNorm(width, elementwise_affine=False)
        self.feed_forward = FeedForward(width, 8 * width // 3)
        self.modulation = nn.Parameter(torch.zeros(6, width))

    def forward(self, x: Tensor, shared: Tensor, cond: Conditioning, mask: Tensor, angles: Tensor) -> Tensor:
        """``x`` (B, N, width); ``shared`` (B, 6, width) modulation; ``mask`` (B, 1, 1 or N, N + L)."""
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = (shared + self.modulation)[:, :, None].unbind(1)
        x = x + gate_a * self.attend(self.attention_norm(x) * (1 + scale_a) + shift_a, cond, mask, angles)
        return x + gate_f * self.feed_forward(self.forward_norm(x) * (1 + scale_f) + shift_f)

    def attend(self, x: Tensor, cond: Conditioning, mask: Tensor, angles: Tensor) -> Tensor:
        """Queries from the picture; keys and values from the picture and the prompt in one sequence."""
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        text_k, text_v = (
            split_heads(part, self.heads) for part in self.text_kv(cond.tokens).chunk(2, dim=-1)
        )
        q, k = rotate(self.query_norm(q), angles), rotate(self.key_norm(k), angles)
        k = torch.cat([k, self.key_norm(text_k)], dim=2)
        v = torch.cat([v, text_v], dim=2)
        return self.out(merge_heads(attention(q, k, v, mask)))


class DiT(nn.Module):
    """(noisy signal, time, conditioning) -> prediction of the signal's shape.

    ``time`` runs over [0, 1]. Any height and width that the patch divides will do; positions are relative.
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        values = config.channels * config.patch**2
        self.embed = nn.Linear(values, config.width)
        self.time = nn.Sequential(
            nn.Linear(256, config.width), nn.SiLU(), nn.Linear(config.width, config.width)
        )
        self.pooled = nn.Linear(config.text_width, config.width)
        self.modulate = nn.Linear(config.width, 6 * config.width)
        self.blocks = nn.ModuleList(DiTBlock(config) for _ in range(config.depth))
        self.final_norm = RMSNorm(config.width, elementwise_affine=False)
        self.final_modulate = nn.Linear(config.width, 2 * config.width)
        self.final = nn.Linear(config.width, values)
        for layer in (self.modulate, self.final_modulate, self.final):  # each block starts as the identity
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    @property
    def middle_blocks(self) -> list[bool]:
        """Of each column of ``Conditioning.perturb``, whether it is the block in the middle."""
        return only_middle(len(self.blocks))

    def forward(self, x: Tensor, time: Tensor, cond: Conditioning) -> Tensor:
        """``x`` (B, C, H, W), ``time`` (B,) -> (B, C, H, W); ``cond`` needs tokens, mask and pooled."""
        high, wide = (side // self.config.patch for side in x.shape[-2:])
        hidden = self.embed(self.patches(x))  # (B, N, width)
        told = F.silu(self.time(sinusoids(1000 * time, 256).to(x.dtype)) + self.pooled(cond.pooled))
        shared = self.modulate(told).unflatten(-1, (6, -1))  # (B, 6, width)
        mask = self.mask(cond, hidden)
        angles = rotary_2d(high, wide, self.config.width // self.config.heads, x.device)

        def run(hidden: Tensor, blocks: range) -> Tensor:
            for i in blocks:
                hidden = self.blocks[i](hidden, shared, cond, self.perturbed(mask, cond, i), angles)
            return hidden

        first = run(hidden, range(1))
        hidden = recalled(cond, lambda: run(first, range(1, len(self.blocks))), first)
        shift, scale = self.final_modulate(told)[:, None].chunk(2, dim=-1)
        return self.unpatch(self.final(self.final_norm(hidden) * (1 + scale) + shift), high, wide)

    def mask(self, cond: Conditioning, hidden: Tensor) -> Tensor:
        """(B, 1, 1, N + L) bool: every position of the picture, and the prompt's tokens that count."""
        assert cond.tokens is not None
        told = cond.mask if cond.mask is not None else cond.tokens.new_ones(cond.tokens.shape[:2]).bool()
        return torch.cat([told.new_ones(hidden.shape[:2]), told], dim=1)[:, None, None, :]

    def perturbed(self, mask: Tensor, cond: Conditioning, block: int) -> Tensor:
        """The mask of a block: where it is to be perturbed, positions see themselves and the prompt alone.

        Ahn et al. 2024 (arXiv 2403.17377), for attention that holds the prompt too.
        (B, 1, N, N + L)
        """
        if cond.perturb is None:
            return mask
        assert cond.tokens is not None
        picture = mask.shape[-1] - cond.tokens.shape[1]
        itself = torch.eye(picture, mask.shape[-1], dtype=torch.bool, device=mask.device)
        itself[:, picture:] = True
        return mask & (itself | ~cond.perturb[:, block, None, None, None])

    def patches(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, N, C * patch * patch), row by row."""
        return F.pixel_unshuffle(x, self.config.patch).flatten(2).transpose(1, 2)

    def unpatch(self, tokens: Tensor, high: int, wide: int) -> Tensor:
        """The inverse of :meth:`patches`."""
        return F.pixel_shuffle(tokens.transpose(1, 2).unflatten(2, (high, wide)), self.config.patch)
