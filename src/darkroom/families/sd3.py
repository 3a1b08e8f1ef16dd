"""Stable Diffusion 3 and 3.5: a rectified flow on a transformer that reads two CLIP encoders and T5.

Esser et al. 2024 (arXiv 2403.03206). T5 may be left out: then its place is empty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from darkroom.diffusion.levels import Flow
from darkroom.diffusion.prediction import predict_velocity
from darkroom.diffusion.process import Process
from darkroom.families.checks import check_latents, check_text
from darkroom.families.family import Options, Reading
from darkroom.families.latent import LatentModel, autoencoder, laid
from darkroom.families.source import Source
from darkroom.families.words import clip_encoder, read_by, t5_encoder, texts_of
from darkroom.networks.conditioning import Conditioning
from darkroom.networks.mmdit import MMDiT, MMDiTConfig
from darkroom.text.clip import ClipEncoder
from darkroom.text.encoded import Encoded
from darkroom.text.t5 import T5Encoder
from darkroom.weights.convert import Filled
from darkroom.weights.facts import text_width
from darkroom.weights.header import TensorInfo
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
HOW: Mapping[str, Any] = {
    "text_encoder": {"layer": 2, "final_norm": False, "pooled": "projected"},
    "text_encoder_2": {"layer": 2, "final_norm": False, "pooled": "projected", "pad": 0},
}
"""How its CLIP encoders are read: the last layer but one, as it is."""
T5_LENGTH = 256
"""Tokens of T5; where there is none, as many zeros stand for them."""


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
        first, second = (read_by(clip, name, prompts, reading) for name, clip in self.clips.items())
        read = first.beside(second).widened(self.width).then(self.sentence(prompts, reading))
        return Conditioning(tokens=read.tokens, mask=read.mask, pooled=read.pooled)

    def sentence(self, prompts: Sequence[str], reading: Reading) -> Encoded:
        """What T5 reads, (B, L, width)."""
        if self.t5 is None:
            return Encoded(torch.zeros(len(prompts), T5_LENGTH, self.width))
        texts, how = texts_of(prompts, reading)
        return self.t5.encode(texts, emphasis=how)


def load(source: Source, options: Options) -> LatentModel:
    """Build the model of a folder or a single file. Raises DarkroomError for what does not fit."""
    told = source.configs.get("transformer")
    shapes = source.store("transformer").header.shapes
    config = MMDiTConfig.from_diffusers(told) if told else MMDiTConfig.from_shapes(shapes)
    with hollow():
        network = MMDiT(config)
    check_latents(source, config.in_channels)
    there = "text_encoder_3" in source.parts
    if there:
        check_text(source, ("text_encoder_3",), config.text_width)
    source = with_projection(source)
    clips = {name: clip_encoder(source, name, options, **how) for name, how in HOW.items()}
    t5 = t5_encoder(source, "text_encoder_3", options, T5_LENGTH) if there else None
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
        accepts=frozenset(("clip_skip", "emphasis", "loras", "controls", "embeddings")),
    )


def with_projection(source: Source) -> Source:
    """The same, with a projection that changes nothing where a single file's first CLIP has none.

    The published ones leave it out.
    """
    part, name = "text_encoder", "text_projection.weight"
    store = source.store(part)
    if source.configs.get(part) or name in store.header.tensors:
        return source
    width = text_width(store.header.shapes)
    return source.with_store(part, Filled(store, name, TensorInfo(torch.float32, (width, width))))
