"""Single files in the layouts that they are published in: the same pictures as from the folder.

Where a tensor lies in memory decides which instructions multiply it, so the last bit of a picture may differ.
"""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from darkroom.errors import DarkroomError
from darkroom.families.family import Options
from darkroom.families.probe import predicts_v
from darkroom.families.registry import load, opened
from darkroom.studio.develop import develop
from darkroom.studio.request import Request
from darkroom.text.models import load_clip
from darkroom.weights.convert import convert

pytest.importorskip("diffusers")
from tests.families import tiny

BUILD = {
    "sd1": lambda: tiny.sd1(act="gelu"),
    "sd2": lambda: tiny.sd2(layers=23),
    "sdxl": lambda: tiny.sdxl(act="gelu"),
    "refiner": tiny.refiner,
    "sd3": lambda: tiny.sd3(act="gelu"),
    "sd3 without T5": lambda: tiny.sd3(act="gelu", with_t5=False),
    "flux": lambda: tiny.flux(act="gelu"),
}
"""Models whose activations and heads are those that a file's shapes are taken for."""


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """The folder of each of them, written once."""
    root, made = tmp_path_factory.mktemp("folders"), {}

    def folder(name):
        if name not in made:
            made[name] = tiny.save(BUILD[name](), root / name.replace(" ", "-"))
        return made[name]

    return folder


@pytest.fixture(scope="session")
def files(folders, tmp_path_factory):
    """Each as a single file, with the tokenizers that no file holds beside it."""
    made = {}

    def file(name):
        if name not in made:
            root = tmp_path_factory.mktemp("files")
            made[name] = root / "model.safetensors"
            convert(folders(name), made[name])
            for tokenizer in folders(name).glob("tokenizer_[23]"):
                if (tokenizer / "spiece.model").exists() or "sd3" in name or name == "flux":
                    shutil.copytree(tokenizer, root / tokenizer.name)
        return made[name]

    return file


def picture(model, others=(), **settings):
    """A small picture of a few steps."""
    request = Request(
        prompt="a red cat, and a dog",
        negative="blurred",
        seed=3,
        steps=4,
        width=64,
        height=64,
        model=str(model),
        others=tuple(others),
        **settings,
    )
    return develop(request).images[0].astype(int)


def same(one, other):
    """Whether two pictures differ by rounding alone."""
    apart = np.abs(one - other)
    return apart.max() <= 1 and (apart > 0).mean() < 0.002


def rewritten(source, target, change, metadata=None):
    """A file with its tensors, a dict, changed in place."""
    tensors = load_file(source)
    change(tensors)
    save_file(tensors, target, metadata)
    return target


@pytest.mark.parametrize("name", [name for name in BUILD if name != "sd2"])
def test_a_single_file_makes_the_picture_of_its_folder(folders, files, name):
    expected = picture(folders(name))
    assert expected.std() > 10
    assert same(picture(files(name)), expected)


def test_what_stable_diffusion_2_predicts_is_told_or_asked(folders, files, tmp_path):
    """And the 24th layer of its text encoder, which files have and folders leave out, counts for nothing."""

    def with_last_layer(tensors):
        old, new = "cond_stage_model.model.transformer.resblocks.22.", "resblocks.23."
        for name in [name for name in tensors if name.startswith(old)]:
            tensors[name.replace("resblocks.22.", new)] = torch.randn_like(tensors[name])

    def marked(tensors):
        with_last_layer(tensors)
        tensors["v_pred"] = torch.tensor([])

    said = {"modelspec.prediction_type": "v", "format": "pt"}
    silent = rewritten(files("sd2"), tmp_path / "silent.safetensors", with_last_layer)
    told = rewritten(files("sd2"), tmp_path / "told.safetensors", with_last_layer, said)
    mark = rewritten(files("sd2"), tmp_path / "mark.safetensors", marked)
    expected = picture(folders("sd2"))
    for file, variant in ((files("sd2"), None), (silent, "v"), (told, None), (mark, None)):
        assert same(picture(file, variant=variant), expected), (file, variant)
    assert np.abs(picture(silent, variant="eps") - expected).max() > 20


def test_a_network_that_answers_noise_with_noise_predicts_eps():
    class Answers(torch.nn.Module):
        def __init__(self, of_noise, of_signal):
            super().__init__()
            self.of_noise, self.of_signal = of_noise, of_signal

        def forward(self, x, time, cond):
            signal = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
            return self.of_noise * x + self.of_signal * signal

    assert not predicts_v(Answers(0.998, 0.07), 4, 64)  # eps, not quite found
    assert predicts_v(Answers(0.068, -0.998), 4, 64)  # v at the last index: alpha eps - sigma x0


def test_heads_and_activation_follow_the_published_widths():
    def config(width):
        draw = torch.zeros
        tensors = {
            "text_model.embeddings.token_embedding.weight": draw(8, width),
            "text_model.embeddings.position_embedding.weight": draw(77, width),
            "text_model.final_layer_norm.weight": draw(width),
            "text_model.final_layer_norm.bias": draw(width),
        }
        for part in ("q", "k", "v", "out"):
            tensors[f"text_model.encoder.layers.0.self_attn.{part}_proj.weight"] = draw(width, width)
            tensors[f"text_model.encoder.layers.0.self_attn.{part}_proj.bias"] = draw(width)
        for part, (out, into) in (("fc1", (4 * width, width)), ("fc2", (width, 4 * width))):
            tensors[f"text_model.encoder.layers.0.mlp.{part}.weight"] = draw(out, into)
            tensors[f"text_model.encoder.layers.0.mlp.{part}.bias"] = draw(out)
        for norm in ("layer_norm1", "layer_norm2"):
            tensors[f"text_model.encoder.layers.0.{norm}.weight"] = draw(width)
            tensors[f"text_model.encoder.layers.0.{norm}.bias"] = draw(width)
        found = load_clip(tensors).model.config
        return found.num_attention_heads, found.hidden_act

    assert config(768) == (12, "quick_gelu")
    assert config(1024) == (16, "gelu") and config(1280) == (20, "gelu")


def test_flux_from_a_bare_transformer_and_parts_in_files(folders, files, tmp_path):
    """As it is published: flux1-dev.safetensors, ae.safetensors, clip_l.safetensors and t5xxl.safetensors."""
    tensors = load_file(files("flux"))
    prefixes = {
        "flux1-dev": "model.diffusion_model.",
        "ae": "vae.",
        "clip_l": "text_encoders.clip_l.transformer.",
        "t5xxl": "text_encoders.t5xxl.transformer.",
    }
    for name, prefix in prefixes.items():
        bare = {key.removeprefix(prefix): one for key, one in tensors.items() if key.startswith(prefix)}
        save_file(bare, tmp_path / f"{name}.safetensors")
    network, *others = (tmp_path / f"{name}.safetensors" for name in prefixes)
    with pytest.raises(
        DarkroomError, match=r"has no \w+, only transformer; give the missing part with --with"
    ):
        picture(network)
    with pytest.raises(DarkroomError, match=r"tokenizer_2"):
        picture(network, others)
    shutil.copytree(folders("flux") / "tokenizer_2", tmp_path / "tokenizer_2")
    load_model_again()
    expected = picture(folders("flux"))
    assert same(picture(network, others), expected)
    assert same(picture(network, [folders("flux")]), expected)
    parts = [folders("flux") / part for part in ("vae", "text_encoder", "text_encoder_2")]
    assert same(picture(network, parts), expected)


def load_model_again():
    """What is loaded is kept by its name; a file beside it has changed."""
    from darkroom.studio.models import open_model

    open_model.cache_clear()


def test_sd3_without_the_projection_of_its_first_clip_has_the_identity(files, tmp_path):
    name = "text_encoders.clip_l.transformer.text_projection.weight"

    def without(tensors):
        del tensors[name]

    def identity(tensors):
        tensors[name] = torch.eye(64)

    source = files("sd3 without T5")
    one = rewritten(source, tmp_path / "without.safetensors", without)
    other = rewritten(source, tmp_path / "identity.safetensors", identity)
    assert np.array_equal(picture(one), picture(other))
    assert not np.array_equal(picture(one), picture(source))


def test_weights_of_eight_bits_with_scales_are_multiplied_out(folders, files, tmp_path):
    """Scales that are powers of two, and weights that eight bits hold exactly, lose nothing."""
    name = "text_encoders.t5xxl.transformer.encoder.block.0.layer.0.SelfAttention.q"

    def plain(tensors):
        weight = tensors[f"{name}.weight"]
        tensors[f"{name}.weight"] = (weight * 64).to(torch.float8_e4m3fn).float() / 64

    def scaled(tensors):
        weight = tensors[f"{name}.weight"]
        tensors[f"{name}.weight"] = (weight * 64).to(torch.float8_e4m3fn)
        tensors[f"{name}.scale_weight"] = torch.tensor([1 / 64])
        tensors["text_encoders.t5xxl.transformer.scaled_fp8"] = torch.zeros(2, dtype=torch.float8_e4m3fn)

    for folder in folders("sd3").glob("tokenizer_3"):
        shutil.copytree(folder, tmp_path / folder.name)
    one = rewritten(files("sd3"), tmp_path / "plain.safetensors", plain)
    other = rewritten(files("sd3"), tmp_path / "scaled.safetensors", scaled)
    assert np.array_equal(picture(one), picture(other))


def test_the_family_is_known_by_the_header(files):
    families = {"sd1": "sd", "sd2": "sd", "sdxl": "sdxl", "refiner": "sdxl", "sd3": "sd3", "flux": "flux"}
    for name, family in families.items():
        assert opened(files(name))[0] == family
    assert load(files("refiner"), Options()).name == "Stable Diffusion XL refiner"
