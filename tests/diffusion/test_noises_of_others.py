"""Noise of other tools: the published generators, and variation and resizing as A1111 has them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from darkroom.diffusion.noise import Philox, resized, varied
from darkroom.diffusion.torch_noise import comfy, gpu_normal, philox4x32, torch_cpu, torch_gpu

SHAPE = (4, 8, 6)


# ---- torch on a GPU


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ([0] * 4, (0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, (0xFFFFFFFF,) * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            (0xA4093822, 0x299F31D0),
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
    ids=["zeros", "ones", "pi"],
)
def test_philox4x32_gives_the_known_answers(counter, key, words):
    """Of Random123's kat_vectors, 10 rounds."""
    assert philox4x32(np.array(counter, np.uint64)[:, None], key)[:, 0].tolist() == words


def test_seed_0_gives_what_torch_prints_on_a_gpu():
    """``torch.manual_seed(0); torch.randn(..., device="cuda")``, as tutorials for many GPUs show it."""
    printed = """-0.9247 -0.4253 -2.6438 0.1452 -0.1209 -0.5797 -0.6229 -0.3284 -1.0745 -0.3631 -1.6711 2.2655
        0.3117 -0.1842 1.2866 1.1820 -0.1271 1.2169 1.4353 1.0605 -0.4941 -1.4244 -0.7244
        -1.2973 0.0697 -0.0074"""
    expected = np.array(printed.split(), float)
    np.testing.assert_allclose(gpu_normal(0, 0, 26), expected, rtol=0, atol=5.1e-5)


def test_seed_0_gives_the_values_of_a1111s_generator():
    """To the digits of single precision that its documentation shows; GPUs differ there too."""
    shown = [-0.92466259, -0.42534415, -2.6438457, 0.14518388, -0.12086647, -0.57972564]
    shown += [-0.62285122, -0.32838709, -1.07454231, -0.36314407, -1.67105067, 2.26550497]
    np.testing.assert_allclose(gpu_normal(0, 0, 12), shown, rtol=1e-6, atol=1e-7)


@given(st.integers(0, 2**64 - 1), st.integers(0, 50), st.integers(1, 40))
@settings(max_examples=20)
def test_gpu_noise_is_the_formula_of_curand(seed, draw, count):
    """Element by element in Python's own arithmetic, with Philox in whole numbers."""
    for n in {0, count - 1}:
        word, other = philox(draw, n, seed)
        scale = 2.3283064365386963e-10  # 2**-32, which is the single precision number for 2.3283064e-10
        turn = float(np.float32(2.3283064e-10 * 6.2831855))
        radius = math.sqrt(-2 * math.log(word * scale + scale / 2))
        expected = radius * math.sin(other * turn + turn / 2)
        assert gpu_normal(seed, draw, count)[n] == pytest.approx(np.float32(expected), rel=2e-7)


def philox(draw: int, place: int, seed: int) -> tuple[int, int]:
    """Salmon et al. 2011, figure 2, for counter (draw, 0, place, 0)."""
    word = 2**32 - 1
    c, k = [draw, 0, place, 0], [seed & word, seed >> 32]
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & word, (a >> 32) ^ c[3] ^ k[1], a & word]
        k = [(k[0] + 0x9E3779B9) & word, (k[1] + 0xBB67AE85) & word]
    return c[0], c[1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_gpu_noise_is_torchs_on_this_gpu():
    generator = torch.Generator("cuda").manual_seed(123)
    for draw in range(3):
        real = torch.randn(SHAPE, generator=generator, device="cuda").cpu()
        torch.testing.assert_close(torch_gpu((123,), SHAPE)(draw)[0], real, rtol=1e-5, atol=1e-6)


def test_gpu_noise_is_standard_normal():
    z = gpu_normal(77, 3, 200_000).astype(np.float64)
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - mean) < 4 * math.sqrt(variance / len(z))


# ---- torch on a CPU


def test_cpu_noise_is_each_pictures_own_generator_in_turn():
    noise = torch_cpu((5, 6), SHAPE)
    for row, seed in enumerate((5, 6)):
        generator = torch.Generator().manual_seed(seed)
        for draw in range(4):
            assert torch.equal(noise(draw)[row], torch.randn(SHAPE, generator=generator))


def test_cpu_noise_leaves_torchs_own_generator_alone():
    before = torch.random.get_rng_state()
    torch_cpu((5,), SHAPE)(2)
    assert torch.equal(before, torch.random.get_rng_state())


def test_comfyui_starts_on_the_cpu_and_goes_on_with_the_gpus_first_draw():
    noise = comfy((5,), SHAPE)
    assert torch.equal(noise(0), torch_cpu((5,), SHAPE)(0))
    assert torch.equal(noise(1), torch_gpu((5,), SHAPE)(0))
    assert torch.equal(noise(3), torch_gpu((5,), SHAPE)(2))


@pytest.mark.parametrize("kind", [torch_cpu, torch_gpu, comfy])
def test_noise_does_not_depend_on_batch_or_order(kind):
    noise = kind((1, 2, 3), SHAPE)
    drawn = {draw: noise(draw) for draw in (3, 0, 1)}
    for draw in (0, 1, 3):
        assert drawn[draw].shape == (3, *SHAPE)
        assert drawn[draw].dtype == torch.float32
        for row, seed in enumerate((1, 2, 3)):
            assert torch.equal(drawn[draw][row], kind((seed,), SHAPE)(draw)[0])


# ---- variations and other sizes


def slerp(strength: float, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Column by column of one picture (C, H, W), as A1111 turns them."""
    out = torch.empty_like(low)
    for c in range(low.shape[0]):
        for w in range(low.shape[2]):
            a, b = low[c, :, w], high[c, :, w]
            angle = math.acos(float(a @ b / a.norm() / b.norm()))
            out[c, :, w] = (math.sin((1 - strength) * angle) * a + math.sin(strength * angle) * b) / math.sin(
                angle
            )
    return out


@pytest.mark.parametrize("strength", [0.0, 0.2, 0.7, 1.0])
def test_variations_turn_the_start_as_a1111_does(strength):
    one, two = (Philox.run(seed, 2, SHAPE, dtype=torch.float64)(0) for seed in (3, 8))
    for row in range(2):
        torch.testing.assert_close(varied(one, two, strength)[row], slerp(strength, one[row], two[row]))


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_variation_of_a_low_picture_starts_from_noise_as_strong(rows):
    one, two = (Philox.run(seed, 40, (4, rows, 6), dtype=torch.float64)(0) for seed in (3, 80))
    for strength in (0.01, 0.5):
        start = varied(one, two, strength)
        assert start.std() == pytest.approx(1, abs=0.1) and start.abs().max() < 6
    torch.testing.assert_close(varied(one, two, 1e-4), one, rtol=0, atol=2e-3)


def test_a_variation_towards_itself_is_itself():
    start = Philox.run(3, 1, SHAPE)(0)
    assert torch.equal(varied(start, start, 0.3), start)


def test_a_variation_does_not_depend_on_its_batch():
    both = varied(Philox.run(1, 2, SHAPE)(0), Philox.run(7, 2, SHAPE)(0), 0.4)
    alone = varied(Philox.run(2, 1, SHAPE)(0), Philox.run(8, 1, SHAPE)(0), 0.4)
    assert torch.equal(both[1:], alone)


@pytest.mark.parametrize("small", [(4, 4, 4), (4, 8, 6), (4, 12, 4), (4, 3, 9), (4, 10, 8)])
def test_a_resized_start_has_the_other_in_its_middle(small):
    """A1111's window: the other's sides, less twice what is too much on the left or above."""
    whole, part = Philox.run(3, 1, SHAPE)(0), Philox.run(3, 1, small)(0)
    first = [(SHAPE[i] - small[i]) // 2 for i in (1, 2)]
    spans = [
        range(max(start, 0), max(start, 0) + side + 2 * min(start, 0))
        for start, side in zip(first, small[1:], strict=True)
    ]
    expected = whole.clone()
    for y in spans[0]:
        for x in spans[1]:
            expected[..., y, x] = part[..., y - first[0], x - first[1]]
    assert torch.equal(resized(whole, part), expected)
