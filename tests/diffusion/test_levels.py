"""Schedules: exact at their tables, regular at both ends, the same forwards and backwards."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from darkroom.diffusion.levels import VE, VP, Flow, Level, left

SCHEDULES = {
    "flow": Flow(),
    "shifted flow": Flow(shift=3.0),
    "flow of tokens": Flow.for_tokens(1024),
    "linear": VP.linear(),
    "scaled linear": VP.scaled_linear(),
    "cosine": VP.cosine(),
    "sigmoid": VP.sigmoid(),
    "zero terminal": VP.scaled_linear().zero_terminal(),
    "short table": VP.linear(count=7, start=0.05, end=0.6),
    "ve": VE(),
}
schedules = st.sampled_from(list(SCHEDULES.values()))
times = st.floats(0, 1)


def at(schedule, *t: float) -> Level:
    return schedule.at(torch.tensor(t, dtype=torch.float64))


@pytest.mark.parametrize("name", SCHEDULES)
def test_both_ends_are_regular(name):
    level = at(SCHEDULES[name], 0.0, 1.0)
    assert (level.alpha[0], level.sigma[0]) == (1, 0)
    assert level.logsnr[0] == math.inf
    assert not any(part.isnan().any() for part in (*level, level.logsnr))


@pytest.mark.parametrize("name", ["flow", "shifted flow", "zero terminal"])
def test_pure_noise_is_reached(name):
    level = at(SCHEDULES[name], 1.0)
    assert level.alpha == 0
    assert level.sigma == 1
    assert level.logsnr == -math.inf


@given(schedules, times, times)
def test_noise_rises_along_the_path(schedule, a, b):
    low, high = sorted((a, b))
    level = at(schedule, low, high)
    assert level.t[0] <= level.t[1]
    assert level.sigma[0] <= level.sigma[1]
    assert level.alpha[0] >= level.alpha[1]
    if high - low > 1e-6:
        assert level.logsnr[0] > level.logsnr[1]


@given(schedules, times)
def test_at_logsnr_undoes_logsnr(schedule, t):
    level = at(schedule, t)
    back = schedule.at_logsnr(level.logsnr)
    torch.testing.assert_close(back.alpha, level.alpha, rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(back.sigma, level.sigma, rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(back.t, level.t, rtol=1e-10, atol=1e-10)


@given(schedules, times)
def test_the_time_that_a_network_is_told_gives_the_level(schedule, t):
    level = at(schedule, t)
    torch.testing.assert_close(schedule.at_time(level.t), level, rtol=1e-10, atol=1e-12)


@given(st.sampled_from([s for s in SCHEDULES.values() if isinstance(s, VP)]), times)
def test_vp_keeps_the_power(schedule, t):
    level = at(schedule, t)
    torch.testing.assert_close(level.alpha**2 + level.sigma**2, torch.ones(1).double(), rtol=1e-15, atol=0)


@given(times, st.floats(0.1, 10))
def test_flow_is_straight_and_told_its_sigma(t, shift):
    level = at(Flow(shift), t)
    torch.testing.assert_close(level.alpha + level.sigma, torch.ones(1).double(), rtol=1e-14, atol=0)
    assert torch.equal(level.t, level.sigma)
    assert level.sigma.item() == pytest.approx(shift * t / (1 + (shift - 1) * t))


def alphas_cumprod(betas: np.ndarray) -> np.ndarray:
    return np.cumprod(1 - betas)


@pytest.mark.parametrize(
    ("schedule", "table"),
    [
        (VP.linear(), alphas_cumprod(np.linspace(1e-4, 0.02, 1000))),
        (VP.scaled_linear(), alphas_cumprod(np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)),
    ],
)
def test_tables_are_met_at_every_index(schedule, table):
    index = torch.arange(1000, dtype=torch.float64)
    level = schedule.at((index + 1) / 1000)
    torch.testing.assert_close(level.t, index, rtol=0, atol=1e-12)
    np.testing.assert_allclose(level.alpha**2, table, rtol=1e-11)
    np.testing.assert_allclose(level.sigma**2, 1 - table, rtol=1e-10)


def test_cosine_follows_the_paper_where_betas_are_not_capped():
    t = torch.arange(1, 999, dtype=torch.float64) / 1000
    curve = torch.cos((t + 0.008) / 1.008 * math.pi / 2) / math.cos(0.008 / 1.008 * math.pi / 2)
    torch.testing.assert_close(VP.cosine().at(t).alpha, curve, rtol=1e-10, atol=0)


def test_zero_terminal_keeps_the_first_entry():
    before, after = (s.alphas_cumprod for s in (VP.scaled_linear(), VP.scaled_linear().zero_terminal()))
    assert after[0] == pytest.approx(before[0], rel=1e-12)
    assert after[-1] == 0


def test_logsnr_beyond_the_table_is_had_at_the_time_of_its_end():
    level = VP.linear().at_logsnr(torch.tensor([-9.0, 12.0], dtype=torch.float64))
    torch.testing.assert_close(level.logsnr, torch.tensor([-9.0, 12.0], dtype=torch.float64))
    assert level.t[0] == 999
    assert -1 <= level.t[1] < 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_single_precision_is_kept_and_close(name):
    t = torch.linspace(0, 1, 33)
    single, double = SCHEDULES[name].at(t), SCHEDULES[name].at(t.double())
    assert single.alpha.dtype == torch.float32
    torch.testing.assert_close(single.alpha.double(), double.alpha, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(single.sigma.double(), double.sigma, rtol=1e-4, atol=1e-6)


def test_levels_broadcast_from_the_left():
    x = torch.ones(2, 3, 4, 4, dtype=torch.float32)
    scaled = left(torch.tensor([1.0, 2.0], dtype=torch.float64), x) * x
    assert scaled.dtype == torch.float32
    assert scaled[0].unique() == 1
    assert scaled[1].unique() == 2
    assert (left(torch.tensor(3.0), x) * x).unique() == 3


def test_schedules_are_values():
    assert VP.linear() == VP.linear()
    assert hash(VP.linear()) == hash(VP.linear())
    assert VP.linear() != VP.cosine()
    assert Flow(2.0) != Flow()
