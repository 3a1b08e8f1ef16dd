"""IP-Adapter: a picture as prompt, by a second pair of keys and values in every cross-attention of a U-Net.

Ye et al. 2023 (arXiv 2308.06721). The parameters of :class:`IPAdapter` are named as in the published files.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from darkroom.errors import DarkroomError
from darkroom.networks.attend import attend
from darkroom.networks.layers import merge_heads, split_heads
from darkroom.networks.unet import UNet
from darkroom.networks.unet_blocks import Attention

HEAD = 64
"""The width of a head in the resampler of all published adapters."""


@dataclass(frozen=True)
class ResamplerConfig:
    """The image projection of the "plus" kind: ``depth`` layers of ``width`` with ``heads`` of 64."""

    width: int = 768
    depth: int = 4
    heads: int = 12


@dataclass(frozen=True)
class IPAdapterConfig:
    """``tokens`` that a picture becomes, of ``context_width``, as the prompt's; ``widths`` of the attentions.

    ``image_width`` is the width of what the image encoder gives: its projected embedding for the plain kind,
    the hidden states of its last layer but one for the "plus" kind, which has a ``resampler``. ``widths``
    are in the order of :func:`cross_attentions`.
    """

    widths: tuple[int, ...]
    context_width: int = 768
    image_width: int = 1024
    tokens: int = 4
    resampler: ResamplerConfig | None = None

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> Self:
        """Names of a published file ("image_proj.…", "ip_adapter.1.to_k_ip.weight") to shapes.

        Raises DarkroomError for a kind that is not known.
        """
        keys = [shapes[name] for name in sorted(shapes, key=_number) if name.endswith(".to_k_ip.weight")]
        plain, latents = shapes.get("image_proj.proj.weight"), shapes.get("image_proj.latents")
        if not keys or not (plain or latents) or any("lora" in name for name in shapes):
            raise DarkroomError(
                "the weights are no IP-Adapter of a kind that is known (plain or plus); "
                "choose such as ip-adapter_sd15 or ip-adapter-plus_sd15."
            )
        widths, context_width = tuple(key[0] for key in keys), keys[0][1]
        if plain:
            return cls(widths, context_width, plain[1], plain[0] // context_width)
        assert latents is not None
        depth = len({name.split(".")[2] for name in shapes if name.startswith("image_proj.layers.")})
        heads = shapes["image_proj.layers.0.0.to_q.weight"][0] // HEAD
        resampler = ResamplerConfig(latents[2], depth, heads)
        return cls(widths, context_width, shapes["image_proj.proj_in.weight"][1], latents[1], resampler)


class IPAdapter(nn.Module):
    """What turns a picture's features into tokens, and the keys and values of these.

    ``ip_adapter`` holds the latter under the numbers of the published files: odd, for even ones would stand
    for self-attentions.
    """

    def __init__(self, config: IPAdapterConfig) -> None:
        super().__init__()
        self.config = config
        self.image_proj = Resampler(config) if config.resampler else Projection(config)
        self.ip_adapter = nn.ModuleDict(
            {str(2 * i + 1): pair(config.context_width, width) for i, width in enumerate(config.widths)}
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features of pictures -> their tokens (B, n, context_width), for ``cond.extra["image_tokens"]``.

        (B, image_width) for the plain kind, (B, L, image_width) for the "plus" kind. What stands for no
        picture differs, too: features of zeros for the former, those of a black picture for the latter.
        """
        return self.image_proj(features)


class Projection(nn.Module):
    """One layer and a norm."""

    def __init__(self, config: IPAdapterConfig) -> None:
        super().__init__()
        self.tokens = config.tokens
        self.proj = nn.Linear(config.image_width, config.tokens * config.context_width)
        self.norm = nn.LayerNorm(config.context_width)

    def forward(self, features: Tensor) -> Tensor:
        """(B, image_width) -> (B, tokens, context_width)."""
        return self.norm(self.proj(features).unflatten(1, (self.tokens, -1)))


class Resampler(nn.Module):
    """Learned queries that read the features (Perceiver resampler, Alayrac et al. 2022, arXiv 2204.14198)."""

    def __init__(self, config: IPAdapterConfig) -> None:
        super().__init__()
        assert config.resampler is not None
        width, heads = config.resampler.width, config.resampler.heads
        self.latents = nn.Parameter(torch.randn(1, config.tokens, width) / width**0.5)
        self.proj_in = nn.Linear(config.image_width, width)
        self.layers = nn.ModuleList(
            nn.ModuleList([ResamplerAttention(width, heads), feed_forward(width)])
            for _ in range(config.resampler.depth)
        )
        self.proj_out = nn.Linear(width, config.context_width)
        self.norm_out = nn.LayerNorm(config.context_width)

    def forward(self, features: Tensor) -> Tensor:
        """(B, L, image_width) -> (B, tokens, context_width)."""
        seen = self.proj_in(features)
        latents = self.latents.expand(len(features), -1, -1)
        for layer in self.layers:
            attention, feed = layer.children()
            latents = latents + attention(latents, seen)
            latents = latents + feed(latents)
        return self.norm_out(self.proj_out(latents))


class ResamplerAttention(nn.Module):
    """The queries' attention to the features and to themselves."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, heads * HEAD, bias=False)
        self.to_kv = nn.Linear(width, 2 * heads * HEAD, bias=False)
        self.to_out = nn.Linear(heads * HEAD, width, bias=False)

    def forward(self, latents: Tensor, seen: Tensor) -> Tensor:
        """``latents`` (B, tokens, width), ``seen`` (B, L, width)."""
        latents = self.norm2(latents)
        source = torch.cat([self.norm1(seen), latents], dim=1)
        parts = (self.to_q(latents), *self.to_kv(source).chunk(2, dim=-1))
        q, k, v = (split_heads(part, self.heads) for part in parts)
        return self.to_out(merge_heads(attend(q, k, v)))


def feed_forward(width: int) -> nn.Sequential:
    """Four times the width, without biases."""
    up, down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)
    return nn.Sequential(nn.LayerNorm(width), up, nn.GELU(), down)


def pair(context_width: int, width: int) -> nn.ModuleDict:
    """One attention's second keys and values."""
    return nn.ModuleDict(
        {name: nn.Linear(context_width, width, bias=False) for name in ("to_k_ip", "to_v_ip")}
    )


def cross_attentions(unet: UNet) -> list[Attention]:
    """The attentions to the prompt, in the order in which published files count them: the middle is last."""
    named = list(unet.transformer_blocks())
    middle = [block.attn2 for name, block in named if name.startswith("mid_block")]
    return [block.attn2 for name, block in named if not name.startswith("mid_block")] + middle


def attach(unet: UNet, *adapters: IPAdapter) -> None:
    """Let the U-Net see pictures through the adapters, in place of those attached before.

    The i-th then reads "image_tokens" and "image_scale" in ``cond.extra`` (i = 0) or "image_tokens.i" and
    "image_scale.i". Its keys and values move to the U-Net's device and precision, where they are parameters
    ``….attn2.to_k_ip.i.weight``. Raises DarkroomError for an adapter of another kind of model.
    """
    attentions = cross_attentions(unet)
    for adapter in adapters:
        refuse_strange(adapter, unet, attentions)
        adapter.ip_adapter.to(unet.conv_in.weight)
    pairs = zip(attentions, *(adapter.ip_adapter.values() for adapter in adapters), strict=True)
    for attention, *own in pairs:
        attention.to_k_ip = nn.ModuleList(one["to_k_ip"] for one in own)
        attention.to_v_ip = nn.ModuleList(one["to_v_ip"] for one in own)
    unet.image_adapters = len(adapters)


def detach(unet: UNet) -> None:
    """Take all image adapters off; the U-Net is then as it was before."""
    for attention in cross_attentions(unet):
        for name in ("to_k_ip", "to_v_ip"):
            delattr(attention, name)
            setattr(attention, name, None)
    unet.image_adapters = 0


def refuse_strange(adapter: IPAdapter, unet: UNet, attentions: Iterable[Attention]) -> None:
    """Raise DarkroomError where an adapter does not fit."""
    widths, wide = tuple(one.to_q.out_features for one in attentions), unet.config.context_width
    config = adapter.config
    if (config.widths, config.context_width) != (widths, wide):
        raise DarkroomError(
            f"the IP-Adapter has {len(config.widths)} pairs for tokens of {config.context_width}, "
            f"the network {len(widths)} cross-attentions to tokens of {wide}, or these have other widths; "
            "choose an adapter for this kind of model."
        )


def _number(name: str) -> tuple[int, str]:
    """The number in "ip_adapter.11.to_k_ip.weight", to sort by."""
    part = name.split(".")[1] if name.startswith("ip_adapter.") else ""
    return (int(part) if part.isdecimal() else -1, name)
