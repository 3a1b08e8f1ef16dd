"""ControlNets of FLUX: a few of its blocks that look at a control picture and push the transformer's tokens.

Three kinds are published. Most take the latents of the control picture (InstantX, Shakker); "union" ones know
several kinds of control picture, told by a token; XLabs' look at the pixels and take turns over the blocks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.errors import InvalidRequest
from darkroom.networks.conditioning import Conditioning
from darkroom.networks.controlled import check_size, hint_of, refuse_strangers, zeroed
from darkroom.networks.controlnet import HintEmbedding
from darkroom.networks.diffusers_config import read_options
from darkroom.networks.flux import OPTIONS, Flux, FluxConfig, FluxTrunk, Start, of_trunk
from darkroom.networks.flux_patches import pack, rotary
from darkroom.networks.joint_attention import joint_mask
from darkroom.networks.shapes import Shapes

CONTROL_OPTIONS = {name: our for name, our in OPTIONS.items() if name != "out_channels"} | {
    "num_mode": "modes",
    "conditioning_embedding_channels": "hint_channels",
}
"""Our names of the options of diffusers' FluxControlNetModel."""

PIXEL_WIDTHS = (16, 16, 16, 16)
"""Of the convolutions over a control picture's pixels."""


@dataclass(frozen=True)
class FluxControlNetConfig(FluxConfig):
    """As the transformer's, but that ``out_channels`` means nothing.

    ``modes`` kinds of control picture, where the network knows several; ``hint_channels`` a position that it
    makes of the control picture's pixels, where it looks at these.
    """

    modes: int | None = None
    hint_channels: int | None = None

    @staticmethod
    def from_diffusers(values: Mapping[str, Any]) -> "FluxControlNetConfig":
        """From the parsed config.json of a FluxControlNetModel. Raises DarkroomError for what we lack."""
        found = read_options(values, "FluxControlNetModel", CONTROL_OPTIONS, {"patch_size": (1, 2)})
        return FluxControlNetConfig(**{CONTROL_OPTIONS[name]: value for name, value in found.items()})

    @staticmethod
    def from_shapes(shapes: Shapes, axes: tuple[int, ...] = (16, 56, 56)) -> "FluxControlNetConfig":
        """From the names and shapes of the tensors, which tell all but the rotary ``axes``."""
        return FluxControlNetConfig(
            **of_trunk(shapes),
            axes=axes,
            modes=shapes.get("controlnet_mode_embedder.weight", (None,))[0],
            hint_channels=shapes.get("input_hint_block.conv_out.weight", (None,))[0],
        )


class FluxControlNet(FluxTrunk):
    """(noisy latents, time, conditioning, control picture) -> what is added to the transformer's tokens."""

    config: FluxControlNetConfig

    def __init__(self, config: FluxControlNetConfig) -> None:
        super().__init__(config)
        width, depths = config.width, (config.depth, config.single_depth)
        double, single = ((zeroed(nn.Linear(width, width)) for _ in range(depth)) for depth in depths)
        self.controlnet_blocks, self.controlnet_single_blocks = nn.ModuleList(double), nn.ModuleList(single)
        if config.modes is not None:
            self.controlnet_mode_embedder = nn.Embedding(config.modes, width)
        embedder = nn.Linear(config.in_channels, width)
        self.input_hint_block = None
        if config.hint_channels is not None:
            self.input_hint_block = HintEmbedding(3, PIXEL_WIDTHS, config.hint_channels)
        self.controlnet_x_embedder = embedder if self.input_hint_block else zeroed(embedder)

    def forward(
        self, x: Tensor, time: Tensor, cond: Conditioning, hint: Tensor, mode: Tensor | None = None
    ) -> list[Tensor]:
        """A tensor (B, N, width) for each block of this network.

        ``x``, ``time`` and ``cond`` as the transformer takes them, with ``extra["guidance"]`` where this
        network was distilled for it. ``hint`` (B, C, H, W) latents of the control picture, or its pixels
        (B, 3, 8H, 8W) in [-1, 1] where the network looks at these; ``mode`` (B,) int64.

        Raises InvalidRequest for a control picture of another size, and where the mode is lacking.
        """
        residuals: list[Tensor] = []
        layers = [*self.controlnet_blocks, *self.controlnet_single_blocks]

        def visit(block: int, picture: Tensor) -> Tensor:
            residuals.append(layers[block](picture))
            return picture

        self.run(self.start(x, time, cond, hint, mode), Conditioning(), visit)
        return residuals

    def start(self, x: Tensor, time: Tensor, cond: Conditioning, hint: Tensor, mode: Tensor | None) -> Start:
        """The picture's patches with those of the control picture added; the text with the mode before it."""
        picture = self.x_embedder(pack(x.to(self.dtype), self.config.in_channels)) + self.look(hint, x)
        text, counts = self.read(cond), cond.mask
        if self.config.modes is not None:
            text = torch.cat([self.mode(mode)[:, None], text], dim=1)
            counts = None if counts is None else F.pad(counts, (1, 0), value=True)
        grid = (x.shape[-2] // 2, x.shape[-1] // 2)
        turns = rotary(text.shape[1], [grid], self.config.axes, x.device)
        return Start(picture, text, self.tell(time, cond), joint_mask(counts, picture.shape[1]), turns)

    def look(self, hint: Tensor, x: Tensor) -> Tensor:
        """The control picture's patches: (B, N, width)."""
        scale = 1 if self.input_hint_block is None else 8
        check_size(hint, scale * x.shape[-2], scale * x.shape[-1])
        hint = hint.to(self.dtype)
        latents = hint if self.input_hint_block is None else self.input_hint_block(hint)
        return self.controlnet_x_embedder(pack(latents, self.config.in_channels))

    def mode(self, mode: Tensor | None) -> Tensor:
        """The token (B, width) that tells the kind of control picture."""
        if mode is None:
            raise InvalidRequest(
                f"this ControlNet knows {self.config.modes} kinds of control picture; "
                "say by its number which of them this one is."
            )
        return self.controlnet_mode_embedder(mode)


class ControlledFlux(nn.Module):
    """A FLUX with ControlNets beside it, called as it is without; see :mod:`darkroom.networks.controlled`."""

    def __init__(self, transformer: Flux, controls: Sequence[FluxControlNet]) -> None:
        super().__init__()
        self.transformer, self.controls = transformer, nn.ModuleList(controls)
        self.sources = [sources(control.config, transformer.config) for control in controls]

    def forward(self, x: Tensor, time: Tensor, cond: Conditioning) -> Tensor:
        """``x`` (B, C, H, W), ``time`` (B,) in [0, 1] -> (B, C, H, W)."""
        refuse_strangers(cond, len(self.controls))
        config = self.transformer.config
        added: list[list[Tensor]] = [[] for _ in range(config.depth + config.single_depth)]
        for i, control in enumerate(self.controls):
            if hint := hint_of(cond, i):
                residuals = hint.scaled(control(x, time, cond, hint.picture, hint.mode))
                for block, source in enumerate(self.sources[i]):
                    added[block] += [] if source is None else [residuals[source]]
        return self.transformer(x, time, cond, added)


def sources(control: FluxControlNetConfig, transformer: FluxConfig) -> list[int | None]:
    """For each block of the transformer which of the ControlNet's residuals is added after it, if any.

    Each serves a run of blocks; where the network looks at pixels, they take turns over the double blocks.
    """
    double = runs(control.depth, transformer.depth)
    single = runs(control.single_depth, transformer.single_depth)
    if control.hint_channels is not None:
        double = [i % control.depth for i in range(transformer.depth)]
    return double + [None if source is None else control.depth + source for source in single]


def runs(residuals: int, blocks: int) -> list[int | None]:
    """Which of the residuals each block gets, in runs of equal length; none where there are no residuals."""
    return [i // ceil(blocks / residuals) if residuals else None for i in range(blocks)]
