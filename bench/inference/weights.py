"""The model that all tools share: SD 1.5's shapes with random weights, as diffusers writes it.

Runs where diffusers is installed: ``python -m bench.inference.weights FOLDER``. Weights are stored in half
precision, as most published files are. Beside the folder ``pipeline`` lie the same as ``single.safetensors``;
``tiny``, a TAESD for tools that give pictures alone; and ``question.npz``, what the U-Net is asked.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

SEED = 0
UNET: dict[str, Any] = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}
VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "sample_size": 512,
    "force_upcast": False,
}
CLIP: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
    "bos_token_id": 49406,
    "eos_token_id": 49407,
}
SCHEDULE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}
TIME = 500.0


@torch.no_grad()
def drawn(build: Callable[[], Any]) -> Any:
    """A module with weights of variance 1 / fan-in, so that signals neither grow nor vanish; gains are 1."""
    with torch.device("meta"):
        module = build()
    module = module.half().to_empty(device="cpu").eval()
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            parameter.normal_(0, (1 / parameter[0].numel()) ** 0.5)
        else:
            parameter.fill_(float(name.endswith("weight")))
    return module


def pipeline() -> Any:
    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from tests.families.tiny import clip_tokenizer
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(SEED)
    return StableDiffusionPipeline(
        unet=drawn(lambda: UNet2DConditionModel(**UNET)),
        vae=drawn(lambda: AutoencoderKL(**VAE)),
        text_encoder=drawn(lambda: CLIPTextModel(CLIPTextConfig(**CLIP))),
        tokenizer=clip_tokenizer(),
        scheduler=PNDMScheduler(**SCHEDULE, set_alpha_to_one=False, skip_prk_steps=True),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def write(folder: Path) -> None:
    from diffusers import AutoencoderTiny

    pipeline().save_pretrained(folder / "pipeline")
    convert = [sys.executable, "-m", "darkroom", "convert"]
    subprocess.run([*convert, folder / "pipeline", folder / "single.safetensors"], check=True)
    drawn(AutoencoderTiny).save_pretrained(folder / "tiny")
    draw = np.random.default_rng(SEED)
    x, tokens = draw.standard_normal((2, 4, 64, 64)), draw.standard_normal((2, 77, 768))
    np.savez(folder / "question.npz", x=x.astype("float32"), tokens=tokens.astype("float32"), time=TIME)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
