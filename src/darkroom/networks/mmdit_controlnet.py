"""ControlNets of Stable Diffusion 3 and 3.5: blocks that look at a control picture and push MMDiT's tokens.

Two kinds are published: blocks with text like MMDiT's own (InstantX, Alimama), and Stability's for 3.5 large,
which read no text and take the transformer's own patches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn

from darkroom.networks.conditioning import Conditioning
from darkroom.networks.controlled import check_size, hint_of, refuse_strangers, zeroed
from darkroom.networks.diffusers_config import read_options
from darkroom.networks.joint_attention import FeedForward, JointBlock, SelfAttention, joint_mask
from darkroom.networks.mmdit import OPTIONS, MMDiT, MMDiTConfig, PatchEmbedding
from darkroom.networks.modulation import AdaptiveNorm, TimeText
from darkroom.networks.shapes import Shapes, count, shape

CONTROL_OPTIONS = {name: our for name, our in OPTIONS.items() if name != "out_channels"} | {
    "extra_conditioning_channels": "more_channels",
    "use_pos_embed": "patches",
    "force_zeros_for_pooled_projection": "zero_pooled",
}
"""Our names of the options of diffusers' SD3ControlNetModel."""


@dataclass(frozen=True)
class MMDiTControlNetConfig(MMDiTConfig):
    """As the transformer's, but that ``out_channels`` means nothing.

    ``more_channels`` of the control picture behind those of latents (a mask). ``text``: whether it reads the
    prompt; ``patches``: whether it embeds the noisy latents itself; ``zero_pooled``: whether it is told zeros
    for the pooled text; such a one was trained on control latents that are scaled, but not shifted.
    """

    more_channels: int = 0
    text: bool = True
    patches: bool = True
    zero_pooled: bool = True

    @staticmethod
    def from_diffusers(values: Mapping[str, Any]) -> "MMDiTControlNetConfig":
        """From the parsed config.json of an SD3ControlNetModel. Raises DarkroomError for what we lack."""
        text = values.get("joint_attention_dim", MMDiTConfig.text_width) is not None
        width = values.get("num_attention_heads", 18) * values.get("attention_head_dim", 64)
        fixed = {"qk_norm": (None, "rms_norm"), "pos_embed_type": ("sincos",)}
        fixed |= {"caption_projection_dim": (width,)} if text else {}
        loose = ("out_channels", "caption_projection_dim")
        found = read_options(values, "SD3ControlNetModel", CONTROL_OPTIONS, fixed, loose)
        told = {CONTROL_OPTIONS[name]: value for name, value in found.items()}
        return MMDiTControlNetConfig(**told | {"qk_norm": "qk_norm" in told, "text": text})._settled()

    @staticmethod
    def from_shapes(
        shapes: Shapes, sample: int = 128, head: int = 64, zero_pooled: bool = True
    ) -> "MMDiTControlNetConfig":
        """From the names and shapes of the tensors, which tell all but ``sample`` and ``zero_pooled``.

        ``head`` is what a head's width is where no norm shows it.
        """
        width, seen, patch, _ = shape(shapes, "pos_embed_input.proj.weight")
        in_channels = shapes.get("pos_embed.proj.weight", (0, MMDiTConfig.in_channels))[1]
        (head,) = shapes.get("transformer_blocks.0.attn.norm_q.weight", (head,))
        depth = count(shapes, "transformer_blocks")
        return MMDiTControlNetConfig(
            in_channels=in_channels,
            sample=sample,
            patch=patch,
            depth=depth,
            heads=width // head,
            head=head,
            text_width=shapes.get("context_embedder.weight", (0, MMDiTConfig.text_width))[1],
            pooled_width=shape(shapes, "time_text_embed.text_embedder.linear_1.weight")[1],
            grid=isqrt(shapes.get("pos_embed.pos_embed", (1, MMDiTConfig.grid**2))[1]),
            dual=tuple(i for i in range(depth) if f"transformer_blocks.{i}.attn2.to_q.weight" in shapes),
            qk_norm="transformer_blocks.0.attn.norm_q.weight" in shapes,
            more_channels=seen - in_channels,
            text="context_embedder.weight" in shapes,
            patches="pos_embed.proj.weight" in shapes,
            zero_pooled=zero_pooled,
        )

    def _settled(self) -> "MMDiTControlNetConfig":
        """With what it does not use as it is where nothing is said of it."""
        one = self if self.patches else replace(self, grid=MMDiTConfig.grid, sample=MMDiTConfig.sample)
        return one if self.text else replace(one, qk_norm=False, dual=())


class PictureBlock(nn.Module):
    """Attention of the picture over itself, then a feed-forward; both modulated."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = AdaptiveNorm(width, steps=2)
        self.attn = SelfAttention(width, heads, qk_norm=False)
        self.ff = FeedForward(width)

    def forward(self, picture: Tensor, told: Tensor) -> Tensor:
        """``picture`` (B, N, width), ``told`` (B, width) -> (B, N, width)."""
        attention, feed = self.norm1(told)
        return self.ff.fed(picture + attention.gate * self.attn(attention.before(picture)), feed)


class ControlPatches(nn.Module):
    """The control picture's patches, without positions."""

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.proj = zeroed(nn.Conv2d(channels, width, patch, stride=patch))

    def forward(self, hint: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, N, width), row by row."""
        return self.proj(hint).flatten(2).transpose(1, 2)


class MMDiTControlNet(nn.Module):
    """(noisy latents, time, conditioning, control picture) -> what is added to the transformer's tokens."""

    def __init__(self, config: MMDiTControlNetConfig) -> None:
        super().__init__()
        self.config, width, heads, patch = config, config.width, config.heads, config.patch
        seen, hint = config.in_channels, config.in_channels + config.more_channels
        own = PatchEmbedding(seen, width, patch, config.grid, config.sample) if config.patches else None
        self.pos_embed, self.pos_embed_input = own, ControlPatches(hint, width, patch)
        self.time_text_embed = TimeText(width, config.pooled_width)
        self.context_embedder = nn.Linear(config.text_width, width) if config.text else None
        self.transformer_blocks = nn.ModuleList(
            JointBlock(width, heads, config.qk_norm, dual=i in config.dual)
            if config.text
            else PictureBlock(width, heads)
            for i in range(config.depth)
        )
        self.controlnet_blocks = nn.ModuleList(zeroed(nn.Linear(width, width)) for _ in range(config.depth))

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.pos_embed_input.proj.weight.dtype

    def forward(
        self, x: Tensor, time: Tensor, cond: Conditioning, hint: Tensor, patches: Tensor | None = None
    ) -> list[Tensor]:
        """A tensor (B, N, width) for each block of this network.

        ``x``, ``time`` and ``cond`` as the transformer takes them; ``hint`` (B, C, H, W) latents of the
        control picture; ``patches`` (B, N, width) the transformer's embedding of ``x``, for a network that
        has none of its own.

        Raises InvalidRequest for a control picture of another size.
        """
        check_size(hint, *x.shape[-2:])
        picture = patches if self.pos_embed is None else self.pos_embed(x.to(self.dtype))
        assert picture is not None and cond.pooled is not None
        picture = picture.to(self.dtype) + self.pos_embed_input(hint.to(self.dtype))
        pooled = cond.pooled.to(self.dtype)
        told = self.time_text_embed(time, torch.zeros_like(pooled) if self.config.zero_pooled else pooled)
        return self.run(picture, told, cond)

    def run(self, picture: Tensor, told: Tensor, cond: Conditioning) -> list[Tensor]:
        """What each block leaves, through a layer of its own."""
        residuals = []
        mask, text = joint_mask(cond.mask, picture.shape[1]), self.read(cond)
        for block, layer in zip(self.transformer_blocks, self.controlnet_blocks, strict=True):
            if text is None:
                picture = block(picture, told)
            else:
                picture, text = block(picture, text, told, mask)
            residuals.append(layer(picture))
        return residuals

    def read(self, cond: Conditioning) -> Tensor | None:
        """The text's tokens (B, L, width), or None for a network that does not read."""
        if self.context_embedder is None:
            return None
        assert cond.tokens is not None
        return self.context_embedder(cond.tokens.to(self.dtype))


class ControlledMMDiT(nn.Module):
    """An MMDiT with ControlNets beside it, called as without; see :mod:`darkroom.networks.controlled`."""

    def __init__(self, transformer: MMDiT, controls: Sequence[MMDiTControlNet]) -> None:
        super().__init__()
        self.transformer, self.controls = transformer, nn.ModuleList(controls)
        self.sources = [sources(control.config.depth, transformer.config.depth) for control in controls]
        self.without_patches = not all(control.config.patches for control in controls)

    def forward(self, x: Tensor, time: Tensor, cond: Conditioning) -> Tensor:
        """``x`` (B, C, H, W), ``time`` (B,) in [0, 1] -> (B, C, H, W)."""
        refuse_strangers(cond, len(self.controls))
        patches = self.transformer.embed(x, cond) if self.without_patches else None
        added: list[list[Tensor]] = [[] for _ in range(self.transformer.config.depth)]
        for i, control in enumerate(self.controls):
            if hint := hint_of(cond, i):
                residuals = hint.scaled(control(x, time, cond, hint.picture, patches))
                for block, source in enumerate(self.sources[i]):
                    added[block].append(residuals[source])
        return self.transformer(x, time, cond, added)


def sources(residuals: int, blocks: int) -> list[int]:
    """For each block of the transformer but the last which residual is added after it, in even shares."""
    return [int(i / (blocks / residuals)) for i in range(blocks - 1)]
