"""Stable Diffusion 1 and 2: a U-Net, one CLIP text encoder, the first KL autoencoder.

Rombach et al. 2022 (arXiv 2112.10752). The two differ in their text encoder and in what a file's shapes show;
whether a network predicts eps or v, shapes do not show: a folder's scheduler says so, a file's metadata or
``--variant v``; where none of them does, the network is asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from darkroom.adapters.merging import bring_all
from darkroom.errors import DarkroomError
from darkroom.families.checks import check_inputs, check_latents, check_text
from darkroom.families.family import Options, Reading
from darkroom.families.latent import LatentModel, autoencoder, laid, mask_and_masked
from darkroom.families.probe import predicts_v
from darkroom.families.schedules import CALLED, vp_process
from darkroom.families.source import Source
from darkroom.families.words import clip_encoder, read_by
from darkroom.networks.conditioning import Conditioning
from darkroom.networks.unet import UNet
from darkroom.networks.unet_config import UNetConfig
from darkroom.text.clip import ClipEncoder
from darkroom.weights.loading import hollow

ACCEPTS = frozenset(("clip_skip", "emphasis", "loras", "controls", "image_prompts", "embeddings", "variant"))
SCALE = 0.18215
"""Of the latents of the first autoencoder (arXiv 2112.10752, appendix G)."""
PLAIN = {"steps": 25, "cfg_scale": 7.0, "sampler": "dpmpp_2m", "scheduler": "karras"}
FEW: Mapping[str, dict[str, Any]] = {
    "lcm": {"steps": 4, "cfg_scale": 1.0, "sampler": "lcm", "scheduler": "lcm"},
    "turbo": {"steps": 4, "cfg_scale": 1.0, "sampler": "euler_a", "scheduler": "trailing"},
    "lightning": {"steps": 4, "cfg_scale": 1.0, "sampler": "euler", "scheduler": "sgm_uniform"},
}
"""What distilled models want."""
INPUTS = {4: "text to picture", 9: "inpainting"}
LCM_GUIDANCE = 7.5
"""What a network with an embedding of guidance is told, unless a request says otherwise."""


@dataclass(frozen=True)
class SdText:
    """One CLIP text encoder; of a network that is told its guidance, that too."""

    clip: ClipEncoder
    guided: bool = False

    @property
    def parts(self) -> dict[str, nn.Module]:
        return {"text_encoder": self.clip.model}

    def encode(self, prompts: Sequence[str], reading: Reading) -> Conditioning:
        read = read_by(self.clip, "text_encoder", prompts, reading)
        told = guidance(reading, len(prompts)) if self.guided else {}
        return Conditioning(tokens=read.tokens, mask=read.mask, extra=told)


def guidance(reading: Reading, rows: int) -> dict[str, Tensor]:
    """What a network that was distilled with guidance is told: the scale less one, as LCM counts it."""
    scale = LCM_GUIDANCE if reading.guidance is None else reading.guidance
    return {"guidance": torch.full((rows,), scale - 1)}


def load(source: Source, options: Options) -> LatentModel:
    """Build the model of a folder or a single file. Raises DarkroomError for what does not fit."""
    unet = network(source, options)
    second, config = unet.config.linear_projection, unet.config
    check_parts(source, config, ("text_encoder",))
    # SD 2 reads the last layer but one, and its folders and our view of its files end there
    how: dict[str, Any] = {"layer": 2, "cut": 1, "pad": 0} if second else {}
    clip = clip_encoder(source, "text_encoder", options, **how)
    process = vp_process(source.configs.get("scheduler", {}), prediction(source, options, unet))
    side = 8 * source.configs.get("unet", {}).get("sample_size", 64)
    return LatentModel(
        name=f"Stable Diffusion {2 if second else 1}",
        part="unet",
        network=unet,
        autoencoder=autoencoder(source, options, SCALE),
        text=SdText(clip, config.guidance_width is not None),
        process_at=lambda width, height: process,
        defaults={"width": side, "height": side, **FEW.get(variant_of(options, config), PLAIN)},
        multiple=8,
        accepts=ACCEPTS | (frozenset(("guidance",)) if config.guidance_width else frozenset()),
        mask_as=mask_and_masked if config.in_channels == 9 else None,
    )


def network(source: Source, options: Options) -> UNet:
    """The U-Net of a folder or a single file: SD 1 has eight heads, the later ones heads of 64."""
    if told := source.configs.get("unet"):
        config = UNetConfig.from_diffusers(told)
    else:
        shapes = source.store("unet").header.shapes
        first = any(len(shape) == 4 for name, shape in shapes.items() if name.endswith("proj_in.weight"))
        how = {"heads": 8} if first else {"head_dim": 64}
        config = UNetConfig.from_shapes(shapes, **how)
    with hollow():
        made = UNet(config)
    return laid(made, source, "unet", options)


def check_parts(source: Source, config: UNetConfig, encoders: tuple[str, ...]) -> None:
    """Raise DarkroomError where a U-Net wants more than it is shown here, or other parts than it has."""
    check_inputs(source, config.in_channels, INPUTS)
    if config.class_embed:
        raise DarkroomError(
            f"the U-Net of '{source.path}' wants a picture's embedding or a noise level (unCLIP, an "
            "upscaler), which nothing here gives; choose a model that draws from words."
        )
    check_latents(source, config.out_channels)
    check_text(source, encoders, config.context_width)


def prediction(source: Source, options: Options, unet: UNet) -> str | None:
    """What the network predicts: as ``--variant`` says, else as the file does (None), else as it answers."""
    if said := CALLED.get(options.variant or ""):
        return said
    told = source.configs.get("scheduler", {})
    if told.get("prediction_type") or "index" in source.configs or not unet.config.linear_projection:
        return None
    bring_all([unet])
    v = predicts_v(unet, unet.config.in_channels, unet.config.context_width)
    return "v_prediction" if v else "epsilon"


def variant_of(options: Options, config: UNetConfig) -> str:
    """How the model was distilled, if it was; LCM's own networks show it."""
    return options.variant or ("lcm" if config.guidance_width else "")
