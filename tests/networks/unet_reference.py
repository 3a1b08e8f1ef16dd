"""Diffusers' U-Nets of every kind, published and tiny, and how to ask them and ours the same."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from darkroom.networks.conditioning import Conditioning
from darkroom.networks.unet import UNet, size_vector
from darkroom.networks.unet_config import UNetConfig

# what the published config.json say, less what is the same for all
SD1 = {"cross_attention_dim": 768, "attention_head_dim": 8, "block_out_channels": [320, 640, 1280, 1280]}
SD2 = {
    "cross_attention_dim": 1024,
    "attention_head_dim": [5, 10, 20, 20],
    "block_out_channels": [320, 640, 1280, 1280],
    "use_linear_projection": True,
    "upcast_attention": True,
}
SDXL = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "attention_head_dim": [5, 10, 20],
    "block_out_channels": [320, 640, 1280],
    "cross_attention_dim": 2048,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "projection_class_embeddings_input_dim": 2816,
    "transformer_layers_per_block": [1, 2, 10],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "use_linear_projection": True,
}
REFINER = SDXL | {
    "attention_head_dim": [6, 12, 24, 24],
    "block_out_channels": [384, 768, 1536, 1536],
    "cross_attention_dim": 1280,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "projection_class_embeddings_input_dim": 2560,
    "transformer_layers_per_block": 4,
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
}
UPSCALER = {
    "attention_head_dim": 8,
    "block_out_channels": [256, 512, 512, 1024],
    "cross_attention_dim": 1024,
    "down_block_types": [
        "DownBlock2D",
        "CrossAttnDownBlock2D",
        "CrossAttnDownBlock2D",
        "CrossAttnDownBlock2D",
    ],
    "in_channels": 7,
    "num_class_embeds": 1000,
    "only_cross_attention": [True, True, True, False],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "use_linear_projection": True,
}
PUBLISHED: dict[str, tuple[Mapping[str, Any], int | None, dict[str, int]]] = {
    "SD 1.5": (SD1, 859_520_964, {"heads": 8}),
    "SD 1.5 inpainting": (SD1 | {"in_channels": 9}, 859_535_364, {"heads": 8}),
    "LCM": (SD1 | {"time_cond_proj_dim": 256}, 859_520_964 + 256 * 320, {"heads": 8}),
    "SD 2.1": (SD2, 865_910_724, {"head_dim": 64}),
    "SD 2.1 unCLIP": (
        SD2 | {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 2048},
        None,
        {"head_dim": 64},
    ),
    "SD 2 upscaler": (UPSCALER, None, {"heads": 8}),
    "SDXL": (SDXL, 2_567_463_684, {"head_dim": 64}),
    "SDXL refiner": (REFINER, None, {"head_dim": 64}),
}

# the same kinds, tiny
TINY = {"block_out_channels": [32, 64], "norm_num_groups": 8, "cross_attention_dim": 24}
ATTENDING = {
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
}
COARSE = {
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
}
ADDED = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 16 + 6 * 8,
    "use_linear_projection": True,
}
KINDS: dict[str, dict[str, Any]] = {
    "sd1": TINY | ATTENDING | {"attention_head_dim": 4},
    "sd2": TINY | ATTENDING | {"attention_head_dim": [2, 4], "use_linear_projection": True},
    "sdxl": TINY | COARSE | ADDED | {"attention_head_dim": [2, 4], "transformer_layers_per_block": [1, 3]},
    "refiner": TINY
    | ADDED
    | {
        "block_out_channels": [16, 32, 32],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "attention_head_dim": [1, 2, 2],
        "transformer_layers_per_block": 2,
    },
    "inpainting": TINY | ATTENDING | {"attention_head_dim": 4, "in_channels": 9},
    "pix2pix": TINY | ATTENDING | {"attention_head_dim": 4, "in_channels": 8},
    "lcm": TINY | ATTENDING | {"attention_head_dim": 4, "time_cond_proj_dim": 12},
    "upscaler": TINY
    | COARSE
    | {
        "in_channels": 7,
        "num_class_embeds": 20,
        "only_cross_attention": [True, True],
        "attention_head_dim": 4,
    },
    "unclip": TINY
    | ATTENDING
    | {
        "class_embed_type": "projection",
        "projection_class_embeddings_input_dim": 10,
        "attention_head_dim": 4,
    },
    "timestep": TINY | ATTENDING | {"class_embed_type": "timestep", "attention_head_dim": 4},
    "bk-sdm": TINY | ATTENDING | {"layers_per_block": 1, "mid_block_type": None, "attention_head_dim": 4},
    "ssd": TINY
    | COARSE
    | ADDED
    | {
        "attention_head_dim": [2, 4],
        "layers_per_block": [1, 2],
        "transformer_layers_per_block": [1, [1, 2]],
        "reverse_transformer_layers_per_block": [[2, 1, 1], 1],
        "mid_block_type": "UNetMidBlock2D",
    },
    "old": TINY | ATTENDING | {"attention_head_dim": 4, "flip_sin_to_cos": False, "freq_shift": 1},
}


def reference(values: Mapping[str, Any], seed: int = 0):
    """Diffusers' own network with random weights, biases and gains too."""
    module = pytest.importorskip("diffusers.models.unets.unet_2d_condition")
    torch.manual_seed(seed)
    network = module.UNet2DConditionModel(**values).eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 1:
                parameter += 0.1 * torch.randn(parameter.shape, generator=draw)
    return network


def ours(theirs, values: Mapping[str, Any]) -> UNet:
    network = UNet(UNetConfig.from_diffusers(values)).eval()
    network.load_state_dict(theirs.state_dict(), strict=True)
    return network


def alone(values: Mapping[str, Any] = KINDS["sd1"]) -> UNet:
    torch.manual_seed(1)
    return UNet(UNetConfig.from_diffusers(values)).eval()


def inputs(
    values: Mapping[str, Any], side: tuple[int, int] = (16, 16), rows: int = 2, length: int = 7
) -> dict:
    """What diffusers is told, under its own names."""
    draw = torch.Generator().manual_seed(rows)
    told: dict[str, Any] = {
        "sample": torch.randn(rows, values.get("in_channels", 4), *side, generator=draw),
        "timestep": torch.tensor([981.0, 17.25, 400.0])[:rows],
        "encoder_hidden_states": torch.randn(rows, length, values["cross_attention_dim"], generator=draw),
    }
    if values.get("addition_embed_type"):
        sizes = torch.randint(0, 1024, (rows, 6), generator=draw)
        pooled = torch.randn(rows, 16, generator=draw)
        told["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": sizes}
    if width := values.get("time_cond_proj_dim"):
        told["timestep_cond"] = published_guidance(torch.tensor([7.5, 1.0, 3.0])[:rows], width)
    if values.get("num_class_embeds"):
        told["class_labels"] = torch.tensor([3, 19, 0])[:rows]
    if kind := values.get("class_embed_type"):
        shape = (rows, 10) if kind == "projection" else (rows,)
        told["class_labels"] = 20 * torch.rand(shape, generator=draw)
    return told


def published_guidance(scale: torch.Tensor, width: int) -> torch.Tensor:
    """The embedding that diffusers' pipeline of LCM hands to its network."""
    module = pytest.importorskip(
        "diffusers.pipelines.latent_consistency_models.pipeline_latent_consistency_text2img"
    )
    return module.LatentConsistencyModelPipeline.get_guidance_scale_embedding(None, scale, width)


def conditioning(values: Mapping[str, Any], told: Mapping[str, Any]) -> Conditioning:
    """The same as we are told it."""
    extra, pooled, channels = {}, None, values.get("in_channels", 4)
    if added := told.get("added_cond_kwargs"):
        pooled = size_vector(added["text_embeds"], added["time_ids"], 8)
    if "timestep_cond" in told:
        extra["guidance"] = torch.tensor([7.5, 1.0, 3.0])[: len(told["sample"])]
    if "class_labels" in told:
        extra["class"] = told["class_labels"]
    concat = told["sample"][:, 4:] if channels > 4 else None
    return Conditioning(tokens=told["encoder_hidden_states"], pooled=pooled, concat=concat, extra=extra)


def far(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Relative distance."""
    return ((ours.double() - theirs.double()).norm() / theirs.double().norm().clamp_min(1e-12)).item()
