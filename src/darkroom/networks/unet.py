"""The U-Net of Stable Diffusion 1, 2 and XL, their inpainting, distilled and few-step kin.

Rombach et al. 2022 (arXiv 2112.10752), Podell et al. 2023 (SDXL, arXiv 2307.01952), Luo et al. 2023 (LCM,
arXiv 2310.04378). Parameters are named as in diffusers' UNet2DConditionModel.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.errors import DarkroomError
from darkroom.networks.conditioning import Conditioning, only_middle
from darkroom.networks.recall import recalled
from darkroom.networks.unet_blocks import (
    Context,
    DownBlock,
    MidBlock,
    TimeEmbedding,
    TransformerBlock,
    UpBlock,
    sinusoids_of,
)
from darkroom.networks.unet_config import UNetConfig


class Residuals(NamedTuple):
    """What a ControlNet adds to a U-Net: to the skips in the order of their making, and behind the middle."""

    down: Sequence[Tensor]
    mid: Tensor


def size_vector(pooled: Tensor, sizes: Tensor, width: int = 256) -> Tensor:
    """The vector that SDXL is told: pooled text and the sinusoids of sizes (Podell et al. 2023, section 2.2).

    ``pooled`` (B, P); ``sizes`` (B, 6) in pixels: height and width before cropping, top and left of the crop,
    height and width aimed at; of the refiner (B, 5), the last two replaced by the aesthetic score. Returns
    (B, P + n * width) in single precision.
    """
    return torch.cat([pooled.float(), sinusoids_of(sizes, width).flatten(1)], dim=1)


def added(skips: Sequence[Tensor], residuals: Residuals | None) -> list[Tensor]:
    """The first skips, with what a ControlNet adds to them."""
    if residuals is None:
        return list(skips)
    return [skip + more for skip, more in zip(skips, residuals.down[: len(skips)], strict=True)]


def joined(x: Tensor, cond: Conditioning, channels: int) -> Tensor:
    """``x`` with the channels of ``cond.concat`` behind it.

    Raises DarkroomError when that does not give the ``channels`` that a network takes.
    """
    beside = 0 if cond.concat is None else cond.concat.shape[1]
    if x.shape[1] + beside != channels:
        raise DarkroomError(
            f"the network takes {channels} channels and was given {x.shape[1]} of latents and {beside} "
            "beside; a model for inpainting wants a mask and a masked picture there, others want none."
        )
    return x if cond.concat is None else torch.cat([x, cond.concat.to(x.dtype)], dim=1)


class UNetEncoder(nn.Module):
    """The way down and the middle, which the U-Net and its ControlNets share."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        fine, hidden = config.widths[0], config.embedding_width
        self.conv_in = nn.Conv2d(config.in_channels, fine, 3, padding=1)
        self.time_embedding = TimeEmbedding(fine, hidden, config.guidance_width)
        self.class_embedding = class_embedding(config)
        self.add_embedding = TimeEmbedding(config.added_width, hidden) if config.added_width else None
        self.down_blocks = nn.ModuleList(DownBlock(config, level) for level in range(len(config.widths)))
        self.mid_block = None if config.mid is None else MidBlock(config)

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights."""
        return self.conv_in.weight.dtype

    def context(self, time: Tensor, cond: Conditioning) -> Context:
        """What the blocks are told, in the precision of the weights."""
        if cond.tokens is None:
            raise DarkroomError(
                "a U-Net of Stable Diffusion wants the tokens of a prompt; encode one, if empty."
            )
        return Context(
            time=F.silu(self.embedding(time, cond)),
            tokens=cond.tokens.to(self.dtype),
            mask=None if cond.mask is None else cond.mask[:, None, None, :],
        )

    def embedding(self, time: Tensor, cond: Conditioning) -> Tensor:
        """Time, and what else a row is told as one vector: (B,) -> (B, embedding)."""
        told = self.time_embedding(self.wave(time), self.guidance(cond))
        if self.class_embedding is not None:
            told = told + self.class_embedding(self.class_input(cond))
        if self.add_embedding is not None:
            told = told + self.add_embedding(self.needed(cond.pooled, "pooled").to(self.dtype))
        return told

    def wave(self, value: Tensor) -> Tensor:
        """Sinusoids of a number a row, reckoned in single precision."""
        config = self.config
        waves = sinusoids_of(value, config.widths[0], config.flip_sin_to_cos, config.freq_shift)
        return waves.to(self.dtype)

    def guidance(self, cond: Conditioning) -> Tensor | None:
        """Sinusoids of the guidance that LCM was distilled with; None where there is none."""
        width, scale = self.config.guidance_width, cond.extra.get("guidance")
        if width is None or scale is None:
            return None
        return sinusoids_of(1000 * scale.float(), width, flip_sin_to_cos=False, freq_shift=1).to(self.dtype)

    def class_input(self, cond: Conditioning) -> Tensor:
        """What the embedding of ``cond.extra["class"]`` reads."""
        label = self.needed(cond.extra.get("class"), "extra['class']")
        if self.config.class_embed == "embedding":
            return label.long()
        return self.wave(label) if self.config.class_embed == "timestep" else label.to(self.dtype)

    def needed(self, part: Tensor | None, name: str) -> Tensor:
        if part is None:
            raise DarkroomError(
                f"this network wants the condition '{name}' and was not given it; "
                "use the family's own encoder of prompts."
            )
        return part

    def descend(self, x: Tensor, context: Context) -> tuple[Tensor, list[Tensor]]:
        """``x`` (B, width, H, W) behind its first convolution -> the coarsest signal, and the skips."""
        return self.descend_below(*self.finest(x, context), context)

    def finest(self, x: Tensor, context: Context) -> tuple[Tensor, list[Tensor]]:
        """The first block alone: what the second reads, and the skips so far."""
        coarser, left = self.down_blocks[0](x, context)
        return coarser, [x, *left]

    def descend_below(
        self, x: Tensor, skips: Sequence[Tensor], context: Context
    ) -> tuple[Tensor, list[Tensor]]:
        """From behind the first block on, as :meth:`descend`."""
        skips = list(skips)
        for block in self.down_blocks[1:]:
            x, left = block(x, context)
            skips += left
        return (x if self.mid_block is None else self.mid_block(x, context)), skips


class UNet(UNetEncoder):
    """(noisy latents, time, conditioning) -> prediction of the latents' shape.

    Any height and width will do, also such as do not halve evenly.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__(config)
        self.image_adapters = 0
        self.up_blocks = nn.ModuleList(up_blocks(config))
        self.conv_norm_out = nn.GroupNorm(config.groups, config.widths[0], config.eps)
        self.conv_out = nn.Conv2d(config.widths[0], config.out_channels, 3, padding=1)
        for index, (_, block) in enumerate(self.transformer_blocks()):
            block.index = index

    def forward(
        self, x: Tensor, time: Tensor, cond: Conditioning, residuals: Residuals | None = None
    ) -> Tensor:
        """``x`` (B, C, H, W), ``time`` (B,), an index of the schedule's table -> (B, C', H, W).

        ``cond`` needs tokens and, of SDXL, pooled (see :func:`size_vector`). It may have a mask; concat;
        perturb, a column for each of :meth:`transformer_blocks`; and in extra

        - "guidance" (B,): LCM's w, the scale of classifier-free guidance less one;
        - "class": (B,) noise level of SD 2's upscaler, (B, D) vector of SD 2 unCLIP;
        - "image_tokens" (B, n, D) and "image_scale" (B,) or (B, blocks): see ``networks.ip_adapter``.
        """
        context = self.context(time, cond)
        start = self.conv_in(joined(x.to(self.dtype), cond, self.config.in_channels))
        coarser, skips = self.finest(start, context)
        inner = recalled(cond, lambda: self.inside(coarser, skips, context, residuals))
        last = self.up_blocks[-1]
        assert isinstance(last, UpBlock)
        hidden = last(inner, added(skips, residuals)[: len(last.resnets)], context)
        return self.conv_out(F.silu(self.conv_norm_out(hidden))).to(x.dtype)

    def inside(
        self, x: Tensor, skips: Sequence[Tensor], context: Context, residuals: Residuals | None
    ) -> Tensor:
        """All between the first block and the last."""
        hidden, skips = self.descend_below(x, skips, context)
        if residuals is not None:
            hidden = hidden + residuals.mid
        left = added(skips, residuals)
        for block in self.up_blocks[:-1]:
            hidden = block(hidden, left, context)
        return hidden

    def context(self, time: Tensor, cond: Conditioning) -> Context:
        """With the rows to perturb and the pictures to see."""
        return replace(super().context(time, cond), perturb=cond.perturb, images=self.images(cond))

    def images(self, cond: Conditioning) -> tuple[tuple[int, Tensor, Tensor], ...]:
        """Number, tokens and scale of each image adapter that is given a picture."""
        names = [f"image_tokens.{i}" if i else "image_tokens" for i in range(self.image_adapters)]
        if strange := [name for name in cond.extra if name.startswith("image_tokens") and name not in names]:
            raise DarkroomError(
                f"there is a '{strange[0]}' and the network has {self.image_adapters} image adapters; "
                "attach one for every picture."
            )
        given = [(i, name) for i, name in enumerate(names) if name in cond.extra]
        return tuple((i, cond.extra[name].to(self.dtype), self.image_scale(cond, name)) for i, name in given)

    def image_scale(self, cond: Conditioning, tokens: str) -> Tensor:
        """The scale beside the tokens of that name; ones where it is left out."""
        scale = cond.extra.get(tokens.replace("tokens", "scale"))
        return cond.extra[tokens].new_ones(len(cond.extra[tokens])) if scale is None else scale

    @property
    def middle_blocks(self) -> list[bool]:
        """Of each column of ``Conditioning.perturb``, whether it lies in the middle block, or what is one."""
        inside = [name.startswith("mid_block") for name, _ in self.transformer_blocks()]
        return inside if any(inside) else only_middle(len(inside))

    def transformer_blocks(self) -> Iterable[tuple[str, TransformerBlock]]:
        """Name and transformer block, in the order of computation, which numbers them."""
        for part in ("down_blocks", "mid_block", "up_blocks"):
            if (module := getattr(self, part)) is not None:
                for name, block in module.named_modules(prefix=part):
                    if isinstance(block, TransformerBlock):
                        yield name, block


def class_embedding(config: UNetConfig) -> nn.Module | None:
    """The embedding of what ``cond.extra["class"]`` holds."""
    if config.class_embed is None:
        return None
    if config.class_embed == "embedding":
        return nn.Embedding(config.class_width or 0, config.embedding_width)
    return TimeEmbedding(config.class_width or config.widths[0], config.embedding_width)


def up_blocks(config: UNetConfig) -> Iterable[UpBlock]:
    """From coarse to fine; each takes the skips that are then the last."""
    skips, before = list(config.skip_widths), config.widths[-1]
    for step, depths in enumerate(config.up):
        taken = [skips.pop() for _ in depths]
        yield UpBlock(config, step, before, taken)
        before = config.widths[-1 - step]
