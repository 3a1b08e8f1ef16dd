"""Tiny models with random weights in the real formats: diffusers' own pipelines, and folders that they write.

Their structure is the published one (levels, blocks, groups, heads by the family's rule); only widths are
small. ``act`` is the activation of OpenAI's CLIP; a single file shows which one by a width of 768 alone, so
models that are to be read from one have "gelu".
"""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

SD_SCHEDULER = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}
SHAKE = 0.05
"""How far weights that start at zero, or norms that start at one, are moved, so that every one counts."""


def shaken(module: torch.nn.Module, seed: int = 0) -> Any:
    """The module in eval mode with every weight moved a little, the same each time."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(SHAKE * torch.randn(parameter.shape, generator=draw))
    return module.eval().requires_grad_(False)


def clip_tokenizer(pad: str = "<|endoftext|>") -> Any:
    """CLIP's own tokenizer, from the vocabulary that ships with Darkroom."""
    from transformers import CLIPTokenizer

    from darkroom.text.vocabulary import shipped

    model = json.loads(shipped().tokenizer.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    return CLIPTokenizer(vocab=model["vocab"], merges=merges, pad_token=pad, model_max_length=77)


def clip(width: int, heads: int, layers: int, act: str, projection: int | None = None, seed: int = 1) -> Any:
    """A CLIP text model, with its projection where that is given."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        hidden_act=act,
        projection_dim=projection or width,
        bos_token_id=49406,
        eos_token_id=49407,
        pad_token_id=1,
    )
    torch.manual_seed(seed)
    return shaken((CLIPTextModelWithProjection if projection else CLIPTextModel)(config), seed)


def vae(channels: int = 4, **options: Any) -> Any:
    """A KL autoencoder of four levels."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    torch.manual_seed(2)
    widths = (32, 32, 64, 64)
    return shaken(
        AutoencoderKL(
            latent_channels=channels,
            block_out_channels=widths,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            **options,
        ),
        2,
    )


def unet(**options: Any) -> Any:
    """A U-Net; ``options`` are those of diffusers'."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    torch.manual_seed(3)
    return shaken(UNet2DConditionModel(layers_per_block=2, sample_size=8, **options), 3)


SD_BLOCKS = {
    "block_out_channels": (32, 32, 64, 64),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
}
SDXL_BLOCKS = {
    "block_out_channels": (64, 64, 128),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 1, 2),
    "attention_head_dim": (1, 1, 2),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
}


@cache
def sd1(act: str = "quick_gelu", **unet_options: Any) -> Any:
    """A Stable Diffusion 1 pipeline of diffusers."""
    from diffusers import PNDMScheduler, StableDiffusionPipeline

    options = {"cross_attention_dim": 64, "attention_head_dim": 8, **SD_BLOCKS, **unet_options}
    return quietly(
        StableDiffusionPipeline,
        vae=vae(force_upcast=False),
        text_encoder=clip(64, 1, 3, act),
        tokenizer=clip_tokenizer(),
        unet=unet(**options),
        scheduler=PNDMScheduler(**SD_SCHEDULER, set_alpha_to_one=False, skip_prk_steps=True),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


@cache
def sd2(prediction: str = "v_prediction", layers: int = 3) -> Any:
    """A Stable Diffusion 2 pipeline: OpenCLIP's text model and linear projections, heads of 64."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    options = SD_BLOCKS | {"block_out_channels": (64, 64, 128, 128), "attention_head_dim": (1, 1, 2, 2)}
    return quietly(
        StableDiffusionPipeline,
        vae=vae(force_upcast=False),
        text_encoder=clip(64, 1, layers, "gelu"),
        tokenizer=clip_tokenizer("!"),
        unet=unet(cross_attention_dim=64, use_linear_projection=True, **options),
        scheduler=DDIMScheduler(
            **SD_SCHEDULER, set_alpha_to_one=False, clip_sample=False, prediction_type=prediction
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


@cache
def sdxl(act: str = "quick_gelu", second: int = 64) -> Any:
    """A Stable Diffusion XL pipeline: two text encoders, whose widths add up to the U-Net's context."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    return quietly(
        StableDiffusionXLPipeline,
        vae=vae(scaling_factor=0.13025, force_upcast=False),
        text_encoder=clip(64, 1, 3, act),
        text_encoder_2=clip(second, second // 64, 3, "gelu", projection=second, seed=4),
        tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer("!"),
        unet=unet(
            cross_attention_dim=64 + second,
            projection_class_embeddings_input_dim=second + 6 * 256,
            **SDXL_BLOCKS,
        ),
        scheduler=EulerDiscreteScheduler(**SD_SCHEDULER, timestep_spacing="leading"),
        add_watermarker=False,
    )


@cache
def refiner() -> Any:
    """The refiner of Stable Diffusion XL: one text encoder, and a score where the base has a size."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLImg2ImgPipeline

    blocks = {
        "block_out_channels": (64, 64, 128, 128),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": 2,
        "attention_head_dim": (1, 1, 2, 2),
        "projection_class_embeddings_input_dim": 64 + 5 * 256,
    }
    return quietly(
        StableDiffusionXLImg2ImgPipeline,
        vae=vae(scaling_factor=0.13025, force_upcast=False),
        text_encoder=None,
        text_encoder_2=clip(64, 1, 3, "gelu", projection=64, seed=4),
        tokenizer=None,
        tokenizer_2=clip_tokenizer("!"),
        unet=unet(cross_attention_dim=64, **{**SDXL_BLOCKS, **blocks}),
        scheduler=EulerDiscreteScheduler(**SD_SCHEDULER, timestep_spacing="leading"),
        requires_aesthetics_score=True,
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    )


def t5(width: int) -> Any:
    """A T5 encoder."""
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        vocab_size=400,
        d_model=width,
        d_kv=8,
        d_ff=2 * width,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
    )
    torch.manual_seed(5)
    return shaken(T5EncoderModel(config), 5)


def t5_tokenizer() -> Any:
    """A tokenizer of T5's kind, over letters: its own vocabulary is not ours to ship."""
    from transformers import T5TokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,'-"
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
    pieces += [(letter, -3.0 - i / 100) for i, letter in enumerate(letters)]
    return T5TokenizerFast(vocab=pieces, extra_ids=0)


@cache
def sd3(act: str = "quick_gelu", with_t5: bool = True, **transformer_options: Any) -> Any:
    """A Stable Diffusion 3 pipeline; ``transformer_options`` may give it what 3.5 has more."""
    from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline
    from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel

    torch.manual_seed(6)
    transformer = SD3Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=16,
        num_layers=2,
        attention_head_dim=64,
        num_attention_heads=2,
        joint_attention_dim=160,
        caption_projection_dim=128,
        pooled_projection_dim=128,
        out_channels=16,
        pos_embed_max_size=24,
        **transformer_options,
    )
    return quietly(
        StableDiffusion3Pipeline,
        transformer=shaken(transformer, 6),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae(16, scaling_factor=1.5305, shift_factor=0.0609, **NO_QUANT),
        text_encoder=clip(64, 1, 3, act, projection=64),
        text_encoder_2=clip(64, 1, 3, "gelu", projection=64, seed=4),
        text_encoder_3=t5(160) if with_t5 else None,
        tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer("!"),
        tokenizer_3=t5_tokenizer() if with_t5 else None,
    )


@cache
def pixart(kind: str) -> Any:
    """A PixArt pipeline: "alpha", which is told the picture's size, or "sigma"."""
    from diffusers import DPMSolverMultistepScheduler, PixArtAlphaPipeline, PixArtSigmaPipeline
    from diffusers.models.transformers.pixart_transformer_2d import PixArtTransformer2DModel

    torch.manual_seed(8)
    transformer = PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=24,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        cross_attention_dim=48,
        sample_size=128,
        caption_channels=64,
        use_additional_conditions=kind == "alpha",
    )
    return quietly(
        PixArtAlphaPipeline if kind == "alpha" else PixArtSigmaPipeline,
        transformer=shaken(transformer, 8),
        scheduler=DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02, beta_schedule="linear"),
        vae=vae(scaling_factor=0.18215 if kind == "alpha" else 0.13025, force_upcast=False),
        text_encoder=t5(64),
        tokenizer=t5_tokenizer(),
    )


NO_QUANT = {"use_quant_conv": False, "use_post_quant_conv": False, "force_upcast": False}


@cache
def flux(guided: bool = True, channels: int = 16, act: str = "quick_gelu") -> Any:
    """A FLUX.1 pipeline: dev with guidance, schnell without."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

    torch.manual_seed(7)
    transformer = FluxTransformer2DModel(
        in_channels=4 * channels,
        out_channels=64,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=128,
        num_attention_heads=1,
        joint_attention_dim=64,
        pooled_projection_dim=64,
        guidance_embeds=guided,
    )
    dynamic = {"use_dynamic_shifting": True, "shift": 3.0} if guided else {"shift": 1.0}
    return quietly(
        FluxPipeline,
        transformer=shaken(transformer, 7),
        scheduler=FlowMatchEulerDiscreteScheduler(**dynamic),
        vae=vae(16, scaling_factor=0.3611, shift_factor=0.1159, **NO_QUANT),
        text_encoder=clip(64, 1, 2, act),
        text_encoder_2=t5(64),
        tokenizer=clip_tokenizer(),
        tokenizer_2=t5_tokenizer(),
    )


def quietly(pipeline: Any, **parts: Any) -> Any:
    """A pipeline without progress bars and without warnings about what is meant to be so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = pipeline(**parts)
    made.set_progress_bar_config(disable=True)
    return made


def save(pipeline: Any, folder: Path) -> Path:
    """The pipeline's folder, as diffusers writes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline.save_pretrained(folder, safe_serialization=True)
    assert json.loads((folder / "model_index.json").read_text())
    return folder
