"""PixArt-alpha and PixArt-sigma: a small diffusion transformer that reads T5 through cross-attention.

Chen et al. 2023 (arXiv 2310.00426) and 2024 (arXiv 2403.04692). They differ in the autoencoder, whose config
tells its scale, and in how long a prompt they were trained with: 120 tokens and 300.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from darkroom.families.checks import check_latents, check_text
from darkroom.families.family import Options, Reading
from darkroom.families.latent import LatentModel, autoencoder, laid
from darkroom.families.schedules import CALLED, vp_process
from darkroom.families.sd import FEW
from darkroom.families.source import Source
from darkroom.families.words import t5_encoder, texts_of
from darkroom.networks.conditioning import Conditioning
from darkroom.networks.pixart import PixArt, PixArtConfig
from darkroom.text.emphasis import BREAK, Fragment
from darkroom.text.encoded import Text
from darkroom.text.t5 import T5Encoder
from darkroom.weights.loading import hollow

ALPHA_SCALE, SIGMA_SCALE = 0.18215, 0.13025
"""Of the latents: alpha has the autoencoder of Stable Diffusion 1, sigma that of XL."""
SCHEDULE = {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02}
PLAIN = {"steps": 20, "cfg_scale": 4.5, "sampler": "dpmpp_2m", "scheduler": "dpm"}


@dataclass(frozen=True)
class PixArtText:
    """T5's tokens, as many as a prompt has; of networks that are told it, the picture's size too."""

    t5: T5Encoder
    sized: bool

    @property
    def parts(self) -> dict[str, nn.Module]:
        return {"text_encoder": self.t5.model}

    def encode(self, prompts: Sequence[str], reading: Reading) -> Conditioning:
        texts, how = texts_of(prompts, reading)
        # padding would be masked in T5 and in the network alike, so there is none
        read = self.t5.encode([lowered(text) for text in texts], length=1, emphasis=how)
        told = size_of(reading, len(prompts)) if self.sized else {}
        return Conditioning(tokens=read.tokens, mask=read.mask, extra=told)


def lowered(text: Text) -> Text:
    """In small letters, as its captions were, and without space around."""
    if isinstance(text, str):
        return text.lower().strip()
    whole = [one if one == BREAK else Fragment(one.text.lower(), one.weight) for one in text]
    if whole:
        whole[0] = Fragment(whole[0].text.lstrip(), whole[0].weight)
        whole[-1] = Fragment(whole[-1].text.rstrip(), whole[-1].weight)
    return whole


def size_of(reading: Reading, rows: int) -> dict[str, Tensor]:
    """Height and width in pixels, and height by width."""
    size = torch.tensor([[float(reading.height), float(reading.width)]]).expand(rows, -1)
    return {"resolution": size, "aspect_ratio": size[:, :1] / size[:, 1:]}


def load(source: Source, options: Options) -> LatentModel:
    """Build the model of a folder or of files. Raises DarkroomError for what does not fit."""
    config = config_of(source)
    check_latents(source, config.in_channels)
    check_text(source, ("text_encoder",), config.caption_channels or config.cross_attention_dim)
    with hollow():
        network = PixArt(config)
    t5 = t5_encoder(source, "text_encoder", options, length=1)
    told: Mapping[str, Any] = SCHEDULE | dict(source.configs.get("scheduler", {}))
    process = vp_process(told, CALLED.get(options.variant or ""))
    sized = config.use_additional_conditions
    side = 8 * config.sample_size
    return LatentModel(
        name="PixArt-alpha" if sized else "PixArt-sigma",
        part="transformer",
        network=laid(network, source, "transformer", options),
        autoencoder=autoencoder(source, options, ALPHA_SCALE if sized else SIGMA_SCALE),
        text=PixArtText(t5, sized),
        process_at=lambda width, height: process,
        defaults={"width": side, "height": side, **FEW.get(options.variant or "", PLAIN)},
        multiple=8 * config.patch_size,
        accepts=frozenset(("emphasis", "loras", "variant")),
    )


def config_of(source: Source) -> PixArtConfig:
    """As a folder says; of a file without one, as the models for 1024 pixels have it."""
    if told := source.configs.get("transformer"):
        return PixArtConfig.from_diffusers(told)
    return PixArtConfig.from_shapes(source.store("transformer").header.shapes)
