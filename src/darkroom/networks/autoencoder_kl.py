"""The autoencoder of latent diffusion models: SD 1 and 2, SDXL, SD 3, FLUX.1 and their kin.

Rombach et al. 2022 (arXiv 2112.10752, section 3.1 and appendix G). Parameters bear the names that diffusers
gives them in ``AutoencoderKL``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from darkroom.errors import DarkroomError
from darkroom.networks.autoencoder_blocks import Decoder, Encoder, per_channel
from darkroom.networks.diffusers_config import read_options
from darkroom.networks.posterior import Posterior

Shapes = Mapping[str, tuple[int, ...]]
"""Names of tensors and their shapes."""

TAKEN = (
    "in_channels",
    "out_channels",
    "latent_channels",
    "block_out_channels",
    "layers_per_block",
    "norm_num_groups",
    "scaling_factor",
    "shift_factor",
    "latents_mean",
    "latents_std",
    "use_quant_conv",
    "use_post_quant_conv",
    "mid_block_add_attention",
    "force_upcast",
)
FIXED = {
    "act_fn": ("silu", "swish"),
    "down_block_types": ("DownEncoderBlock2D",),
    "up_block_types": ("UpDecoderBlock2D",),
}
MIDDLE = "decoder.mid_block.attentions.0.to_q.weight"


@dataclass(frozen=True)
class AutoencoderKLConfig:
    """The options of diffusers' ``AutoencoderKL`` under their names and with their defaults.

    ``block_out_channels`` go from the finest level to the coarsest, each half as large as the one before.
    Diffusion works on (raw - ``shift_factor``) * ``scaling_factor``; where ``latents_mean`` and
    ``latents_std`` are given, a number a channel, on (raw - latents_mean) * scaling_factor / latents_std.
    ``force_upcast`` says that activations may overflow in float16, as those of SDXL's own autoencoder do: run
    it in float32 or bfloat16 then. Older files leave the option out, and the default is the careful one.
    """

    in_channels: int = 3
    out_channels: int = 3
    latent_channels: int = 4
    block_out_channels: tuple[int, ...] = (64,)
    layers_per_block: int = 1
    norm_num_groups: int = 32
    scaling_factor: float = 0.18215
    shift_factor: float = 0.0
    latents_mean: tuple[float, ...] | None = None
    latents_std: tuple[float, ...] | None = None
    use_quant_conv: bool = True
    use_post_quant_conv: bool = True
    mid_block_add_attention: bool = True
    force_upcast: bool = True

    def __post_init__(self) -> None:
        if (self.latents_mean is None) != (self.latents_std is None):
            raise DarkroomError("'latents_mean' and 'latents_std' of an autoencoder go together; give both.")
        if self.latents_mean is not None and self.shift_factor:
            raise DarkroomError(
                "an autoencoder shifts by 'shift_factor' or 'latents_mean'; give one of them."
            )

    @property
    def downscale(self) -> int:
        """Picture pixels a latent position, along a side."""
        return 2 ** (len(self.block_out_channels) - 1)

    @property
    def centre(self) -> tuple[float, ...]:
        """What is taken from raw latents: one number, or one a channel."""
        return self.latents_mean or (self.shift_factor,)

    @property
    def gain(self) -> tuple[float, ...]:
        """What raw latents are then multiplied by: one number, or one a channel."""
        return tuple(self.scaling_factor / std for std in self.latents_std or (1.0,))

    @staticmethod
    def from_diffusers(values: Mapping[str, Any]) -> "AutoencoderKLConfig":
        """From the parsed config.json. Raises DarkroomError for an option that we don't have."""
        options = read_options(values, "AutoencoderKL", TAKEN, FIXED, without_effect=("sample_size",))
        return AutoencoderKLConfig(**options)

    @staticmethod
    def from_shapes(
        shapes: Shapes,
        scaling_factor: float,
        shift_factor: float = 0.0,
        norm_num_groups: int = 32,
        force_upcast: bool = True,
    ) -> "AutoencoderKLConfig":
        """From the native names and shapes of a file that has no config.json.

        What shapes don't show comes in by name. Raises DarkroomError where the file is no such autoencoder.
        """
        coarse_first = decoder_widths(shapes)
        return AutoencoderKLConfig(
            in_channels=shape_of(shapes, "encoder.conv_in.weight")[1],
            out_channels=shape_of(shapes, "decoder.conv_out.weight")[0],
            latent_channels=shape_of(shapes, "decoder.conv_in.weight")[1],
            block_out_channels=coarse_first[::-1],
            layers_per_block=sum(name.startswith("encoder.down_blocks.0.") for name in convolutions(shapes)),
            norm_num_groups=norm_num_groups,
            scaling_factor=scaling_factor,
            shift_factor=shift_factor,
            use_quant_conv="quant_conv.weight" in shapes,
            use_post_quant_conv="post_quant_conv.weight" in shapes,
            mid_block_add_attention=MIDDLE in shapes,
            force_upcast=force_upcast,
        )


def shape_of(shapes: Shapes, name: str) -> tuple[int, ...]:
    """The shape of a tensor that must be there."""
    if name not in shapes:
        raise DarkroomError(f"this is no latent autoencoder: it has no '{name}'; give a file that has a VAE.")
    return shapes[name]


def convolutions(shapes: Shapes) -> list[str]:
    """The names of the first convolutions of all residual blocks."""
    return [name for name in shapes if name.endswith(".conv1.weight")]


def decoder_widths(shapes: Shapes) -> tuple[int, ...]:
    """The width of every stage of the decoder, the coarsest first."""
    first = "decoder.up_blocks.{}.resnets.0.conv1.weight"
    shape_of(shapes, first.format(0))
    count = sum(first.format(i) in shapes for i in range(len(convolutions(shapes))))
    return tuple(shape_of(shapes, first.format(i))[0] for i in range(count))


class AutoencoderKL(nn.Module):
    """A :class:`~darkroom.networks.posterior.LatentAutoencoder`, in the precision of its weights.

    Pictures and latents may come in any precision, and answers have theirs. ``encode`` and ``decode`` speak
    latents as diffusion meets them; ``encode_raw`` and ``decode_raw`` those of the network itself.
    """

    def __init__(self, config: AutoencoderKLConfig) -> None:
        super().__init__()
        self.config = config
        widths, depth = config.block_out_channels, config.layers_per_block
        groups, attention = config.norm_num_groups, config.mid_block_add_attention
        latent = config.latent_channels
        self.encoder = Encoder((config.in_channels, 2 * latent), widths, depth, groups, attention)
        self.decoder = Decoder((latent, config.out_channels), widths, depth, groups, attention)
        self.quant_conv = nn.Conv2d(2 * latent, 2 * latent, 1) if config.use_quant_conv else nn.Identity()
        self.post_quant_conv = nn.Conv2d(latent, latent, 1) if config.use_post_quant_conv else nn.Identity()

    @property
    def downscale(self) -> int:
        """Picture pixels a latent position, along a side."""
        return self.config.downscale

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights."""
        return self.decoder.conv_in.weight.dtype

    def encode(self, pictures: Tensor) -> Posterior:
        """(B, 3, H, W) in [-1, 1] -> latents for diffusion, (B, C, H // downscale, W // downscale).

        Raises DarkroomError for a picture smaller than one latent position.
        """
        raw = self.encode_raw(pictures)
        return Posterior(self.to_latents(raw.mean), raw.std * per_channel(self.config.gain, raw.std))

    def decode(self, latents: Tensor) -> Tensor:
        """Latents of diffusion (B, C, h, w) -> (B, 3, h * downscale, w * downscale), not clamped."""
        return self.decode_raw(self.from_latents(latents))

    def encode_raw(self, pictures: Tensor) -> Posterior:
        """(B, 3, H, W) in [-1, 1] -> the network's own latents, neither shifted nor scaled."""
        high, wide = pictures.shape[-2:]
        if min(high, wide) < self.downscale:
            raise DarkroomError(
                f"a picture of {wide}x{high} is too small for this autoencoder; "
                f"its sides must have at least {self.downscale} pixels."
            )
        mean, log_variance = self.quant_conv(self.encoder(pictures.to(self.dtype))).chunk(2, dim=1)
        std = torch.exp(0.5 * log_variance.float().clamp(-30.0, 20.0))
        return Posterior(mean.to(pictures.dtype), std.to(pictures.dtype))

    def decode_raw(self, raw: Tensor) -> Tensor:
        """The network's own latents (B, C, h, w) -> pictures, not clamped."""
        return self.decoder(self.post_quant_conv(raw.to(self.dtype))).to(raw.dtype)

    def to_latents(self, raw: Tensor) -> Tensor:
        """The network's own latents as diffusion meets them."""
        return (raw - per_channel(self.config.centre, raw)) * per_channel(self.config.gain, raw)

    def from_latents(self, latents: Tensor) -> Tensor:
        """The inverse of :meth:`to_latents`."""
        return latents / per_channel(self.config.gain, latents) + per_channel(self.config.centre, latents)

    def forward(self, latents: Tensor) -> Tensor:
        """Decode."""
        return self.decode(latents)
