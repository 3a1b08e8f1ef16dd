"""Laying adapters over a model and taking them off: to the bit, in any order, merged or live."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters import small
from torch import Tensor, nn

from darkroom.adapters.block_weights import BLOCKS, block_of, block_weight
from darkroom.adapters.lora import attach
from darkroom.errors import DarkroomError
from darkroom.weights.adapter_formats import AdapterFile, read_adapter
from darkroom.weights.store import MemoryStore


class Net(nn.Module):
    """A convolution, a norm and two linear layers, one of them without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, 8, 3, padding=1, padding_mode="circular")
        self.norm = nn.GroupNorm(2, 8)
        self.mid_block = nn.ModuleDict({"one": nn.Linear(8, 8)})
        self.to_out = nn.Linear(8, 5, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(self.conv_in(x)).flatten(2).transpose(1, 2)
        return self.to_out(torch.tanh(self.mid_block["one"](hidden)))


KINDS = ("lora", "loha", "lokr", "dora", "whole")


def draw(*shape: int, seed: int = 0) -> Tensor:
    return 0.5 * torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def adapter(kind: str, seed: int = 0) -> AdapterFile:
    """An adapter of every kind for every layer of the net."""
    tensors = {}
    for name, shape in (("conv_in", (8, 3, 3, 3)), ("mid_block_one", (8, 8)), ("to_out", (5, 8))):
        out, *inner = shape
        flat = torch.Size(inner).numel()
        down, up = draw(2, *inner, seed=seed), draw(out, 2, seed=seed)
        roles = {
            "lora": {"lora_down.weight": down, "lora_up.weight": up, "alpha": torch.tensor(1.0)},
            "dora": {"lora_down.weight": down, "lora_up.weight": up, "dora_scale": draw(out, 1, seed=seed)},
            "loha": {
                f"hada_w{i}_{which}": draw(*size, seed=seed + i)
                for i in (1, 2)
                for which, size in (("a", (out, 2)), ("b", (2, flat)))
            },
            "lokr": {"lokr_w1": draw(1, 1, seed=seed), "lokr_w2": draw(*shape, seed=seed + 1)},
            "whole": {"diff": draw(*shape, seed=seed)},
        }[kind]
        tensors |= {f"lora_unet_{name}.{role}": tensor for role, tensor in roles.items()}
    if kind == "whole":
        tensors["lora_unet_norm.w_norm"], tensors["lora_unet_norm.b_norm"] = draw(8, seed=seed), draw(8)
        tensors["lora_unet_mid_block_one.diff_b"] = draw(8, seed=seed)
    return read_adapter(MemoryStore(tensors))


def net(dtype: torch.dtype = torch.float32) -> nn.Module:
    return small.awake(Net()).to(dtype)


def traces(module: nn.Module) -> list[object]:
    """All that an adapter might leave behind on a model."""
    return [
        (name, type(part), sorted(vars(part)), len(part._forward_hooks), len(part._forward_pre_hooks))
        for name, part in module.named_modules()
    ] + [(name, sorted(vars(parameter))) for name, parameter in module.named_parameters()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("live", [False, True, None])
def test_taken_off_in_any_order_the_old_bits_are_back(dtype: torch.dtype, live: bool | None):
    """Three at once, merged, live and mixed."""
    for order in itertools.permutations(range(3)):
        model = net(dtype)
        before, plain = small.state([model]), traces(model)
        attached = [
            attach({"unet": model}, adapter(kind, i), 0.7, live=i == 1 if live is None else live)
            for i, kind in enumerate(("lora", "whole", "dora"))
        ]
        for i in order:
            attached[i].remove()
            attached[i].remove()
        assert all(map(torch.equal, before, small.state([model])))
        assert traces(model) == plain


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_left_is_as_if_it_had_come_alone(dtype: torch.dtype):
    model, alone = net(dtype), net(dtype)
    first = attach({"unet": model}, adapter("lora"), 0.5)
    attach({"unet": model}, adapter("loha", 1), 0.8)
    first.remove()
    attach({"unet": alone}, adapter("loha", 1), 0.8)
    assert all(map(torch.equal, small.state([alone]), small.state([model])))


def test_all_is_added_up_in_single_precision_and_rounded_once():
    model = net(torch.bfloat16)
    weight = model.to_out.weight.float()
    for seed in range(3):
        attach({"unet": model}, adapter("whole", seed), 0.01)
    told = weight + sum(0.01 * draw(5, 8, seed=seed) for seed in range(3))
    assert torch.equal(model.to_out.weight, told.to(torch.bfloat16))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weight", [1.0, -0.4])
@torch.no_grad()
def test_live_is_as_good_as_merged(kind: str, weight: float):
    """Also with another adapter beside it, and after the strength was changed."""
    merged, live, x = net(), net(), draw(2, 3, 4, 4)
    plain = merged(x)
    both = [attach({"unet": model}, adapter(kind), 0.3, live=model is live) for model in (merged, live)]
    for model in (merged, live):
        attach({"unet": model}, adapter("dora", 3), 0.5, live=model is live)
    for attached in both:
        attached.reweigh(weight)
    torch.testing.assert_close(live(x), merged(x), atol=1e-5, rtol=1e-4)
    assert (merged(x) - plain).abs().max() > 0.05
    assert live.state_dict().keys() == net().state_dict().keys()


@pytest.mark.parametrize("live", [False, True])
@torch.no_grad()
def test_strength_zero_changes_no_bit(live: bool):
    model, x = net(), draw(1, 3, 4, 4)
    before = model(x)
    for kind in KINDS:
        attach({"unet": model}, adapter(kind), 0.0, live=live)
    assert torch.equal(model(x), before)


@given(st.floats(-2, 2), st.floats(-2, 2))
@settings(max_examples=10)
def test_strengths_of_one_adapter_add_up(one: float, two: float):
    model, other = net(torch.float64), net(torch.float64)
    attach({"unet": model}, adapter("dora"), one)
    attach({"unet": model}, adapter("dora"), two)
    attach({"unet": other}, adapter("dora"), one + two)
    for a, b in zip(small.state([model]), small.state([other]), strict=True):
        torch.testing.assert_close(a, b)


def test_a_mapped_file_is_not_written_to(tmp_path):
    """Weights that are maps of a checkpoint are put aside, not copied and not changed."""
    from darkroom.weights.store import open_store
    from darkroom.weights.writing import write_store

    model = net()
    path = write_store(tmp_path / "net.safetensors", MemoryStore(model.state_dict()))
    bits, store = path.read_bytes(), open_store(path)
    for name, parameter in model.named_parameters():
        parameter.data = store.tensor(name)
    place = model.to_out.weight.data_ptr()
    attached = attach({"unet": model}, adapter("lora"))
    assert model.to_out.weight.data_ptr() != place and path.read_bytes() == bits
    attached.remove()
    assert model.to_out.weight.data_ptr() == place


def test_a_model_for_inference_takes_adapters_too():
    """Whether it was made under inference mode or an adapter comes and goes there."""
    with torch.inference_mode():
        inside = net()
    for model in (inside, net()):
        before, x = small.state([model]), draw(1, 3, 4, 4)
        with torch.inference_mode():
            attached = attach({"unet": model}, adapter("dora"))
            model(x)
        other = attach({"unet": model}, adapter("lora"))
        with torch.inference_mode():
            model(x)
            attached.remove()
        other.remove()
        assert all(map(torch.equal, before, small.state([model])))


def test_tied_weights_change_once():
    model = net()
    model.twin = nn.Linear(8, 5, bias=False)
    model.twin.weight = model.to_out.weight
    before = model.to_out.weight.clone()
    attached = attach({"unet": model}, adapter("whole"))
    torch.testing.assert_close(model.twin.weight, before + draw(5, 8))
    attached.remove()
    assert torch.equal(model.twin.weight, before)


def test_a_model_made_smaller_meanwhile_gets_its_old_weights_in_the_new_type():
    model = net()
    told = net().to(torch.float16)
    attached = attach({"unet": model}, adapter("lora"))
    model.to(torch.float16)
    attached.remove()
    assert all(map(torch.equal, small.state([model]), small.state([told])))


@torch.no_grad()
def test_live_compiles_and_follows_the_strength():
    model, x = net(), draw(1, 3, 4, 4)
    attached = attach({"unet": model}, adapter("lora"), 0.5, live=True)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), model(x))
    attached.reweigh(2.0)
    torch.testing.assert_close(compiled(x), model(x))


class Packed(nn.Module):
    """A linear layer that keeps its weight in bytes, as quantised ones do."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features, self.bias = layer.in_features, layer.out_features, layer.bias
        self.register_buffer("packed", layer.weight.data.view(torch.uint8))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.packed.view(torch.float32), self.bias)


@pytest.mark.parametrize("kind", ["lora", "loha", "lokr"])
@torch.no_grad()
def test_beside_quantised_layers_adapters_are_live(kind: str):
    model, merged, x = net(), net(), draw(1, 3, 4, 4)
    model.mid_block["one"] = Packed(model.mid_block["one"])
    attach({"unet": model}, adapter(kind))
    attach({"unet": merged}, adapter(kind))
    torch.testing.assert_close(model(x), merged(x), atol=1e-5, rtol=1e-4)


def test_dora_needs_the_weight_of_a_layer():
    model = net()
    model.mid_block["one"] = Packed(model.mid_block["one"])
    before = traces(model)
    with pytest.raises(DarkroomError, match="load the model without quantisation"):
        attach({"unet": model}, adapter("dora"), live=True)
    assert traces(model) == before


def test_what_was_used_and_what_was_not_is_told():
    tensors = {
        "lora_unet_to_out.diff": torch.zeros(5, 8),
        "lora_unet_to_out.diff_b": torch.zeros(5),  # the layer has no bias
        "lora_unet_conv_in.lora_down.weight": torch.zeros(2, 3, 3, 3),  # without its other half
        "lora_te_text_model_encoder_layers_0_mlp_fc1.diff": torch.zeros(1),  # of a part that is not here
        "something": torch.zeros(1),
    }
    attached = attach({"unet": net()}, read_adapter(MemoryStore(tensors)))
    assert attached.matched == ("lora_unet_to_out.diff",)
    assert set(attached.unused) == set(tensors) - set(attached.matched)
    assert attached.missing == ("lora_unet_conv_in.lora_up",)
    assert str(attached) == "matched 1, unused 4, missing 1"


def test_an_adapter_for_another_model_is_refused_and_says_for_which():
    model = net()
    before = small.state([model])
    key = "lora_unet_double_blocks_0_img_attn_proj"
    other = {f"{key}.lora_down.weight": torch.ones(2, 8), f"{key}.lora_up.weight": torch.ones(8, 2)}
    with pytest.raises(DarkroomError, match=r"none of the 1 layers .* made for flux, take one"):
        attach({"unet": model}, read_adapter(MemoryStore(other)))
    name = "lora_unet_to_out"
    wide = {f"{name}.lora_down.weight": torch.ones(2, 9), f"{name}.lora_up.weight": torch.ones(5, 2)}
    good = {"lora_unet_conv_in.diff": torch.ones(8, 3, 3, 3)}
    told = r"'lora_unet_to_out\.lora_down\.weight' is for .* \(5, 9\), and 'unet\.to_out' has \(5, 8\)"
    with pytest.raises(DarkroomError, match=told):
        attach({"unet": model}, read_adapter(MemoryStore(good | wide)))
    assert all(map(torch.equal, before, small.state([model])))


@pytest.mark.parametrize(
    "roles",
    [
        {"lora_down.weight": torch.ones(2, 8), "lora_up.weight": torch.ones(5, 3)},
        {"lora_down.weight": torch.ones(2, 8), "lora_up.weight": torch.ones(5, 2), "alpha": torch.ones(2)},
        {"lora_down.weight": torch.tensor(1.0), "lora_up.weight": torch.tensor(1.0)},
        {
            "lora_down.weight": torch.ones(2, 8),
            "lora_up.weight": torch.ones(5, 2),
            "dora_scale": torch.ones(9, 1),
        },
        {
            "hada_w1_a": torch.ones(5, 2),
            "hada_w1_b": torch.ones(2, 8),
            "hada_w2_a": torch.ones(5),
            "hada_w2_b": torch.ones(1),
        },
        {"lokr_w1": torch.ones(5), "lokr_w2": torch.ones(8)},
        {
            "lora_down.weight": torch.ones(2, 8),
            "lora_up.weight": torch.ones(5, 3),
            "lora_mid.weight": torch.ones(2, 2),
        },
    ],
)
def test_torn_files_are_refused_before_anything_is_changed(roles: dict[str, Tensor]):
    model = net()
    before = small.state([model])
    good = {"lora_unet_conv_in.diff": torch.ones(8, 3, 3, 3)}
    torn = {f"lora_unet_to_out.{role}": tensor for role, tensor in roles.items()}
    for bad in (torn, {"lora_unet_norm.b_norm": torch.ones(7)}):
        with pytest.raises(DarkroomError, match="do not go together"):
            attach({"unet": model}, read_adapter(MemoryStore(good | bad)))
    assert all(map(torch.equal, before, small.state([model])))


def test_text_has_its_own_strength():
    parts = {"unet": net(), "text_encoder": nn.ModuleDict({"fc": nn.Linear(2, 2)})}
    unet, text = parts["unet"].to_out.weight.clone(), parts["text_encoder"]["fc"].weight.clone()
    tensors = {"lora_unet_to_out.diff": torch.ones(5, 8), "lora_te_fc.diff": torch.ones(2, 2)}
    attach(parts, read_adapter(MemoryStore(tensors)), 0.5, text_weight=0.25)
    torch.testing.assert_close(parts["unet"].to_out.weight, unet + 0.5)
    torch.testing.assert_close(parts["text_encoder"]["fc"].weight, text + 0.25)


def test_blocks_by_number():
    """The 17 numbers of SD 1 go to the blocks with attention, BASE to text and what lies outside."""
    numbers = [i / 10 for i in range(17)]
    for part, module, told in (
        ("text_encoder", "encoder.layers.0.mlp.fc1", 0),
        ("unet", "time_embedding.linear_1", 0),
        ("unet", "down_blocks.0.attentions.0.proj_in", 1),
        ("unet", "down_blocks.0.attentions.1.proj_in", 2),
        ("unet", "down_blocks.2.attentions.1.proj_in", 6),
        ("unet", "mid_block.attentions.0.proj_in", 7),
        ("unet", "up_blocks.1.attentions.0.proj_in", 8),
        ("unet", "up_blocks.3.attentions.2.proj_in", 16),
    ):
        assert block_weight(numbers, part, module) == told / 10, module
    assert block_weight(numbers, "unet", "conv_in") == 0
    assert {size: len(names) for size, names in BLOCKS.items()} == {size: size for size in BLOCKS}


def test_blocks_are_counted_as_latent_diffusion_does():
    """Against the key map between its names and ours."""
    from darkroom.weights.layouts import unet as layout

    model = pytest.importorskip("diffusers") and small.unet()
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    sources = layout.from_native(shapes).original(MemoryStore(model.state_dict())).sources
    kinds = {"input_blocks": "IN", "output_blocks": "OUT"}
    for name, source in sources.items():
        place, number, *_ = name.split(".")
        told = (
            f"{kinds[place]}{int(number):02}"
            if place in kinds
            else {"middle_block": "M00"}.get(place, "BASE")
        )
        assert block_of(source.names[0].rpartition(".")[0]) == told, name


def test_blocks_by_name():
    names = {"unet": 0.5, "unet.down_blocks.1": 0.1, "unet.down_blocks.1.attentions": 0.2}
    assert block_weight(names, "unet", "down_blocks.1.attentions.0.proj_in") == 0.2
    assert block_weight(names, "unet", "down_blocks.1.resnets.0.conv1") == 0.1
    assert block_weight(names, "unet", "down_blocks.10.resnets.0.conv1") == 0.5
    assert block_weight(names, "text_encoder", "encoder.layers.0.mlp.fc1") == 1.0


def test_blocks_reach_the_weights():
    model, plain = net(), net()
    attach({"unet": model}, adapter("whole"), 0.5, block_weights={"unet.mid_block": 0.0, "unet.to_out": 2.0})
    assert torch.equal(model.mid_block["one"].weight, plain.mid_block["one"].weight)
    torch.testing.assert_close(model.to_out.weight, plain.to_out.weight + draw(5, 8))


def test_a_list_of_another_length_is_refused_and_leaves_the_model_alone():
    model = net()
    before = traces(model)
    with pytest.raises(DarkroomError, match="12, 17, 20, 26 numbers, and not 3"):
        attach({"unet": model}, adapter("lora"), block_weights=[1, 1, 1])
    assert traces(model) == before
