"""The ControlNets of Stable Diffusion 3 against those of diffusers, with the same random weights."""

from dataclasses import replace

import pytest
import torch
from mmdit_twins import SD3, SD35_LARGE, SD35_MEDIUM, ask, inputs
from mmdit_twins import twins as transformers
from twins import assert_rows_stand_alone, awake, relative, shapes

from darkroom.errors import DarkroomError, InvalidRequest
from darkroom.networks.mmdit_controlnet import (
    ControlledMMDiT,
    MMDiTControlNet,
    MMDiTControlNetConfig,
    sources,
)

reference = pytest.importorskip("diffusers.models.controlnets.controlnet_sd3")

DEEP = SD35_LARGE | {"num_layers": 4}
PLAIN = SD3 | {"num_layers": 2}
INPAINT = SD35_MEDIUM | {
    "num_layers": 3,
    "extra_conditioning_channels": 1,
    "force_zeros_for_pooled_projection": False,
}
BLIND = SD3 | {
    "num_layers": 3,
    "joint_attention_dim": None,
    "use_pos_embed": False,
    "pos_embed_type": None,
    "force_zeros_for_pooled_projection": False,
}
PUBLISHED = {
    "_class_name": "SD3ControlNetModel",
    "in_channels": 16,
    "out_channels": 16,
    "attention_head_dim": 64,
    "num_attention_heads": 24,
    "caption_projection_dim": 1536,
    "pos_embed_max_size": 192,
}
REAL = {
    "canny": PUBLISHED | {"num_layers": 6, "sample_size": 128},
    "inpaint": PUBLISHED | {"num_layers": 23, "extra_conditioning_channels": 1},
    "3.5 large": PUBLISHED
    | BLIND
    | {"in_channels": 16, "num_layers": 19, "num_attention_heads": 38, "attention_head_dim": 64}
    | {"caption_projection_dim": 2048, "pooled_projection_dim": 2048, "qk_norm": "rms_norm"},
}


def controls(values, seed, transformer=None):
    """Diffusers' ControlNet and ours, with the same weights; without patches it takes the transformer's."""
    theirs = awake(reference.SD3ControlNetModel(**values), seed)
    ours = MMDiTControlNet(MMDiTControlNetConfig.from_diffusers(values)).eval()
    ours.load_state_dict(theirs.state_dict())
    if theirs.pos_embed is None:
        theirs.pos_embed = theirs._get_pos_embed_from_transformer(transformer)
    return ours, theirs


def question(values, rows=2):
    """With a control picture whose latents and scale differ from row to row."""
    x, time, cond = inputs(SD3, rows)
    channels = 4 + values.get("extra_conditioning_channels", 0)
    hint = torch.randn(rows, channels, *x.shape[-2:], generator=torch.Generator().manual_seed(5))
    scale = torch.tensor([0.5, 1.25, 0.0])[:rows]
    return x, time, replace(cond, extra={"control.0.hint": hint, "control.0.scale": scale})


def residuals(theirs, x, time, cond):
    """What diffusers' ControlNet answers, told of pooled text what the pipeline tells it."""
    (answer,) = theirs(
        hidden_states=x,
        controlnet_cond=cond.extra["control.0.hint"],
        conditioning_scale=cond.extra["control.0.scale"][:, None, None],
        encoder_hidden_states=None if theirs.context_embedder is None else cond.tokens,
        pooled_projections=cond.pooled * (not theirs.config.force_zeros_for_pooled_projection),
        timestep=1000 * time,
        return_dict=False,
    )
    return answer


@pytest.fixture(scope="module")
def mmdit():
    return transformers(DEEP)


@pytest.mark.parametrize("values", [PLAIN, INPAINT, BLIND], ids=["plain", "inpaint", "3.5 large"])
@torch.inference_mode()
def test_answers_as_diffusers_does(mmdit, values):
    ours, theirs = controls(values, seed=1, transformer=mmdit[1])
    x, time, cond = question(values)
    added = residuals(theirs, x, time, cond)
    alone = ours(x, time, cond, cond.extra["control.0.hint"], mmdit[0].embed(x, cond))
    for mine, other in zip(alone, added, strict=True):
        assert relative(mine * cond.extra["control.0.scale"][:, None, None], other) < 1e-5
    answer = ControlledMMDiT(mmdit[0], [ours])(x, time, cond)
    assert relative(answer, ask(mmdit[1], x, time, cond, block_controlnet_hidden_states=added)) < 1e-5
    assert relative(answer, mmdit[0](x, time, cond)) > 1e-3


@pytest.mark.parametrize("values", [PLAIN, BLIND], ids=["plain", "3.5 large"])
@torch.inference_mode()
def test_neither_other_rows_nor_padding_change_an_answer(mmdit, values):
    network = ControlledMMDiT(mmdit[0], [controls(values, 1, mmdit[1])[0]])
    x, time, cond = question(values, rows=3)
    assert_rows_stand_alone(network, x, time, cond)
    together = network(x, time, cond)
    assert relative(network(x, time, cond.padded(9)), together) < 1e-5
    assert relative(together[2], mmdit[0](x, time, cond)[2]) < 1e-6  # its scale is 0


@torch.inference_mode()
def test_a_new_one_changes_nothing_so_that_training_starts_at_the_transformer(mmdit):
    x, time, cond = question(PLAIN)
    network = ControlledMMDiT(mmdit[0], [MMDiTControlNet(MMDiTControlNetConfig.from_diffusers(PLAIN))])
    assert torch.equal(network(x, time, cond), mmdit[0](x, time, cond))


@torch.inference_mode()
def test_compiles_into_one_graph():
    transformer, twin = transformers(SD3 | {"num_layers": 2})
    network = ControlledMMDiT(transformer, [controls(BLIND | {"num_layers": 1}, 1, twin)[0]])
    asked = question(BLIND)
    assert relative(torch.compile(network, fullgraph=True, backend="eager")(*asked), network(*asked)) < 1e-5


@pytest.mark.parametrize("values", REAL.values(), ids=REAL)
def test_published_sizes_have_diffusers_names_and_shapes(values):
    with torch.device("meta"):
        theirs = reference.SD3ControlNetModel(**{k: v for k, v in values.items() if k[0] != "_"})
        ours = MMDiTControlNet(MMDiTControlNetConfig.from_diffusers(values))
    assert shapes(ours) == shapes(theirs)
    zero_pooled = values.get("force_zeros_for_pooled_projection", True)
    assert MMDiTControlNetConfig.from_shapes(shapes(theirs), zero_pooled=zero_pooled) == ours.config


def test_residuals_serve_even_shares_of_the_blocks():
    assert sources(6, 24) == [i // 4 for i in range(23)]
    assert sources(19, 38) == [i // 2 for i in range(37)]


@torch.inference_mode()
def test_says_what_is_wrong_with_a_question(mmdit):
    plain = controls(PLAIN, seed=1)[0]
    x, time, cond = question(PLAIN)
    with pytest.raises(InvalidRequest, match="4x14 where 8x14"):
        plain(x, time, cond, torch.zeros(2, 4, 4, 14))
    with pytest.raises(DarkroomError, match="there are 0 ControlNets"):
        ControlledMMDiT(mmdit[0], [])(x, time, cond)
    with pytest.raises(DarkroomError, match="caption_projection_dim"):
        MMDiTControlNetConfig.from_diffusers(PLAIN | {"caption_projection_dim": 64})
