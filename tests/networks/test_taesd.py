"""The tiny autoencoders: the answers and names of diffusers' own, and the names of the author's files."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from darkroom.errors import DarkroomError
from darkroom.networks.taesd import TinyAutoencoder, TinyAutoencoderConfig
from darkroom.networks.tiled import Tiled
from darkroom.weights.parts import parts_of
from darkroom.weights.store import MemoryStore

PUBLISHED: dict[str, Any] = {
    "_class_name": "AutoencoderTiny",
    "_diffusers_version": "0.20.0.dev0",
    "act_fn": "relu",
    "block_out_channels": [64, 64, 64, 64],
    "decoder_block_out_channels": [64, 64, 64, 64],
    "encoder_block_out_channels": [64, 64, 64, 64],
    "force_upcast": False,
    "in_channels": 3,
    "latent_channels": 4,
    "latent_magnitude": 3,
    "latent_shift": 0.5,
    "num_decoder_blocks": [3, 3, 3, 1],
    "num_encoder_blocks": [1, 3, 3, 3],
    "out_channels": 3,
    "scaling_factor": 1.0,
    "upsampling_scaling_factor": 2,
}
TAEF1 = PUBLISHED | {"latent_channels": 16, "shift_factor": 0.0, "upsample_fn": "nearest"}
TINY = {
    "encoder_block_out_channels": [6, 6],
    "decoder_block_out_channels": [6, 6],
    "num_encoder_blocks": [1, 2],
    "num_decoder_blocks": [2, 1],
    "latent_channels": 5,
}


def pair(values: dict[str, Any]) -> tuple[Any, TinyAutoencoder]:
    """Diffusers' network and ours with the same random weights."""
    kind = pytest.importorskip("diffusers.models.autoencoders.autoencoder_tiny").AutoencoderTiny
    torch.manual_seed(0)
    own = {k: v for k, v in values.items() if not k.startswith("_") and k != "block_out_channels"}
    theirs = kind(**own).eval()
    ours = TinyAutoencoder(TinyAutoencoderConfig.from_diffusers(values)).eval()
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def shapes_of(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def apart(ours: Tensor, theirs: Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm()).item()


@pytest.mark.parametrize("values", [TINY, PUBLISHED, TAEF1], ids=["tiny", "TAESD", "TAEF1"])
@torch.inference_mode()
def test_encoding_and_decoding_are_diffusers_own(values):
    theirs, ours = pair(values)
    pictures = torch.rand(2, 3, 24, 32) * 2 - 1
    posterior = ours.encode(pictures)
    assert apart(posterior.mean, theirs.encode(pictures).latents) < 1e-5
    assert posterior.mean.shape[2:] == (24 // ours.downscale, 32 // ours.downscale)
    assert posterior.std.eq(0).all()
    latents = 4 * torch.randn_like(posterior.mean)  # some beyond the soft clamp
    assert apart(ours.decode(latents), theirs.decode(latents).sample) < 1e-5
    half = ours.bfloat16().decode(latents)
    assert half.dtype == torch.float32
    assert apart(half, theirs.decode(latents).sample) < 1e-2


@torch.inference_mode()
def test_what_lies_beyond_whole_positions_is_left_out():
    ours = TinyAutoencoder(TinyAutoencoderConfig(width=4))
    pictures = torch.rand(1, 3, 21, 39)
    assert ours.encode(pictures).mean.equal(ours.encode(pictures[..., :16, :32]).mean)
    assert Tiled(ours, tile=2, overlap=1).encode(pictures).mean.shape == (1, 4, 2, 4)


@pytest.mark.parametrize("values", [TINY, PUBLISHED, TAEF1], ids=["tiny", "TAESD", "TAEF1"])
def test_shapes_tell_the_configuration(values):
    config = TinyAutoencoderConfig.from_diffusers(values)
    with torch.device("meta"):
        ours = TinyAutoencoder(config)
    assert TinyAutoencoderConfig.from_shapes(shapes_of(ours)) == config


def test_a_decoder_alone_will_do():
    with torch.device("meta"):
        whole = TinyAutoencoder(TinyAutoencoderConfig())
    shapes = {name: shape for name, shape in shapes_of(whole).items() if name.startswith("decoder.")}
    config = TinyAutoencoderConfig.from_shapes(shapes)
    alone = TinyAutoencoder(config)
    assert shapes_of(alone) == shapes
    assert alone.decode(torch.zeros(1, 4, 2, 2)).shape == (1, 3, 16, 16)
    with pytest.raises(DarkroomError, match="has a decoder alone"):
        alone.encode(torch.zeros(1, 3, 16, 16))


def released(latent_channels: int) -> dict[str, dict[str, tuple[int, ...]]]:
    """Names and shapes in the author's files, his layers one by one.

    "b" a block, "c" a convolution without bias, "u" an upsampling; None a clamp or an activation.
    """
    wide = (64, 64, 3, 3)
    plans: dict[str, list[Any]] = {
        "encoder": [(64, 3, 3, 3), *"bcbbbcbbbcbbb", (latent_channels, 64, 3, 3)],
        "decoder": [None, (64, latent_channels, 3, 3), None, *"bbbucbbbucbbbucb", (3, 64, 3, 3)],
    }
    files: dict[str, dict[str, tuple[int, ...]]] = {}
    for half, plan in plans.items():
        file = files[half] = {}
        for i, layer in enumerate(plan):
            if layer == "b":
                for j in (0, 2, 4):
                    file |= {f"{i}.conv.{j}.weight": wide, f"{i}.conv.{j}.bias": (64,)}
            elif layer == "c":
                file[f"{i}.weight"] = wide
            elif isinstance(layer, tuple):
                file |= {f"{i}.weight": layer, f"{i}.bias": layer[:1]}
    return files


@pytest.mark.parametrize("channels", [4, 16])
def test_names_of_the_author_s_files_are_ours(channels):
    with torch.device("meta"):
        ours = shapes_of(TinyAutoencoder(TinyAutoencoderConfig(latent_channels=channels)))
    found = {}
    for file in released(channels).values():
        store = MemoryStore({name: torch.empty(shape, device="meta") for name, shape in file.items()})
        (part,) = parts_of(store.header)
        assert part.name == "vae"
        view = part.view(store)
        assert not view.unknown and not view.idle
        found |= view.header.shapes
    assert found == ours


def test_what_is_no_tiny_autoencoder_is_refused():
    with pytest.raises(DarkroomError, match=r"it has no 'decoder.layers.0.weight'"):
        TinyAutoencoderConfig.from_shapes({"decoder.conv_in.weight": (512, 4, 3, 3)})
    for change, message in (
        ({"act_fn": "mish"}, "'act_fn' of this AutoencoderTiny is 'mish'"),
        ({"decoder_block_out_channels": [256, 128, 64, 64]}, r"widths \[64, 128, 256\]"),
        ({"scaling_factor": 0.5}, "'scaling_factor'"),
    ):
        with pytest.raises(DarkroomError, match=message):
            TinyAutoencoderConfig.from_diffusers(PUBLISHED | change)
