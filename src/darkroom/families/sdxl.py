"""Stable Diffusion XL: a larger U-Net, two CLIP encoders, and the size of the picture; its refiner.

Podell et al. 2023 (arXiv 2307.01952).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from darkroom.families.family import Options, Reading
from darkroom.families.latent import LatentModel, autoencoder, mask_and_masked
from darkroom.families.schedules import CALLED, vp_process
from darkroom.families.sd import ACCEPTS, FEW, check_parts, guidance, network, variant_of
from darkroom.families.source import Source
from darkroom.families.words import clip_encoder, read_by
from darkroom.networks.conditioning import Conditioning
from darkroom.networks.unet import size_vector
from darkroom.networks.unet_config import UNetConfig
from darkroom.text.clip import ClipEncoder

SCALE = 0.13025
PLAIN = {"steps": 30, "cfg_scale": 5.0, "sampler": "dpmpp_2m", "scheduler": "karras"}
HOW: Mapping[str, Any] = {
    "text_encoder": {"layer": 2, "final_norm": False},
    "text_encoder_2": {"layer": 2, "final_norm": False, "pooled": "projected", "pad": 0},
}
"""How its encoders are read: the last layer but one, as it is."""
SIZE_WIDTH = 256
"""Of each of the numbers that the network is told of the picture."""
AESTHETIC, UNAESTHETIC = 6.0, 2.5
"""What the refiner is told of wanted and of unwanted pictures, as published."""


@dataclass(frozen=True)
class SdxlText:
    """CLIP and OpenCLIP side by side, of the refiner OpenCLIP alone; the second pools.

    An empty negative prompt is zeros where ``zeroes`` says so: the base was trained with prompts dropped so.
    """

    clips: dict[str, ClipEncoder]
    zeroes: bool
    guided: bool

    @property
    def parts(self) -> dict[str, nn.Module]:
        return {name: clip.model for name, clip in self.clips.items()}

    def encode(self, prompts: Sequence[str], reading: Reading) -> Conditioning:
        read = [read_by(clip, name, prompts, reading) for name, clip in self.clips.items()]
        both = read[0].beside(read[1]) if len(read) == 2 else read[0]
        tokens, pooled = both.tokens, both.pooled
        assert pooled is not None
        if self.zeroes and not reading.wanted:
            said = torch.tensor([bool(prompt) for prompt in prompts], device=tokens.device)[:, None]
            tokens, pooled = tokens.where(said[..., None], 0), pooled.where(said, 0)
        vector = size_vector(pooled, sizes(reading, len(prompts), refiner=len(self.clips) == 1))
        told = guidance(reading, len(prompts)) if self.guided else {}
        return Conditioning(tokens=tokens, mask=both.mask, pooled=vector, extra=told)


def sizes(reading: Reading, rows: int, refiner: bool) -> Tensor:
    """What the network is told of the picture (section 2.2): its size, that nothing was cropped, its aim."""
    size = [float(reading.height), float(reading.width)]
    aim = [AESTHETIC if reading.wanted else UNAESTHETIC] if refiner else size
    return torch.tensor([[*size, 0.0, 0.0, *aim]]).expand(rows, -1)


def load(source: Source, options: Options) -> LatentModel:
    """Build the model of a folder or a single file. Raises DarkroomError for what does not fit."""
    unet = network(source, options)
    config, names = unet.config, encoders(source, unet.config)
    check_parts(source, config, names)
    clips = {name: clip_encoder(source, name, options, **HOW[name]) for name in names}
    process = vp_process(source.configs.get("scheduler", {}), CALLED.get(options.variant or ""))
    side = 8 * source.configs.get("unet", {}).get("sample_size", 128)
    zeroes = source.configs.get("index", {}).get("force_zeros_for_empty_prompt", len(names) == 2)
    return LatentModel(
        name="Stable Diffusion XL" + ("" if len(names) == 2 else " refiner"),
        part="unet",
        network=unet,
        autoencoder=autoencoder(source, options, SCALE),
        text=SdxlText(clips, zeroes, config.guidance_width is not None),
        process_at=lambda width, height: process,
        defaults={"width": side, "height": side, **FEW.get(variant_of(options, config), PLAIN)},
        multiple=8,
        accepts=ACCEPTS | (frozenset(("guidance",)) if config.guidance_width else frozenset()),
        mask_as=mask_and_masked if config.in_channels == 9 else None,
    )


def encoders(source: Source, config: UNetConfig) -> tuple[str, ...]:
    """Both, or of the refiner the second alone: it is told five numbers besides what that pools, not six."""
    second = source.store("text_encoder_2").header.shapes
    pooled = second.get("text_projection.weight", (0,))[0]
    refiner = (config.added_width or 0) - pooled == 5 * SIZE_WIDTH
    return ("text_encoder_2",) if refiner else ("text_encoder", "text_encoder_2")
