"""FLUX against diffusers' own, with the same random weights."""

from dataclasses import replace

import pytest
import torch
from flux_twins import DEV, ask, inputs, reference, twins
from twins import (
    assert_padding_changes_nothing,
    assert_rows_stand_alone,
    assert_same_gradients,
    assert_same_in_half,
    awake,
    relative,
    shapes,
)

from darkroom.errors import DarkroomError, InvalidRequest
from darkroom.networks.conditioning import Conditioning
from darkroom.networks.flux import Flux, FluxConfig
from darkroom.networks.flux_patches import fill_channels, pack

SCHNELL = DEV | {"guidance_embeds": False, "num_single_layers": 1}
FILL = DEV | {"in_channels": 16 + 16 + 256, "out_channels": 16}
DEPTH = DEV | {"in_channels": 32, "out_channels": 16, "num_single_layers": 1}
PUBLISHED = {"_class_name": "FluxTransformer2DModel", "patch_size": 1, "attention_head_dim": 128}
REAL = {
    "dev": PUBLISHED | {"guidance_embeds": True, "num_layers": 19, "num_single_layers": 38},
    "schnell": PUBLISHED | {"guidance_embeds": False, "in_channels": 64, "pooled_projection_dim": 768},
    "fill": PUBLISHED | {"guidance_embeds": True, "in_channels": 384, "out_channels": 64},
    "depth": PUBLISHED | {"guidance_embeds": True, "in_channels": 128, "out_channels": 64},
    "lite": PUBLISHED | {"guidance_embeds": True, "num_layers": 8, "axes_dims_rope": [16, 56, 56]},
}


@pytest.fixture(scope="module")
def dev():
    return twins(DEV)


@pytest.mark.parametrize("values", [DEV, SCHNELL, FILL, DEPTH], ids=["dev", "schnell", "fill", "depth"])
@torch.inference_mode()
def test_answers_as_diffusers_does(values):
    ours, theirs = twins(values)
    question = inputs(values)
    assert relative(ours(*question), ask(theirs, *question)) < 1e-5
    assert_same_in_half(ours, theirs, ask, *question)


def test_gradients_are_those_of_diffusers(dev):
    assert_same_gradients(*dev, ask, lambda: inputs(DEV))


@torch.inference_mode()
def test_a_picture_of_reference_stands_behind_the_latents_as_kontext_has_it(dev):
    ours, theirs = dev
    x, time, cond = inputs(DEV)
    looked_at = replace(cond, extra=cond.extra | {"reference": torch.randn(2, 4, 4, 8)})
    assert relative(ours(x, time, looked_at), ask(theirs, x, time, looked_at)) < 1e-5


@torch.inference_mode()
def test_neither_other_rows_nor_padding_change_an_answer(dev):
    question = inputs(DEV, rows=3)
    assert_rows_stand_alone(dev[0], *question)
    assert_padding_changes_nothing(dev[0], *question)


@torch.inference_mode()
def test_rows_padded_to_different_lengths_are_what_they_are_alone(dev):
    x, time, cond = inputs(DEV)
    short = replace(cond.rows(slice(0, 1)), tokens=cond.tokens[:1, :2])
    both = dev[0](x, time, Conditioning.stack([short, cond.rows(slice(1, 2))]))
    assert relative(both[:1], dev[0](x[:1], time[:1], short)) < 1e-5


@torch.inference_mode()
def test_compiles_into_one_graph():
    values = FILL | {"num_layers": 1, "num_single_layers": 1}
    ours = awake(Flux(FluxConfig.from_diffusers(values)))
    compiled = torch.compile(ours, fullgraph=True, backend="eager")
    x, time, cond = inputs(values)
    padded = replace(cond.padded(9), perturb=torch.tensor([[True, False], [False, True]]))
    for question in ((x, time, cond), (x, time, padded), (x, time, cond.blind(ours.middle_blocks))):
        assert relative(compiled(*question), ours(*question)) < 1e-5


@torch.inference_mode()
def test_where_all_blocks_are_perturbed_a_patch_sees_itself_and_the_text_alone():
    ours = awake(Flux(FluxConfig.from_diffusers(DEV | {"num_layers": 1, "num_single_layers": 0})))
    x, time, cond = inputs(DEV)
    mixed = replace(cond, perturb=torch.tensor([[True], [False]]))
    elsewhere = x.clone()
    elsewhere[..., 4:] += 1
    before, after = ours(x, time, mixed), ours(elsewhere, time, mixed)
    assert relative(after[0, ..., :4], before[0, ..., :4]) < 1e-5
    assert relative(after[1, ..., :4], before[1, ..., :4]) > 1e-3
    assert relative(before[1], ours(x, time, cond)[1]) < 1e-5
    other = ours(x, time, replace(mixed, tokens=cond.tokens + 1))
    assert relative(other[0], before[0]) > 1e-3


@pytest.mark.parametrize("values", REAL.values(), ids=REAL)
def test_published_sizes_have_diffusers_names_and_shapes(values):
    with torch.device("meta"):
        theirs = reference.FluxTransformer2DModel(**{k: v for k, v in values.items() if k[0] != "_"})
        ours = Flux(FluxConfig.from_diffusers(values))
    assert shapes(ours) == shapes(theirs)
    assert FluxConfig.from_shapes(shapes(theirs)) == ours.config


def test_each_pixel_of_a_mask_gets_a_channel_of_its_own():
    """As the pipeline packs it: behind the picture's latents, row by row within eight by eight pixels."""
    masked = torch.randn(1, 16, 4, 6)
    mask = torch.arange(32 * 48).float().view(1, 1, 32, 48)
    patches = pack(torch.cat([torch.zeros_like(masked), fill_channels(masked, mask)], dim=1), 384)
    assert torch.equal(patches[..., 64:128], pack(masked, 64))
    for y, x in ((0, 0), (5, 9), (31, 47), (12, 20)):
        patch, inside = (y // 16) * 3 + x // 16, (y // 8 % 2) * 2 + x // 8 % 2
        channel = 128 + ((y % 8) * 8 + x % 8) * 4 + inside
        assert patches[0, patch, channel] == mask[0, 0, y, x]


@torch.inference_mode()
def test_says_what_is_wrong_with_a_question(dev):
    x, time, cond = inputs(DEV)
    with pytest.raises(InvalidRequest, match="16 divides"):
        dev[0](x[..., :9], time, cond)
    with pytest.raises(InvalidRequest, match="takes 4 channels of latents and got 6"):
        dev[0](x, time, replace(cond, concat=torch.zeros(2, 2, 6, 10)))
    with pytest.raises(ValueError, match="guidance"):
        dev[0](x, time, replace(cond, extra={}))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"patch_size": 2}, "patch_size"),
        ({"pooled_gelu": True}, "pooled_gelu"),
        ({"_class_name": "SD3Transformer2DModel"}, "SD3Transformer2DModel"),
        ({"attention_head_dim": 64}, "axes"),
    ],
)
def test_refuses_a_config_that_it_cannot_follow(values, words):
    with pytest.raises(DarkroomError, match=words):
        FluxConfig.from_diffusers(values)


def test_names_the_tensor_that_a_file_lacks():
    with pytest.raises(DarkroomError, match=r"x_embedder\.weight"):
        FluxConfig.from_shapes({"proj_out.weight": (64, 3072)})
