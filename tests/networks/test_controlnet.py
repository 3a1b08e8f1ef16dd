"""ControlNets: parity with diffusers, rows that differ, and what adds nothing."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.networks.unet_reference import KINDS, SD1, SDXL, conditioning, far, inputs, ours, reference

from darkroom.errors import DarkroomError
from darkroom.networks.conditioning import Conditioning
from darkroom.networks.controlnet import ControlledUNet, ControlNet, ControlNetConfig
from darkroom.networks.unet import UNet
from darkroom.networks.unet_config import UNetConfig

HINT = {"conditioning_embedding_out_channels": [4, 8, 8, 16]}


def control_values(kind: str, **more: Any) -> dict[str, Any]:
    values = {name: value for name, value in KINDS[kind].items() if name != "up_block_types"}
    return values | HINT | more


def published_control(values: Mapping[str, Any], seed: int = 0):
    """Diffusers' own ControlNet with random weights, where a new one has zeros too."""
    module = pytest.importorskip("diffusers.models.controlnets.controlnet")
    torch.manual_seed(seed)
    network = module.ControlNetModel(**values).eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=draw)
    return network


def our_control(theirs, values: Mapping[str, Any]) -> ControlNet:
    network = ControlNet(ControlNetConfig.from_diffusers(values)).eval()
    network.load_state_dict(theirs.state_dict(), strict=True)
    return network


def hints(rows: int = 2, side: tuple[int, int] = (64, 64), seed: int = 5) -> torch.Tensor:
    return torch.rand(rows, 3, *side, generator=torch.Generator().manual_seed(seed))


def controlled(kind: str = "sd1", controls: int = 1) -> ControlledUNet:
    """With weights of our own drawing."""
    torch.manual_seed(2)
    unet = UNet(UNetConfig.from_diffusers(KINDS[kind]))
    nets = [ControlNet(ControlNetConfig.from_diffusers(control_values(kind))) for _ in range(controls)]
    with torch.no_grad():
        for net in nets:
            for parameter in net.parameters():
                parameter += 0.1 * torch.randn(parameter.shape)
    return ControlledUNet(unet, nets).eval()


def told(cond: Conditioning, **parts: torch.Tensor) -> Conditioning:
    """With parts of the first ControlNet."""
    return replace(cond, extra={**cond.extra, **{f"control.0.{name}": part for name, part in parts.items()}})


def small(kind: str = "sd1") -> tuple[torch.Tensor, torch.Tensor, Conditioning]:
    given = inputs(KINDS[kind], (8, 8))
    return given["sample"], given["timestep"], conditioning(KINDS[kind], given)


@pytest.mark.parametrize("kind", ["sd1", "sd2", "sdxl"])
@pytest.mark.parametrize("side", [(8, 8), (7, 9)])
def test_controlled_answers_and_gradients_are_those_of_diffusers(kind: str, side: tuple[int, int]):
    values = control_values(kind)
    their_control, their_unet = published_control(values), reference(KINDS[kind])
    given = inputs(KINDS[kind], side)
    hint = hints(side=(8 * side[0], 8 * side[1])).requires_grad_()
    added = their_control(**given, controlnet_cond=hint, conditioning_scale=0.7)
    wanted = their_unet(
        **given,
        down_block_additional_residuals=added.down_block_res_samples,
        mid_block_additional_residual=added.mid_block_res_sample,
    ).sample
    network = ControlledUNet(ours(their_unet, KINDS[kind]), [our_control(their_control, values)])
    seen = hint.detach().clone().requires_grad_()
    cond = told(conditioning(KINDS[kind], given), hint=seen, scale=torch.full((2,), 0.7))
    answer = network(given["sample"], given["timestep"], cond)
    assert far(answer, wanted) < 1e-5
    answer.square().mean().backward()
    wanted.square().mean().backward()
    assert far(seen.grad, hint.grad) < 1e-4
    grads = {name: parameter.grad for name, parameter in their_control.named_parameters()}
    largest = max(grad.norm() for grad in grads.values())
    for name, parameter in network.controls[0].named_parameters():
        assert (parameter.grad - grads[name]).norm() < 1e-4 * grads[name].norm() + 1e-7 * largest, name


@torch.inference_mode()
@pytest.mark.parametrize(
    ("guess", "more"),
    [
        (True, {}),
        (False, {"controlnet_conditioning_channel_order": "bgr"}),
        (True, {"global_pool_conditions": True}),
    ],
)
def test_modes_of_a_controlnet_are_those_of_diffusers(guess: bool, more: dict[str, Any]):
    values = control_values("sd1", **more)
    theirs = published_control(values)
    given = inputs(KINDS["sd1"], (8, 8))
    wanted = theirs(**given, controlnet_cond=hints(), conditioning_scale=0.7, guess_mode=guess)
    down, mid = our_control(theirs, values)(
        given["sample"],
        given["timestep"],
        conditioning(KINDS["sd1"], given),
        hints(),
        torch.full((2,), 0.7),
        torch.full((2,), guess),
    )
    assert far(mid, wanted.mid_block_res_sample) < 1e-5
    for part, their_part in zip(down, wanted.down_block_res_samples, strict=True):
        assert far(part, their_part) < 1e-5


@torch.inference_mode()
def test_rows_of_a_batch_may_differ_in_hint_scale_and_mode():
    network, (x, time, cond) = controlled(), small()
    cond = told(cond, hint=hints(), scale=torch.tensor([0.3, 1.2]), guess=torch.tensor([True, False]))
    rows = [network(x[i : i + 1], time[i : i + 1], cond.rows(slice(i, i + 1))) for i in range(2)]
    torch.testing.assert_close(network(x, time, cond), torch.cat(rows), rtol=1e-4, atol=1e-5)
    faded = network(x, time, told(cond, scale=torch.tensor([0.3, 0.0])))
    torch.testing.assert_close(faded[1], network.unet(x, time, cond)[1], rtol=1e-4, atol=1e-5)
    assert (faded[0] - network.unet(x, time, cond)[0]).abs().max() > 1e-2


@torch.inference_mode()
def test_a_controlnet_without_a_hint_or_a_scale_is_not_run():
    network, (x, time, cond) = controlled(), small()
    runs: list[int] = []
    network.controls[0].register_forward_hook(lambda *call: runs.append(1))
    plain = network.unet(x, time, cond)
    assert torch.equal(network(x, time, cond), plain)
    assert torch.equal(network(x, time, told(cond, hint=hints(), scale=torch.zeros(2))), plain)
    assert not runs
    assert not torch.equal(network(x, time, told(cond, hint=hints())), plain) and runs


@torch.inference_mode()
def test_what_several_controlnets_add_is_summed():
    network, (x, time, cond) = controlled(controls=2), small()
    extra = {
        "control.0.hint": hints(),
        "control.1.hint": hints(seed=6),
        "control.1.scale": torch.full((2,), 0.5),
    }
    first = network.controls[0](x, time, cond, hints())
    second = network.controls[1](x, time, cond, hints(seed=6), torch.full((2,), 0.5))
    both = type(first)([a + b for a, b in zip(first.down, second.down, strict=True)], first.mid + second.mid)
    answer = network(x, time, replace(cond, extra=extra))
    torch.testing.assert_close(answer, network.unet(x, time, cond, both))
    with pytest.raises(DarkroomError, match=r"'control\.2\.hint' and there are 2"):
        network(x, time, replace(cond, extra={"control.2.hint": hints()}))


@torch.inference_mode()
def test_beside_an_inpainting_network_a_controlnet_sees_the_latents_alone():
    torch.manual_seed(3)
    unet = UNet(UNetConfig.from_diffusers(KINDS["inpainting"]))
    network = ControlledUNet(unet, controlled().controls).eval()
    x, time, cond = small("inpainting")
    x = x[:, :4]
    answer = network(x, time, told(cond, hint=hints()))
    added = network.controls[0](x, time, replace(cond, concat=None), hints())
    torch.testing.assert_close(answer, unet(x, time, cond, added))


@torch.inference_mode()
def test_a_new_controlnet_copies_the_way_down_and_adds_nothing():
    x, time, cond = small("sdxl")
    torch.manual_seed(4)
    unet = UNet(UNetConfig.from_diffusers(KINDS["sdxl"])).eval()
    control = ControlNet.from_unet(unet, (4, 8, 8, 16)).eval()
    assert control.control == ControlNetConfig.from_diffusers(control_values("sdxl"))
    down, mid = control(x, time, cond, hints())
    assert not any(part.any() for part in (*down, mid))
    unet_parts, own = unet.state_dict(), control.state_dict()
    shared = [name for name in own if not name.startswith("controlnet")]
    assert len(shared) > 50 and all(torch.equal(own[name], unet_parts[name]) for name in shared)


@torch.inference_mode()
def test_hint_in_half_precision_and_of_another_size():
    network, (x, time, cond) = controlled(), small()
    precise = network(x, time, told(cond, hint=hints(), scale=torch.full((2,), 0.7)))
    rough = network.bfloat16()(x, time, told(cond, hint=hints(), scale=torch.full((2,), 0.7)))
    assert rough.dtype == torch.float32 and far(rough, precise) < 3e-2
    with pytest.raises(DarkroomError, match="hint is 32x64 and the picture 64x64"):
        network(x, time, told(cond, hint=hints(side=(64, 32))))


@torch.inference_mode()
def test_compiles_as_one_graph():
    values = KINDS["sd1"] | {"layers_per_block": 1}
    unet = UNet(UNetConfig.from_diffusers(values))
    network = ControlledUNet(unet, [ControlNet.from_unet(unet, (4, 8, 8, 16))]).eval()
    for parameter in network.controls[0].parameters():
        parameter += 0.1
    x, time, cond = small()
    cond = told(cond, hint=hints(), scale=torch.tensor([0.3, 1.2]), guess=torch.tensor([True, False]))
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x, time, cond), network(x, time, cond))


@pytest.mark.parametrize(
    ("values", "count", "heads"),
    [(SD1, 361_279_120, {"heads": 8}), (SDXL, 1_251_014_160, {"head_dim": 64})],
    ids=["SD 1.5", "SDXL"],
)
def test_weights_alone_tell_what_the_published_config_says(values, count: int, heads: dict[str, int]):
    config = ControlNetConfig.from_diffusers({k: v for k, v in values.items() if k != "up_block_types"})
    with torch.device("meta"):
        network = ControlNet(config)
    shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    assert ControlNetConfig.from_shapes(shapes, **heads) == config
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_weights_that_are_no_controlnet_are_refused():
    with pytest.raises(DarkroomError, match="controlnet_cond_embedding"):
        ControlNetConfig.from_shapes({"conv_in.weight": (320, 4, 3, 3)}, heads=8)
    with pytest.raises(DarkroomError, match="channel_order"):
        ControlNetConfig.from_diffusers(control_values("sd1", controlnet_conditioning_channel_order="gbr"))
