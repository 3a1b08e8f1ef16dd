"""Packed layers answer as torch's own, and follow their weights."""

import pytest
import torch
from torch import nn

from darkroom.adapters.merging import lay, lift
from darkroom.adapters.patches import LowRank
from darkroom.networks.packed import PackedConv2d, PackedLinear, available, pack

pytestmark = pytest.mark.skipif(not available(), reason="this torch has no oneDNN")
HALF = torch.bfloat16 if available() and torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32

CONVOLUTIONS = (
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": 3, "padding": 1, "stride": 2},
    {"kernel_size": 1},
    {"kernel_size": 3, "padding": 2, "dilation": 2, "bias": False},
    {"kernel_size": 3, "padding": 1, "groups": 2},
)
CLOSE = {HALF: 1e-2, torch.float32: 1e-5}


class Net(nn.Module):
    """One layer under a name."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer


@torch.inference_mode()
def differs(layer: nn.Module, x: torch.Tensor, dtype: torch.dtype) -> float:
    """How far the packed layer is from double precision, relative to its answer."""
    net = Net(layer.to(dtype))
    exact = layer.double()(x.to(dtype).double())
    layer.to(dtype)
    pack(net, dtype)
    assert isinstance(net.layer, PackedLinear | PackedConv2d)
    answer = net.layer(x.to(dtype))
    assert answer.dtype == dtype
    return float((answer.double() - exact).norm() / exact.norm())


@pytest.mark.parametrize("dtype", CLOSE, ids=str)
@pytest.mark.parametrize("options", CONVOLUTIONS, ids=str)
def test_convolutions_answer_as_in_double_precision(options, dtype):
    torch.manual_seed(0)
    assert differs(nn.Conv2d(16, 24, **options), torch.randn(2, 16, 9, 7), dtype) < CLOSE[dtype]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 5), (3, 40, 5), (2, 3, 4, 5)], ids=str)
def test_linear_layers_answer_as_in_double_precision(shape, bias):
    torch.manual_seed(0)
    assert differs(nn.Linear(5, 33, bias=bias), torch.randn(shape), HALF) < 1e-2


def test_a_weight_that_is_written_to_is_packed_anew():
    torch.manual_seed(0)
    net, x = Net(nn.Conv2d(8, 8, 3, padding=1).to(HALF)), torch.randn(1, 8, 6, 6).to(HALF)
    pack(net, HALF)
    with torch.no_grad():
        before = net.layer(x)
        net.layer.weight.add_(1)
        changed = net.layer(x)
        net.layer.weight.sub_(1)
    assert not torch.equal(before, changed)
    plain = nn.Conv2d(8, 8, 3, padding=1).to(HALF)
    plain.load_state_dict(net.layer.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(net.layer(x), plain(x), atol=1e-2, rtol=1e-2)


def low_rank(rows: int, columns: int) -> LowRank:
    return LowRank(torch.randn(4, columns), torch.randn(rows, 4))


@pytest.mark.parametrize("size", [64, 96])
def test_adapters_that_follow_each_other_are_packed_each(size):
    """Memory of one that was taken off is given to the next: nothing but its numbers tells them apart."""
    torch.manual_seed(0)
    plain, x = nn.Linear(size, size, bias=False).requires_grad_(False), torch.randn(2, size)
    net = Net(nn.Linear(size, size, bias=False).requires_grad_(False))
    net.layer.load_state_dict(plain.state_dict())
    pack(net, torch.float32)

    def agrees() -> bool:
        with torch.inference_mode():
            answer, right = net.layer(x), nn.functional.linear(x, net.layer.weight)
        return torch.allclose(answer, right, atol=1e-3, rtol=1e-3)

    wrong = 0
    for _ in range(20):
        lay(net.layer.weight, "a", low_rank(size, size), 1.0)
        wrong += not agrees()
        lift(net.layer.weight, "a")
        lay(net.layer.weight, "b", patch := low_rank(size, size), 1.0)
        wrong += not agrees()
        lay(net.layer.weight, "b", patch, 0.5)
        lay(net.layer.weight, "b", patch, 0.25)
        wrong += not agrees()
        lift(net.layer.weight, "b")
    assert wrong == 0
    with torch.inference_mode():
        torch.testing.assert_close(net.layer(x), plain(x))


def test_memory_that_was_given_back_and_taken_again_is_another():
    """One address and no writing, as the allocator has it when a weight goes before the next one comes."""
    torch.manual_seed(0)
    net, x = Net(nn.Linear(64, 64, bias=False).requires_grad_(False)), torch.randn(2, 64)
    pack(net, torch.float32)
    places = set()
    for _ in range(20):
        net.layer.weight.data = torch.empty(0)
        net.layer.weight.data = torch.randn(64, 64)
        places.add(net.layer.weight.data_ptr())
        with torch.inference_mode():
            torch.testing.assert_close(
                net.layer(x), nn.functional.linear(x, net.layer.weight), atol=1e-3, rtol=1e-3
            )
    assert len(places) < 20, "no address came twice, so this showed nothing"


def test_names_parameters_and_hooks_stay():
    net, heard = Net(nn.Linear(4, 4)), []
    weight = net.layer.weight
    net.layer.register_forward_hook(lambda layer, inputs, output: heard.append(output))
    pack(net, HALF)
    assert dict(net.named_parameters())["layer.weight"] is weight
    net.layer(torch.randn(2, 4))
    assert len(heard) == 1


def test_layers_of_other_kinds_stay_as_they_are():
    class Own(nn.Linear):
        """A layer with a forward pass of its own."""

    net = nn.Sequential(Own(4, 4), nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular"), nn.Linear(4, 4))
    assert pack(net, HALF) == 1
    assert [type(layer) for layer in net] == [Own, nn.Conv2d, PackedLinear]


def test_gradients_go_the_plain_way():
    net, x = Net(nn.Linear(4, 4)), torch.randn(2, 4, requires_grad=True)
    pack(net, HALF)
    net.layer(x).sum().backward()
    assert x.grad is not None and net.layer.weight.grad is not None
