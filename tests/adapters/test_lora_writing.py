"""Adapters that we write: read back to the same weights, by us and by diffusers."""

from pathlib import Path

import pytest
import torch
from tests.adapters import small
from torch import Tensor

from darkroom.adapters.lora import attach
from darkroom.errors import DarkroomError
from darkroom.weights.adapter_formats import read_adapter, save_adapter
from darkroom.weights.adapter_formats.writing import ARCHITECTURES, Style, to_kohya, to_peft
from darkroom.weights.adapter_signs import stated
from darkroom.weights.store import open_store

pytest.importorskip("diffusers")
pytest.importorskip("peft")

Layers = dict[str, dict[str, Tensor]]
ENDINGS = ("to_q", "to_v", "to_out.0", "conv1", "q_proj", "fc1")


def layers(part: str, module: torch.nn.Module, dora: bool = False) -> Layers:
    """Alpha is half the rank."""
    found: Layers = {}
    for name, (down, up) in small.factors(module, ENDINGS).items():
        found[f"{part}.{name}"] = {"lora_down": down, "lora_up": up, "alpha": torch.tensor(small.ALPHA)}
        if dora:
            found[f"{part}.{name}"]["dora_scale"] = torch.rand(len(up), *[1] * (down.ndim - 1)) + 0.5
    return found


@pytest.mark.parametrize("style", ["kohya", "peft"])
@pytest.mark.parametrize("dora", [False, True])
def test_what_is_written_is_read_as_it_was(style: Style, dora: bool, tmp_path: Path):
    parts = {"unet": small.unet(), "text_encoder": small.clip()}
    made = layers("unet", parts["unet"], dora) | layers("text_encoder", parts["text_encoder"], dora)
    told = {
        name: small.merged(
            {name.partition(".")[2]: (roles["lora_down"], roles["lora_up"])}, parts[name.split(".")[0]]
        )
        for name, roles in made.items()
    }
    path = save_adapter(tmp_path / "one.safetensors", made, style, family="sd1")
    attached = attach(parts, read_adapter(open_store(path)))
    assert not attached.unused and not attached.missing
    for name, roles in made.items():
        part, _, module = name.partition(".")
        direction, weight = told[name][module], parts[part].get_submodule(module).weight
        if dora:
            norm = direction.flatten(1).norm(dim=1).reshape(roles["dora_scale"].shape)
            direction = roles["dora_scale"] * direction / norm
        torch.testing.assert_close(weight, direction, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("style", ["kohya", "peft"])
def test_diffusers_reads_it(style: Style, tmp_path: Path):
    """The U-Net and the text encoder, as its pipelines load them."""
    from diffusers.loaders import StableDiffusionLoraLoaderMixin as Loader

    ours, theirs = small.unet(), small.unet()
    text, their_text = small.clip(), small.clip()
    made = layers("unet", ours) | layers("text_encoder", text)
    path = save_adapter(tmp_path / "one.safetensors", made, style, family="sd1")
    attach({"unet": ours, "text_encoder": text}, read_adapter(open_store(path)))
    values, alphas = Loader.lora_state_dict(tmp_path, weight_name=path.name)
    theirs.load_lora_adapter(values, prefix="unet", network_alphas=alphas or None)
    Loader.load_lora_into_text_encoder(values, alphas, their_text, prefix="text_encoder")
    for mine, other, plain in ((ours, theirs, small.unet()), (text, their_text, small.clip())):
        told, got = small.answer(other), small.answer(mine)
        assert (told - got).abs().max() <= 1e-5 * told.abs().max()
        assert (told - small.answer(plain)).abs().max() > 1e-3 * told.abs().max()


def test_names_of_text_encoders():
    """Those of published checkpoints, whatever a module is called in memory."""
    roles = {"lora_down": torch.ones(1, 2), "lora_up": torch.ones(2, 1)}
    made = {f"text_encoder{number}.encoder.layers.0.mlp.fc1": roles for number in ("", "_2")}
    made |= {"text_encoder_3.encoder.block.0.layer.0.SelfAttention.q": roles}
    names = {key.split(".")[0] for key in to_kohya(made)}
    assert names == {
        "lora_te1_text_model_encoder_layers_0_mlp_fc1",
        "lora_te2_text_model_encoder_layers_0_mlp_fc1",
        "lora_te3_encoder_block_0_layer_0_SelfAttention_q",
    }
    assert next(iter(to_kohya(made, single=True))).startswith("lora_te_text_model_")
    assert "text_encoder_2.text_model.encoder.layers.0.mlp.fc1.lora_A.weight" in to_peft(made)


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_the_file_says_what_it_is_for(family: str, tmp_path: Path):
    made = layers("unet", small.clip())
    path = save_adapter(tmp_path / "my style.safetensors", made, family=family, metadata={"ss_epoch": "3"})
    metadata = open_store(path).header.metadata
    assert stated(metadata) == family
    assert metadata["modelspec.title"] == "my style" and metadata["ss_epoch"] == "3"
    assert metadata["ss_network_dim"] == "2" and metadata["ss_network_alpha"] == "1.0"


def test_what_a_style_cannot_say_is_refused():
    down, up = torch.ones(1, 2), torch.ones(3, 1)
    columns = {"unet.a": {"lora_down": down, "lora_up": up, "dora_scale": torch.ones(1, 2)}}
    with pytest.raises(DarkroomError, match="for columns"):
        to_peft(columns)
    with pytest.raises(
        DarkroomError, match=r"'unet\.a' has lokr_w1, lokr_w2, and the style 'peft' knows LoRA"
    ):
        to_peft({"unet.a": {"lokr_w1": down, "lokr_w2": up}})
    with pytest.raises(DarkroomError, match="no name for layers of the vae"):
        to_kohya({"vae.a": {"lora_down": down, "lora_up": up}})
