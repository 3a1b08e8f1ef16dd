"""What ``darkroom inspect`` and ``darkroom convert`` print."""

import json

import pytest
import torch
from safetensors.torch import save_file

BLOCK = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"


@pytest.fixture
def lora(tmp_path):
    path = tmp_path / "style.safetensors"
    tensors = {
        f"{BLOCK}.lora_down.weight": torch.zeros(8, 2048),
        f"{BLOCK}.lora_up.weight": torch.zeros(640, 8),
    }
    frequency = {"10_cats": {"cat": 7, "a hat": 2}, "5_more": {"cat": 1}}
    metadata = {
        "ss_tag_frequency": json.dumps(frequency),
        "ss_network_dim": "8",
        "modelspec.trigger_phrase": "zwx cat",
        "modelspec.license": "CC0",
        "modelspec.thumbnail": "data:image/jpeg;base64,AAAA",
        "ss_bucket_info": "x" * 500,
        "ss_empty": "None",
    }
    save_file(tensors, path, metadata)
    return path


def test_a_lora_is_told_with_what_calls_it(darkroom, lora):
    shown = darkroom("inspect", str(lora))
    assert shown.exit_code == 0
    for line in (
        "is        LoRA, kohya",
        "fits      sdxl",
        "layers    unet 1",
        "rank      8",
        "triggers  zwx cat",
    ):
        assert line in shown.stdout
    assert "captions  cat (8), a hat (2)" in shown.stdout and "licence   CC0" in shown.stdout
    assert "base64" not in shown.stdout and "ss_empty" not in shown.stdout and "x" * 300 not in shown.stdout


def test_json_has_the_same_facts(darkroom, lora):
    facts = json.loads(darkroom("inspect", str(lora), "--json").stdout)
    assert (facts["kind"], facts["fits"], facts["adapter"]["ranks"]) == ("adapter", ["sdxl"], [8])
    assert (facts["tensors"], facts["parameters"], facts["size"]) == (
        2,
        8 * 2048 + 640 * 8,
        lora.stat().st_size,
    )


def test_a_network_is_shown_part_by_part(darkroom, tmp_path):
    path = tmp_path / "model.vae.safetensors"
    tensors = {
        "decoder.conv_in.weight": torch.zeros(8, 4, 3, 3, dtype=torch.float16),
        "decoder.mid.block_1.norm1.weight": torch.zeros(8),
        "strange": torch.zeros(1),
    }
    save_file({f"first_stage_model.{name}": one for name, one in tensors.items()}, path)
    shown = darkroom("inspect", str(path)).stdout.splitlines()
    assert "is       part, latent-diffusion names" in shown
    assert "fits     sd1, sd2, sdxl, pixart" in shown and "unknown  1 tensors" in shown
    assert [*shown[-1].split()] == [
        "vae",
        "vae",
        "latent-diffusion",
        "297",
        "float16,",
        "float32",
        "612",
        "B",
    ]


def test_an_unknown_file_says_what_it_is_like(darkroom, tmp_path):
    save_file({"model.diffusion_model.txt_norm.weight": torch.zeros(2)}, tmp_path / "x.safetensors")
    shown = darkroom("inspect", str(tmp_path / "x.safetensors"))
    assert shown.exit_code == 0 and "unknown" in shown.stdout and "Qwen-Image" in shown.stdout


@pytest.mark.parametrize("command", ["inspect", "convert"])
def test_what_cannot_be_read_is_one_sentence(darkroom, tmp_path, command):
    (tmp_path / "page.safetensors").write_text("<html>404</html>")
    for name in ("page.safetensors", "nothing.safetensors"):
        target = [str(tmp_path / "out")] if command == "convert" else []
        done = darkroom(command, str(tmp_path / name), *target)
        assert done.exit_code == 2 and name in done.stderr and len(done.stderr.splitlines()) == 1


def test_convert_names_what_it_cannot_convert(darkroom, lora, tmp_path):
    done = darkroom("convert", str(lora), str(tmp_path / "out"))
    assert done.exit_code == 2 and "is LoRA" in done.stderr
