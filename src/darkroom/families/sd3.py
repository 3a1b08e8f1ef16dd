"""Stable Diffusion 3 and 3.5: a rectified flow on a transformer that reads two CLIP encoders and T5.

Esser et al. 2024 (arXiv 2403.03206). T5 may be left out: then its place is empty.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from darkroom.diffusion.levels import Flow
from darkroom.diffusion.prediction import predict_velocity
from darkroom.diffusion.process import Process
from darkroom.families.family import Options, Reading
from darkroom.families.latent import LatentModel, autoencoder, laid
from darkroom.families.source import Source
from darkroom.families.words import clip_encoder, t5_encoder
from darkroom.networks.conditioning import Conditioning
from darkroom.networks.mmdit import MMDiT, MMDiTConfig
from darkroom.text.clip import ClipEncoder
from darkroom.text.t5 import T5Encoder
from darkroom.weights.loading import hollow

SCALE, SHIFT = 1.5305, 0.0609
"""Of the latents of its autoencoder."""
DEFAULTS = {
    "width": 1024,
    "height": 1024,
    "steps": 28,
    "cfg_scale": 7.0,
    "sampler": "euler",
    "scheduler": "sd3",
}
T5_LENGTH, EMPTY_LENGTH = 256, 77
"""Tokens of T5, and how many zeros stand for them where there is none, as published."""


@dataclass(frozen=True)
class Sd3Text:
    """Two CLIPs side by side, filled up to ``width``, then T5; both CLIPs pool."""

    clips: dict[str, ClipEncoder]
    t5: T5Encoder | None
    width: int

    @property
    def parts(self) -> dict[str, nn.Module]:
        t5 = {"text_encoder_3": self.t5.model} if self.t5 else {}
        return {name: clip.model for name, clip in self.clips.items()} | t5

    def encode(self, prompts: Sequence[str], reading: Reading) -> Conditioning:
        read = [
            clip.encode(prompts, reading.clip_skip, reading.emphasis, reading.embeddings_of(name))
            for name, clip in self.clips.items()
        ]
        words = torch.cat([one.tokens for one in read], dim=-1)
        tokens = torch.cat([pad(words, (0, self.width - words.shape[-1])), self.sentence(prompts)], dim=1)
        return Conditioning(tokens=tokens, pooled=torch.cat([pooled_of(one.pooled) for one in read], dim=-1))

    def sentence(self, prompts: Sequence[str]) -> Tensor:
        """T5's tokens (B, L, width)."""
        if self.t5 is None:
            return torch.zeros(len(prompts), EMPTY_LENGTH, self.width)
        return self.t5.encode(prompts, T5_LENGTH)


def pooled_of(pooled: Tensor | None) -> Tensor:
    """The vector of an encoder that was built to pool."""
    assert pooled is not None
    return pooled


def load(source: Source, options: Options) -> LatentModel:
    """Build the model of a folder or a single file. Raises DarkroomError for what does not fit."""
    told = source.configs.get("transformer")
    shapes = source.store("transformer").header.shapes
    config = MMDiTConfig.from_diffusers(told) if told else MMDiTConfig.from_shapes(shapes)
    with hollow():
        network = MMDiT(config)
    pads = {"text_encoder": None, "text_encoder_2": 0}
    clips = {name: clip_encoder(source, name, options, pad=pad, deep=True) for name, pad in pads.items()}
    t5 = t5_encoder(source, "text_encoder_3", options) if "text_encoder_3" in source.parts else None
    process = Process(Flow(source.configs.get("scheduler", {}).get("shift", 3.0)), predict_velocity)
    vae = autoencoder(source, options, SCALE, SHIFT)
    return LatentModel(
        name="Stable Diffusion 3",
        part="transformer",
        network=laid(network, source, "transformer", options),
        autoencoder=vae,
        text=Sd3Text(clips, t5, config.text_width),
        process_at=lambda width, height: process,
        defaults=dict(DEFAULTS),
        multiple=2 * vae.downscale,
        accepts=frozenset(("clip_skip", "emphasis", "loras", "embeddings")),
    )
