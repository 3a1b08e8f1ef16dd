"""Layers of 8 bits: their arithmetic against integers written out, rows that know nothing of each other."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.adapters.lora import attach
from darkroom.errors import DarkroomError, UnknownName
from darkroom.networks import integers
from darkroom.networks.integers import MOST, ZERO, signal_levels, weight_levels
from darkroom.networks.quantize import quantize
from darkroom.networks.quantized import QuantizedConv2d, QuantizedLinear, StoredConv2d, StoredLinear
from darkroom.weights.adapter_formats import read_adapter
from darkroom.weights.store import MemoryStore

CONVOLUTIONS = {
    "3x3": {"kernel_size": 3, "padding": 1},
    "3x3, stride 2": {"kernel_size": 3, "padding": 1, "stride": 2},
    "3x3, no padding": {"kernel_size": 3},
    "1x1": {"kernel_size": 1},
    "1x1, stride 2": {"kernel_size": 1, "stride": 2},
    "without bias": {"kernel_size": 3, "padding": 1, "bias": False},
}


@pytest.fixture(autouse=True, params=["exact", "written out"])
def products(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each test with oneDNN's products, and as on a machine that has none."""
    if request.param == "exact" and not integers.multiplies_exactly():
        pytest.skip("this machine multiplies no integers")
    if request.param == "written out":
        monkeypatch.setattr(integers, "multiplies_exactly", lambda: False)
    return request.param


def drawn(*shape: int, seed: int = 0, outlier: float = 1.0) -> Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    x.view(-1)[7] *= outlier
    return x


def whole(layer: nn.Linear | nn.Conv2d, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The layer's answer by the definition, in whole numbers and double precision."""
    levels, scale = signal_levels(x, axes)
    weight, weight_scale = weight_levels(layer.weight)
    signal, numbers = levels.long() - ZERO, weight.long()
    shape = (-1, 1, 1) if isinstance(layer, nn.Conv2d) else (-1,)
    if isinstance(layer, nn.Conv2d):
        sums = F.conv2d(signal.double(), numbers.double(), None, layer.stride, layer.padding)
    else:
        sums = (signal @ numbers.T).double()
    bias = 0 if layer.bias is None else layer.bias.double().reshape(shape)
    return sums * weight_scale.double().reshape(shape) * scale.double() + bias


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_is_its_integers(dtype: torch.dtype, bias: bool):
    layer, x = nn.Linear(96, 80, bias).to(dtype), drawn(3, 5, 96, outlier=1000).to(dtype)
    answer, wanted = QuantizedLinear(layer)(x), whole(layer, x, (-1,))
    assert answer.dtype == dtype and answer.shape == (3, 5, 80)
    near(answer, wanted)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_a_convolution_is_its_integers(kind: str, dtype: torch.dtype):
    layer, x = nn.Conv2d(32, 48, **CONVOLUTIONS[kind]).to(dtype), drawn(2, 32, 7, 9, outlier=50).to(dtype)
    axes = (1,) if kind == "1x1" else (1, 2, 3)
    for laid in (x, x.contiguous(memory_format=torch.channels_last)):
        answer = QuantizedConv2d(layer)(laid)
        assert answer.dtype == dtype
        near(answer, whole(layer, x, axes))


def near(answer: Tensor, wanted: Tensor) -> None:
    """As near as a rounding of the product and one of the sum in the answer's precision."""
    step = 2**-8 if answer.dtype == torch.bfloat16 else 1e-6
    assert answer.shape == wanted.shape
    assert ((answer.double() - wanted).abs() <= 2.1 * step * wanted.abs().clamp_min(wanted.std())).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_levels_are_within_half_a_step_and_never_beyond_the_last(dtype: torch.dtype):
    x = torch.cat([drawn(50, 64), drawn(50, 64, seed=1) * 1e-6, torch.zeros(1, 64)]).to(dtype)
    levels, scale = signal_levels(x, (-1,))
    assert (levels.int() - ZERO).abs().max() == MOST
    assert ((levels.float() - ZERO) * scale.float() - x.float()).abs().le(0.501 * scale.float()).all()
    assert (levels[-1] == ZERO).all()


@torch.no_grad()
def test_a_silent_channel_and_a_silent_signal_give_the_bias():
    layer = nn.Linear(64, 64)
    layer.weight[3] = 0
    quantized = QuantizedLinear(layer)
    assert quantized(drawn(2, 64))[:, 3].eq(layer.bias[3]).all()
    assert quantized(torch.zeros(2, 64)).eq(layer.bias).all()


@torch.no_grad()
def test_a_picture_is_the_same_to_the_bit_alone_and_beside_a_loud_one():
    network, x = net().bfloat16(), drawn(3, 128, 8, 8).bfloat16()
    x[1] *= 100
    quantize(network)
    assert torch.equal(network(x), torch.cat([network(x[i : i + 1]) for i in range(3)]))


@torch.no_grad()
@pytest.mark.skipif(not shutil.which("g++"), reason="torch's compiler wants another")
def test_compiled_it_is_the_same_picture_too(products: str):
    """In one graph, with weights that are not part of its code."""
    if products == "written out":
        pytest.skip("once is enough")
    network = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), Turned(nn.Linear(32, 32)), nn.Linear(32, 16))
    quantize(network.bfloat16(), choose=lambda name, layer: True)
    ask: Callable[[Tensor], Tensor] = torch.compile(network, fullgraph=True)
    x, loud = drawn(3, 16, 8, 8).bfloat16(), drawn(3, 16, 8, 8).bfloat16()
    loud[1] *= 100
    answer = ask(x)
    assert torch.equal(ask(x.flip(0)).flip(0), answer)
    assert torch.equal(ask(loud)[::2], answer[::2]) and not torch.equal(ask(loud)[1], answer[1])
    assert (answer - network(x)).norm() < 0.02 * answer.norm()


def net() -> nn.Module:
    """A convolution, one of 1x1 and a linear layer, all large enough, and one of each that is not."""
    torch.manual_seed(0)
    parts = [
        nn.Conv2d(128, 128, 3, padding=1),
        nn.SiLU(),
        nn.Conv2d(128, 192, 1),
        nn.Flatten(2),
        nn.Linear(64, 64),
        Turned(nn.Linear(192, 128, bias=False)),
    ]
    return nn.Sequential(*parts).eval().requires_grad_(False)


class Turned(nn.Module):
    """(B, C, N) through a layer over C."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(2).transpose(1, 2))


@torch.no_grad()
@pytest.mark.parametrize("kind", ["int8", "int8-weights"])
def test_what_is_large_is_replaced_and_told(kind: str):
    network, x = net(), drawn(2, 128, 8, 8)
    wanted = network(x)
    report = quantize(network, kind)
    assert report.quantized == ("0", "2", "5.layer") and report.kept == ("4",)
    numbers = 128 * 128 * 9 + 128 * 192 + 192 * 128
    others = 4 * (128 + 192 + 64 * 64 + 64)
    assert report.bytes_before == 4 * numbers + others
    assert report.bytes_after == numbers + others + 4 * (128 + 192 + 128)
    assert str(report) == f"{kind} in 3 of 4 layers; 1 MiB of weights became 0"
    error = (network(x) - wanted).norm() / wanted.norm()
    assert 0 < error < 0.03


def test_no_kind_of_that_name():
    with pytest.raises(UnknownName, match="did you mean 'int8'"):
        quantize(net(), "int9")


def test_names_choose_too():
    network = net()
    assert quantize(network, choose=lambda name, layer: name == "4").quantized == ("4",)
    assert isinstance(network[4], QuantizedLinear) and isinstance(network[0], nn.Conv2d)


@pytest.mark.parametrize(
    "strange", [{"groups": 2}, {"dilation": 2}, {"padding_mode": "circular"}, {"padding": "same"}]
)
def test_other_convolutions_are_left_alone(strange: dict[str, object]):
    network = nn.Sequential(nn.Conv2d(256, 256, 3, **({"padding": 1} | strange)))
    assert quantize(network).kept == ("0",)


@torch.no_grad()
def test_casting_and_moving_keeps_scales_and_weights():
    network, x = net(), drawn(1, 128, 8, 8)
    quantize(network)
    wanted = network(x)
    network.to(memory_format=torch.channels_last).bfloat16().float()
    assert network[0].scale.dtype == torch.float32
    assert torch.allclose(network(x), wanted, atol=0.02)  # biases were rounded
    with pytest.raises(DarkroomError, match="'int8-weights'"):
        network.to("meta")


@torch.no_grad()
@pytest.mark.parametrize("layer", [StoredLinear, QuantizedLinear, StoredConv2d, QuantizedConv2d])
def test_adapters_are_computed_beside(layer: type[nn.Module]):
    draw = torch.Generator().manual_seed(1)
    linear = layer in (StoredLinear, QuantizedLinear)
    down, up = ((4, 8), (8, 4)) if linear else ((4, 8, 3, 3), (8, 4, 1, 1))
    tensors = {
        "unet.one.lora_A.weight": torch.randn(down, generator=draw),
        "unet.one.lora_B.weight": torch.randn(up, generator=draw),
    }
    adapter = read_adapter(MemoryStore(tensors))
    plain = nn.ModuleDict({"one": nn.Linear(8, 8) if linear else nn.Conv2d(8, 8, 3, padding=1)})
    packed = nn.ModuleDict({"one": layer(plain["one"])})
    x = drawn(2, 8, *([] if linear else [5, 5]))
    before = packed["one"](x) - plain["one"](x)
    attach({"unet": packed}, adapter)
    attach({"unet": plain}, adapter)
    torch.testing.assert_close(packed["one"](x) - plain["one"](x), before, atol=1e-4, rtol=1e-4)


def test_a_network_with_an_adapter_on_it_is_refused():
    tensors = {"unet.one.lora_A.weight": torch.ones(4, 128), "unet.one.lora_B.weight": torch.ones(128, 4)}
    for live in (False, True):
        network = nn.ModuleDict({"one": nn.Linear(128, 128)}).requires_grad_(False)
        attached = attach({"unet": network}, read_adapter(MemoryStore(tensors)), live=live)
        with pytest.raises(DarkroomError, match="something hangs on the layer 'one'"):
            quantize(network)
        assert isinstance(network["one"], nn.Linear)
        attached.remove()
        assert quantize(network).quantized == ("one",)


def test_a_machine_whose_products_overflow_is_known(products: str):
    """oneDNN told to forget the instructions adds in 16 bits; seen only in a process of its own."""
    if products == "written out" or not torch.cpu._is_vnni_supported():
        pytest.skip("nothing to forget")
    code = "from darkroom.networks import integers; print(integers.multiplies_exactly())"
    told = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == ["False"]
