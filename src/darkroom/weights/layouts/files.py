"""Where the parts of a model stand in a single file, family by family."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from darkroom.weights.keymap import KeyMap, Shapes
from darkroom.weights.layouts import autoencoder, clip, flux, mmdit, unet


class Place(NamedTuple):
    """What stands before the names of a part, and the key map for its shapes under our names."""

    prefix: str
    keymap: Callable[[Shapes], KeyMap]


UNET = Place("model.diffusion_model.", unet.from_native)
VAE = Place("first_stage_model.", autoencoder.from_native)
SD3 = {
    "transformer": Place("model.diffusion_model.", mmdit.from_native),
    "vae": VAE,
    "text_encoder": Place("text_encoders.clip_l.transformer.", clip.transformers_clip),
    "text_encoder_2": Place("text_encoders.clip_g.transformer.", clip.transformers_clip),
    "text_encoder_3": Place("text_encoders.t5xxl.transformer.", clip.t5),
}

FILES: Mapping[str, Mapping[str, Place]] = {
    "sd1": {
        "unet": UNET,
        "vae": VAE,
        "text_encoder": Place("cond_stage_model.transformer.", clip.transformers_clip),
    },
    "sd2": {"unet": UNET, "vae": VAE, "text_encoder": Place("cond_stage_model.model.", clip.open_clip)},
    "sdxl": {
        "unet": UNET,
        "vae": VAE,
        "text_encoder": Place("conditioner.embedders.0.transformer.", clip.transformers_clip),
        "text_encoder_2": Place("conditioner.embedders.1.model.", clip.open_clip),
    },
    "sdxl-refiner": {
        "unet": UNET,
        "vae": VAE,
        "text_encoder_2": Place("conditioner.embedders.0.model.", clip.open_clip),
    },
    "sd3": SD3,
    "sd3.5-medium": SD3,
    "sd3.5-large": SD3,
    "flux": {
        "transformer": Place("model.diffusion_model.", flux.from_native),
        "vae": Place("vae.", autoencoder.from_native),
        "text_encoder": Place("text_encoders.clip_l.transformer.", clip.transformers_clip),
        "text_encoder_2": Place("text_encoders.t5xxl.transformer.", clip.t5),
    },
}

ARCHITECTURES: Mapping[str, str] = {
    "sd1": "stable-diffusion-v1",
    "sd2": "stable-diffusion-v2",
    "sdxl": "stable-diffusion-xl-v1-base",
    "sdxl-refiner": "stable-diffusion-xl-v1-refiner",
    "sd3": "stable-diffusion-3-medium",
    "sd3.5-medium": "stable-diffusion-v3.5-medium",
    "sd3.5-large": "stable-diffusion-v3.5-large",
    "flux": "flux-1",
}
"""What ``modelspec.architecture`` calls a family."""
