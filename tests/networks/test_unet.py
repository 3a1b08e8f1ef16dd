"""The U-Net: parity with diffusers, what must not change the answer, and what can be read from weights."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.networks.unet_reference import (
    KINDS,
    PUBLISHED,
    alone,
    conditioning,
    far,
    inputs,
    ours,
    reference,
)

from darkroom.errors import DarkroomError
from darkroom.networks.conditioning import Conditioning
from darkroom.networks.unet import UNet, size_vector
from darkroom.networks.unet_config import UNetConfig


@pytest.mark.parametrize("kind", KINDS)
def test_answers_and_gradients_are_those_of_diffusers(kind: str):
    values = KINDS[kind]
    theirs = reference(values)
    network, told = ours(theirs, values), inputs(values)
    cond = conditioning(values, told)
    x = told["sample"][:, :4].clone().requires_grad_()
    told["sample"].requires_grad_()
    told["encoder_hidden_states"] = told["encoder_hidden_states"].clone().requires_grad_()
    tokens = cond.tokens.clone().requires_grad_()
    answer, wanted = network(x, told["timestep"], replace(cond, tokens=tokens)), theirs(**told).sample
    assert far(answer, wanted) < 1e-5
    answer.square().mean().backward()
    wanted.square().mean().backward()
    assert far(x.grad, told["sample"].grad[:, :4]) < 1e-4
    assert far(tokens.grad, told["encoder_hidden_states"].grad) < 1e-4
    wanted_grads = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    largest = max(grad.norm() for grad in wanted_grads.values())
    for name, parameter in network.named_parameters():
        apart = (parameter.grad - wanted_grads[name]).norm()
        assert apart < 1e-4 * wanted_grads[name].norm() + 1e-7 * largest, name


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_answers_in_half_precision_are_those_of_diffusers(kind: str):
    values = KINDS[kind]
    theirs = reference(values)
    told = inputs(values)
    x, time, cond = told["sample"], told["timestep"], conditioning(values, told)
    precise, network = theirs(**told).sample, ours(theirs, values).bfloat16()
    assert network(x, time, cond).dtype == torch.float32
    answer = network(x.bfloat16(), time, cond.to(dtype=torch.bfloat16))
    rough = theirs.bfloat16()(**{name: coarse(part) for name, part in told.items()}).sample
    assert answer.dtype == torch.bfloat16 and far(answer, rough) < 1e-3 and far(answer, precise) < 2e-2


def coarse(part: Any) -> Any:
    """In bf16 all but whole numbers and times."""
    if isinstance(part, dict):
        return {name: coarse(inner) for name, inner in part.items()}
    return part.bfloat16() if part.is_floating_point() and part.dim() > 1 else part


@torch.inference_mode()
@pytest.mark.parametrize("side", [(15, 16), (9, 13), (3, 5)])
def test_sides_that_do_not_halve_evenly_are_treated_as_in_diffusers(side: tuple[int, int]):
    values = KINDS["refiner"]
    theirs = reference(values)
    told = inputs(values, side)
    answer = ours(theirs, values)(told["sample"], told["timestep"], conditioning(values, told))
    assert answer.shape[-2:] == side and far(answer, theirs(**told).sample) < 1e-5


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["sd1", "sdxl", "lcm"])
def test_a_row_is_the_same_alone_and_in_a_batch(kind: str):
    values = KINDS[kind]
    network, told = alone(values), inputs(values, rows=3)
    x, time, cond = told["sample"], told["timestep"], conditioning(values, told)
    rows = [network(x[i : i + 1], time[i : i + 1], cond.rows(slice(i, i + 1))) for i in range(3)]
    torch.testing.assert_close(network(x, time, cond), torch.cat(rows), rtol=1e-4, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["sd1", "upscaler"])
def test_a_masked_token_counts_no_more_than_one_cut_off(kind: str):
    values = KINDS[kind]
    network, told = alone(values), inputs(values)
    x, time, cond = told["sample"][:, :4], told["timestep"], conditioning(values, told)
    noise = torch.randn(2, 4, cond.tokens.shape[2])
    longer = replace(cond.padded(11), tokens=torch.cat([cond.tokens, noise], dim=1))
    torch.testing.assert_close(network(x, time, longer), network(x, time, cond), rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_a_mask_is_that_of_diffusers():
    values = KINDS["sdxl"]
    theirs, told = reference(values), inputs(values)
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[1, 4:] = False
    cond = replace(conditioning(values, told), mask=mask)
    answer = ours(theirs, values)(told["sample"], told["timestep"], cond)
    assert far(answer, theirs(**told, encoder_attention_mask=mask).sample) < 1e-5


@torch.inference_mode()
def test_perturbed_self_attention_sees_its_own_position_alone():
    """Only in the chosen rows and blocks, where its mixture of values is the value itself."""
    values = KINDS["sd1"]
    network, told = alone(), inputs(values)
    x, time, cond = told["sample"], told["timestep"], conditioning(values, told)
    names = [name for name, _ in network.transformer_blocks()]
    assert names[0].startswith("down_blocks.0.attentions.0") and names[2].startswith("mid_block")
    assert len(names) == 6 and names[-1].startswith("up_blocks.1.attentions.2")
    chosen = torch.zeros(2, 6, dtype=torch.bool)
    chosen[0, 2] = True
    assert network.middle_blocks == chosen[0].tolist()
    plain = network(x, time, cond)
    unchanged = network(x, time, replace(cond, perturb=torch.zeros_like(chosen)))
    torch.testing.assert_close(unchanged, plain)
    perturbed = network(x, time, replace(cond, perturb=chosen))
    torch.testing.assert_close(perturbed[1], plain[1], rtol=1e-4, atol=1e-5)
    assert (perturbed[0] - plain[0]).abs().max() > 1e-4
    middle = dict(network.transformer_blocks())[names[2]]
    middle.attn1.attend = lambda q, k, v, mask=None: v
    torch.testing.assert_close(perturbed[0], network(x, time, cond)[0], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_channels_last_stays_channels_last_and_changes_nothing(kind: str):
    values = KINDS[kind]
    network, told = alone(values), inputs(values)
    x, time, cond = told["sample"], told["timestep"], conditioning(values, told)
    plain = network(x, time, cond)
    layouts = []
    for block in network.up_blocks[-1].resnets:
        block.register_forward_hook(
            lambda module, given, made: layouts.append(made.is_contiguous(memory_format=torch.channels_last))
        )
    last = network.to(memory_format=torch.channels_last)(
        x.contiguous(memory_format=torch.channels_last), time, cond
    )
    assert last.is_contiguous(memory_format=torch.channels_last) and all(layouts)
    torch.testing.assert_close(last, plain, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_compiles_as_one_graph():
    """With everything that it can be told."""
    values = KINDS["sdxl"] | {
        "layers_per_block": 1,
        "time_cond_proj_dim": 12,
        "transformer_layers_per_block": 1,
    }
    network, told = alone(values), inputs(values)
    x, time = told["sample"], told["timestep"]
    cond = conditioning(values, told).padded(9)
    cond = replace(cond, perturb=torch.rand(2, len(list(network.transformer_blocks()))) > 0.5)
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x, time, cond), network(x, time, cond))


@pytest.mark.parametrize("name", PUBLISHED)
def test_weights_alone_tell_what_the_published_config_says(name: str):
    values, count, heads = PUBLISHED[name]
    config = UNetConfig.from_diffusers(values)
    with torch.device("meta"):
        network = UNet(config)
    shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    assert UNetConfig.from_shapes(shapes, **heads) == config
    if count is not None:
        assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "old"])
def test_weights_alone_tell_what_a_tiny_config_says(kind: str):
    """What shapes cannot tell is told beside: heads a level, and groups, which all published ones share."""
    config = UNetConfig.from_diffusers(KINDS[kind])
    shapes = {key: tuple(tensor.shape) for key, tensor in UNet(config).state_dict().items()}
    assert replace(UNetConfig.from_shapes(shapes, heads=4), heads=config.heads, groups=8) == config


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("resnet_time_scale_shift", "scale_shift"),
        ("addition_embed_type", "text_image"),
        ("class_embed_type", "simple_projection"),
        ("mid_block_type", "UNetMidBlock2DSimpleCrossAttn"),
        ("down_block_types", ["DownBlock2D", "AttnDownBlock2D"]),
        ("attention_type", "gated"),
        ("encoder_hid_dim", 4096),
        ("cross_attention_dim", [24, 32]),
        ("attention_head_dim", [4, 4, 4]),
        ("transformer_layers_per_block", [0, 1]),
        ("a_new_option", 3),
    ],
)
def test_an_option_that_we_lack_is_named(option: str, value: Any):
    with pytest.raises(DarkroomError, match=option):
        UNetConfig.from_diffusers(KINDS["sd1"] | {option: value})


def test_weights_that_are_no_unet_are_refused():
    with pytest.raises(DarkroomError, match="every U-Net has"):
        UNetConfig.from_shapes({"encoder.conv_in.weight": (128, 3, 3, 3)}, heads=8)
    with pytest.raises(ValueError, match="number of heads or their width"):
        UNetConfig.from_shapes({})


def test_a_missing_condition_is_named():
    network, told = alone(KINDS["sdxl"]), inputs(KINDS["sdxl"])
    cond = Conditioning(tokens=told["encoder_hidden_states"])
    with pytest.raises(DarkroomError, match="'pooled'"):
        network(told["sample"], told["timestep"], cond)
    with pytest.raises(DarkroomError, match="takes 4 channels and was given 4 of latents and 5 beside"):
        alone()(told["sample"], told["timestep"], replace(cond, concat=torch.zeros(2, 5, 16, 16)))


def test_the_vector_of_sdxl_is_that_of_diffusers():
    """1280 of text and 256 for each of six sizes."""
    embeddings = pytest.importorskip("diffusers.models.embeddings")
    pooled, sizes = (
        torch.randn(2, 1280),
        torch.tensor([[1024, 768, 0, 0, 1024, 768], [512, 512, 8, 0, 64, 6]]),
    )
    waves = embeddings.Timesteps(256, True, 0)(sizes.flatten()).reshape(2, -1)
    assert torch.equal(size_vector(pooled, sizes), torch.cat([pooled, waves], dim=1))
    assert size_vector(pooled, sizes[:, :5]).shape == (2, 2560)
