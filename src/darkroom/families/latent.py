"""Latent diffusion models of others: a network, an autoencoder and text encoders, whatever their family."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from darkroom.diffusion.process import Process
from darkroom.families.family import Options, Reading
from darkroom.families.source import Source
from darkroom.networks.autoencoder_kl import AutoencoderKL, AutoencoderKLConfig
from darkroom.networks.conditioning import Conditioning
from darkroom.networks.posterior import LatentAutoencoder
from darkroom.networks.taesd import TinyAutoencoder, TinyAutoencoderConfig, is_tiny
from darkroom.networks.tiled import Tiled
from darkroom.weights.loading import hollow

Module = TypeVar("Module", bound=nn.Module)
Autoencoder: TypeAlias = AutoencoderKL | TinyAutoencoder


class TextSide(Protocol):
    """The way from prompts to what a network is told."""

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """Its encoders, by the names that folders have for them."""
        ...

    def encode(self, prompts: Sequence[str], reading: Reading) -> Conditioning:
        """One row a prompt."""
        ...


@dataclass(frozen=True, kw_only=True)
class LatentModel:
    """A :class:`~darkroom.families.family.Model`. Sides of its pictures are multiples of ``multiple`` pixels.

    ``mask_as`` lays out what a network that sees masks is shown; None for any other. ``tile`` is the side in
    latents of the tiles in which pictures are encoded and decoded; None does it at once.
    """

    name: str
    part: str
    network: nn.Module
    autoencoder: Autoencoder
    text: TextSide
    process_at: Callable[[int, int], Process]
    defaults: dict[str, Any]
    multiple: int
    accepts: frozenset[str]
    mask_as: Callable[[Tensor, Tensor], Tensor] | None = field(default=None)
    tile: int | None = None

    @property
    def parts(self) -> dict[str, nn.Module]:
        return {self.part: self.network, "vae": self.autoencoder, **self.text.parts}

    @property
    def sees_mask(self) -> bool:
        return self.mask_as is not None

    @property
    def downscale(self) -> int:
        return self.autoencoder.downscale

    @property
    def coder(self) -> LatentAutoencoder:
        """The autoencoder, in tiles where it is to work in them."""
        return self.autoencoder if self.tile is None else Tiled(self.autoencoder, self.tile, self.tile // 4)

    def tiled(self, side: int) -> "LatentModel":
        return replace(self, tile=side // self.downscale)

    def encode_prompts(self, prompts: Sequence[str], reading: Reading) -> Conditioning:
        with torch.inference_mode():
            return self.text.encode(prompts, reading)

    def latent_shape(self, width: int, height: int) -> tuple[int, int, int]:
        if width % self.multiple or height % self.multiple:
            raise ValueError(
                f"{self.name} makes pictures whose sides are multiples of {self.multiple}, "
                f"not {width}x{height}"
            )
        return self.autoencoder.config.latent_channels, height // self.downscale, width // self.downscale

    def encode_pictures(self, pictures: Tensor) -> tuple[Tensor, Tensor | None]:
        with torch.inference_mode():
            found = self.coder.encode(pictures)
        return found.mean, found.std

    def decode_latents(self, latents: Tensor) -> Tensor:
        with torch.inference_mode():
            return self.coder.decode(latents).clamp(-1, 1)

    def mask_condition(self, mask: Tensor, masked: Tensor) -> Tensor:
        assert self.mask_as is not None
        return self.mask_as(mask, masked)


def autoencoder(source: Source, options: Options, scale: float, shift: float = 0.0) -> Autoencoder:
    """The model's autoencoder, or the tiny one that was given in its place; ``scale`` and ``shift`` of its
    latents are those of the family, for files that do not say.
    """
    told, shapes = source.configs.get("vae"), source.store("vae").header.shapes
    if is_tiny(shapes):
        return tiny_autoencoder(source, options)
    config = (
        AutoencoderKLConfig.from_diffusers({"scaling_factor": scale, "shift_factor": shift, **told})
        if told
        else AutoencoderKLConfig.from_shapes(shapes, scale, shift)
    )
    with hollow():
        made = AutoencoderKL(config)
    return laid(made, source, "vae", options)


def tiny_autoencoder(source: Source, options: Options) -> TinyAutoencoder:
    """The same where its file is that of a tiny one, whose latents are those of the family by themselves."""
    kind = TinyAutoencoderConfig
    told = source.configs.get("vae")
    config = kind.from_diffusers(told) if told else kind.from_shapes(source.store("vae").header.shapes)
    with hollow():
        made = TinyAutoencoder(config)
    return laid(made, source, "vae", options)


def laid(module: Module, source: Source, part: str, options: Options) -> Module:
    """A module that was built hollow, with its weights, in eval mode and without gradients.

    Its weights may come later, as the options say.
    """
    source.lay(module, part, options.dtype, options.later)
    return module.eval().requires_grad_(False)


def mask_and_masked(mask: Tensor, masked: Tensor) -> Tensor:
    """What networks of nine channels see beside the signal: the mask at the latents' size, and the latents
    of the masked picture.
    """
    return torch.cat([interpolate(mask, masked.shape[-2:]), masked], dim=1)  # nearest, as it was trained
