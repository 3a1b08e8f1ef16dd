"""Our attention kernel: as exact as bf16 allows, the same in any company, else torch's."""

import ctypes
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from darkroom.networks import attend as seam
from darkroom.networks.attend import attend, torch_attention, use
from darkroom.networks.conditioning import Conditioning
from darkroom.networks.kernels import flash
from darkroom.networks.layers import merge_heads, split_heads
from darkroom.networks.unet import UNet
from darkroom.networks.unet_config import UNetConfig

ROOM = Path(flash.SOURCE).parents[1]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """Ours, built for these tests."""
    made = flash.available(tmp_path_factory.mktemp("kernels"))
    if isinstance(made, str):
        pytest.skip(made)
    return made


@pytest.fixture
def in_force(kernel) -> Iterator[None]:
    before = use(kernel)
    yield
    use(before)


def ours(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """The operator, however small the work."""
    return torch.ops.darkroom.attention(q, k, v, mask)


def normals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def parts(batch: int, heads: int, queries: int, keys: int, width: int) -> list[Tensor]:
    """Queries, keys and values, split off (B, L, heads * d)."""
    lengths = enumerate((queries, keys, keys))
    return [split_heads(normals(batch, n, heads * width, seed=i), heads) for i, n in lengths]


def exact(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Attention in double precision, and the most that rounded weights and a rounded answer may be off.

    bf16 rounds by up to 2^-8; what weights are off shifts the mean of values by their distance from it.
    """
    q, k, v = q.double(), k.double(), v.double()
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(-1).nan_to_num(0)
    seen, size = weights @ v, weights @ v.abs()
    far = 2**-8 * (size + 2 * seen.abs())
    return seen, 1.02 * far + 1e-6 * scores.nan_to_num(neginf=0).abs().amax(-1, keepdim=True) * size


MASKS = {
    "none": lambda b, h, q, k: None,
    "keys": lambda b, h, q, k: (b, 1, 1, k),
    "pairs": lambda b, h, q, k: (1, 1, q, k),
    "all": lambda b, h, q, k: (b, h, q, k),
    "queries": lambda b, h, q, k: (q, 1),
}
LAYOUTS = {
    "heads split off": lambda x: split_heads(merge_heads(x).contiguous(), x.shape[1]),
    "contiguous": lambda x: x.contiguous(),
    "width not contiguous": lambda x: x.mT.contiguous().mT,
    "within a wider one": lambda x: F.pad(x, (8, 16))[..., 8:-16],
    "one for all": lambda x: x[:1, :1].expand(x.shape),
}


@given(
    batch=st.integers(1, 3),
    heads=st.integers(1, 3),
    queries=st.integers(1, 150),
    keys=st.integers(1, 600),
    width=st.integers(1, 32).map(lambda n: 8 * n) | st.sampled_from([40, 64, 80, 160, 512]),
    mask=st.sampled_from(sorted(MASKS)),
    layout=st.sampled_from(sorted(LAYOUTS)),
    scale=st.sampled_from([0.0, 0.1, 1.0, 6.0]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60)
def test_every_number_is_as_close_to_the_truth_as_bf16_allows(
    kernel, batch, heads, queries, keys, width, mask, layout, scale, seed
):
    q, k, v = (
        LAYOUTS[layout](normals(batch, heads, n, width, seed=seed + i))
        for i, n in enumerate((queries, keys, keys))
    )
    q = q * scale
    shape = MASKS[mask](batch, heads, queries, keys)
    mask = None if shape is None else torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.3
    true, allowed = exact(q, k, v, mask)
    assert ((ours(q, k, v, mask) - true).abs() <= allowed + 1e-30).all()


@pytest.mark.parametrize("shape", [(1, 4, 512, 512, 40), (1, 2, 300, 77, 80), (2, 2, 200, 700, 64)])
def test_it_is_no_further_off_than_torch_s(kernel, shape):
    q, k, v = parts(*shape)
    true, _ = exact(q, k, v)
    far, torch_s = ((answer - true).norm() for answer in (ours(q, k, v), torch_attention(q, k, v)))
    assert far < 1.02 * torch_s


def test_a_picture_is_the_same_to_the_bit_in_a_batch_and_with_any_number_of_threads(kernel):
    q, k, v = parts(3, 4, 333, 300, 40)
    mask = torch.rand(3, 1, 1, 300) > 0.3
    together = ours(q, k, v, mask)
    alone = [ours(q[i, None], k[i, None], v[i, None], mask[i, None]) for i in range(3)]
    assert torch.equal(together, torch.cat(alone))
    assert torch.equal(together[:, 1:2, 37:90], ours(q[:, 1:2, 37:90], k[:, 1:2], v[:, 1:2], mask))
    before = torch.get_num_threads()
    try:
        for threads in (2, 3, 8):
            torch.set_num_threads(threads)
            assert torch.equal(together, ours(q, k, v, mask))
    finally:
        torch.set_num_threads(before)


def test_it_takes_as_many_threads_as_torch_is_told_to(kernel, monkeypatch):
    asked = []

    @ctypes.CFUNCTYPE(
        None, ctypes.CFUNCTYPE(None, ctypes.c_void_p), ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint
    )
    def spy(work, data, threads, flags):
        asked.append(threads)
        work(data)

    monkeypatch.setattr(flash, "parallel", lambda: ctypes.cast(spy, ctypes.c_void_p).value)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    q, k, v = parts(1, 4, 128, 128, 64)
    answer = ours(q, k, v)
    ours(q[:, :1, :16], k[:, :1, :16], v[:, :1, :16])  # too little to wake others for
    assert asked == [5]
    monkeypatch.undo()
    assert torch.equal(answer, ours(q, k, v))


def test_where_no_key_counts_nothing_is_seen(kernel):
    q, k, v = parts(1, 2, 20, 600, 40)
    mask = torch.ones(1, 1, 20, 600, dtype=torch.bool)
    mask[..., 3, :] = False
    mask[..., 5, :550] = False  # so that whole blocks of keys do not count
    answer = ours(q, k, v, mask)
    assert answer[:, :, 3].eq(0).all() and torch_attention(q, k, v, mask)[:, :, 3].eq(0).all()
    torch.testing.assert_close(answer, exact(q, k, v, mask)[0].bfloat16(), atol=0.01, rtol=0.01)
    fewer = ours(q[:, :, 5:6], k[:, :, 550:], v[:, :, 550:])
    torch.testing.assert_close(answer[:, :, 5:6], fewer, atol=0.01, rtol=0.01)


@pytest.mark.parametrize("size", [1e3, 1e15, 1e18])
def test_large_scores_choose_the_largest(kernel, size):
    q, k, v = parts(1, 1, 16, 300, 64)
    q = q * size
    first = (q.double() @ k.double().mT).argmax(-1)
    torch.testing.assert_close(ours(q, k, v)[0, 0], v[0, 0, first[0, 0]], atol=0.02, rtol=0.02)


def test_scores_of_minus_infinity_are_as_keys_that_do_not_count(kernel):
    q, k, v = parts(1, 1, 16, 300, 64)
    q = q.abs()
    k[:, :, 7] = -torch.inf
    mask = torch.ones(1, 1, 1, 300, dtype=torch.bool)
    mask[..., 7] = False
    assert torch.equal(ours(q, k, v), ours(q, k.nan_to_num(neginf=0), v, mask))
    assert (
        ours(q, torch.full_like(k, -torch.inf), v).isnan().all()
        == torch_attention(q, torch.full_like(k, -torch.inf), v).isnan().all()
    )


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_no_number_spoils_its_own_queries_alone(kernel, bad):
    q, k, v = parts(1, 2, 40, 300, 40)
    clean = ours(q, k, v)
    q[0, 0, 11, 5] = bad
    answer = ours(q, k, v)
    assert answer[0, 0, 11].isnan().all() and torch_attention(q, k, v)[0, 0, 11].isnan().all()
    answer[0, 0, 11] = clean[0, 0, 11]
    assert torch.equal(answer, clean)
    v[0, 1, 299, 3] = bad
    assert ours(q, k, v)[0, 1, :, 3].isfinite().sum() == 0


def test_merging_the_heads_moves_nothing(kernel):
    answer = kernel(*parts(2, 4, 100, 100, 40))
    assert merge_heads(answer).data_ptr() == answer.data_ptr()


def test_the_operator_is_what_torch_expects_of_one(kernel):
    q, k, v = parts(1, 2, 20, 30, 16)
    torch.library.opcheck(torch.ops.darkroom.attention, (q, k, v, None))
    torch.library.opcheck(torch.ops.darkroom.attention, (q, k, v, torch.rand(1, 1, 1, 30) > 0.5))


def test_a_compiled_network_holds_it_in_one_graph(kernel, in_force):
    q, k, v = parts(1, 4, 128, 77, 40)
    mask = torch.rand(1, 1, 1, 77) > 0.3

    def network(q, k, v):
        return merge_heads(attend(q * 2, k, v, mask)) + 1

    graphs = []

    def keep(graph, inputs):
        graphs.append(graph)
        return graph.forward

    with torch.no_grad():
        assert torch.equal(
            torch.compile(network, fullgraph=True, backend="aot_eager")(q, k, v), network(q, k, v)
        )
        torch.compile(network, fullgraph=True, backend=keep)(q, k, v)
    assert "darkroom.attention" in graphs[0].code


ASKED_OF_TORCH = {
    "single precision": lambda q, k, v: (q.float(), k.float(), v.float(), None),
    "a width of 36": lambda q, k, v: (q[..., :36], k[..., :36], v[..., :36], None),
    "values of another width": lambda q, k, v: (q, k, v[..., :32], None),
    "a mask of numbers": lambda q, k, v: (q, k, v, torch.zeros(1, 1, 1, 77, dtype=torch.bfloat16)),
    "few queries": lambda q, k, v: (q[:, :, :15], k, v, None),
    "little work": lambda q, k, v: (q[:, :1, :20], k[:, :1], v[:, :1], None),
    "keys for a whole batch": lambda q, k, v: (q.expand(2, -1, -1, -1), k, v, None),
    "three axes": lambda q, k, v: (q[0], k[0], v[0], None),
}


@pytest.mark.parametrize("why", ASKED_OF_TORCH)
def test_what_it_does_not_take_is_asked_of_torch(kernel, why):
    told = ASKED_OF_TORCH[why](*parts(1, 8, 256, 77, 40))
    torch.testing.assert_close(kernel(*told), torch_attention(*told), atol=0, rtol=0)
    if not flash.fits(*told):
        with pytest.raises((ValueError, RuntimeError)):
            ours(*told)


def test_the_size_of_a_batch_does_not_choose_the_kernel(kernel):
    for queries in (16, 30, 60):
        one, many = parts(1, 1, queries, 80, 40), parts(16, 1, queries, 80, 40)
        assert flash.suits(*one, None) == flash.suits(*many, None)


def test_gradients_are_torch_s(kernel):
    leaves = [part.detach().requires_grad_() for part in parts(1, 8, 256, 77, 40)]
    theirs = torch.autograd.grad(torch_attention(*leaves).square().sum(), leaves)
    for mine, wanted in zip(torch.autograd.grad(kernel(*leaves).square().sum(), leaves), theirs, strict=True):
        assert torch.equal(mine, wanted)


def test_a_network_is_no_further_off_with_it(kernel):
    torch.manual_seed(0)
    config = UNetConfig(
        widths=(64, 64), down=((1,), (0,)), mid=1, up=((0, 0), (1, 1)), heads=(4, 4), context_width=32
    )
    network, draw = UNet(config).eval(), torch.Generator().manual_seed(1)
    cond = Conditioning(torch.randn(2, 77, 32, generator=draw), torch.rand(2, 77, generator=draw) > 0.3)
    told = (torch.randn(2, 4, 16, 16, generator=draw), torch.tensor([10.0, 900.0]), cond)
    with torch.no_grad():
        true, answers = network(*told), {}
        network.bfloat16()
        for way in (kernel, torch_attention):
            before = use(way)
            answers[way] = network(*told)
            use(before)
    assert not torch.equal(*answers.values())
    far, torch_s = ((answer - true).norm() for answer in answers.values())
    assert far < 1.1 * torch_s < 0.1 * true.norm()


def test_all_networks_ask_in_one_place():
    asking = [path.name for path in ROOM.rglob("*.py") if "scaled_dot_product_attention" in path.read_text()]
    assert asking == [Path(seam.__file__).name]


def test_a_kernel_is_chosen_from_outside():
    told = parts(1, 1, 4, 4, 8)
    before = use(lambda q, k, v, mask=None: v)
    try:
        assert attend(*told) is told[2]
    finally:
        assert use(before)(*told) is told[2]
    assert torch.equal(attend(*told), torch_attention(*told))


@pytest.mark.parametrize(
    ("place", "name", "value", "reason"),
    [
        (torch.backends.cpu, "get_cpu_capability", lambda: "AVX2", "torch uses AVX2 here"),
        (flash, "processor_flags", lambda: {"avx512f", "avx512bw"}, "has no avx512vl, avx512dq, avx512_bf16"),
        (flash, "processor_flags", lambda: {*flash.INSTRUCTIONS, "amx_bf16"}, "AMX"),
        (flash, "parallel", lambda: None, "OpenMP"),
        (flash, "library", flash.library, "there is no C\\+\\+ compiler"),
    ],
)
def test_where_it_cannot_be_had_a_sentence_says_why(monkeypatch, tmp_path, place, name, value, reason):
    for part, healthy in (("processor_flags", lambda: set(flash.INSTRUCTIONS)), ("parallel", lambda: 1)):
        monkeypatch.setattr(flash, part, healthy)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(place, name, value)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(flash.available(tmp_path / "kernels"))
