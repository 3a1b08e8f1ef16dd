"""A starter file: everything comes back, and what is wrong is told."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from darkroom.errors import DarkroomError
from darkroom.families import registry
from darkroom.families.family import Options
from darkroom.families.starter import Painter, Starter, StarterConfig, load
from darkroom.networks.autoencoder import Autoencoder, AutoencoderConfig
from darkroom.networks.dit import DiTConfig
from darkroom.networks.text_encoder import TextEncoderConfig
from darkroom.studio.models import load_model
from darkroom.text.tokenizer import Tokenizer


@pytest.fixture
def starter() -> Starter:
    torch.manual_seed(0)
    tokenizer = Tokenizer(("red", "apple"))
    config = StarterConfig(
        TextEncoderConfig(tokenizer.word_count, tokenizer.letter_count, width=32, depth=1, heads=2),
        DiTConfig(channels=4, width=32, depth=1, heads=2, text_width=32),
        AutoencoderConfig(4, (8, 8, 8), (0, 0, 0)),
        tokenizer.vocabulary,
        side=32,
    )
    return Starter(config, Painter(config.text, config.network), Autoencoder(config.autoencoder))


def test_a_file_brings_everything_back(starter, tmp_path):
    starter.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert again.config == starter.config
    for name, tensor in starter.painter.state_dict().items():
        torch.testing.assert_close(again.painter.state_dict()[name], tensor, rtol=1e-3, atol=1e-4)
    one, two = (model.encode_prompts(["a red apple"]).pooled for model in (starter, again))
    torch.testing.assert_close(one, two, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("fault", ["missing", "shape", "format"])
def test_a_wrong_file_is_told_by_name(starter, tmp_path, fault):
    path = tmp_path / "model.safetensors"
    starter.save(path)
    tensors, name = load_file(path), "painter.network.embed.weight"
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    if fault == "missing":
        del tensors[name]
    elif fault == "shape":
        tensors[name] = np.zeros((3, 3), np.float16)
    else:
        metadata = {"other": "{}"}
    save_file(tensors, path, metadata)
    with pytest.raises(ValueError, match="not a starter file" if fault == "format" else name):
        load(path)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\xff" * 64])
def test_a_file_that_is_no_model_is_one_sentence(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(DarkroomError, match=r"model\.safetensors' is (an empty file|damaged or not)"):
        load_model(str(path))


def test_a_name_that_does_not_ship_offers_those_that_do():
    with pytest.raises(DarkroomError, match="did you mean 'starter'"):
        load_model("startr")


def test_parts_beside_a_starter_are_refused_rather_than_passed_over(tmp_path):
    (tmp_path / "vae.safetensors").touch()
    with pytest.raises(DarkroomError, match="leave --with out"):
        load_model("starter", "float32", None, False, (tmp_path / "vae.safetensors",))


def test_a_missing_package_is_named_with_the_command_that_brings_it(tmp_path, monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(f"No module named '{name}'", name="transformers")

    monkeypatch.setattr(registry, "opened", lambda *_: ("sd", None))
    monkeypatch.setattr(registry, "import_module", absent)
    with pytest.raises(DarkroomError, match=r"need the package 'transformers'.*pip install"):
        registry.load(tmp_path, Options())
