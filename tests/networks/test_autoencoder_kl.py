"""The latent diffusion autoencoder: the same answers, names and sizes as diffusers' own."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from darkroom.errors import DarkroomError
from darkroom.networks.autoencoder_kl import AutoencoderKL, AutoencoderKLConfig
from darkroom.networks.posterior import Posterior

BLOCKS = {
    n: {"down_block_types": n * ["DownEncoderBlock2D"], "up_block_types": n * ["UpDecoderBlock2D"]}
    for n in (2, 3, 4)
}
SD1: dict[str, Any] = {
    **BLOCKS[4],
    "_class_name": "AutoencoderKL",
    "_diffusers_version": "0.6.0",
    "act_fn": "silu",
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "sample_size": 512,
}
FLUX: dict[str, Any] = {
    **SD1,
    "latent_channels": 16,
    "latents_mean": None,
    "latents_std": None,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
TINY: dict[str, dict[str, Any]] = {
    "four channels": {
        **BLOCKS[3],
        "block_out_channels": [8, 16, 16],
        "layers_per_block": 2,
        "norm_num_groups": 4,
    },
    "sixteen channels": {
        **BLOCKS[2],
        "block_out_channels": [8, 12],
        "norm_num_groups": 2,
        "latent_channels": 16,
        "scaling_factor": 0.3611,
        "shift_factor": 0.1159,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    },
    "no attention": {
        **BLOCKS[2],
        "block_out_channels": [8, 8],
        "norm_num_groups": 8,
        "mid_block_add_attention": False,
    },
}


def shapes_of(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def pair(values: Mapping[str, Any], seed: int = 0) -> tuple[Any, AutoencoderKL]:
    """Diffusers' network and ours with the same random weights, group norms' too."""
    theirs_kl = pytest.importorskip("diffusers.models.autoencoders.autoencoder_kl").AutoencoderKL
    torch.manual_seed(seed)
    theirs = theirs_kl(**{k: v for k, v in values.items() if not k.startswith("_")}).eval()
    for parameter in theirs.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    ours = AutoencoderKL(AutoencoderKLConfig.from_diffusers(values)).eval()
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def apart(ours: Tensor, theirs: Tensor) -> float:
    """How far two answers are apart, against the size of theirs."""
    return ((ours - theirs).float().norm() / theirs.float().norm()).item()


@pytest.mark.parametrize("name", TINY)
@torch.inference_mode()
def test_encoding_and_decoding_are_diffusers_own(name):
    theirs, ours = pair(TINY[name])
    for sides in ((16, 24), (21, 27)):  # sides that do not divide are rounded down, as there
        pictures = torch.rand(2, 3, *sides) * 2 - 1
        posterior, expected = ours.encode_raw(pictures), theirs.encode(pictures).latent_dist
        assert posterior.mean.shape[2:] == tuple(side // ours.downscale for side in sides)
        assert apart(posterior.mean, expected.mean) < 1e-5
        assert apart(posterior.std, expected.std) < 1e-5
        raw = torch.randn_like(expected.mean)
        assert apart(ours.decode_raw(raw), theirs.decode(raw).sample) < 1e-5


@pytest.mark.parametrize("name", TINY)
@torch.inference_mode()
def test_half_the_precision_stays_near_and_the_caller_s_is_answered(name):
    theirs, ours = pair(TINY[name])
    pictures, raw = torch.rand(2, 3, 32, 32) * 2 - 1, torch.randn(2, ours.config.latent_channels, 8, 8)
    exact = theirs.encode(pictures).latent_dist.mean, theirs.decode(raw).sample
    theirs.bfloat16()
    half = theirs.encode(pictures.bfloat16()).latent_dist.mean, theirs.decode(raw.bfloat16()).sample
    ours.bfloat16()
    answers = ours.encode_raw(pictures).mean, ours.decode_raw(raw)
    for answer, near, far in zip(answers, half, exact, strict=True):
        assert answer.dtype == torch.float32
        assert apart(near, far) < 3e-2  # of bfloat16 itself, in narrow networks with random weights
        assert apart(answer, near) < apart(near, far)
        assert apart(answer, far) < 1.2 * apart(near, far)
    assert ours.decode(raw.bfloat16()).dtype == torch.bfloat16


@torch.inference_mode()
def test_diffusion_s_latents_are_shifted_and_scaled():
    _, ours = pair(TINY["sixteen channels"])
    pictures = torch.rand(1, 3, 16, 16)
    raw, latents = ours.encode_raw(pictures), ours.encode(pictures)
    torch.testing.assert_close(latents.mean, (raw.mean - 0.1159) * 0.3611)
    torch.testing.assert_close(latents.std, raw.std * 0.3611)
    torch.testing.assert_close(ours.from_latents(latents.mean), raw.mean)
    torch.testing.assert_close(ours.decode(latents.mean), ours.decode_raw(raw.mean), rtol=1e-4, atol=1e-5)


def test_latents_can_be_normalized_channel_by_channel():
    """As Playground v2.5 has it."""
    mean, std = (-1.6, 1.9, -1.4, 2.5), (8.5, 5.9, 6.5, 5.2)
    values = TINY["four channels"] | {"scaling_factor": 0.5, "latents_mean": [*mean], "latents_std": [*std]}
    ours = AutoencoderKL(AutoencoderKLConfig.from_diffusers(values))
    raw = torch.randn(2, 4, 3, 3)
    rows = [(raw[:, i] - mean[i]) * 0.5 / std[i] for i in range(4)]
    torch.testing.assert_close(ours.to_latents(raw), torch.stack(rows, dim=1))
    torch.testing.assert_close(ours.from_latents(ours.to_latents(raw)), raw)


def test_a_posterior_is_sampled_with_given_noise():
    posterior = Posterior(torch.full((1, 1, 2, 2), 3.0), torch.full((1, 1, 2, 2), 0.5))
    assert posterior.sample(torch.full((1, 1, 2, 2), 2.0)).eq(4.0).all()


@pytest.mark.parametrize(("values", "count"), [(SD1, 83_653_863), (FLUX, 83_819_683)])
def test_published_sizes_have_diffusers_names(values, count):
    theirs_kl = pytest.importorskip("diffusers.models.autoencoders.autoencoder_kl").AutoencoderKL
    config = AutoencoderKLConfig.from_diffusers(values)
    with torch.device("meta"):
        ours = AutoencoderKL(config)
        theirs = theirs_kl(**{k: v for k, v in values.items() if not k.startswith("_")})
    assert shapes_of(ours) == shapes_of(theirs)
    assert sum(parameter.numel() for parameter in ours.parameters()) == count
    again = AutoencoderKLConfig.from_shapes(
        shapes_of(ours), scaling_factor=config.scaling_factor, shift_factor=config.shift_factor
    )
    assert again == config


@pytest.mark.parametrize("name", TINY)
def test_shapes_tell_the_configuration(name):
    config = AutoencoderKLConfig.from_diffusers(TINY[name])
    with torch.device("meta"):
        shapes = shapes_of(AutoencoderKL(config))
    told = {"scaling_factor": config.scaling_factor, "shift_factor": config.shift_factor}
    assert AutoencoderKLConfig.from_shapes(shapes, **told, norm_num_groups=config.norm_num_groups) == config


def test_it_compiles_in_one_graph():
    _, ours = pair(TINY["sixteen channels"])
    latents = torch.randn(1, 16, 4, 4)
    with torch.inference_mode():
        compiled = torch.compile(ours, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(latents), ours(latents))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"act_fn": "gelu"}, "'act_fn' of this AutoencoderKL is 'gelu'"),
        ({"up_block_types": ["UpDecoderBlock2D", "AttnUpDecoderBlock2D"]}, "AttnUpDecoderBlock2D"),
        ({"use_magic": True}, "'use_magic' .True. is an option of AutoencoderKL that we don't have"),
        ({"_class_name": "AsymmetricAutoencoderKL"}, "that of a 'AsymmetricAutoencoderKL'"),
        ({"latents_mean": [0.0, 0.0, 0.0, 0.0]}, "go together"),
        ({"latents_mean": [0.0], "latents_std": [1.0], "shift_factor": 0.1}, "give one of them"),
    ],
)
def test_options_that_we_lack_are_refused_by_name(change, message):
    AutoencoderKLConfig.from_diffusers(SD1 | {"use_magic": False, "sample_size": 1024})
    with pytest.raises(DarkroomError, match=message):
        AutoencoderKLConfig.from_diffusers(SD1 | change)


def test_files_and_pictures_that_will_not_do_are_refused():
    with pytest.raises(DarkroomError, match=r"it has no 'decoder.up_blocks.0.resnets.0.conv1.weight'"):
        AutoencoderKLConfig.from_shapes({"unet.conv_in.weight": (320, 4, 3, 3)}, scaling_factor=1.0)
    ours = AutoencoderKL(AutoencoderKLConfig.from_diffusers(TINY["four channels"]))
    with pytest.raises(DarkroomError, match="a picture of 40x3 is too small"):
        ours.encode(torch.zeros(1, 3, 3, 40))
