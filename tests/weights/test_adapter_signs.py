"""Adapters known by names and shapes alone, in the styles that trainers write."""

import pytest
import torch

from darkroom.weights.detect import detect
from darkroom.weights.header import Header, TensorInfo

Shapes = dict[str, tuple[int, ...]]


def header(shapes: Shapes, **metadata: str) -> Header:
    return Header({name: TensorInfo(torch.float16, shape) for name, shape in shapes.items()}, metadata)


def lora(
    pairs: dict[str, int], down: str = ".lora_down.weight", up: str = ".lora_up.weight", rank: int = 8
) -> Shapes:
    """A LoRA for layers with these input widths."""
    return {
        name + end: shape
        for name, width in pairs.items()
        for end, shape in ((down, (rank, width)), (up, (64, rank)))
    }


BLOCK = "down_blocks_1_attentions_0_transformer_blocks_0"
DOTS = "down_blocks.1.attentions.0.transformer_blocks.0"
PEFT = (".lora_A.weight", ".lora_B.weight")
LOHA = (".hada_w1_b", ".hada_w1_a")
OLD = ("_lora.down.weight", "_lora.up.weight")
TEXT = "text_model_encoder_layers_0"
LORAS: dict[str, tuple[Shapes, str, str]] = {
    "kohya SD1": (
        lora({f"lora_unet_{BLOCK}_attn2_to_k": 768, f"lora_te_{TEXT}_mlp_fc1": 768}),
        "sd1",
        "kohya",
    ),
    "kohya SD2": (lora({f"lora_unet_{BLOCK}_attn2_to_k": 1024}), "sd2", "kohya"),
    "kohya SDXL": (
        lora({"lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k": 2048}),
        "sdxl",
        "kohya",
    ),
    "SDXL, deep": (
        lora({"lora_unet_input_blocks_7_1_transformer_blocks_9_attn1_to_k": 1280}),
        "sdxl",
        "kohya",
    ),
    "no cross-attention": (lora({"lora_unet_down_blocks_0_attentions_0_proj_in": 320}), "sd1 sd2", "kohya"),
    "diffusers SD1": (lora({f"unet.{DOTS}.attn2.to_v": 768}, *PEFT), "sd1", "diffusers"),
    "diffusers, old": (lora({f"unet.{DOTS}.attn2.processor.to_k": 768}, *OLD), "sd1", "diffusers"),
    "PEFT": (lora({f"base_model.model.{DOTS}.attn2.to_k": 2048}, *PEFT), "sdxl", "PEFT"),
    "FLUX kohya": (lora({"lora_unet_double_blocks_0_img_attn_qkv": 3072}), "flux", "kohya"),
    "FLUX": (lora({"transformer.transformer_blocks.3.attn.to_q": 3072}, *PEFT), "flux", "diffusers"),
    "FLUX XLabs": (
        lora({"double_blocks.0.processor.qkv_lora1": 3072}, ".down.weight", ".up.weight"),
        "flux",
        "XLabs",
    ),
    "SD3": (
        lora({"transformer.transformer_blocks.3.attn.to_q": 1536}, *PEFT),
        "sd3 sd3.5-medium",
        "diffusers",
    ),
    "SD3.5 large": (lora({"lora_unet_joint_blocks_30_x_block_attn_qkv": 2432}), "sd3.5-large", "kohya"),
    "LoHa": (lora({f"lora_unet_{BLOCK}_attn2_to_k": 768}, *LOHA), "sd1", "kohya"),
    "LyCORIS": (lora({f"lycoris_{BLOCK}_attn2_to_k": 2048}, *LOHA), "sdxl", "LyCORIS"),
    "text encoder alone": (lora({f"lora_te2_{TEXT}_self_attn_q_proj": 1280}), "sdxl sd3", "kohya"),
}


@pytest.mark.parametrize("name", LORAS)
def test_loras(name: str):
    shapes, fits, style = LORAS[name]
    found = detect(header(shapes))
    assert found.kind == "adapter" and found.adapter
    assert (" ".join(found.fits), found.adapter.style) == (fits, style)
    assert found.adapter.method == ("LoHa" if name in ("LoHa", "LyCORIS") else "LoRA")
    assert found.adapter.ranks == (8,)


def test_a_lora_counts_its_layers_by_part():
    pairs = {f"lora_unet_{BLOCK}_attn2_to_{to}": 2048 for to in "kv"} | {
        "lora_te1_text_model_encoder_layers_0_mlp_fc1": 768
    }
    found = detect(header({**lora(pairs), f"lora_unet_{BLOCK}_attn2_to_k.dora_scale": (1, 2048)}))
    assert found.adapter
    assert found.adapter.targets == {"text_encoder": 1, "unet": 2}
    assert found.adapter.method == "LoRA with DoRA"
    fluxed = detect(header(lora({"diffusion_model.double_blocks.0.img_attn.qkv": 3072})))
    assert fluxed.adapter and fluxed.adapter.targets == {"transformer": 1}


def test_metadata_that_contradict_the_layers_are_told():
    shapes = lora({f"lora_unet_{BLOCK}_attn2_to_k": 768})
    assert detect(header(shapes, ss_base_model_version="sd_v1")).notes == ()
    assert "sdxl" in detect(header(shapes, ss_base_model_version="sdxl_base_v1-0")).notes[0]
    mute = {"lora_unet_down_blocks_0_attentions_0_proj_in.lokr_w1": (4, 4)}
    assert detect(header(mute, **{"modelspec.architecture": "stable-diffusion-v1/lora"})).fits == ("sd1",)


@pytest.mark.parametrize(
    ("shapes", "fits", "style"),
    [
        ({"emb_params": (8, 768)}, ("sd1",), "A1111"),
        ({"<cat>": (1024,)}, ("sd2",), "diffusers"),
        ({"clip_l": (4, 768), "clip_g": (4, 1280)}, ("sdxl",), "SDXL"),
    ],
)
def test_textual_inversion(shapes: Shapes, fits: tuple[str, ...], style: str):
    found = detect(header(shapes))
    assert found.adapter
    assert (found.adapter.method, found.fits, found.adapter.style) == ("textual inversion", fits, style)


def test_ip_adapters():
    keys = {f"ip_adapter.{n}.to_{to}_ip.weight": (320, 768) for n in (1, 3) for to in "kv"}
    found = detect(header({**keys, "image_proj.proj.weight": (3072, 1024)}))
    assert found.adapter
    assert (found.adapter.method, found.fits, found.adapter.targets) == ("IP-Adapter", ("sd1",), {"unet": 2})
