"""The settings that a folder of diffusers needs and a single file lacks: as published, fitted to the shapes.

What cannot be seen in shapes, such as head counts, is as the family has it.
"""

import json
import math
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from darkroom.errors import DarkroomError
from darkroom.weights.keymap import Shapes
from darkroom.weights.layouts.unet import count

Config = dict[str, Any]
HEAD = 64
"""The width of a head in all published models that do not say otherwise."""


@cache
def published(family: str) -> Mapping[str, Config]:
    """A family's settings of each part, its scheduler and ``model_index``. DarkroomError for unknown ones."""
    path = files("darkroom.weights.layouts") / "configs" / f"{family}.json"
    if not path.is_file():
        raise DarkroomError(f"there are no settings for '{family}', so no folder can be made of it.")
    return json.loads(path.read_text(encoding="utf-8"))


def config_of(family: str, part: str, shapes: Mapping[str, Shapes]) -> Config:
    """The ``config.json`` of a part. ``shapes`` are those of all parts, under our names."""
    base = dict(published(family)[part])
    return {**base, **FITTED[_network(base)](base, shapes[part], shapes)}


def _network(base: Config) -> str:
    return str(base.get("_class_name") or base["architectures"][0])


def _unet(base: Config, shapes: Shapes, parts: Mapping[str, Shapes]) -> Config:
    levels = range(count(shapes, "down_blocks."))
    channels = [shapes[f"down_blocks.{level}.resnets.0.conv1.weight"][0] for level in levels]
    down = [
        "CrossAttnDownBlock2D" if _deep(shapes, f"down_blocks.{level}.") else "DownBlock2D"
        for level in levels
    ]
    up = ["CrossAttnUpBlock2D" if _deep(shapes, f"up_blocks.{level}.") else "UpBlock2D" for level in levels]
    text = next((shape[1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")), None)
    depths = [_deep(shapes, f"down_blocks.{level}.") for level in levels]
    fitted = {
        "in_channels": shapes["conv_in.weight"][1],
        "out_channels": shapes["conv_out.weight"][0],
        "block_out_channels": channels,
        "layers_per_block": count(shapes, "down_blocks.0.resnets."),
        "cross_attention_dim": text or base["cross_attention_dim"],
        "down_block_types": down,
        "up_block_types": up,
    }
    if any(depth > 1 for depth in depths):
        # a level without attention has a depth too, which counts for nothing but the middle block
        fitted["transformer_layers_per_block"] = [
            *(depth or 1 for depth in depths[:-1]),
            _middle(shapes),
        ]
    if isinstance(base["attention_head_dim"], list):
        fitted["attention_head_dim"] = [heads(width) for width in channels]
    if "time_embedding.cond_proj.weight" in shapes:
        fitted["time_cond_proj_dim"] = shapes["time_embedding.cond_proj.weight"][1]
    return fitted | _vector(base, shapes, parts)


def _vector(base: Config, shapes: Shapes, parts: Mapping[str, Shapes]) -> Config:
    """The vector beside the time: sizes, each as a sinusoid, behind the pooled text."""
    if "class_embedding.linear_1.weight" in shapes:
        width = shapes["class_embedding.linear_1.weight"][1]
        return {"class_embed_type": "projection", "projection_class_embeddings_input_dim": width}
    if "add_embedding.linear_1.weight" not in shapes:
        return {}
    width = shapes["add_embedding.linear_1.weight"][1]
    pooled = parts.get("text_encoder_2", {}).get("text_projection.weight", (1280,))[0]
    numbers = (
        5 if len(base["block_out_channels"]) == 4 else 6
    )  # the refiner has a score where the base has a size
    return {
        "projection_class_embeddings_input_dim": width,
        "addition_time_embed_dim": (width - pooled) // numbers,
    }


def _deep(shapes: Shapes, block: str) -> int:
    """How many transformer blocks an attention of a block has; 0 without attention."""
    return count(shapes, f"{block}attentions.0.transformer_blocks.")


def _middle(shapes: Shapes) -> int:
    return _deep(shapes, "mid_block.")


def _vae(base: Config, shapes: Shapes, parts: Mapping[str, Shapes]) -> Config:
    levels = range(count(shapes, "encoder.down_blocks."))
    quantised = "quant_conv.weight" in shapes
    fitted = {
        "in_channels": shapes["encoder.conv_in.weight"][1],
        "out_channels": shapes["decoder.conv_out.weight"][0],
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "layers_per_block": count(shapes, "encoder.down_blocks.0.resnets."),
        "block_out_channels": [shapes[f"encoder.down_blocks.{n}.resnets.0.conv1.weight"][0] for n in levels],
        "down_block_types": ["DownEncoderBlock2D" for _ in levels],
        "up_block_types": ["UpDecoderBlock2D" for _ in levels],
    }
    if quantised == base.get("use_quant_conv", True):
        return fitted
    return {**fitted, "use_quant_conv": quantised, "use_post_quant_conv": quantised}


def _mmdit(base: Config, shapes: Shapes, parts: Mapping[str, Shapes]) -> Config:
    proj = shapes["pos_embed.proj.weight"]  # (width, channels, patch, patch)
    head = shapes.get("transformer_blocks.0.attn.norm_q.weight", (HEAD,))[0]
    heads_ = heads(proj[0], head)
    dual = {int(name.split(".")[1]) for name in shapes if ".attn2.to_q.weight" in name}
    fitted = {
        "attention_head_dim": proj[0] // heads_,
        "num_attention_heads": heads_,
        "caption_projection_dim": shapes["context_embedder.weight"][0],
        "joint_attention_dim": shapes["context_embedder.weight"][1],
        "in_channels": proj[1],
        "out_channels": shapes["proj_out.weight"][0] // proj[2] ** 2,
        "patch_size": proj[2],
        "num_layers": count(shapes, "transformer_blocks."),
        "pooled_projection_dim": shapes["time_text_embed.text_embedder.linear_1.weight"][1],
    }
    if "pos_embed.pos_embed" in shapes:
        fitted["pos_embed_max_size"] = math.isqrt(shapes["pos_embed.pos_embed"][1])
    return fitted | ({"dual_attention_layers": sorted(dual)} if dual else {})


def _flux(base: Config, shapes: Shapes, parts: Mapping[str, Shapes]) -> Config:
    width, channels = shapes["x_embedder.weight"]
    head = shapes["transformer_blocks.0.attn.norm_q.weight"][0]
    side = head * 7 // 16 // 2 * 2  # the published 56 of 128, and even
    out = shapes["proj_out.weight"][0]
    return {
        "attention_head_dim": head,
        "axes_dims_rope": [head - 2 * side, side, side],
        "guidance_embeds": "time_text_embed.guidance_embedder.linear_1.weight" in shapes,
        "in_channels": channels,
        **({"out_channels": out} if out != channels else {}),
        "joint_attention_dim": shapes["context_embedder.weight"][1],
        "num_attention_heads": width // head,
        "num_layers": count(shapes, "transformer_blocks."),
        "num_single_layers": count(shapes, "single_transformer_blocks."),
        "pooled_projection_dim": shapes["time_text_embed.text_embedder.linear_1.weight"][1],
    }


def _clip(base: Config, shapes: Shapes, parts: Mapping[str, Shapes]) -> Config:
    vocabulary, width = shapes["text_model.embeddings.token_embedding.weight"]
    projection = shapes.get("text_projection.weight", (base["projection_dim"],))[0]
    return {
        "hidden_size": width,
        "intermediate_size": shapes["text_model.encoder.layers.0.mlp.fc1.weight"][0],
        "max_position_embeddings": shapes["text_model.embeddings.position_embedding.weight"][0],
        "num_attention_heads": heads(width),
        "num_hidden_layers": count(shapes, "text_model.encoder.layers."),
        "projection_dim": projection,
        "vocab_size": vocabulary,
    }


def _t5(base: Config, shapes: Shapes, parts: Mapping[str, Shapes]) -> Config:
    first = "encoder.block.0.layer"
    number = shapes[f"{first}.0.SelfAttention.relative_attention_bias.weight"][1]
    inner, width = shapes[f"{first}.0.SelfAttention.q.weight"]
    gated = f"{first}.1.DenseReluDense.wi_0.weight"
    return {
        "d_model": width,
        "d_kv": inner // number,
        "d_ff": shapes[gated if gated in shapes else f"{first}.1.DenseReluDense.wi.weight"][0],
        "feed_forward_proj": "gated-gelu" if gated in shapes else "relu",
        "num_heads": number,
        "num_layers": count(shapes, "encoder.block."),
        "vocab_size": next(
            shapes[one][0] for one in ("shared.weight", "encoder.embed_tokens.weight") if one in shapes
        ),
    }


def heads(width: int, head: int = HEAD) -> int:
    """How many heads a layer has; one where it is narrower than a head."""
    return max(width // head, 1)


FITTED: Mapping[str, Callable[[Config, Shapes, Mapping[str, Shapes]], Config]] = {
    "UNet2DConditionModel": _unet,
    "AutoencoderKL": _vae,
    "SD3Transformer2DModel": _mmdit,
    "FluxTransformer2DModel": _flux,
    "CLIPTextModel": _clip,
    "CLIPTextModelWithProjection": _clip,
    "T5EncoderModel": _t5,
}
"""What the shapes say of a network's settings."""


def scheduler_of(family: str, prediction: str | None, variant: str) -> Config:
    """The scheduler's settings. Where nothing tells what the network predicts, what is published most."""
    base = dict(published(family)["scheduler"])
    if "prediction_type" in base:
        base["prediction_type"] = {"v": "v_prediction", "eps": "epsilon"}.get(
            prediction or "", "v_prediction"
        )
    if variant.startswith("schnell"):
        base |= {"shift": 1.0, "use_dynamic_shifting": False}
    return base
