"""The transformer of PixArt-alpha and PixArt-sigma.

Chen et al. 2023 (PixArt-alpha, arXiv 2310.00426, section 2.3) and 2024 (PixArt-sigma, arXiv 2403.04692): a
diffusion transformer whose blocks share one projection of the time (adaLN-single) and read the prompt through
cross-attention. Parameters bear the names that diffusers gives them in ``PixArtTransformer2DModel``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.errors import DarkroomError
from darkroom.networks.attend import attend
from darkroom.networks.conditioning import Conditioning, only_middle
from darkroom.networks.diffusers_config import read_options
from darkroom.networks.layers import merge_heads, sinusoids, split_heads
from darkroom.networks.recall import recalled

TAKEN = (
    "num_attention_heads",
    "attention_head_dim",
    "in_channels",
    "out_channels",
    "num_layers",
    "cross_attention_dim",
    "attention_bias",
    "sample_size",
    "patch_size",
    "norm_eps",
    "interpolation_scale",
    "use_additional_conditions",
    "caption_channels",
)
FIXED = {
    "activation_fn": ("gelu-approximate",),
    "attention_type": ("default",),
    "norm_type": ("ada_norm_single",),
    "norm_elementwise_affine": (False,),
}
WITHOUT_EFFECT = ("dropout", "norm_num_groups", "num_embeds_ada_norm", "upcast_attention")
NEEDED = (
    "pos_embed.proj.weight",
    "proj_out.weight",
    "adaln_single.linear.weight",
    "transformer_blocks.0.attn2.to_k.weight",
)
OLD_KIND = "Transformer2DModel"
"""What the configurations of PixArt-alpha call themselves; the same network."""


@dataclass(frozen=True)
class PixArtConfig:
    """The options of diffusers' ``PixArtTransformer2DModel`` under their names and with their defaults.

    ``sample_size`` is the side of the latents that positions are counted for, ``interpolation_scale`` how
    many times larger it is than 64, that of the first training. ``use_additional_conditions``: the network
    is told the resolution and the aspect ratio. Of ``out_channels`` those beyond ``in_channels`` are a
    learned variance.
    """

    num_attention_heads: int = 16
    attention_head_dim: int = 72
    in_channels: int = 4
    out_channels: int = 8
    num_layers: int = 28
    cross_attention_dim: int = 1152
    attention_bias: bool = True
    sample_size: int = 128
    patch_size: int = 2
    norm_eps: float = 1e-6
    interpolation_scale: float = 2.0
    use_additional_conditions: bool = True
    caption_channels: int | None = None

    @property
    def width(self) -> int:
        """The width of a token."""
        return self.num_attention_heads * self.attention_head_dim

    @staticmethod
    def from_diffusers(values: Mapping[str, Any]) -> "PixArtConfig":
        """From the parsed config.json. Raises DarkroomError for an option that we don't have."""
        kind = OLD_KIND if values.get("_class_name") == OLD_KIND else "PixArtTransformer2DModel"
        options = read_options(values, kind, TAKEN, FIXED, WITHOUT_EFFECT)
        side = options.get("sample_size", 128)
        told = {"interpolation_scale": max(side // 64, 1), "use_additional_conditions": side == 128}
        if "out_channels" in values and values["out_channels"] is None:
            told["out_channels"] = options.get("in_channels", 4)
        return PixArtConfig(**(told | options))

    @staticmethod
    def from_shapes(
        shapes: Mapping[str, tuple[int, ...]],
        sample_size: int = 128,
        interpolation_scale: float | None = None,
        num_attention_heads: int = 16,
    ) -> "PixArtConfig":
        """From native names and shapes; what they don't show comes in by name.

        Raises DarkroomError where the file is no PixArt transformer.
        """
        for name in NEEDED:
            if name not in shapes:
                raise DarkroomError(f"this is no PixArt transformer: it has no '{name}'; give a file of one.")
        width, channels, patch, _ = shapes["pos_embed.proj.weight"]
        caption = shapes.get("caption_projection.linear_1.weight")
        return PixArtConfig(
            num_attention_heads=num_attention_heads,
            attention_head_dim=width // num_attention_heads,
            in_channels=channels,
            out_channels=shapes["proj_out.weight"][0] // patch**2,
            num_layers=sum(name.endswith(".attn1.to_q.weight") for name in shapes),
            cross_attention_dim=shapes["transformer_blocks.0.attn2.to_k.weight"][1],
            attention_bias="transformer_blocks.0.attn1.to_q.bias" in shapes,
            sample_size=sample_size,
            patch_size=patch,
            interpolation_scale=interpolation_scale or max(sample_size // 64, 1),
            use_additional_conditions="adaln_single.emb.resolution_embedder.linear_1.weight" in shapes,
            caption_channels=caption[1] if caption else None,
        )


class Attention(nn.Module):
    """Attention of tokens to themselves, or to a ``context`` of another width."""

    def __init__(self, config: PixArtConfig, context: int) -> None:
        super().__init__()
        width, bias = config.width, config.attention_bias
        self.heads = config.num_attention_heads
        self.to_q = nn.Linear(width, width, bias=bias)
        self.to_k, self.to_v = (nn.Linear(context, width, bias=bias) for _ in range(2))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(
        self, x: Tensor, context: Tensor, mask: Tensor | None = None, perturb: Tensor | None = None
    ) -> Tensor:
        """``x`` (B, N, width), ``context`` (B, L, ...), ``mask`` (B, 1, 1, L) -> (B, N, width).

        Rows where ``perturb`` (B,) is True see nothing but themselves (Ahn et al. 2024, arXiv 2403.17377).
        """
        queries, keys, values = self.to_q(x), self.to_k(context), self.to_v(context)
        q, k, v = (split_heads(part, self.heads) for part in (queries, keys, values))
        seen = merge_heads(attend(q, k, v, mask))
        if perturb is not None:
            seen = torch.where(perturb[:, None, None], values, seen)
        return self.to_out[0](seen)


class TwoLayers(nn.Module):
    """A linear layer, an activation and another linear layer."""

    def __init__(self, width_in: int, width: int, activation: nn.Module) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(width_in, width)
        self.activation = activation
        self.linear_2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width_in) -> (..., width)."""
        return self.linear_2(self.activation(self.linear_1(x)))


class GELULinear(nn.Module):
    """A linear layer and the tanh form of GELU."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width_in, width_out)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width_in) -> (..., width_out)."""
        return F.gelu(self.proj(x), approximate="tanh")


class FeedForward(nn.Module):
    """Four times as wide inside; the layer between the two that diffusers counts is dropout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([GELULinear(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> the same."""
        for layer in self.net:
            x = layer(x)
        return x


class Block(nn.Module):
    """Attention over the picture, then the prompt, then a feed-forward; the first and last are modulated."""

    def __init__(self, config: PixArtConfig) -> None:
        super().__init__()
        width = config.width
        self.norm1 = nn.LayerNorm(width, config.norm_eps, elementwise_affine=False)
        self.attn1 = Attention(config, width)
        self.attn2 = Attention(config, config.cross_attention_dim)
        self.norm2 = nn.LayerNorm(width, config.norm_eps, elementwise_affine=False)
        self.ff = FeedForward(width)
        self.scale_shift_table = nn.Parameter(torch.randn(6, width) / width**0.5)

    def forward(
        self, x: Tensor, shared: Tensor, prompt: Tensor, mask: Tensor | None, perturb: Tensor | None
    ) -> Tensor:
        """``x`` (B, N, width); ``shared`` (B, 6, width) modulation; ``prompt`` (B, L, ...)."""
        table = (self.scale_shift_table + shared)[:, :, None]
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = table.unbind(1)  # each (B, 1, width)
        seen = self.norm1(x) * (1 + scale_a) + shift_a
        x = x + gate_a * self.attn1(seen, seen, perturb=perturb)
        x = x + self.attn2(x, prompt, mask)
        return x + gate_f * self.ff(self.norm2(x) * (1 + scale_f) + shift_f)


class TimeAndSize(nn.Module):
    """The time and, where the network is told them, the resolution and the aspect ratio; one vector a row."""

    def __init__(self, config: PixArtConfig) -> None:
        super().__init__()
        self.timestep_embedder = TwoLayers(256, config.width, nn.SiLU())
        self.sized = config.use_additional_conditions
        if self.sized:
            self.resolution_embedder = TwoLayers(256, config.width // 3, nn.SiLU())
            self.aspect_ratio_embedder = TwoLayers(256, config.width // 3, nn.SiLU())

    def forward(self, time: Tensor, extra: Mapping[str, Tensor], dtype: torch.dtype) -> Tensor:
        """``time`` (B,) -> (B, width)."""
        told = self.timestep_embedder(sinusoids(time, 256).to(dtype))
        if not self.sized:
            return told
        if not {"resolution", "aspect_ratio"} <= extra.keys():
            raise ValueError("this PixArt transformer needs 'resolution' and 'aspect_ratio' in cond.extra")
        resolution = self.resolution_embedder(sinusoids(extra["resolution"], 256).to(dtype))
        ratio = self.aspect_ratio_embedder(sinusoids(extra["aspect_ratio"], 256).to(dtype))
        return told + torch.cat([resolution.flatten(1), ratio.flatten(1)], dim=1)


class AdaLNSingle(nn.Module):
    """The modulation that all blocks share."""

    def __init__(self, config: PixArtConfig) -> None:
        super().__init__()
        self.emb = TimeAndSize(config)
        self.linear = nn.Linear(config.width, 6 * config.width)

    def forward(self, time: Tensor, extra: Mapping[str, Tensor], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """(B,) -> the vector (B, width) and the modulation (B, 6, width) made of it."""
        told = self.emb(time, extra, dtype)
        return told, self.linear(F.silu(told)).unflatten(1, (6, -1))


class Patches(nn.Module):
    """Patches of the latents to tokens, with their positions added."""

    def __init__(self, config: PixArtConfig) -> None:
        super().__init__()
        self.base = config.sample_size // config.patch_size
        self.scale = config.interpolation_scale
        self.proj = nn.Conv2d(config.in_channels, config.width, config.patch_size, config.patch_size)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, N, width), row by row."""
        x = self.proj(x)
        high, wide = x.shape[-2:]
        down, across = (self.along(side, x.shape[1] // 2, x.device) for side in (high, wide))
        parts = [across[None].expand(high, -1, -1), down[:, None].expand(-1, wide, -1)]
        grid = torch.cat(parts, dim=-1).flatten(0, 1)
        return (x.flatten(2).transpose(1, 2) + grid).to(x.dtype)

    def along(self, length: int, width: int, device: torch.device) -> Tensor:
        """Positions of a side, (length, width): whatever its length, they reach from 0 to base / scale."""
        places = torch.arange(length, device=device, dtype=torch.float32) / (length / self.base) / self.scale
        cos, sin = sinusoids(places, width).chunk(2, dim=-1)
        return torch.cat([sin, cos], dim=-1)


class PixArt(nn.Module):
    """(noisy latents, time, conditioning) -> predicted noise, in the precision of ``x``.

    ``time`` (B,) counts the steps of training, 0 to 999. ``cond`` needs ``tokens`` and takes ``mask``; a
    network with additional conditions needs in ``cond.extra`` "resolution" (B, 2), the picture's height and
    width in pixels, and "aspect_ratio" (B, 1), height by width. A learned variance is left out of the answer.
    """

    def __init__(self, config: PixArtConfig) -> None:
        super().__init__()
        self.config = config
        self.pos_embed = Patches(config)
        self.adaln_single = AdaLNSingle(config)
        captions = config.caption_channels
        projection = TwoLayers(captions, config.width, nn.GELU("tanh")) if captions else nn.Identity()
        self.caption_projection = projection
        self.transformer_blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm_out = nn.LayerNorm(config.width, 1e-6, elementwise_affine=False)
        self.scale_shift_table = nn.Parameter(torch.randn(2, config.width) / config.width**0.5)
        self.proj_out = nn.Linear(config.width, config.patch_size**2 * config.out_channels)

    @property
    def middle_blocks(self) -> list[bool]:
        """Of each column of ``Conditioning.perturb``, whether it is the block in the middle."""
        return only_middle(len(self.transformer_blocks))

    def forward(self, x: Tensor, time: Tensor, cond: Conditioning) -> Tensor:
        """``x`` (B, C, H, W), sides multiples of the patch; ``time`` (B,) -> (B, C, H, W)."""
        assert cond.tokens is not None
        dtype = self.proj_out.weight.dtype
        told, shared = self.adaln_single(time, cond.extra, dtype)
        prompt = self.caption_projection(cond.tokens.to(dtype))
        mask = None if cond.mask is None else cond.mask[:, None, None, :]
        hidden = self.pos_embed(x.to(dtype))

        def run(hidden: Tensor, blocks: range) -> Tensor:
            for i in blocks:
                perturb = None if cond.perturb is None else cond.perturb[:, i]
                hidden = self.transformer_blocks[i](hidden, shared, prompt, mask, perturb)
            return hidden

        first = run(hidden, range(1))
        hidden = recalled(cond, lambda: run(first, range(1, len(self.transformer_blocks))), first)
        shift, scale = (self.scale_shift_table + told[:, None]).chunk(2, dim=1)
        return self.unpatch(self.proj_out(self.norm_out(hidden) * (1 + scale) + shift), x)

    def unpatch(self, tokens: Tensor, x: Tensor) -> Tensor:
        """(B, N, patch * patch * out_channels) -> the channels, sides and precision of ``x``."""
        patch = self.config.patch_size
        high, wide = (side // patch for side in x.shape[-2:])
        grid = tokens.unflatten(2, (patch, patch, -1)).unflatten(1, (high, wide))  # (B, h, w, p, p, C)
        whole = grid.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
        return whole[:, : x.shape[1]].to(x.dtype)
