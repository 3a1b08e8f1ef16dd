"""The layouts are those of the real files: diffusers' own conversions take ours to the very weights."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from darkroom.weights.keymap import KeyMap, Shapes
from darkroom.weights.layouts import autoencoder, clip, controlnet, flux, mmdit, unet
from darkroom.weights.store import MemoryStore

utils = pytest.importorskip("diffusers.loaders.single_file_utils")
transformers = pytest.importorskip("transformers")

Weights = dict[str, Tensor]


def filled(module: nn.Module, columns: int | None = None) -> Weights:
    """A module's names and shapes, each with random numbers; ``columns`` cuts all sides but the first."""
    draw = torch.Generator().manual_seed(0)
    shapes = {name: tuple(one.shape) for name, one in module.state_dict().items()}
    if columns:
        shapes = {name: (*shape[:1], *[columns] * len(shape[1:])) for name, shape in shapes.items()}
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}


def tensors(view: Any) -> Weights:
    return {name: view.tensor(name) for name in view.header.tensors}


def same(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> None:
    assert left.keys() == right.keys(), sorted(left.keys() ^ right.keys())[:6]
    for name in left:
        assert left[name].shape == right[name].shape and torch.equal(left[name], right[name]), name


def check(
    native: Weights,
    ours: Callable[[Shapes], KeyMap],
    theirs: Callable[[Shapes], KeyMap],
    prefix: str,
    convert: Callable[[Weights], Weights] | None,
) -> Weights:
    """Ours -> single file -> diffusers' conversion is ours; so is single file -> ours by its names alone."""
    store = MemoryStore(native)
    file = ours(store.header.shapes).under(prefix).original(store)
    assert not file.unknown
    written = tensors(file)
    assert file.header.shapes == {name: tuple(one.shape) for name, one in written.items()}
    if convert:
        same(convert(dict(written)), native)
    bare = {name.removeprefix(prefix): shape for name, shape in file.header.shapes.items()}
    back = theirs(bare).under(prefix).native(MemoryStore(written))
    assert not back.unknown and not back.idle
    same(tensors(back), native)
    return written


TINY = {"block_out_channels": (32, 64, 64, 64), "cross_attention_dim": 24, "attention_head_dim": 8}
XL = {
    "block_out_channels": (32, 32, 64),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 3),
    "cross_attention_dim": 24,
    "attention_head_dim": 8,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 56,
}
UNETS = {
    "SD1": TINY,
    "SD1 inpaint": {**TINY, "in_channels": 9},
    "SD2": {**TINY, "use_linear_projection": True},
    "unCLIP": {
        **TINY,
        "cross_attention_dim": 1024,  # how its label is told from XL's
        "block_out_channels": (32, 32, 32, 32),
        "class_embed_type": "projection",
        "projection_class_embeddings_input_dim": 16,
    },
    "upscaler": {
        **TINY,
        "num_class_embeds": 10,
        "in_channels": 7,
        "down_block_types": ("DownBlock2D", *["CrossAttnDownBlock2D"] * 3),
        "up_block_types": (*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"),
    },
    "XL": XL,
    "XL refiner": {
        **XL,
        "block_out_channels": (32, 32, 64, 64),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": 2,
    },
    "one layer": {**TINY, "layers_per_block": 1},
}


@pytest.mark.parametrize("name", UNETS)
def test_unets(name: str):
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    module = UNet2DConditionModel(**UNETS[name])
    check(
        filled(module),
        unet.from_native,
        unet.from_original,
        "model.diffusion_model.",
        lambda file: utils.convert_ldm_unet_checkpoint(file, dict(module.config)),
    )


def test_a_unet_distilled_for_lcm_keeps_its_guidance_layer():
    """diffusers' conversion knows no such layer, so it is compared without it."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    native = filled(UNet2DConditionModel(**TINY, time_cond_proj_dim=6))
    written = check(native, unet.from_native, unet.from_original, "model.diffusion_model.", None)
    assert "model.diffusion_model.time_embed.cond_proj.weight" in written


@pytest.mark.parametrize("config", [TINY, XL], ids=["SD1", "XL"])
@pytest.mark.parametrize("prefix", ["control_model.", ""])
def test_controlnets(config: dict[str, Any], prefix: str):
    from diffusers.models.controlnets.controlnet import ControlNetModel

    config = {key: value for key, value in config.items() if key != "up_block_types"}
    module = ControlNetModel(**config)
    native = filled(module)

    def convert(file: Weights) -> Weights:
        made = utils.convert_controlnet_checkpoint(file, dict(module.config))
        # it forgets XL's embedding of sizes
        return {**made, **{name: one for name, one in native.items() if name.startswith("add_embedding")}}

    check(native, controlnet.from_native, controlnet.from_original, prefix, convert)


def test_xlabs_controlnets_are_known_whole():
    from diffusers.models.controlnets.controlnet_flux import FluxControlNetModel

    module = FluxControlNetModel(
        num_layers=2,
        num_single_layers=0,
        num_attention_heads=2,
        attention_head_dim=8,
        joint_attention_dim=12,
        pooled_projection_dim=10,
        in_channels=4,
        guidance_embeds=True,
        axes_dims_rope=(2, 2, 4),
        conditioning_embedding_channels=16,
    )
    written = check(filled(module), controlnet.flux_from_original, controlnet.flux_from_original, "", None)
    assert written["input_hint_block.2.weight"].shape == (16, 16, 3, 3)
    assert {
        "pos_embed_input.weight",
        "double_blocks.1.img_attn.qkv.bias",
        "guidance_in.in_layer.weight",
    } <= set(written)


AUTOENCODERS = {
    "SD1": {"block_out_channels": (32, 32, 64, 64), "layers_per_block": 2},
    "SD3": {
        "block_out_channels": (32, 64),
        "latent_channels": 16,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    },
}


@pytest.mark.parametrize("name", AUTOENCODERS)
@pytest.mark.parametrize("prefix", ["first_stage_model.", "vae.", ""])
def test_autoencoders(name: str, prefix: str):
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    config = AUTOENCODERS[name]
    levels = len(config["block_out_channels"])  # type: ignore[arg-type]
    blocks = {
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
    }
    module = AutoencoderKL(**config, **blocks)
    check(
        filled(module),
        autoencoder.from_native,
        autoencoder.from_original,
        prefix,
        lambda file: utils.convert_ldm_vae_checkpoint(file, dict(module.config)),
    )


def test_autoencoders_of_old_folders():
    """diffusers itself still loads these names; ours come out as it loads them."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    module = AutoencoderKL(block_out_channels=(32,), layers_per_block=1)
    native = filled(module)
    file = tensors(
        autoencoder.from_old_native(MemoryStore(native).header.shapes).original(MemoryStore(native))
    )
    assert "decoder.mid_block.attentions.0.proj_attn.bias" in file and len(file) == len(native)
    mended = dict(file)
    module._fix_state_dict_keys_on_load(mended)
    same(mended, native)
    back = autoencoder.from_old_native({name: tuple(one.shape) for name, one in file.items()})
    same(tensors(back.native(MemoryStore(file))), native)


def clip_weights(projection: bool) -> tuple[Any, Weights]:
    """A small CLIP and its weights as a folder names them."""
    config = transformers.CLIPTextConfig(
        vocab_size=20, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=7, projection_dim=16,
    )  # fmt: skip
    kind = transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel
    module = kind(config)
    weights = filled(module)
    named = {name if name.startswith("text_") else f"text_model.{name}": one for name, one in weights.items()}
    return module, named


@pytest.mark.parametrize(
    ("prefix", "projection"),
    [
        ("cond_stage_model.model.", False),
        ("conditioner.embedders.1.model.", True),
        ("conditioner.embedders.0.model.", True),
    ],
)
def test_open_clip(prefix: str, projection: bool):
    module, native = clip_weights(projection)
    written = check(
        native,
        clip.open_clip,
        clip.open_clip,
        prefix,
        lambda file: utils.convert_open_clip_checkpoint(module, file, prefix),
    )
    assert written[f"{prefix}transformer.resblocks.1.attn.in_proj_weight"].shape == (48, 16)


@pytest.mark.parametrize(
    ("prefix", "remove"),
    [
        ("cond_stage_model.transformer.", None),
        ("conditioner.embedders.0.transformer.", None),
        ("text_encoders.clip_g.transformer.", "text_encoders.clip_g.transformer."),
    ],
)
def test_clip(prefix: str, remove: str | None):
    _, native = clip_weights(projection=remove is not None)
    check(
        native,
        clip.transformers_clip,
        clip.transformers_clip,
        prefix,
        lambda file: utils.convert_ldm_clip_checkpoint(file, remove),
    )


def test_clip_without_its_wrapper():
    module, native = clip_weights(projection=False)
    written = check(native, clip.flat_clip, clip.flat_clip, "", None)
    assert set(written) == set(module.state_dict())


def test_stable_diffusion_2_goes_without_its_last_layer():
    prefix = "cond_stage_model.model."
    names = [
        f"transformer.resblocks.{n}.{part}" for n in (22, 23) for part in ("ln_1.bias", "attn.in_proj_weight")
    ]
    file = MemoryStore(
        {prefix + name: torch.zeros(6, 2) for name in (*names, "text_projection", "logit_scale")}
    )
    view = clip.stable_diffusion_2({}).under(prefix).native(file)
    assert not view.unknown and len(view.idle) == 4
    assert all(".22." in name for name in view.header.tensors) and len(view.header.tensors) == 4
    ignored = set(utils.SD_2_TEXT_ENCODER_KEYS_TO_IGNORE)
    ours = MemoryStore({name: torch.zeros(3, 3) for name in ignored})
    assert set(clip.stable_diffusion_2({}).under(prefix).native(ours).idle) == ignored


def test_t5():
    config = transformers.T5Config(
        vocab_size=20, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, feed_forward_proj="gated-gelu"
    )
    native = filled(transformers.T5EncoderModel(config))
    prefix = "text_encoders.t5xxl.transformer."
    check(native, clip.t5, clip.t5, prefix, utils.convert_sd3_t5_checkpoint_to_diffusers)


@pytest.mark.parametrize("prefix", ["model.diffusion_model.", ""])
@pytest.mark.parametrize(
    "more",
    [{}, {"qk_norm": "rms_norm"}, {"qk_norm": "rms_norm", "dual_attention_layers": (0, 1)}],
    ids=["3", "3.5L", "3.5M"],
)
def test_mmdit(prefix: str, more: dict[str, Any]):
    from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel

    module = SD3Transformer2DModel(
        sample_size=8, num_layers=3, attention_head_dim=8, num_attention_heads=2, joint_attention_dim=12,
        caption_projection_dim=16, pooled_projection_dim=10, pos_embed_max_size=6, in_channels=4, **more,
    )  # fmt: skip
    convert = utils.convert_sd3_transformer_checkpoint_to_diffusers
    check(filled(module), mmdit.from_native, mmdit.from_original, prefix, convert)


@pytest.mark.parametrize("prefix", ["model.diffusion_model.", ""])
@pytest.mark.parametrize("guidance", [True, False], ids=["dev", "schnell"])
def test_flux(prefix: str, guidance: bool):
    """diffusers' conversion knows the real width alone: rows are real here, and columns cut off."""
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

    with torch.device("meta"):
        module = FluxTransformer2DModel(num_layers=2, num_single_layers=2, guidance_embeds=guidance)
    convert = utils.convert_flux_transformer_checkpoint_to_diffusers
    check(filled(module, columns=1), flux.from_native, flux.from_original, prefix, convert)
