"""MMDiT, the transformer of Stable Diffusion 3 and 3.5 (Esser et al. 2024, arXiv 2403.03206, figure 2).

Patches of the latents with fixed positions, and blocks in which picture and text have weights of their own
and one attention between them. Its tensors bear the names that diffusers has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn

from darkroom.errors import InvalidRequest
from darkroom.networks.conditioning import Conditioning, only_middle
from darkroom.networks.diffusers_config import read_options
from darkroom.networks.joint_attention import JointBlock, joint_mask, perturbed
from darkroom.networks.modulation import FinalNorm, TimeText
from darkroom.networks.recall import recalled
from darkroom.networks.shapes import Shapes, count, shape

OPTIONS = {
    "sample_size": "sample",
    "patch_size": "patch",
    "in_channels": "in_channels",
    "out_channels": "out_channels",
    "num_layers": "depth",
    "num_attention_heads": "heads",
    "attention_head_dim": "head",
    "joint_attention_dim": "text_width",
    "pooled_projection_dim": "pooled_width",
    "pos_embed_max_size": "grid",
    "dual_attention_layers": "dual",
    "qk_norm": "qk_norm",
}
"""Our names of the options of diffusers' SD3Transformer2DModel."""


@dataclass(frozen=True)
class MMDiTConfig:
    """``depth`` blocks of ``heads`` heads of width ``head``, over patches of ``patch`` latents a side.

    ``grid`` patches a side have positions, of which a picture takes the middle; a new network's are spaced
    such that the whole grid spans ``sample`` latents. ``dual`` numbers the blocks that have one more
    attention, of the picture alone, and ``qk_norm`` says whether queries and keys are normalised (both from
    version 3.5).
    """

    in_channels: int = 16
    out_channels: int = 16
    sample: int = 128
    patch: int = 2
    depth: int = 18
    heads: int = 18
    head: int = 64
    text_width: int = 4096
    pooled_width: int = 2048
    grid: int = 96
    dual: tuple[int, ...] = ()
    qk_norm: bool = False

    @property
    def width(self) -> int:
        """Of the tokens inside."""
        return self.heads * self.head

    @staticmethod
    def from_diffusers(values: Mapping[str, Any]) -> "MMDiTConfig":
        """From the parsed config.json of an SD3Transformer2DModel. Raises DarkroomError for what we lack."""
        width = values.get("num_attention_heads", 18) * values.get("attention_head_dim", 64)
        fixed = {"caption_projection_dim": (width,), "qk_norm": (None, "rms_norm")}
        found = read_options(values, "SD3Transformer2DModel", OPTIONS, fixed)
        told = {OPTIONS[name]: value for name, value in found.items()}
        return MMDiTConfig(**told | {"qk_norm": "qk_norm" in told})

    @staticmethod
    def from_shapes(shapes: Shapes, sample: int = 128, head: int = 64) -> "MMDiTConfig":
        """From the names and shapes of the tensors, which tell all but ``sample``.

        ``head`` is what a head's width is where no norm shows it (version 3).
        """
        width, in_channels, patch, _ = shape(shapes, "pos_embed.proj.weight")
        (head,) = shapes.get("transformer_blocks.0.attn.norm_q.weight", (head,))
        depth = count(shapes, "transformer_blocks")
        return MMDiTConfig(
            in_channels=in_channels,
            out_channels=shape(shapes, "proj_out.weight")[0] // patch**2,
            sample=sample,
            patch=patch,
            depth=depth,
            heads=width // head,
            head=head,
            text_width=shape(shapes, "context_embedder.weight")[1],
            pooled_width=shape(shapes, "time_text_embed.text_embedder.linear_1.weight")[1],
            grid=isqrt(shape(shapes, "pos_embed.pos_embed")[1]),
            dual=tuple(i for i in range(depth) if f"transformer_blocks.{i}.attn2.to_q.weight" in shapes),
            qk_norm="transformer_blocks.0.attn.norm_q.weight" in shapes,
        )


class PatchEmbedding(nn.Module):
    """Patches and where they stand: the middle of a square of fixed positions, kept with the weights."""

    pos_embed: Tensor

    def __init__(self, channels: int, width: int, patch: int, grid: int, sample: int) -> None:
        super().__init__()
        self.patch, self.grid = patch, grid
        self.proj = nn.Conv2d(channels, width, patch, stride=patch)
        self.register_buffer("pos_embed", square_positions(width, grid, sample // patch)[None])

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (B, C, H, W) -> (B, N, width), row by row.

        Raises InvalidRequest where the patch does not divide the picture, where that is larger than the
        square of positions, and for a wrong number of channels.
        """
        self.check(x)
        high, wide = (side // self.patch for side in x.shape[-2:])
        top, left = (self.grid - high) // 2, (self.grid - wide) // 2
        square = self.pos_embed.unflatten(1, (self.grid, self.grid))
        middle = square[:, top : top + high, left : left + wide].flatten(1, 2)
        return (self.proj(x).flatten(2).transpose(1, 2) + middle).to(x.dtype)

    def check(self, x: Tensor) -> None:
        """Refuse what has no answer."""
        (channels, high, wide), most = x.shape[1:], self.patch * self.grid
        if high % self.patch or wide % self.patch or max(high, wide) > most:
            raise InvalidRequest(
                f"this network draws latents whose sides {self.patch} divides, up to {most}, "
                f"not {high}x{wide}; choose another size, in pixels a multiple of {8 * self.patch}."
            )
        if channels != self.proj.in_channels:
            raise InvalidRequest(
                f"this network takes {self.proj.in_channels} channels of latents and got {channels}; "
                "give a picture and a mask to a network for inpainting alone."
            )


def square_positions(width: int, grid: int, base: int) -> Tensor:
    """Sinusoids of x in the first half of the width, of y in the second: (grid * grid, width), row by row.

    A grid of any size spans ``base`` steps. In double precision until the end, as diffusers has it.
    """
    steps = torch.arange(grid, dtype=torch.float32) / (grid / base)
    rates = 10_000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width / 4))
    angles = steps.double()[:, None] * rates
    line = torch.cat([angles.sin(), angles.cos()], dim=-1)  # (grid, width / 2)
    across, down = line[None].expand(grid, -1, -1), line[:, None].expand(-1, grid, -1)
    return torch.cat([across, down], dim=-1).flatten(0, 1).float()


class MMDiT(nn.Module):
    """(noisy latents, time, conditioning) -> velocity of the latents' shape."""

    def __init__(self, config: MMDiTConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.pos_embed = PatchEmbedding(config.in_channels, width, config.patch, config.grid, config.sample)
        self.time_text_embed = TimeText(width, config.pooled_width)
        self.context_embedder = nn.Linear(config.text_width, width)
        self.transformer_blocks = nn.ModuleList(
            JointBlock(width, config.heads, config.qk_norm, last=i == config.depth - 1, dual=i in config.dual)
            for i in range(config.depth)
        )
        self.norm_out = FinalNorm(width)
        self.proj_out = nn.Linear(width, config.patch**2 * config.out_channels)

    @property
    def middle_blocks(self) -> list[bool]:
        """Of each column of ``Conditioning.perturb``, whether it is the block in the middle."""
        return only_middle(len(self.transformer_blocks))

    def forward(
        self, x: Tensor, time: Tensor, cond: Conditioning, control: Sequence[Sequence[Tensor]] | None = None
    ) -> Tensor:
        """``x`` (B, C, H, W), ``time`` (B,) in [0, 1] -> (B, C, H, W).

        ``cond`` needs tokens and pooled. ``concat`` (B, C', H, W) is laid behind ``x`` (inpainting).
        ``extra["skip"]`` (B, blocks) bool is True where a row is to go past a block (skip-layer guidance).

        ``control`` holds for each block what is added to the picture after it, (B, N, width) each.

        Raises InvalidRequest for a size or channels that this network does not have.
        """
        assert cond.tokens is not None and cond.pooled is not None
        dtype = self.dtype
        picture, text = self.embed(x, cond), self.context_embedder(cond.tokens.to(dtype))
        told = self.time_text_embed(time, cond.pooled.to(dtype))
        picture = self.run(picture, text, told, cond, control or [()] * self.config.depth)
        return self.unpatch(self.proj_out(self.norm_out(picture, told)), *x.shape[-2:]).to(x.dtype)

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.proj_out.weight.dtype

    def embed(self, x: Tensor, cond: Conditioning) -> Tensor:
        """The picture's patches in their places: (B, N, width)."""
        latents = x if cond.concat is None else torch.cat([x, cond.concat.to(x.dtype)], dim=1)
        return self.pos_embed(latents.to(self.dtype))

    def run(
        self,
        picture: Tensor,
        text: Tensor,
        told: Tensor,
        cond: Conditioning,
        control: Sequence[Sequence[Tensor]],
    ) -> Tensor:
        """The picture (B, N, width) after all blocks."""
        mask = joint_mask(cond.mask, picture.shape[1])
        skip = cond.extra.get("skip")

        def run(picture: Tensor, text: Tensor, blocks: range) -> tuple[Tensor, Tensor]:
            for i in blocks:
                seen = perturbed(mask, cond.perturb, i, text.shape[1], picture.shape[1])
                before = picture, text
                picture, text = self.transformer_blocks[i](picture, text, told, seen)
                if skip is not None:
                    past = skip[:, i, None, None]
                    picture, text = torch.where(past, before[0], picture), torch.where(past, before[1], text)
                for more in control[i]:
                    picture = picture + more.to(picture.dtype)
            return picture, text

        first, text = run(picture, text, range(1))
        inner = range(1, len(self.transformer_blocks))
        return recalled(cond, lambda: run(first, text, inner)[0], first)

    def unpatch(self, tokens: Tensor, high: int, wide: int) -> Tensor:
        """(B, N, patch * patch * C), where a position's channels lie together -> (B, C, high, wide)."""
        side = self.config.patch
        grid = tokens.unflatten(1, (high // side, wide // side)).unflatten(-1, (side, side, -1))
        return grid.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
