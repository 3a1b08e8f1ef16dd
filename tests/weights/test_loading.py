"""Loading: every tensor where it belongs, in the right type, with little memory; or else plain words."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from handmade import same
from measure_loading import network
from torch import Tensor, nn

from darkroom.errors import DarkroomError
from darkroom.weights.loading import CHUNK, Matched, hollow, load_into
from darkroom.weights.store import MemoryStore, open_store
from darkroom.weights.writing import write_store

REALS = (torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)


class Small(nn.Module):
    """Parameters, one of them shared, and buffers of all kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 8)
        self.head = nn.Linear(8, 10)
        self.head.weight = self.embed.weight
        self.norm = nn.BatchNorm1d(8)
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)
        self.register_buffer("places", torch.arange(5.0), persistent=False)


def filled(seed: int = 0) -> dict[str, Tensor]:
    """The saved tensors of a Small, with random numbers."""
    draw = torch.Generator().manual_seed(seed)
    state = Small().state_dict()
    return {
        name: torch.randn(one.shape, generator=draw) if one.is_floating_point() else one + 7
        for name, one in state.items()
        if name != "head.weight"
    }


def empty() -> Small:
    with hollow():
        return Small()


def test_a_hollow_module_has_no_parameters_in_memory_and_all_its_buffers():
    module = empty()
    assert all(one.is_meta for one in module.parameters())
    assert module.places.tolist() == [0, 1, 2, 3, 4]
    assert not module.frozen.requires_grad and module.embed.weight.requires_grad
    assert module.head.weight is module.embed.weight
    assert not any(one.is_meta for one in Small().parameters())


def test_other_threads_build_as_ever_meanwhile():
    built: list[nn.Module] = []
    with hollow():
        thread = threading.Thread(target=lambda: built.append(Small()))
        thread.start()
        thread.join()
    assert not any(one.is_meta for one in built[0].parameters())


@pytest.mark.parametrize("target", [None, *REALS[:3]])
@pytest.mark.parametrize("stored", REALS)
def test_every_number_becomes_what_torch_makes_of_it(tmp_path, stored, target):
    tensors = {k: v.to(stored) if v.is_floating_point() else v for k, v in filled().items()}
    module = empty()
    report = load_into(module, open_store(write_store(tmp_path / "x", MemoryStore(tensors))), target)
    assert report == Matched(8) and str(report) == "matched 8, unused 0, missing 0"
    state = module.state_dict()
    for name, tensor in tensors.items():
        assert same(state[name], tensor.to(target) if target and tensor.is_floating_point() else tensor), name
    assert module.norm.num_batches_tracked.dtype == torch.int64
    assert isinstance(module.embed.weight, nn.Parameter) and module.embed.weight is module.head.weight
    assert not module.frozen.requires_grad


def test_a_tensor_of_several_chunks_and_one_that_is_turned_are_converted_whole():
    module, numbers = nn.Linear(CHUNK // 1024 + 5, 2048, bias=False), torch.randn(CHUNK // 1024 + 5, 2048).t()
    load_into(module, MemoryStore({"weight": numbers}), torch.bfloat16)
    assert same(module.weight, numbers.bfloat16()) and module.weight.is_contiguous()


def test_the_network_computes_as_the_one_that_was_saved(tmp_path):
    first = network(2, 16)
    path = write_store(tmp_path / "x", MemoryStore(first.state_dict()))
    with hollow():
        second = network(2, 16)
    load_into(second, open_store(path))
    x = torch.randn(3, 16)
    assert torch.equal(first["layers"][1](x), second["layers"][1](x))


def test_what_the_network_lacks_is_unused_and_what_may_be_missing_stays():
    tensors = filled() | {"other": torch.ones(1)}
    del tensors["norm.running_mean"], tensors["norm.num_batches_tracked"]
    module = empty()
    report = load_into(
        module, MemoryStore(tensors), allow_missing=("norm.running_*", "norm.num_batches_tracked")
    )
    assert report == Matched(6, ("other",), ("norm.num_batches_tracked", "norm.running_mean"))
    assert str(report) == "matched 6, unused 1, missing 2"
    assert not module.norm.running_mean.any() and not module.norm.running_mean.is_meta


def test_either_name_of_a_shared_parameter_will_do_and_both_if_they_agree():
    tensors = filled()
    weight = tensors.pop("embed.weight")
    for names in (["head.weight"], ["head.weight", "embed.weight"]):
        module = empty()
        report = load_into(module, MemoryStore(tensors | {name: weight.clone() for name in names}))
        assert report == Matched(7 + len(names))
        assert module.head.weight is module.embed.weight and torch.equal(module.embed.weight, weight)
    with pytest.raises(DarkroomError, match=r"'embed.weight' and 'head.weight' differ"):
        load_into(empty(), MemoryStore(tensors | {"head.weight": weight, "embed.weight": weight + 1}))


class Unread(MemoryStore):
    """Fails the test if a tensor is read."""

    def tensor(self, name: str) -> Tensor:
        raise AssertionError(f"{name} was read")


def without(name: str) -> dict[str, Tensor]:
    return {k: v for k, v in filled().items() if k != name}


WRONG = {
    "a shape": (
        filled() | {"embed.weight": torch.ones(10, 9)},
        r"'some file' does not fit Small: 'embed.weight' should be real \(10, 8\) and is real \(10, 9\)",
    ),
    "a kind": (
        filled() | {"head.bias": torch.ones(10).int()},
        r"should be real \(10,\) and is int32 \(10,\)",
    ),
    "a kind of count": (
        filled() | {"norm.num_batches_tracked": torch.tensor(1.0)},
        r"be int64 \(\) and is real \(\)",
    ),
    "one missing": (without("head.bias"), r"'some file' lacks 1 of 9 tensors \('head.bias'\)"),
    "a shared one missing": (
        without("embed.weight"),
        r"lacks 2 of 9 tensors \('embed.weight', 'head.weight'\)",
    ),
    "none matches": (
        {"x": torch.ones(1)},
        r"has none of the 9 tensors of Small: it has 'x' and not 'embed.weight'",
    ),
    "nothing there": ({}, "has none of the 9 tensors of Small: it has nothing and not"),
}


@pytest.mark.parametrize(("tensors", "says"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_said_before_any_tensor_is_read(tensors, says):
    with pytest.raises(DarkroomError, match=says):
        load_into(empty(), Unread(tensors, source="some file"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("stored", [torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2])
@pytest.mark.parametrize("target", [None, torch.bfloat16])
def test_one_number_that_is_none_is_found_anywhere(value, stored, target):
    module = nn.Linear(1024, 1030, bias=False)
    weight = torch.zeros(1030, 1024)
    weight[1029, 1000] = value  # in the second chunk
    store = MemoryStore({"weight": weight.to(stored)}, source="some file")
    with pytest.raises(DarkroomError, match=r"'some file': 'weight' has numbers that are NaN or infinite"):
        load_into(module, store, target)
    load_into(module, store, target, allow_nan=True)
    assert torch.equal(module.weight[1029, 1000].float(), torch.tensor(value)) or value != value


def test_numbers_too_large_for_the_type_are_not_made_infinite():
    store = MemoryStore({"weight": torch.full((2, 2), 1e5), "bias": torch.ones(2)})
    with pytest.raises(
        DarkroomError, match="'weight' has numbers too large for float16; load it in bfloat16"
    ):
        load_into(nn.Linear(2, 2), store, torch.float16)
    load_into(nn.Linear(2, 2), store, torch.bfloat16)


def test_a_buffer_that_no_file_has_and_that_has_no_values_is_our_own_fault():
    with torch.device("meta"):
        module = Small()
    with pytest.raises(RuntimeError, match="the buffer places has no values; build Small under hollow"):
        load_into(module, MemoryStore(filled()))


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the kernel counts on Linux alone")
def test_memory_holds_the_weights_and_hardly_more(tmp_path):
    """At most 1.15 times the weights, with all that the process takes besides; of 60 to 120 MB."""
    layers, width = 26, 1000
    command = [sys.executable, str(Path(__file__).with_name("measure_loading.py")), str(layers), str(width)]
    with hollow():
        shapes = network(layers, width).state_dict()
    for stored, target in (("float32", "bfloat16"), ("bfloat16", "bfloat16"), ("float16", "float32")):
        state = {k: torch.full(v.shape, 0.5, dtype=getattr(torch, stored)) for k, v in shapes.items()}
        command += [str(write_store(tmp_path / stored, MemoryStore(state))), target]
    kept = {"MALLOC_MMAP_THRESHOLD_": "65536"}  # what one loading frees must not be there for the next
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | kept)
    taken = [float(line) for line in done.stdout.split()]
    assert len(taken) == 3 and min(taken) > 0.9 and max(taken) < 1.15
