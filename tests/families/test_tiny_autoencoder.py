"""A tiny autoencoder in the place of a model's own, as diffusers' folders and its author's files have it."""

from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from darkroom.adapters.controls import hint_of
from darkroom.errors import DarkroomError
from darkroom.networks.mmdit_controlnet import MMDiTControlNet
from darkroom.networks.taesd import TinyAutoencoder, TinyAutoencoderConfig

pytest.importorskip("diffusers")
from diffusers import AutoencoderTiny
from tests.families import tiny
from tests.families.hanging import NOTHING, SIDE, far, ours, theirs

CHANNELS = {"sd1": 4, "flux": 16}
KIND = {"encoder_block_out_channels": (8, 8, 8, 8), "decoder_block_out_channels": (8, 8, 8, 8)}


def small(channels: int) -> AutoencoderTiny:
    """One with random weights, strong enough to give a picture of some contrast."""
    torch.manual_seed(0)
    made = AutoencoderTiny(latent_channels=channels, **KIND).eval()
    for parameter in made.decoder.layers[-1].parameters():
        parameter.data.mul_(4)
    return made


def released(made: AutoencoderTiny, half: str, path):
    """One half as its author releases it."""
    offset = 1 if half == "decoder" else 0
    tensors = {}
    for name, tensor in getattr(made, half).layers.state_dict().items():
        number, _, rest = name.partition(".")
        tensors[f"{int(number) + offset}.{rest}"] = tensor.contiguous()
    save_file(tensors, path)
    return path


@contextmanager
def instead(pipeline, autoencoder):
    """A pipeline, which other tests have too, with another autoencoder."""
    own, pipeline.vae = pipeline.vae, autoencoder
    try:
        yield pipeline
    finally:
        pipeline.vae = own


@pytest.mark.parametrize("family", CHANNELS)
def test_pictures_are_those_of_diffusers_with_its_tiny_autoencoder(folders, plain, tmp_path, family):
    folder, given, without = folders(family), small(CHANNELS[family]), plain(family)
    with instead(getattr(tiny, family)(), given) as pipeline:
        expected = theirs(pipeline, family)
    given.save_pretrained(tmp_path / "vae")
    file = released(given, "decoder", tmp_path / "taesd_decoder.safetensors")
    for other in (tmp_path / "vae", file):
        assert far(ours(folder, family, NOTHING, others=(other,)), expected) <= 1
    assert expected.std() > 5 and far(without, expected) > 20


def test_what_half_of_one_cannot_do_is_told(folders, tmp_path, noise_picture):
    given = small(4)
    decoder, encoder = (
        released(given, half, tmp_path / f"taesd_{half}.safetensors") for half in ("decoder", "encoder")
    )
    with pytest.raises(DarkroomError, match="has a decoder alone; give its encoder too"):
        ours(folders("sd1"), "sd1", NOTHING, others=(decoder,), init_image=noise_picture)
    with pytest.raises(DarkroomError, match=r"no 'decoder\.layers\.0\.weight'; give a file that has"):
        ours(folders("sd1"), "sd1", NOTHING, others=(encoder,))
    other = released(small(16), "decoder", tmp_path / "taef1_decoder.safetensors")
    with pytest.raises(DarkroomError, match="has parts for sd3, flux, and the model is of the family sd"):
        ours(folders("sd1"), "sd1", NOTHING, others=(other,))


def test_a_controlnet_that_must_know_the_shift_refuses_a_tiny_autoencoder():
    tiny_one = TinyAutoencoder(TinyAutoencoderConfig(latent_channels=16, width=8))
    network = MMDiTControlNet.__new__(MMDiTControlNet)
    torch.nn.Module.__init__(network)
    network.config = SimpleNamespace(zero_pooled=True)
    with pytest.raises(DarkroomError, match="needs the model's own autoencoder; leave the tiny one out"):
        hint_of(network, torch.zeros(1, 3, 16, 16), tiny_one)


@pytest.fixture
def noise_picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    return tmp_path / "noise.png"
