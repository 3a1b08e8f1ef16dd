"""The PixArt transformer: the same answers and names as diffusers' own."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from darkroom.errors import DarkroomError
from darkroom.networks.conditioning import Conditioning
from darkroom.networks.pixart import PixArt, PixArtConfig

ALPHA: dict[str, Any] = {  # of the 1024 pixel model, written by an old diffusers
    "_class_name": "Transformer2DModel",
    "_diffusers_version": "0.22.0.dev0",
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "attention_head_dim": 72,
    "attention_type": "default",
    "caption_channels": 4096,
    "cross_attention_dim": 1152,
    "double_self_attention": False,
    "dropout": 0.0,
    "in_channels": 4,
    "norm_elementwise_affine": False,
    "norm_eps": 1e-06,
    "norm_num_groups": 32,
    "norm_type": "ada_norm_single",
    "num_attention_heads": 16,
    "num_embeds_ada_norm": 1000,
    "num_layers": 28,
    "num_vector_embeds": None,
    "only_cross_attention": False,
    "out_channels": 8,
    "patch_size": 2,
    "sample_size": 128,
    "upcast_attention": False,
    "use_linear_projection": False,
}
SMALL = {"num_attention_heads": 2, "attention_head_dim": 12, "num_layers": 2, "caption_channels": 10} | {
    "cross_attention_dim": 24
}
TINY: dict[str, dict[str, Any]] = {
    "alpha, 512": {**SMALL, "sample_size": 64},
    "alpha, 1024": {**SMALL, "sample_size": 128, "use_additional_conditions": True},
    "sigma": {**SMALL, "sample_size": 128, "use_additional_conditions": False, "interpolation_scale": 2},
    "plain": {
        **SMALL,
        "sample_size": 32,
        "out_channels": None,
        "caption_channels": None,
        "attention_bias": False,
    },
}


def pair(values: dict[str, Any]) -> tuple[Any, PixArt]:
    """Diffusers' network and ours with the same random weights."""
    kind = pytest.importorskip("diffusers.models.transformers.pixart_transformer_2d").PixArtTransformer2DModel
    torch.manual_seed(0)
    theirs = kind(**values).eval()
    for parameter in theirs.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    ours = PixArt(PixArtConfig.from_diffusers(values)).eval()
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def told(network: PixArt, rows: int = 2) -> Conditioning:
    """A prompt of seven tokens, of which the first row has three; and the sizes, where they are asked for."""
    width = network.config.caption_channels or network.config.cross_attention_dim
    mask = torch.arange(7) < torch.tensor([3, 7, 5, 1])[:rows, None]
    sizes = {
        "resolution": torch.tensor([[512.0, 1024.0], [768.0, 640.0]]),
        "aspect_ratio": torch.tensor([[0.5], [1.2]]),
    }
    extra = sizes if network.config.use_additional_conditions else {}
    return Conditioning(tokens=torch.randn(rows, 7, width), mask=mask, extra=extra)


def answer_of(theirs: Any, x: Tensor, time: Tensor, cond: Conditioning) -> Tensor:
    sizes = dict(cond.extra) or {"resolution": None, "aspect_ratio": None}
    mask = cond.mask if cond.mask is None else cond.mask.long()
    made = theirs(x, cond.tokens, time, added_cond_kwargs=sizes, encoder_attention_mask=mask).sample
    return made[:, : x.shape[1]]


def apart(ours: Tensor, theirs: Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm()).item()


@pytest.mark.parametrize("name", TINY)
@torch.inference_mode()
def test_the_answer_is_diffusers_own(name):
    theirs, ours = pair(TINY[name])
    cond, time = told(ours), torch.tensor([17.0, 901.5])
    native = TINY[name]["sample_size"]
    for high, wide in ((8, 12), (native // 2, 6), (native, native) if native < 64 else (10, 4)):
        x = torch.randn(2, 4, high, wide)
        for given in (cond, replace(cond, mask=None)):
            assert apart(ours(x, time, given), answer_of(theirs, x, time, given)) < 1e-5
    exact = answer_of(theirs, x, time, cond)
    near = answer_of(theirs.bfloat16(), x.bfloat16(), time, cond.to(dtype=torch.bfloat16))
    half = ours.bfloat16()(x, time, cond)
    assert half.dtype == torch.float32
    assert apart(half, near) < 1e-2
    assert apart(half, exact) < 1.2 * apart(near, exact) < 3e-2  # no less exact than diffusers'


@torch.inference_mode()
def test_masked_tokens_do_not_count_and_the_others_do():
    _, ours = pair(TINY["sigma"])
    cond, x, time = told(ours), torch.randn(2, 4, 8, 8), torch.tensor([17.0, 901.5])
    assert cond.tokens is not None
    answer = ours(x, time, cond)
    hidden, shown = cond.tokens.clone(), cond.tokens.clone()
    hidden[0, 3:] += 1
    shown[0, :3] += 1
    torch.testing.assert_close(ours(x, time, replace(cond, tokens=hidden)), answer)
    assert (ours(x, time, replace(cond, tokens=shown)) - answer)[0].abs().max() > 1e-3
    torch.testing.assert_close(ours(x, time, cond.padded(11)), answer)


@torch.inference_mode()
def test_perturbed_attention_sees_its_own_position_alone():
    _, ours = pair(TINY["sigma"])
    both = replace(told(ours), perturb=torch.tensor([[True, True], [False, False]]))
    x, time = torch.randn(2, 4, 8, 8), torch.tensor([500.0, 500.0])
    elsewhere = x.clone()
    elsewhere[..., 4:] += 1
    change = (ours(elsewhere, time, both) - ours(x, time, both))[..., :4].abs().amax((1, 2, 3))
    assert change[0] < 1e-5 < 1e-3 < change[1]
    blind = told(ours).blind(ours.middle_blocks)
    assert (ours(x, time, blind) - ours(x, time, told(ours))).abs().amax((1, 2, 3)).min() > 1e-4


def test_it_compiles_in_one_graph():
    _, ours = pair(TINY["alpha, 1024"])
    given = torch.randn(2, 4, 8, 8), torch.tensor([17.0, 901.5]), told(ours)
    with torch.inference_mode():
        torch.testing.assert_close(torch.compile(ours, fullgraph=True, backend="eager")(*given), ours(*given))


def shapes_of(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def test_the_published_size_has_diffusers_names():
    kind = pytest.importorskip("diffusers.models.transformers.pixart_transformer_2d").PixArtTransformer2DModel
    config = PixArtConfig.from_diffusers(ALPHA)
    assert (config.use_additional_conditions, config.interpolation_scale) == (True, 2)
    with torch.device("meta"):
        ours, theirs = PixArt(config), kind(caption_channels=4096)
    assert shapes_of(ours) == shapes_of(theirs)
    assert PixArtConfig.from_shapes(shapes_of(ours)) == config


@pytest.mark.parametrize("name", TINY)
def test_shapes_tell_the_configuration(name):
    config = PixArtConfig.from_diffusers(TINY[name])
    with torch.device("meta"):
        shapes = shapes_of(PixArt(config))
    assert PixArtConfig.from_shapes(shapes, config.sample_size, num_attention_heads=2) == config


def test_what_we_lack_is_refused_by_name():
    with pytest.raises(DarkroomError, match="'norm_type' of this Transformer2DModel is 'layer_norm'"):
        PixArtConfig.from_diffusers(ALPHA | {"norm_type": "layer_norm"})
    with pytest.raises(DarkroomError, match=r"'double_self_attention' \(True\) is an option"):
        PixArtConfig.from_diffusers(ALPHA | {"double_self_attention": True})
    with pytest.raises(DarkroomError, match=r"it has no 'adaln_single.linear.weight'"):
        PixArtConfig.from_shapes({"pos_embed.proj.weight": (8, 4, 2, 2), "proj_out.weight": (32, 8)})
    network = PixArt(PixArtConfig.from_diffusers(TINY["alpha, 1024"]))
    with pytest.raises(ValueError, match="'resolution' and 'aspect_ratio'"):
        network(torch.zeros(2, 4, 8, 8), torch.zeros(2), replace(told(network), extra={}))
