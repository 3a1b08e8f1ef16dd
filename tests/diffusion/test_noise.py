"""Noise: the published generator, right statistics, and the same bits whatever happens around it."""

import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from darkroom.diffusion.noise import SEEDS, Philox, normals

SHAPE = (4, 8, 8)
seeds = st.integers(0, SEEDS - 1)


def normal(seed: int, stream: int, count: int) -> np.ndarray:
    return normals(seed, [stream], count)[0]


def philox4x64(counter: list[int], key: list[int]) -> list[int]:
    """Salmon et al. 2011, figure 2, in whole numbers."""
    c, k, word = list(counter), list(key), SEEDS - 1
    for _ in range(10):
        a, b = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [(b >> 64) ^ c[1] ^ k[0], b & word, (a >> 64) ^ c[3] ^ k[1], a & word]
        k = [(k[0] + 0x9E3779B97F4A7C15) & word, (k[1] + 0xBB67AE8584CAA73B) & word]
    return c


def test_the_reference_here_gives_the_published_vector():
    """The known answer for zeros in Random123's kat_vectors."""
    assert philox4x64([0] * 4, [0] * 2) == [
        0x16554D9ECA36314C,
        0xDB20FE9D672D0FDC,
        0xD7E772CEE186176B,
        0x7E68B68AEC7BA23B,
    ]


@given(seeds, seeds)
@settings(max_examples=20)
def test_noise_is_box_muller_of_philox(seed, stream):
    expected = []
    for block in (1, 2):
        words = philox4x64([block, 0, 0, 0], [seed, stream])
        for first, second in (words[:2], words[2:]):
            radius = math.sqrt(-2 * math.log1p(-(first >> 11) / 2**53))
            angle = 2 * math.pi * (second >> 11) / 2**53
            expected += [radius * math.cos(angle), radius * math.sin(angle)]
    np.testing.assert_allclose(normal(seed, stream, 8), expected, rtol=1e-12, atol=1e-15)


@given(seeds, st.integers(0, 1000), st.integers(1, 9))
@settings(max_examples=30)
def test_a_picture_has_the_same_bits_alone_and_in_a_batch(seed, draw, count):
    batch = Philox.run(seed, count, SHAPE)(draw)
    alone = [Philox.run(seed + i, 1, SHAPE)(draw) for i in range(count)]
    assert torch.equal(batch, torch.cat(alone))


def test_draws_do_not_depend_on_their_order():
    noise, order = Philox.run(11, 3, SHAPE), list(range(20))
    first = {draw: noise(draw) for draw in order}
    random.Random(0).shuffle(order)
    again = Philox.run(11, 3, SHAPE)
    assert all(torch.equal(again(draw), first[draw]) for draw in order)


def test_who_takes_a_draw_may_write_to_it():
    noise = Philox.run(3, 2, SHAPE)
    second, third = noise(2).clone(), noise(3).clone()
    noise(2).zero_()
    assert torch.equal(noise(2), second) and torch.equal(noise(3), third)


def test_a_shorter_draw_begins_a_longer_one():
    assert np.array_equal(normal(5, 2, 7), normal(5, 2, 1000)[:7])


@pytest.mark.parametrize(
    ("seed", "draw", "values"),
    [
        (0, 0, [0.00808869582, 0.152192131, 0.397551388, 0.0620600916]),
        (7, 3, [-0.185612291, -1.13207984, -1.92402554, 0.906909227]),
        (SEEDS - 1, 12, [-0.408689529, -0.580587447, 0.348950922, 2.40003586]),
    ],
)
def test_draws_are_what_they_were(seed, draw, values):
    """Places 0, 1, 500 and 999 of a thousand, as pictures were first made."""
    assert torch.equal(Philox((seed,), (1000,))(draw)[0, [0, 1, 500, 999]], torch.tensor(values))


def test_streams_drawn_together_are_those_drawn_alone():
    streams = [0, 5, 2**63 + 9]
    for count in (1, 7, 2048):
        together = normals(11, streams, count)
        for row, stream in zip(together, streams, strict=True):
            assert np.array_equal(row, normal(11, stream, count))


def test_single_precision_is_the_rounding_of_double():
    single, double = (Philox.run(1, 2, SHAPE, dtype=kind)(3) for kind in (torch.float32, torch.float64))
    assert torch.equal(single, double.float())
    assert single.shape == (2, *SHAPE)


def test_the_last_seed_is_followed_by_the_first():
    assert torch.equal(Philox.run(SEEDS - 1, 2, SHAPE)(0)[1], Philox.run(0, 1, SHAPE)(0)[0])


@pytest.mark.parametrize(("seed", "stream"), [(0, 0), (1, 0), (0, 1), (SEEDS - 1, 7)])
def test_noise_is_standard_normal(seed, stream):
    z = normal(seed, stream, 200_000)
    assert stats.kstest(z, "norm").pvalue > 1e-3
    count = len(z)
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - mean) < 4 * math.sqrt(variance / count)
    assert np.abs(z).max() > 4


def test_seeds_streams_and_positions_are_independent():
    count = 50_000
    drawn = [normal(seed, stream, count) for seed in (0, 1, 2) for stream in (0, 1, 2)]
    drawn.append(np.roll(drawn[0], 1))
    correlation = np.corrcoef(drawn) - np.eye(len(drawn))
    assert np.abs(correlation).max() < 4.5 / math.sqrt(count)
    squares = np.corrcoef(np.square(drawn)) - np.eye(len(drawn))
    assert np.abs(squares).max() < 4.5 / math.sqrt(count)


def test_pairs_of_box_and_muller_are_independent():
    z = normal(9, 9, 100_000).reshape(-1, 2)
    angle = np.arctan2(z[:, 1], z[:, 0])
    assert stats.kstest(angle, stats.uniform(-math.pi, 2 * math.pi).cdf).pvalue > 1e-3
