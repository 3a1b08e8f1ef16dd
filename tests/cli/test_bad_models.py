"""Models that cannot be used: one sentence each, which says what to do."""

import json
import struct

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from darkroom.cli.main import main
from darkroom.weights.convert import convert

pytest.importorskip("diffusers")
from tests.families import tiny


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Stable Diffusion 1 as a folder and as a file, FLUX.1 and Stable Diffusion 3 as folders."""
    root = tmp_path_factory.mktemp("models")
    for name, pipeline in (("sd1", tiny.sd1(act="gelu")), ("flux", tiny.flux()), ("sd3", tiny.sd3())):
        tiny.save(pipeline, root / name)
    convert(root / "sd1", root / "sd1.safetensors")
    return root


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """What ``darkroom generate`` says of a model that it refuses."""
    monkeypatch.chdir(tmp_path)

    def say(model, *more):
        asked = ["generate", "a cat", "-m", model, "-W", 64, "-H", 64, "--steps", 1, *more]
        done = CliRunner().invoke(main, [str(word) for word in asked])
        assert done.exit_code == 2, (done.exit_code, done.output)
        assert done.stdout == "" and done.stderr.startswith("darkroom: ")
        assert done.stderr.count("\n") == 1 and done.stderr.endswith(".\n")
        assert not list(tmp_path.rglob("*.png"))
        return done.stderr

    return say


def changed(source, target, change):
    """A file with its tensors, a dict, changed in place."""
    tensors = load_file(source)
    change(tensors)
    save_file(tensors, target)
    return target


def test_damaged_files(whole, refused, tmp_path):
    data = (whole / "sd1.safetensors").read_bytes()
    file = tmp_path / "model.safetensors"
    file.write_bytes(data[: len(data) // 2])
    assert "cut short" in refused(file) and "get the file again" in refused(file)
    file.write_bytes(data[:8] + bytes([data[8] ^ 1]) + data[9:])
    assert "get the file again" in refused(file)
    (length,) = struct.unpack("<Q", data[:8])
    file.write_bytes(struct.pack("<Q", length ^ (1 << 40)) + data[8:])
    assert "get the file again" in refused(file)
    for at in range(8, 8 + length, length // 12):  # whatever a flipped bit makes of the header
        file.write_bytes(data[:at] + bytes([data[at] ^ 2]) + data[at + 1 :])
        assert refused(file)
    file.write_bytes(b"")
    assert "an empty file" in refused(file)
    file.write_bytes(b"<!DOCTYPE html><html>Log in</html>")
    assert "a web page" in refused(file)


def test_files_that_are_no_models(whole, refused, tmp_path):
    lora = {
        f"lora_unet_mid_block_attentions_0_proj_in.lora_{way}.weight": torch.ones(4, 4)
        for way in ("up", "down")
    }
    save_file(lora, tmp_path / "lora.safetensors")
    assert "--lora" in refused(tmp_path / "lora.safetensors")
    vae = whole / "sd1" / "vae" / "diffusion_pytorch_model.safetensors"
    assert "a part, which --with takes beside a model (vae)" in refused(vae)
    save_file({"some.weight": torch.ones(3)}, tmp_path / "other.safetensors")
    assert "no tensor has a name that is known here" in refused(tmp_path / "other.safetensors")
    assert "--lora" in refused(whole / "sd1", "--with", tmp_path / "lora.safetensors")


def test_parts_of_another_model(whole, refused, tmp_path):
    flux_vae = whole / "flux" / "vae" / "diffusion_pytorch_model.safetensors"
    assert "same family" in refused(whole / "sd1.safetensors", "--with", flux_vae)
    sd1_vae = whole / "sd1" / "vae" / "diffusion_pytorch_model.safetensors"
    assert "same family" in refused(whole / "flux", "--with", sd1_vae)
    assert "same family" in refused(whole / "flux", "--with", whole / "sd3")
    tiny_clip = {
        name: torch.cat([one, one], -1) if "token_embedding" in name else one
        for name, one in load_file(whole / "sd1" / "text_encoder" / "model.safetensors").items()
    }
    save_file(tiny_clip, tmp_path / "clip.safetensors")
    assert "text 64 wide" in refused(whole / "sd1.safetensors", "--with", tmp_path / "clip.safetensors")
    assert "check its name" in refused(whole / "sd1", "--with", tmp_path / "gone.safetensors")


def test_weights_that_do_not_fit(whole, refused, tmp_path):
    file, network = whole / "sd1.safetensors", "model.diffusion_model."

    def wider(tensors):
        name = f"{network}middle_block.0.in_layers.2.weight"
        tensors[name] = torch.cat([tensors[name], tensors[name]])

    def fewer(tensors):
        del tensors[f"{network}out.2.bias"]

    def not_numbers(name):
        return lambda tensors: tensors[name].view(-1)[:1].fill_(float("nan"))

    assert "does not fit" in refused(changed(file, tmp_path / "wider.safetensors", wider))
    assert "lacks 1 of" in refused(changed(file, tmp_path / "fewer.safetensors", fewer))
    for name in (
        f"{network}out.2.weight",
        "first_stage_model.decoder.conv_in.weight",
        "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight",
    ):
        said = refused(changed(file, tmp_path / "nan.safetensors", not_numbers(name)))
        assert "NaN or infinite" in said and "get it again" in said


def test_networks_that_want_to_see_more(whole, refused, tmp_path):
    def of_eight(tensors):
        name = "model.diffusion_model.input_blocks.0.0.weight"
        tensors[name] = torch.cat([tensors[name], tensors[name]], 1)

    pix2pix = changed(whole / "sd1.safetensors", tmp_path / "pix2pix.safetensors", of_eight)
    assert "takes 8 channels" in refused(pix2pix)


def test_folders_that_are_no_models(whole, refused, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    assert "has no model_index.json; name a model's folder, or a single file" in refused(folder)
    (folder / "model.safetensors").symlink_to(whole / "sd1.safetensors")
    assert "name one of its files (model.safetensors)" in refused(folder)
    (folder / "model_index.json").write_text("{")
    assert "cannot be read" in refused(folder)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "Nothing"}))
    assert "neither a unet nor a transformer" in refused(folder)


@pytest.mark.parametrize(
    ("model", "part"), [("sd1", "vae"), ("sd1", "text_encoder"), ("sd3", "text_encoder_3")]
)
def test_folders_that_lack_a_part(whole, refused, tmp_path, model, part):
    folder = tmp_path / "folder"
    folder.mkdir()
    for one in (whole / model).iterdir():
        if one.name != part:
            (folder / one.name).symlink_to(one)
    said = refused(folder)
    assert f"lacks {part}, which its model_index.json names" in said and "--with" in said
    (folder / part).mkdir()
    assert "has no weights" in refused(folder)
