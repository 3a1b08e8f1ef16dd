"""The transformer of Stable Diffusion 3 and 3.5 against diffusers' own, with the same random weights."""

from dataclasses import replace

import pytest
import torch
from mmdit_twins import SD3, SD35_LARGE, SD35_MEDIUM, ask, inputs, reference, twins
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
from darkroom.networks.mmdit import MMDiT, MMDiTConfig

INPAINT = SD3 | {"in_channels": 9}
PUBLISHED = {
    "_class_name": "SD3Transformer2DModel",
    "sample_size": 128,
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": 16,
    "num_layers": 24,
    "attention_head_dim": 64,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "caption_projection_dim": 1536,
    "pooled_projection_dim": 2048,
    "pos_embed_max_size": 192,
}
LARGE = {"num_layers": 38, "num_attention_heads": 38, "caption_projection_dim": 2432, "qk_norm": "rms_norm"}
MEDIUM = {"qk_norm": "rms_norm", "pos_embed_max_size": 384, "dual_attention_layers": list(range(13))}
REAL = {"3 medium": PUBLISHED, "3.5 large": PUBLISHED | LARGE, "3.5 medium": PUBLISHED | MEDIUM}


@pytest.fixture(scope="module")
def medium():
    return twins(SD35_MEDIUM)


@pytest.mark.parametrize(
    "values", [SD3, SD35_LARGE, SD35_MEDIUM, INPAINT], ids=["3", "3.5 large", "3.5 medium", "inpaint"]
)
@torch.inference_mode()
def test_answers_as_diffusers_does(values):
    ours, theirs = twins(values)
    x, time, cond = inputs(values)
    for question in ((x, time, cond), inputs(values, high=24, wide=6)):
        assert relative(ours(*question), ask(theirs, *question)) < 1e-5
    assert_same_in_half(ours, theirs, ask, x, time, cond)


def test_gradients_are_those_of_diffusers(medium):
    assert_same_gradients(*medium, ask, lambda: inputs(SD35_MEDIUM))


@torch.inference_mode()
def test_neither_other_rows_nor_padding_change_an_answer(medium):
    question = inputs(SD35_MEDIUM, rows=3)
    assert_rows_stand_alone(medium[0], *question)
    assert_padding_changes_nothing(medium[0], *question)


@torch.inference_mode()
def test_rows_go_past_the_blocks_that_they_are_to_skip(medium):
    ours, theirs = medium
    x, time, cond = inputs(SD35_MEDIUM)
    answer = ours(x, time, replace(cond, extra={"skip": torch.tensor([[False, True, False], [False] * 3])}))
    assert relative(answer[:1], ask(theirs, x, time, cond, skip_layers=[1])[:1]) < 1e-5
    assert relative(answer[1:], ask(theirs, x, time, cond)[1:]) < 1e-5


@torch.inference_mode()
def test_what_is_added_after_the_blocks_is_what_diffusers_adds(medium):
    ours, theirs = medium
    x, time, cond = inputs(SD35_MEDIUM)
    one, two = torch.randn(2, 28, 32), torch.randn(2, 28, 32)
    wanted = ask(theirs, x, time, cond, block_controlnet_hidden_states=[one, two, torch.zeros(1)])
    assert relative(ours(x, time, cond, [[one], [0.25 * two, 0.75 * two], []]), wanted) < 1e-5


@torch.inference_mode()
def test_where_all_blocks_are_perturbed_a_patch_sees_itself_and_the_text_alone():
    one = SD35_MEDIUM | {"num_layers": 2}
    ours = awake(MMDiT(MMDiTConfig.from_diffusers(one)))
    ours.transformer_blocks[
        0
    ].norm1_context.linear.weight.data.zero_()  # text that hears nothing of the picture
    ours.transformer_blocks[0].norm1_context.linear.bias.data.zero_()
    x, time, cond = inputs(one)
    mixed = replace(cond, perturb=torch.tensor([[True, True], [False, False]]))
    elsewhere = x.clone()
    elsewhere[..., 4:] += 1
    before, after = ours(x, time, mixed), ours(elsewhere, time, mixed)
    assert relative(after[0, ..., :4], before[0, ..., :4]) < 1e-5
    assert relative(after[1, ..., :4], before[1, ..., :4]) > 1e-3
    assert relative(before[1], ours(x, time, cond)[1]) < 1e-5
    assert relative(ours(x, time, replace(mixed, tokens=cond.tokens + 1))[0], before[0]) > 1e-3


@torch.inference_mode()
def test_compiles_into_one_graph():
    values = SD35_MEDIUM | {"num_layers": 2, "dual_attention_layers": [0]}
    ours = awake(MMDiT(MMDiTConfig.from_diffusers(values)))
    compiled = torch.compile(ours, fullgraph=True, backend="eager")
    x, time, cond = inputs(values)
    padded = replace(cond.padded(9), perturb=torch.tensor([[True, False], [False, True]]))
    for question in ((x, time, cond), (x, time, padded), (x, time, cond.blind(ours.middle_blocks))):
        assert relative(compiled(*question), ours(*question)) < 1e-5


@pytest.mark.parametrize("values", REAL.values(), ids=REAL)
def test_published_sizes_have_diffusers_names_and_shapes(values):
    with torch.device("meta"):
        theirs = reference.SD3Transformer2DModel(**{k: v for k, v in values.items() if k[0] != "_"})
        ours = MMDiT(MMDiTConfig.from_diffusers(values))
    assert shapes(ours) == shapes(theirs)
    assert MMDiTConfig.from_shapes(shapes(theirs)) == ours.config


@torch.inference_mode()
def test_says_what_is_wrong_with_a_question(medium):
    x, time, cond = inputs(SD35_MEDIUM)
    with pytest.raises(InvalidRequest, match="8x13"):
        medium[0](x[..., :13], time, cond)
    with pytest.raises(InvalidRequest, match="up to 24, not 8x26"):
        medium[0](torch.zeros(2, 4, 8, 26), time, cond)
    with pytest.raises(InvalidRequest, match="takes 4 channels of latents and got 9"):
        medium[0](x, time, replace(cond, concat=torch.zeros(2, 5, 8, 14)))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"qk_norm": "layer_norm"}, "layer_norm"),
        ({"caption_projection_dim": 1536}, "caption_projection_dim"),
        ({"use_rope": True}, "use_rope"),
        ({"_class_name": "FluxTransformer2DModel"}, "FluxTransformer2DModel"),
    ],
)
def test_refuses_a_config_that_it_cannot_follow(values, words):
    with pytest.raises(DarkroomError, match=words):
        MMDiTConfig.from_diffusers(values)


def test_names_the_tensor_that_a_file_lacks():
    with pytest.raises(DarkroomError, match=r"pos_embed\.proj\.weight"):
        MMDiTConfig.from_shapes({"proj_out.weight": (64, 1536)})
