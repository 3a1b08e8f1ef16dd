"""IP-Adapters: parity with diffusers, and a U-Net that is itself again once they are off."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.networks.unet_reference import KINDS, PUBLISHED, alone, conditioning, far, inputs, ours, reference
from torch import Tensor

from darkroom.errors import DarkroomError
from darkroom.networks.ip_adapter import (
    IPAdapter,
    IPAdapterConfig,
    ResamplerConfig,
    attach,
    cross_attentions,
    detach,
)
from darkroom.networks.unet import UNet
from darkroom.networks.unet_config import UNetConfig

PLUS = ResamplerConfig(width=32, depth=4, heads=1)


def adapter_for(unet: UNet, resampler: ResamplerConfig | None = None, seed: int = 3) -> IPAdapter:
    torch.manual_seed(seed)
    widths = tuple(one.to_q.out_features for one in cross_attentions(unet))
    adapter = IPAdapter(IPAdapterConfig(widths, 24, 20, 6 if resampler else 4, resampler)).eval()
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    return adapter


def features(plus: bool = False, rows: int = 2, seed: int = 8) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn((rows, 9, 20) if plus else (rows, 20), generator=draw)


def nested(adapter: IPAdapter) -> dict[str, dict[str, Tensor]]:
    """The weights as a published file has them once it is read by diffusers."""
    parts: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in adapter.state_dict().items():
        part, rest = name.split(".", 1)
        parts[part][rest] = tensor
    return parts


def published(values: dict[str, Any], adapters: list[IPAdapter], scales: list[float]):
    """Diffusers' own network with the adapters' weights loaded by its own loader."""
    theirs = reference(values)
    network = ours(theirs, values)
    theirs._load_ip_adapter_weights([nested(adapter) for adapter in adapters], low_cpu_mem_usage=False)
    for processor in theirs.attn_processors.values():
        if hasattr(processor, "scale"):
            processor.scale = list(scales)
    return theirs, network


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
@pytest.mark.parametrize("plus", [False, True], ids=["plain", "plus"])
def test_answers_and_gradients_are_those_of_diffusers(kind: str, plus: bool):
    values = KINDS[kind]
    adapter = adapter_for(UNet(UNetConfig.from_diffusers(values)), PLUS if plus else None)
    theirs, network = published(values, [adapter], [0.6])
    attach(network, adapter)
    given, seen, image = inputs(values), features(plus).requires_grad_(), features(plus).requires_grad_()
    cond = conditioning(values, given)
    extra = {"image_tokens": adapter(seen), "image_scale": torch.full((2,), 0.6)}
    answer = network(given["sample"], given["timestep"], replace(cond, extra=extra))
    given["added_cond_kwargs"] = given.get("added_cond_kwargs", {}) | {"image_embeds": [image[:, None]]}
    wanted = theirs(**given).sample
    assert far(answer, wanted) < 1e-5
    without = network(given["sample"], given["timestep"], cond)
    assert far(without, wanted) > 1e-2
    answer.square().mean().backward()
    wanted.square().mean().backward()
    assert far(seen.grad, image.grad) < 1e-4
    keys = {name: part.grad for name, part in theirs.named_parameters() if "to_k_ip" in name}
    own = {name: part.grad for name, part in network.named_parameters() if "to_k_ip" in name}
    assert len(keys) == len(own) == len(cross_attentions(network))
    for name, grad in own.items():
        assert far(grad, keys[name.replace("attn2.", "attn2.processor.")]) < 1e-4, name


@torch.inference_mode()
def test_two_adapters_and_several_pictures_are_those_of_diffusers():
    values = KINDS["sd1"]
    unet = UNet(UNetConfig.from_diffusers(values))
    plain, plus = adapter_for(unet), adapter_for(unet, PLUS, seed=4)
    theirs, network = published(values, [plain, plus], [0.6, 0.9])
    attach(network, plain, plus)
    given = inputs(values)
    first, second, third = features(), features(seed=9), features(plus=True)
    extra = {
        "image_tokens": torch.cat([plain(first), plain(second)], dim=1),
        "image_scale": torch.full((2,), 0.6),
        "image_tokens.1": plus(third),
        "image_scale.1": torch.full((2,), 0.9),
    }
    answer = network(given["sample"], given["timestep"], replace(conditioning(values, given), extra=extra))
    embeds = [torch.stack([first, second], dim=1), third[:, None]]
    assert far(answer, theirs(**given, added_cond_kwargs={"image_embeds": embeds}).sample) < 1e-5


@torch.inference_mode()
def test_rows_may_differ_in_picture_and_scale_and_blocks_in_scale():
    network, values = alone(), KINDS["sd1"]
    adapter = adapter_for(network)
    attach(network, adapter)
    given = inputs(values)
    x, time, cond = given["sample"], given["timestep"], conditioning(values, given)
    extra = {"image_tokens": adapter(features()), "image_scale": torch.tensor([1.0, 0.0])}
    mixed = network(x, time, replace(cond, extra=extra))
    torch.testing.assert_close(mixed[1], network(x, time, cond)[1], rtol=1e-4, atol=1e-5)
    extra["image_scale"] = torch.tensor([[1.0], [0.0]]).expand(2, len(cross_attentions(network)))
    torch.testing.assert_close(network(x, time, replace(cond, extra=extra)), mixed, rtol=1e-4, atol=1e-5)
    names = [name for name, _ in network.transformer_blocks()]
    style = torch.zeros(2, len(names))
    style[:, names.index("mid_block.attentions.0.transformer_blocks.0")] = 1
    extra["image_scale"] = style
    answer = network(x, time, replace(cond, extra=extra))
    for attention in cross_attentions(network)[:-1]:
        attention.to_v_ip[0].weight.zero_()
    extra["image_scale"] = torch.ones(2)
    torch.testing.assert_close(network(x, time, replace(cond, extra=extra)), answer, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_taken_off_it_leaves_no_trace():
    network, values = alone(), KINDS["sd1"]
    before = {name: part.clone() for name, part in network.state_dict().items()}
    marks = [set(vars(one)) | set(one._modules) for one in cross_attentions(network)]
    attach(network, adapter_for(network))
    assert "mid_block.attentions.0.transformer_blocks.0.attn2.to_k_ip.0.weight" in network.state_dict()
    detach(network)
    after = network.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in after)
    assert marks == [set(vars(one)) | set(one._modules) for one in cross_attentions(network)]
    given = inputs(values)
    cond = replace(conditioning(values, given), extra={"image_tokens": torch.zeros(2, 4, 24)})
    with pytest.raises(DarkroomError, match="'image_tokens' and the network has 0 image adapters"):
        network(given["sample"], given["timestep"], cond)


@torch.inference_mode()
def test_half_precision_keeps_the_scale_and_the_answer():
    network, values = alone(), KINDS["sd1"]
    adapter = adapter_for(network)
    attach(network, adapter)
    given = inputs(values)
    extra = {"image_tokens": adapter(features()), "image_scale": torch.full((2,), 0.6)}
    cond = replace(conditioning(values, given), extra=extra)
    precise = network(given["sample"], given["timestep"], cond)
    rough = alone().bfloat16()
    attach(rough, adapter_for(rough))
    assert cross_attentions(rough)[0].to_k_ip[0].weight.dtype == torch.bfloat16
    assert far(rough(given["sample"], given["timestep"], cond), precise) < 2e-2


@torch.inference_mode()
def test_compiles_as_one_graph():
    values = KINDS["sd1"] | {"layers_per_block": 1}
    network = alone(values)
    adapter = adapter_for(network)
    attach(network, adapter)
    given = inputs(values)
    extra = {"image_tokens": adapter(features()), "image_scale": torch.tensor([0.6, 0.0])}
    cond = replace(conditioning(values, given), extra=extra)
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    x, time = given["sample"], given["timestep"]
    torch.testing.assert_close(compiled(x, time, cond), network(x, time, cond))


@pytest.mark.parametrize(
    ("model", "config", "count"),
    [
        ("SD 1.5", {}, 22_319_616),
        ("SDXL", {"context_width": 2048, "image_width": 1280}, 351_285_248),
        ("SD 1.5", {"image_width": 1280, "tokens": 16, "resampler": ResamplerConfig()}, None),
    ],
    ids=["SD 1.5", "SDXL", "SD 1.5 plus"],
)
def test_weights_alone_tell_the_kind_and_fit_the_published_model(model: str, config: dict, count: int | None):
    """Files may list names as text sorts them: "ip_adapter.11" before "ip_adapter.3"."""
    with torch.device("meta"):
        unet = UNet(UNetConfig.from_diffusers(PUBLISHED[model][0]))
        widths = tuple(one.to_q.out_features for one in cross_attentions(unet))
        adapter = IPAdapter(IPAdapterConfig(widths, **config))
    shapes = {name: tuple(part.shape) for name, part in sorted(adapter.state_dict().items())}
    assert IPAdapterConfig.from_shapes(shapes) == adapter.config
    assert count in (None, sum(part.numel() for part in adapter.parameters()))
    attach(unet, adapter)
    other = alone()
    with pytest.raises(DarkroomError, match=f"has {len(widths)} pairs .* the network 6 cross-attentions"):
        attach(other, adapter)


@pytest.mark.parametrize(
    "name", ["image_proj.perceiver_resampler.proj_in.weight", "ip_adapter.1.to_k_lora.up.weight"]
)
def test_another_kind_of_adapter_is_refused(name: str):
    shapes = {name: (3, 3), "ip_adapter.1.to_k_ip.weight": (320, 768)}
    with pytest.raises(DarkroomError, match="plain or plus"):
        IPAdapterConfig.from_shapes(shapes)
