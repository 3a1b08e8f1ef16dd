"""FLUX.1 (Black Forest Labs 2024): dev, schnell, Fill, and the ones steered by depth or edges.

A transformer over 2x2 patches of the latents. Its first blocks are those of MMDiT (arXiv 2403.03206) with
rotary positions; then text and picture go through one stream whose attention and feed-forward run side by
side (Dehghani et al. 2023, arXiv 2302.05442, section 2). Its tensors bear the names that diffusers has.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.errors import DarkroomError
from darkroom.networks.conditioning import Conditioning, only_middle
from darkroom.networks.diffusers_config import read_options
from darkroom.networks.flux_patches import pack, rotary, unpack
from darkroom.networks.joint_attention import (
    JointBlock,
    SelfAttention,
    Turns,
    bounded,
    joint_mask,
    perturbed,
)
from darkroom.networks.modulation import AdaptiveNorm, FinalNorm, TimeText
from darkroom.networks.recall import recalled
from darkroom.networks.shapes import Shapes, count, shape

OPTIONS = {
    "in_channels": "in_channels",
    "out_channels": "out_channels",
    "num_layers": "depth",
    "num_single_layers": "single_depth",
    "num_attention_heads": "heads",
    "attention_head_dim": "head",
    "joint_attention_dim": "text_width",
    "pooled_projection_dim": "pooled_width",
    "guidance_embeds": "guidance",
    "axes_dims_rope": "axes",
}
"""Our names of the options of diffusers' FluxTransformer2DModel."""


@dataclass(frozen=True)
class FluxConfig:
    """``in_channels`` and ``out_channels`` of a patch of 2x2 latents: four times those of the latents.

    ``depth`` blocks with weights for text and picture each, ``single_depth`` with one set for both; ``heads``
    of width ``head``, of which each of ``axes`` turns with one coordinate (text or picture, y, x);
    ``guidance``: whether the network is told a distilled guidance scale.
    """

    in_channels: int = 64
    out_channels: int = 64
    depth: int = 19
    single_depth: int = 38
    heads: int = 24
    head: int = 128
    text_width: int = 4096
    pooled_width: int = 768
    guidance: bool = False
    axes: tuple[int, ...] = (16, 56, 56)

    def __post_init__(self) -> None:
        if len(self.axes) != 3 or sum(self.axes) != self.head:
            raise DarkroomError(
                f"the rotary axes {self.axes} do not add up to a head's width of {self.head}; "
                "give three widths that do."
            )

    @property
    def width(self) -> int:
        """Of the tokens inside."""
        return self.heads * self.head

    @staticmethod
    def from_diffusers(values: Mapping[str, Any]) -> "FluxConfig":
        """From the parsed config.json of a FluxTransformer2DModel. Raises DarkroomError for what we lack."""
        found = read_options(values, "FluxTransformer2DModel", OPTIONS, {"patch_size": (1,)})
        told = {OPTIONS[name]: value for name, value in found.items()}
        return FluxConfig(**{"out_channels": told.get("in_channels", FluxConfig.in_channels)} | told)

    @staticmethod
    def from_shapes(shapes: Shapes, axes: tuple[int, ...] = (16, 56, 56)) -> "FluxConfig":
        """From the names and shapes of the tensors, which tell all but the rotary ``axes``."""
        return FluxConfig(**of_trunk(shapes), out_channels=shape(shapes, "proj_out.weight")[0], axes=axes)


def of_trunk(shapes: Shapes) -> dict[str, Any]:
    """What shapes tell of the part that the transformer and its ControlNets share."""
    width, in_channels = shape(shapes, "x_embedder.weight")
    (head,) = shape(shapes, "transformer_blocks.0.attn.norm_q.weight")
    return {
        "in_channels": in_channels,
        "depth": count(shapes, "transformer_blocks"),
        "single_depth": count(shapes, "single_transformer_blocks"),
        "heads": width // head,
        "head": head,
        "text_width": shape(shapes, "context_embedder.weight")[1],
        "pooled_width": shape(shapes, "time_text_embed.text_embedder.linear_1.weight")[1],
        "guidance": "time_text_embed.guidance_embedder.linear_1.weight" in shapes,
    }


class SingleBlock(nn.Module):
    """Attention and feed-forward side by side, over text and picture as one sequence."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm = AdaptiveNorm(width, steps=1)
        self.attn = SelfAttention(width, heads, qk_norm=True, out=False)
        self.proj_mlp = nn.Linear(width, 4 * width)
        self.proj_out = nn.Linear(5 * width, width)

    def forward(self, x: Tensor, told: Tensor, mask: Tensor | None, turns: Turns) -> Tensor:
        """``x`` (B, L + N, width), ``told`` (B, width) -> (B, L + N, width)."""
        (step,) = self.norm(told)
        ready = step.before(x)
        fed = F.gelu(self.proj_mlp(ready), approximate="tanh")
        return x + step.gate * self.proj_out(torch.cat([self.attn(ready, mask, turns), fed], dim=-1))


class Start(NamedTuple):
    """What goes into the first block.

    ``picture`` (B, N, width), ``text`` (B, L, width), ``told`` (B, width); ``mask`` (B, 1, 1, L + N) bool and
    the rotary ``turns`` of the joint sequence, text first.
    """

    picture: Tensor
    text: Tensor
    told: Tensor
    mask: Tensor | None
    turns: Turns


Visit = Callable[[int, Tensor], Tensor]
"""The number of a block and the picture's tokens that it left -> the tokens that go on."""


class FluxTrunk(nn.Module):
    """The embeddings and blocks that the transformer and its ControlNets share."""

    def __init__(self, config: FluxConfig) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        self.config = config
        self.time_text_embed = TimeText(width, config.pooled_width, config.guidance)
        self.context_embedder = nn.Linear(config.text_width, width)
        self.x_embedder = nn.Linear(config.in_channels, width)
        self.transformer_blocks = nn.ModuleList(JointBlock(width, heads) for _ in range(config.depth))
        self.single_transformer_blocks = nn.ModuleList(
            SingleBlock(width, heads) for _ in range(config.single_depth)
        )

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.x_embedder.weight.dtype

    @property
    def middle_blocks(self) -> list[bool]:
        """Of each column of ``Conditioning.perturb``, whether it is the block in the middle."""
        return only_middle(len(self.transformer_blocks) + len(self.single_transformer_blocks))

    def tell(self, time: Tensor, cond: Conditioning) -> Tensor:
        """What modulates every block: (B, width)."""
        assert cond.pooled is not None
        return self.time_text_embed(time, cond.pooled.to(self.dtype), cond.extra.get("guidance"))

    def read(self, cond: Conditioning) -> Tensor:
        """The text's tokens: (B, L, width)."""
        assert cond.tokens is not None
        return self.context_embedder(cond.tokens.to(self.dtype))

    def run(self, start: Start, cond: Conditioning, visit: Visit) -> Tensor:
        """The picture after all blocks: (B, N, width); of ``cond`` what to perturb and to recall counts."""
        first = self.run_joint(start, cond, visit, slice(1))
        return recalled(cond, lambda: self.run_rest(first, cond, visit), first.picture)

    def run_joint(self, start: Start, cond: Conditioning, visit: Visit, blocks: slice) -> Start:
        """Blocks with weights for text and picture each; what goes into the next."""
        picture, text, told, mask, turns = start
        for i in range(len(self.transformer_blocks))[blocks]:
            seen = perturbed(mask, cond.perturb, i, text.shape[1], picture.shape[1])
            picture, text = self.transformer_blocks[i](picture, text, told, seen, turns)
            picture, text = visit(i, picture), bounded(text)
        return Start(picture, text, told, mask, turns)

    def run_rest(self, start: Start, cond: Conditioning, visit: Visit) -> Tensor:
        """The picture after all blocks behind the first."""
        picture, text, told, mask, turns = self.run_joint(start, cond, visit, slice(1, None))
        length = text.shape[1]
        for i, block in enumerate(self.single_transformer_blocks, len(self.transformer_blocks)):
            seen = perturbed(mask, cond.perturb, i, length, picture.shape[1])
            joint = bounded(block(torch.cat([text, picture], dim=1), told, seen, turns))
            text, picture = joint.tensor_split([length], dim=1)
            picture = visit(i, picture)
        return picture


class Flux(FluxTrunk):
    """(noisy latents, time, conditioning) -> velocity of the latents' shape."""

    def __init__(self, config: FluxConfig) -> None:
        super().__init__(config)
        self.norm_out = FinalNorm(config.width)
        self.proj_out = nn.Linear(config.width, config.out_channels)

    def forward(
        self, x: Tensor, time: Tensor, cond: Conditioning, control: Sequence[Sequence[Tensor]] | None = None
    ) -> Tensor:
        """``x`` (B, C, H, W) with even H and W, ``time`` (B,) in [0, 1] -> (B, C, H, W).

        ``cond`` needs tokens and pooled, and ``extra["guidance"]`` (B,), the scale, where the network was
        distilled for it. ``concat`` (B, C', H, W) is laid behind ``x``: what :func:`fill_channels` makes for
        FLUX Fill, the latents of the depth or edge picture for the others. ``extra["reference"]``
        (B, C, H', W'), also even, are the latents of a picture to look at beside ``x`` (FLUX Kontext).

        ``control`` holds for each block what is added to the picture after it, (B, N, width) each.

        Raises InvalidRequest for an odd size, and for channels that are not those of this network.
        """
        start = self.start(x, time, cond)

        def visit(block: int, picture: Tensor) -> Tensor:
            for more in control[block] if control else ():
                behind = picture.shape[1] - more.shape[1]  # the patches of a reference
                picture = picture + F.pad(more.to(picture.dtype), (0, 0, 0, behind))
            return picture

        picture = self.run(start, cond, visit)[:, : x.shape[-2] * x.shape[-1] // 4]
        patches = self.proj_out(self.norm_out(picture, start.told))
        return unpack(patches, x.shape[-2] // 2, x.shape[-1] // 2).to(x.dtype)

    def start(self, x: Tensor, time: Tensor, cond: Conditioning) -> Start:
        """The picture's patches, and those of the reference behind them; text, time and positions."""
        pictures = [x if cond.concat is None else torch.cat([x, cond.concat.to(x.dtype)], dim=1)]
        if "reference" in cond.extra:
            pictures.append(cond.extra["reference"])
        patches = torch.cat([pack(one.to(self.dtype), self.config.in_channels) for one in pictures], dim=1)
        picture, text = self.x_embedder(patches), self.read(cond)
        grids = [(one.shape[-2] // 2, one.shape[-1] // 2) for one in pictures]
        turns = rotary(text.shape[1], grids, self.config.axes, x.device)
        return Start(picture, text, self.tell(time, cond), joint_mask(cond.mask, picture.shape[1]), turns)
