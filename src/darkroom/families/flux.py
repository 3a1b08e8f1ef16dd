"""FLUX.1 dev, schnell and Fill: a rectified flow on a transformer that reads T5 and one vector of CLIP's.

Black Forest Labs 2024. dev is told a distilled guidance scale; schnell was distilled to four steps.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from darkroom.diffusion.levels import Flow
from darkroom.diffusion.prediction import predict_velocity
from darkroom.diffusion.process import Process
from darkroom.errors import DarkroomError
from darkroom.families.checks import check_inputs, check_latents, check_text
from darkroom.families.family import Options, Reading
from darkroom.families.latent import LatentModel, autoencoder, laid
from darkroom.families.source import Source
from darkroom.families.words import clip_encoder, t5_encoder, texts_of
from darkroom.networks.conditioning import Conditioning
from darkroom.networks.flux import Flux, FluxConfig
from darkroom.networks.flux_patches import fill_channels
from darkroom.text.clip import ClipEncoder
from darkroom.text.t5 import T5Encoder
from darkroom.weights.loading import hollow

SCALE, SHIFT = 0.3611, 0.1159
"""Of the latents of its autoencoder."""
GUIDANCE = 3.5
COMMON = {"width": 1024, "height": 1024, "cfg_scale": 1.0, "sampler": "euler", "scheduler": "trailing"}
DEV = COMMON | {"steps": 28, "guidance": GUIDANCE}
FILL = DEV | {"steps": 50, "guidance": 30.0}
SCHNELL = COMMON | {"steps": 4}
INPUTS = {64: "text to picture", 384: "fill"}
LENGTHS = {True: 512, False: 256}
"""Tokens of T5 that a network with, and one without, an embedding of guidance was trained with."""


@dataclass(frozen=True)
class FluxText:
    """CLIP's vector and T5's tokens; a network that was distilled with guidance is told its scale."""

    clip: ClipEncoder
    t5: T5Encoder
    guided: bool

    @property
    def parts(self) -> dict[str, nn.Module]:
        return {"text_encoder": self.clip.model, "text_encoder_2": self.t5.model}

    def encode(self, prompts: Sequence[str], reading: Reading) -> Conditioning:
        texts, how = texts_of(prompts, reading)
        pooled = self.clip.encode(texts, None, reading.embeddings_of("text_encoder"), how).pooled
        read = self.t5.encode(texts, emphasis=how)
        scale = GUIDANCE if reading.guidance is None else reading.guidance
        told = {"guidance": torch.full((len(prompts),), scale)} if self.guided else {}
        return Conditioning(tokens=read.tokens, mask=read.mask, pooled=pooled, extra=told)


def load(source: Source, options: Options) -> LatentModel:
    """Build the model of a folder or a single file. Raises DarkroomError for what does not fit."""
    told = source.configs.get("transformer")
    shapes = source.store("transformer").header.shapes
    config = FluxConfig.from_diffusers(told) if told else FluxConfig.from_shapes(shapes)
    with hollow():
        network = Flux(config)
    check_inputs(source, config.in_channels, INPUTS)
    check_latents(source, config.out_channels // 4)
    check_text(source, ("text_encoder",), config.pooled_width)
    check_text(source, ("text_encoder_2",), config.text_width)
    clip = clip_encoder(source, "text_encoder", options, pooled="plain")
    t5 = t5_encoder(source, "text_encoder_2", options, LENGTHS[config.guidance])
    vae = autoencoder(source, options, SCALE, SHIFT)
    fills = config.in_channels > config.out_channels
    return LatentModel(
        name="FLUX.1 Fill" if fills else "FLUX.1 dev" if config.guidance else "FLUX.1 schnell",
        part="transformer",
        network=laid(network, source, "transformer", options),
        autoencoder=vae,
        text=FluxText(clip, t5, config.guidance),
        process_at=process_of(source.configs.get("scheduler"), config.guidance, 2 * vae.downscale),
        defaults=dict(FILL if fills else DEV if config.guidance else SCHNELL),
        multiple=2 * vae.downscale,
        accepts=frozenset(
            ("emphasis", "loras", "controls", "embeddings", *(("guidance",) if config.guidance else ()))
        ),
        mask_as=(lambda mask, masked: fill_channels(masked, mask)) if fills else None,
    )


def process_of(told: Mapping[str, Any] | None, guided: bool, patch: int) -> Callable[[int, int], Process]:
    """The flow for a size in pixels: shifted by the number of patches, as its scheduler's config says.

    Without a config dev is shifted so and schnell is not. Raises DarkroomError for shifts unknown here.
    """
    told = told or {"use_dynamic_shifting": guided}
    if not told.get("use_dynamic_shifting"):
        fixed = Process(Flow(told.get("shift", 1.0)), predict_velocity)
        return lambda width, height: fixed
    if (how := told.get("time_shift_type") or "exponential") != "exponential" or told.get("shift_terminal"):
        raise DarkroomError(
            f"the scheduler of this model shifts times in a way unknown here ({how}, to the end "
            f"{told.get('shift_terminal')}); use another model."
        )
    line = (
        told.get("base_image_seq_len", 256),
        told.get("max_image_seq_len", 4096),
        told.get("base_shift", 0.5),
        told.get("max_shift", 1.15),
    )

    def process(width: int, height: int) -> Process:
        return Process(Flow.for_tokens((width // patch) * (height // patch), *line), predict_velocity)

    return process
