"""Detection by header alone: published models in each layout, built without weights, and adapters."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest
import torch

from darkroom.weights.configs import config_of, published
from darkroom.weights.detect import detect
from darkroom.weights.header import Header, TensorInfo
from darkroom.weights.layouts import autoencoder, clip, controlnet, flux, mmdit, unet

pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

Shapes = dict[str, tuple[int, ...]]


class Empty:
    """A store of a header alone."""

    def __init__(self, shapes: Shapes) -> None:
        self.header = header(shapes)

    def tensor(self, name: str) -> torch.Tensor:
        raise AssertionError("nothing may be read")


def header(shapes: Shapes, **metadata: str) -> Header:
    return Header({name: TensorInfo(torch.float16, shape) for name, shape in shapes.items()}, metadata)


def original(layout: Any, shapes: Shapes, prefix: str) -> Shapes:
    """A part's names as single files have them."""
    view = layout(shapes).under(prefix).original(Empty(shapes))
    assert not view.unknown
    return view.header.shapes


def shapes_of(module: torch.nn.Module) -> Shapes:
    return {name: tuple(one.shape) for name, one in module.state_dict().items()}


SD1: dict[str, Any] = {"cross_attention_dim": 768}
SD2: dict[str, Any] = {
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
}
XL_BLOCKS = ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D")
SDXL: dict[str, Any] = {
    "down_block_types": XL_BLOCKS,
    "up_block_types": tuple(name.replace("Down", "Up") for name in reversed(XL_BLOCKS)),
    "block_out_channels": (320, 640, 1280),
    "transformer_layers_per_block": (1, 2, 10),
    "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
REFINER: dict[str, Any] = {
    **SDXL,
    "down_block_types": (*XL_BLOCKS, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (384, 768, 1536, 1536),
    "transformer_layers_per_block": 4,
    "cross_attention_dim": 1280,
    "attention_head_dim": (6, 12, 24, 24),
    "projection_class_embeddings_input_dim": 2560,
}
UNETS = {"sd1": SD1, "sd2": SD2, "sdxl": SDXL, "sdxl-refiner": REFINER}
MMDITS: dict[str, dict[str, Any]] = {
    "sd3": {
        "num_layers": 24,
        "num_attention_heads": 24,
        "caption_projection_dim": 1536,
        "pos_embed_max_size": 192,
    },
    "sd3.5-medium": {
        "num_layers": 24,
        "num_attention_heads": 24,
        "caption_projection_dim": 1536,
        "pos_embed_max_size": 384,
        "qk_norm": "rms_norm",
        "dual_attention_layers": tuple(range(13)),
    },
    "sd3.5-large": {
        "num_layers": 38,
        "num_attention_heads": 38,
        "caption_projection_dim": 2432,
        "pos_embed_max_size": 192,
        "qk_norm": "rms_norm",
    },
}


@cache
def unet_shapes(family: str, channels: int = 4, **more: Any) -> Shapes:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    with torch.device("meta"):
        return shapes_of(UNet2DConditionModel(**UNETS[family], in_channels=channels, **more))


@cache
def mmdit_shapes(family: str) -> Shapes:
    from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel

    with torch.device("meta"):
        return shapes_of(SD3Transformer2DModel(**MMDITS[family], pooled_projection_dim=2048))


@cache
def flux_shapes(channels: int = 64, guidance: bool = True) -> Shapes:
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

    with torch.device("meta"):
        return shapes_of(FluxTransformer2DModel(in_channels=channels, guidance_embeds=guidance))


@cache
def vae_shapes(latents: int = 4) -> Shapes:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    quant = {"use_quant_conv": latents == 4, "use_post_quant_conv": latents == 4}
    with torch.device("meta"):
        return shapes_of(
            AutoencoderKL(
                block_out_channels=(128, 256, 512, 512),
                layers_per_block=2,
                latent_channels=latents,
                **blocks,
                **quant,
            )
        )


@cache
def clip_shapes(width: int, layers: int, projection: bool = False) -> Shapes:
    config = transformers.CLIPTextConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, projection_dim=width
    )
    kind = transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel
    with torch.device("meta"):
        shapes = shapes_of(kind(config))
    return {name if name.startswith("text_") else f"text_model.{name}": one for name, one in shapes.items()}


@cache
def t5_shapes() -> Shapes:
    config = transformers.T5Config(
        d_model=4096, d_ff=10240, num_layers=2, num_heads=64, feed_forward_proj="gated-gelu"
    )
    with torch.device("meta"):
        return shapes_of(transformers.T5EncoderModel(config))


@cache
def controlnet_shapes(family: str) -> Shapes:
    from diffusers.models.controlnets.controlnet import ControlNetModel

    config = {key: value for key, value in UNETS[family].items() if key != "up_block_types"}
    with torch.device("meta"):
        return shapes_of(ControlNetModel(**config))


CLIP, VAE = "cond_stage_model.transformer.", "first_stage_model."
NET = "model.diffusion_model."
BALLAST = {
    "betas": (1000,),
    "alphas_cumprod": (1000,),
    "model_ema.decay": (),
    "sqrt_one_minus_alphas_cumprod": (1000,),
}


def whole(family: str) -> Shapes:
    """A single file of a family, with what such files have besides."""
    vae = original(autoencoder.from_native, vae_shapes(16 if family.startswith(("sd3", "flux")) else 4), VAE)
    if family == "flux":
        network = original(flux.from_native, flux_shapes(), NET)
        texts = original(clip.transformers_clip, clip_shapes(768, 12), "text_encoders.clip_l.transformer.")
        return network | vae | texts | original(clip.t5, t5_shapes(), "text_encoders.t5xxl.transformer.")
    if family in MMDITS:
        network = original(mmdit.from_native, mmdit_shapes(family), NET)
        texts = original(clip.transformers_clip, clip_shapes(768, 12), "text_encoders.clip_l.transformer.")
        texts |= original(
            clip.transformers_clip, clip_shapes(1280, 32, True), "text_encoders.clip_g.transformer."
        )
        return network | vae | texts | original(clip.t5, t5_shapes(), "text_encoders.t5xxl.transformer.")
    network = original(unet.from_native, unet_shapes(family), NET) | BALLAST
    if family == "sd1":
        texts = original(clip.transformers_clip, clip_shapes(768, 12), CLIP)
        return network | vae | texts | {f"{CLIP}text_model.embeddings.position_ids": (1, 77)}
    if family == "sd2":
        return (
            network | vae | original(clip.open_clip, clip_shapes(1024, 24, True), "cond_stage_model.model.")
        )
    large = clip_shapes(1280, 32, True)
    if family == "sdxl-refiner":
        return network | vae | original(clip.open_clip, large, "conditioner.embedders.0.model.")
    texts = original(clip.transformers_clip, clip_shapes(768, 12), "conditioner.embedders.0.transformer.")
    texts |= original(clip.open_clip, large, "conditioner.embedders.1.model.")
    return network | vae | texts | {"conditioner.embedders.1.model.logit_scale": ()}


ENCODERS = {
    "sd1": {"text_encoder"},
    "sd2": {"text_encoder"},
    "sdxl": {"text_encoder", "text_encoder_2"},
    "sdxl-refiner": {"text_encoder_2"},
    "sd3": {"text_encoder", "text_encoder_2", "text_encoder_3"},
    "sd3.5-medium": {"text_encoder", "text_encoder_2", "text_encoder_3"},
    "sd3.5-large": {"text_encoder", "text_encoder_2", "text_encoder_3"},
    "flux": {"text_encoder", "text_encoder_2"},
}


@pytest.mark.parametrize("family", ENCODERS)
def test_single_files(family: str):
    found = detect(header(whole(family)))
    assert (found.kind, found.family, found.layout) == ("model", family, "single file")
    network = "transformer" if family in ("flux", *MMDITS) else "unet"
    assert set(found.parts) == {network, "vae", *ENCODERS[family]}
    assert not found.differences and not found.left
    assert found.prediction == ("flow" if network == "transformer" else None if family == "sd2" else "eps")
    if family == "sd2":
        assert any("does not tell" in note for note in found.notes)


def native(family: str) -> dict[str, Shapes]:
    """The shapes of every part of a published model, under our names."""
    parts = {"vae": vae_shapes(16 if family.startswith(("sd3", "flux")) else 4)}
    if family == "flux":
        return {
            **parts,
            "transformer": flux_shapes(),
            "text_encoder": clip_shapes(768, 12),
            "text_encoder_2": t5_shapes(),
        }
    if family in MMDITS:
        encoders = {"text_encoder": clip_shapes(768, 12, True), "text_encoder_2": clip_shapes(1280, 32, True)}
        return {**parts, "transformer": mmdit_shapes(family), **encoders, "text_encoder_3": t5_shapes()}
    parts["unet"] = unet_shapes(family)
    if family == "sd2":
        return {**parts, "text_encoder": clip_shapes(1024, 23)}
    if family in ("sd1", "sdxl"):
        parts["text_encoder"] = clip_shapes(768, 12)
    return parts if family == "sd1" else {**parts, "text_encoder_2": clip_shapes(1280, 32, True)}


@pytest.mark.parametrize("family", ENCODERS)
def test_settings_read_off_the_published_shapes_are_the_published_ones(family: str):
    """So the shapes of a file that differ change just the settings that they should."""
    shapes = native(family)
    for part in shapes:
        base, fitted = dict(published(family)[part]), config_of(family, part, shapes)
        if family == "sdxl-refiner" and part == "unet":
            base["transformer_layers_per_block"] = [
                1,
                4,
                4,
                4,
            ]  # the same as 4: only two levels have attention
        if part.startswith("text_encoder") and "num_layers" in base:
            base["num_layers"] = 2  # of the T5 above
        assert fitted == base, part


def networks() -> Iterable[tuple[str, Shapes]]:
    yield from ((family, unet_shapes(family)) for family in UNETS)
    yield from ((family, mmdit_shapes(family)) for family in MMDITS)
    yield "flux", flux_shapes()


def test_networks_alone_in_both_layouts():
    for family, shapes in networks():
        layout = flux if family == "flux" else mmdit if family in MMDITS else unet
        for names in (
            shapes,
            original(layout.from_native, shapes, ""),
            original(layout.from_native, shapes, NET),
        ):
            found = detect(header(names))
            assert (found.kind, found.family, found.differences) == ("model", family, ()), family
            assert len(found.parts) == 1 and not found.left


@pytest.mark.parametrize(
    ("shapes", "family", "variant"),
    [
        (lambda: unet_shapes("sd1", 9), "sd1", "inpaint"),
        (lambda: unet_shapes("sd2", 9), "sd2", "inpaint"),
        (lambda: unet_shapes("sdxl", 9), "sdxl", "inpaint"),
        (lambda: unet_shapes("sd1", 8), "sd1", "instruct-pix2pix"),
        (lambda: unet_shapes("sd2", 5), "sd2", "depth"),
        (lambda: unet_shapes("sd1", 4, time_cond_proj_dim=256), "sd1", "lcm"),
        (lambda: flux_shapes(64, True), "flux", "dev"),
        (lambda: flux_shapes(64, False), "flux", "schnell"),
        (lambda: flux_shapes(384, True), "flux", "dev fill"),
        (lambda: flux_shapes(128, True), "flux", "dev control"),
    ],
)
def test_variants(shapes: Any, family: str, variant: str):
    found = detect(header(shapes()))
    assert (found.family, found.variant, found.differences) == (family, variant, ())


def test_pixart():
    from diffusers.models.transformers.pixart_transformer_2d import PixArtTransformer2DModel

    for size, variant in ((128, "alpha"), (64, "sigma")):
        with torch.device("meta"):
            shapes = shapes_of(PixArtTransformer2DModel(sample_size=size, caption_channels=4096))
        found = detect(header(shapes))
        assert (found.family, found.variant, found.differences) == ("pixart", variant, ())


def test_parts_alone():
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny

    with torch.device("meta"):
        tiny = shapes_of(AutoencoderTiny())
    cases = [
        (vae_shapes(4), "vae", "sdxl"),
        (original(autoencoder.from_native, vae_shapes(16), ""), "vae", "flux"),
        (original(autoencoder.from_old_native, vae_shapes(4), ""), "vae", "sd1"),
        (clip_shapes(768, 12), "text_encoder", "sd1"),
        (clip_shapes(1280, 32, True), "text_encoder", "sdxl"),
        (original(clip.open_clip, clip_shapes(1024, 24), ""), "text_encoder", "sd2"),
        (original(clip.flat_clip, clip_shapes(768, 12), ""), "text_encoder", "sd1"),
        (t5_shapes(), "text_encoder", "flux"),
        (controlnet_shapes("sd1"), "controlnet", "sd1"),
        (controlnet_shapes("sdxl"), "controlnet", "sdxl"),
        (original(controlnet.from_native, controlnet_shapes("sd2"), "control_model."), "controlnet", "sd2"),
        (original(controlnet.from_native, controlnet_shapes("sd1"), ""), "controlnet", "sd1"),
        (tiny, "vae", "sd1"),
        ({"1.weight": (64, 16, 3, 3), "3.conv.0.weight": (64, 64, 3, 3)}, "vae", "flux"),
    ]
    for shapes, part, family in cases:
        found = detect(header(shapes))
        assert (found.kind, set(found.parts)) == ("part", {part}), (part, family)
        assert family in found.fits and not found.left, (part, family)


def test_marks_and_metadata_say_what_is_predicted():
    shapes = unet_shapes("sdxl")
    assert detect(header(shapes)).prediction == "eps"
    marked = detect(header({**shapes, "v_pred": (0,), "ztsnr": (0,)}))
    assert marked.prediction == "v" and not marked.left and any("ztsnr" in note for note in marked.notes)
    said = header(unet_shapes("sd2"), **{"modelspec.prediction_type": "v"})
    assert detect(said).prediction == "v" and not detect(said).notes


def test_sizes_of_no_published_model_are_told():
    shapes = {**unet_shapes("sd1")}
    shapes = {
        name: (*s[:1], 640) if name.endswith(("attn2.to_k.weight", "attn2.to_v.weight")) else s
        for name, s in shapes.items()
    }
    found = detect(header(shapes))
    assert (found.family, found.differences) == ("sd1", ("its text width is 640 where sd1 has 768",))


def test_unknown_files_say_what_they_are_closest_to():
    strange = detect(header({"some.weight": (2, 2), "some.bias": (2,), "x": (1,), "y": (3, 3, 3)}))
    assert strange.kind == "unknown" and "'some.weight'" in strange.notes[0]
    broken = {
        name: shape for name, shape in unet_shapes("sd1").items() if not name.startswith("time_embedding")
    }
    found = detect(header(broken))
    assert found.kind == "unknown"
    assert found.notes == (
        "it is closest to a unet in diffusers naming, but lacks 'time_embedding.linear_1.weight'",
    )
    chroma = {NET + name: (8, 8) for name in ("img_in.weight", "distilled_guidance_layer.in_proj.weight")}
    assert "Chroma" in detect(header(chroma)).notes[0]


def test_strange_tensors_of_a_known_model_are_listed():
    found = detect(header({**whole("sd1"), "mystery": (1,), f"{NET}input_blocks.1.1.extra.weight": (2,)}))
    assert (found.family, set(found.left)) == ("sd1", {"mystery", f"{NET}input_blocks.1.1.extra.weight"})
