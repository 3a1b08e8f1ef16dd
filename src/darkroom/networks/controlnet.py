"""ControlNet: a second way down that reads a picture (edges, depth, a pose) and steers a U-Net.

Zhang et al. 2023 (arXiv 2302.05543). Parameters are named as in diffusers' ControlNetModel.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.errors import DarkroomError
from darkroom.networks.conditioning import Conditioning
from darkroom.networks.controlled import refuse_strangers, zeroed
from darkroom.networks.unet import Residuals, UNet, UNetEncoder, joined
from darkroom.networks.unet_config import UNetConfig, unknown_option

READ = {
    "conditioning_channels",
    "conditioning_embedding_out_channels",
    "controlnet_conditioning_channel_order",
    "global_pool_conditions",
}


@dataclass(frozen=True)
class ControlNetConfig:
    """``unet``, whose way up is empty, is the half that it shares with the U-Net that it steers.

    ``hint_widths`` are those of the convolutions over the hint, which is halved between each two of them;
    ``bgr`` says that it was trained with the colours in reverse; ``pooled`` that what it adds is the same at
    all positions.
    """

    unet: UNetConfig = field(default_factory=lambda: UNetConfig(up=()))
    hint_channels: int = 3
    hint_widths: tuple[int, ...] = (16, 32, 96, 256)
    bgr: bool = False
    pooled: bool = False

    @property
    def downscale(self) -> int:
        """Positions of the hint's side for one of the latents'."""
        return 2 ** (len(self.hint_widths) - 1)

    @classmethod
    def from_diffusers(cls, values: Mapping[str, Any]) -> Self:
        """The config.json of a ControlNetModel; raises as :meth:`UNetConfig.from_diffusers`."""
        order = values.get("controlnet_conditioning_channel_order", "rgb")
        if order not in ("rgb", "bgr"):
            raise unknown_option("controlnet_conditioning_channel_order", order, "rgb and bgr")
        shared = {name: value for name, value in values.items() if name not in READ}
        return cls(
            unet=UNetConfig.from_diffusers(shared | {"up_block_types": ()}),
            hint_channels=values.get("conditioning_channels", 3),
            hint_widths=tuple(values.get("conditioning_embedding_out_channels", (16, 32, 96, 256))),
            bgr=order == "bgr",
            pooled=bool(values.get("global_pool_conditions", False)),
        )

    @classmethod
    def from_shapes(
        cls, shapes: Mapping[str, tuple[int, ...]], *, heads: int | None = None, head_dim: int | None = None
    ) -> Self:
        """Native names to shapes, and heads as :meth:`UNetConfig.from_shapes` wants them."""
        first = shapes.get("controlnet_cond_embedding.conv_in.weight")
        if first is None:
            raise DarkroomError(
                "the weights have no 'controlnet_cond_embedding', which every ControlNet has; "
                "choose a file that holds a ControlNet of Stable Diffusion."
            )
        blocks = (f"controlnet_cond_embedding.blocks.{i}.weight" for i in range(1, len(shapes), 2))
        return cls(
            unet=UNetConfig.from_shapes(shapes, heads=heads, head_dim=head_dim),
            hint_channels=first[1],
            hint_widths=(first[0], *(shapes[name][0] for name in blocks if name in shapes)),
        )


class HintEmbedding(nn.Module):
    """The hint, brought to the size and width of the latents behind their first convolution."""

    def __init__(self, channels: int, widths: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for fine, coarse in pairwise(widths):
            self.blocks.append(nn.Conv2d(fine, fine, 3, padding=1))
            self.blocks.append(nn.Conv2d(fine, coarse, 3, padding=1, stride=2))
        self.conv_out = zeroed(nn.Conv2d(widths[-1], width, 3, padding=1))

    def forward(self, hint: Tensor) -> Tensor:
        """(B, channels, H * downscale, W * downscale) -> (B, width, H, W)."""
        hidden = F.silu(self.conv_in(hint))
        for block in self.blocks:
            hidden = F.silu(block(hidden))
        return self.conv_out(hidden)


class ControlNet(UNetEncoder):
    """(noisy latents, time, conditioning, hint) -> what is added to the U-Net's skips and middle.

    A new one adds nothing (zero convolutions, section 3.1).
    """

    def __init__(self, config: ControlNetConfig) -> None:
        super().__init__(config.unet)
        self.control = config
        widths = config.unet.widths
        self.controlnet_cond_embedding = HintEmbedding(config.hint_channels, config.hint_widths, widths[0])
        self.controlnet_down_blocks = nn.ModuleList(
            zeroed(nn.Conv2d(width, width, 1)) for width in config.unet.skip_widths
        )
        self.controlnet_mid_block = zeroed(nn.Conv2d(widths[-1], widths[-1], 1))

    @classmethod
    def from_unet(cls, unet: UNet, hint_widths: tuple[int, ...] = (16, 32, 96, 256)) -> Self:
        """A new one to train, whose shared half is a copy of the U-Net's."""
        shared = replace(unet.config, up=(), out_channels=4)
        network = cls(ControlNetConfig(shared, hint_widths=hint_widths)).to(unet.conv_in.weight)
        own = network.state_dict()
        network.load_state_dict(own | {name: part for name, part in unet.state_dict().items() if name in own})
        return network

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        cond: Conditioning,
        hint: Tensor,
        scale: Tensor | None = None,
        guess: Tensor | None = None,
    ) -> Residuals:
        """``x`` (B, C, H, W), ``time`` (B,), ``cond`` as the U-Net is told it.

        ``hint`` (B, 3, H * 8, W * 8) in [0, 1]; ``scale`` (B,) multiplies what a row is given; ``guess`` (B,)
        bool, True where that should fade towards the finest skips, for rows without a prompt (guess mode).
        Raises DarkroomError for a hint of another size.
        """
        context = self.context(time, cond)
        wide = x if x.shape[1] == self.config.in_channels else joined(x, cond, self.config.in_channels)
        hidden = self.conv_in(wide.to(self.dtype)) + self.seen(hint, x)
        hidden, skips = self.descend(hidden, context)
        made = [block(skip) for block, skip in zip(self.controlnet_down_blocks, skips, strict=True)]
        made.append(self.controlnet_mid_block(hidden))
        if self.control.pooled:
            made = [part.mean(dim=(2, 3), keepdim=True) for part in made]
        weights = self.weights(len(made), x, scale, guess)
        made = [(part * weights[:, i, None, None, None]).to(self.dtype) for i, part in enumerate(made)]
        return Residuals(made[:-1], made[-1])

    def seen(self, hint: Tensor, x: Tensor) -> Tensor:
        """The embedding of the hint."""
        wanted = [side * self.control.downscale for side in x.shape[-2:]]
        if list(hint.shape[-2:]) != wanted:
            raise DarkroomError(
                f"the hint is {hint.shape[-1]}x{hint.shape[-2]} and the picture {wanted[1]}x{wanted[0]}; "
                "resize the hint to the size of the picture."
            )
        return self.controlnet_cond_embedding((hint.flip(1) if self.control.bgr else hint).to(self.dtype))

    def weights(self, parts: int, x: Tensor, scale: Tensor | None, guess: Tensor | None) -> Tensor:
        """What each row's parts are multiplied by, in single precision: (B, parts).

        Guess mode fades from 1 at the middle to 0.1 at the finest skip.
        """
        weights = torch.ones(x.shape[0], parts, device=x.device)
        if guess is not None and not self.control.pooled:
            weights = torch.where(guess[:, None], torch.logspace(-1, 0, parts, device=x.device), weights)
        return weights if scale is None else weights * scale[:, None].float()


class ControlledUNet(nn.Module):
    """A U-Net and the ControlNets that steer it, called like any network.

    The i-th reads in ``cond.extra`` "control.i.hint", "control.i.scale" (default 1) and "control.i.guess"
    (default False), as :meth:`ControlNet.forward` has them; what several add is summed. One whose hint is not
    there, or whose scales are all 0, is not run.
    """

    def __init__(self, unet: UNet, controls: Iterable[ControlNet]) -> None:
        super().__init__()
        self.unet = unet
        self.controls = nn.ModuleList(controls)

    def forward(self, x: Tensor, time: Tensor, cond: Conditioning) -> Tensor:
        """``x`` (B, C, H, W), ``time`` (B,) -> (B, C', H, W)."""
        refuse_strangers(cond, len(self.controls))
        given = [self.residuals(i, x, time, cond) for i in range(len(self.controls))]
        return self.unet(x, time, cond, total([one for one in given if one is not None]))

    def residuals(self, i: int, x: Tensor, time: Tensor, cond: Conditioning) -> Residuals | None:
        """What the i-th adds; None if nothing."""
        hint, scale, guess = (cond.extra.get(f"control.{i}.{part}") for part in ("hint", "scale", "guess"))
        if hint is None:
            return None
        # a compiled graph cannot depend on values, so there the net is always run
        if scale is not None and not torch.compiler.is_compiling() and not scale.any():
            return None
        return self.controls[i](x, time, cond, hint, scale, guess)


def total(many: list[Residuals]) -> Residuals | None:
    """The sum of what several ControlNets add."""
    if not many:
        return None
    parts = zip(*([*one.down, one.mid] for one in many), strict=True)
    *down, mid = [sum(part[1:], part[0]) for part in parts]
    return Residuals(down, mid)
