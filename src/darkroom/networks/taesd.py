"""The tiny autoencoders by Ollin Boer Bohan: TAESD, TAESDXL, TAESD3 and TAEF1, which decode in no time.

Each was distilled from the large autoencoder of its family and shares its latents as diffusion meets them,
without shift or scale. Source: github.com/madebyollin/taesd. Parameters bear the names that diffusers gives
them in ``AutoencoderTiny``.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.errors import DarkroomError
from darkroom.networks.diffusers_config import read_options
from darkroom.networks.posterior import Posterior

WIDTHS = ("encoder_block_out_channels", "decoder_block_out_channels")
TAKEN = (
    "in_channels",
    "out_channels",
    "latent_channels",
    "num_encoder_blocks",
    "num_decoder_blocks",
    *WIDTHS,
)
FIXED = {
    "act_fn": ("relu",),
    "upsample_fn": ("nearest",),
    "upsampling_scaling_factor": (2,),
    "scaling_factor": (1,),
    "shift_factor": (0,),
}
WITHOUT_EFFECT = ("block_out_channels", "latent_magnitude", "latent_shift", "force_upcast")


@dataclass(frozen=True)
class TinyAutoencoderConfig:
    """``encoder_blocks`` and ``decoder_blocks`` of each stage in the order of the signal's way.

    Every stage but the first halves the sides, or doubles them. Without ``encoder_blocks`` there is a decoder
    alone, which is all that words to pictures need.
    """

    in_channels: int = 3
    out_channels: int = 3
    latent_channels: int = 4
    width: int = 64
    encoder_blocks: tuple[int, ...] = (1, 3, 3, 3)
    decoder_blocks: tuple[int, ...] = (3, 3, 3, 1)

    @property
    def downscale(self) -> int:
        """Picture pixels a latent position, along a side."""
        return 2 ** (len(self.decoder_blocks) - 1)

    @staticmethod
    def from_diffusers(values: Mapping[str, Any]) -> "TinyAutoencoderConfig":
        """From the parsed config.json. Raises DarkroomError for an option that we don't have."""
        options = read_options(values, "AutoencoderTiny", TAKEN, FIXED, WITHOUT_EFFECT)
        widths = {width for name in WIDTHS for width in options.pop(name, (64,))}
        if len(widths) > 1:
            raise DarkroomError(
                f"the stages of this AutoencoderTiny have widths {sorted(widths)}; "
                "we have those of one width alone, so use another model."
            )
        renamed = {name.removeprefix("num_"): value for name, value in options.items()}
        return TinyAutoencoderConfig(width=widths.pop(), **renamed)

    @staticmethod
    def from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> "TinyAutoencoderConfig":
        """From native names and shapes, of both halves or the decoder alone.

        Raises DarkroomError where there is no such decoder.
        """
        first = shapes.get("decoder.layers.0.weight")
        if first is None:
            raise DarkroomError(
                "this is no tiny autoencoder: it has no 'decoder.layers.0.weight'; "
                "give a file that has its decoder."
            )
        blocks = block_counts(shapes, "decoder")
        return TinyAutoencoderConfig(
            in_channels=shapes.get("encoder.layers.0.weight", (0, 3))[1],
            out_channels=shapes[f"decoder.layers.{sum(blocks) + 2 * len(blocks)}.weight"][0],
            latent_channels=first[1],
            width=first[0],
            encoder_blocks=block_counts(shapes, "encoder"),
            decoder_blocks=blocks,
        )


def is_tiny(names: Collection[str]) -> bool:
    """Whether the names of an autoencoder's tensors are those of a tiny one, or of a half of one."""
    return any(f"{half}.layers.0.weight" in names for half in ("encoder", "decoder"))


def block_counts(shapes: Iterable[str], half: str) -> tuple[int, ...]:
    """The residual blocks of each stage of the "encoder" or "decoder"; a plain convolution begins a stage."""
    pattern = re.compile(rf"{half}\.layers\.(\d+)(\.conv\.0)?\.weight")
    found = sorted((int(match[1]), match[2] is None) for name in shapes if (match := pattern.fullmatch(name)))
    begins = [i for i, (_, plain) in enumerate(found) if plain]
    return tuple(end - begin - 1 for begin, end in pairwise(begins))


class TinyBlock(nn.Module):
    """relu(x + conv(relu(conv(relu(conv(x))))))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        one, two, three = (nn.Conv2d(width, width, 3, padding=1) for _ in range(3))
        self.conv = nn.Sequential(one, nn.ReLU(), two, nn.ReLU(), three)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same."""
        return F.relu(self.conv(x) + x)


class TinyEncoder(nn.Module):
    """Pictures -> latents."""

    def __init__(self, config: TinyAutoencoderConfig) -> None:
        super().__init__()
        width = config.width
        layers: list[nn.Module] = []
        for i, depth in enumerate(config.encoder_blocks):
            halve = nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False)
            layers.append(halve if i else nn.Conv2d(config.in_channels, width, 3, padding=1))
            layers += [TinyBlock(width) for _ in range(depth)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, config.latent_channels, 3, padding=1))

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1], which the layers want in [0, 1]."""
        return self.layers((pictures + 1) / 2)


class TinyDecoder(nn.Module):
    """Latents -> pictures."""

    def __init__(self, config: TinyAutoencoderConfig) -> None:
        super().__init__()
        width = config.width
        layers: list[nn.Module] = [nn.Conv2d(config.latent_channels, width, 3, padding=1), nn.ReLU()]
        for i, depth in enumerate(config.decoder_blocks):
            if i:
                layers += [nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, padding=1, bias=False)]
            layers += [TinyBlock(width) for _ in range(depth)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, config.out_channels, 3, padding=1))

    def forward(self, latents: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1]; latents are softly held within 3, the layers answer in [0, 1]."""
        return self.layers(3 * torch.tanh(latents / 3)) * 2 - 1


class TinyAutoencoder(nn.Module):
    """A :class:`~darkroom.networks.posterior.LatentAutoencoder`, in the precision of its weights.

    Pictures are in [-1, 1] as everywhere, and latents as diffusion meets them. Both may come in any
    precision, and answers have theirs.
    """

    def __init__(self, config: TinyAutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = TinyEncoder(config) if config.encoder_blocks else None
        self.decoder = TinyDecoder(config)

    @property
    def downscale(self) -> int:
        """Picture pixels a latent position, along a side."""
        return self.config.downscale

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights."""
        return next(self.decoder.parameters()).dtype

    def encode(self, pictures: Tensor) -> Posterior:
        """(B, 3, H, W) in [-1, 1] -> latents without deviation, (B, C, H // downscale, W // downscale).

        What a picture has beyond whole positions is left out, so that latents have the sides of the large
        autoencoder's. Raises DarkroomError where there is a decoder alone.
        """
        if self.encoder is None:
            raise DarkroomError(
                "this tiny autoencoder has a decoder alone; give its encoder too, or use the model's own VAE."
            )
        high, wide = (side - side % self.downscale for side in pictures.shape[-2:])
        mean = self.encoder(pictures[..., :high, :wide].to(self.dtype)).to(pictures.dtype)
        return Posterior(mean, torch.zeros_like(mean))

    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, h, w) -> pictures (B, 3, h * downscale, w * downscale), not clamped."""
        return self.decoder(latents.to(self.dtype)).to(latents.dtype)

    def forward(self, latents: Tensor) -> Tensor:
        """Decode."""
        return self.decode(latents)
