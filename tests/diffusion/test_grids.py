"""Grids start and end where they say, fall all the way, and follow their papers."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from darkroom.diffusion.grids import GRIDS, Grid, at_sigmas, at_times, karras, trailing, uniform
from darkroom.diffusion.levels import VE, VP, Flow, Level

SCHEDULES = [Flow(), Flow(3.0), VP.linear(), VP.cosine(), VP.scaled_linear().zero_terminal(), VE()]
schedules = st.sampled_from(SCHEDULES)
OWN = {name: maker for name, maker in GRIDS.items() if maker.make.__module__.startswith("darkroom.diffusion")}
"""Not those that a family of models adds when it is imported."""
makers = st.sampled_from(list(OWN.values()))


@given(makers, schedules, st.integers(1, 60))
def test_grids_take_the_steps_asked_for_and_end_clean(maker, schedule, steps):
    grid = maker(schedule, steps)
    levels = [grid.start] + [s for _, s in grid.steps()]
    assert len(grid) == len(levels) - 1 == steps
    assert (levels[-1].alpha, levels[-1].sigma) == (1, 0)
    assert all(t.logsnr < s.logsnr for t, s in grid.steps())
    assert all(part.isfinite().all() for part in grid.levels)


@given(schedules, st.integers(1, 60))
def test_grids_in_time_start_at_the_noisiest_level(schedule, steps):
    noisiest = schedule.at(torch.tensor(1.0, dtype=torch.float64))
    for maker in (trailing, uniform):
        assert maker(schedule, steps).start == noisiest


def test_trailing_visits_the_indices_of_the_paper():
    grid = trailing(VP.linear(), 10)
    assert grid.levels.t[:-1].tolist() == pytest.approx([999, 899, 799, 699, 599, 499, 399, 299, 199, 99])


def test_uniform_visits_the_indices_of_linspace():
    grid = uniform(VP.linear(), 10)
    assert grid.levels.t[:-1].tolist() == pytest.approx([999, 888, 777, 666, 555, 444, 333, 222, 111, 0])


def test_karras_is_equation_5():
    steps, low, high, rho = 18, 0.002, 80.0, 7.0
    grid = karras(VE(), steps, sigma_min=low, sigma_max=high)
    for i in range(steps):
        sigma = (high ** (1 / rho) + i / (steps - 1) * (low ** (1 / rho) - high ** (1 / rho))) ** rho
        assert grid.levels.sigma[i].item() == pytest.approx(sigma, rel=1e-12)


def test_karras_spans_the_trained_levels_of_a_table():
    schedule = VP.scaled_linear()
    grid = karras(schedule, 12)
    for place, index in ((0, 999), (-2, 0)):
        power = schedule.alphas_cumprod[index]
        assert grid.levels.rows(place).logsnr.neg().exp().item() == pytest.approx(
            ((1 - power) / power) ** 0.5
        )
        assert grid.levels.t[place].item() == pytest.approx(index, abs=1e-6)


def test_karras_starts_at_80_where_the_schedule_has_no_end():
    assert karras(Flow(), 5).start.logsnr.item() == pytest.approx(-math.log(80))


@given(schedules, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_between_lies_between(schedule, a, b, r):
    low, high = sorted((a, b))
    t, s = (schedule.at(torch.tensor(v, dtype=torch.float64)) for v in (high, low))
    grid = trailing(schedule, 1)
    middle = grid.between(t, s, r)
    assert not any(part.isnan() for part in middle)
    assert s.sigma - 1e-12 <= middle.sigma <= t.sigma + 1e-12
    assert t.alpha - 1e-12 <= middle.alpha <= s.alpha + 1e-12


@given(st.sampled_from([Flow(), VP.linear(), VE()]), st.floats(0.05, 0.9), st.floats(0, 1))
def test_between_is_even_in_logsnr_inside(schedule, a, r):
    t, s = (schedule.at(torch.tensor(v, dtype=torch.float64)) for v in (a + 0.05, a))
    middle = trailing(schedule, 1).between(t, s, r)
    torch.testing.assert_close(middle.logsnr, (1 - r) * t.logsnr + r * s.logsnr, rtol=1e-9, atol=1e-9)


def test_between_has_ends_where_logsnr_is_infinite():
    grid = trailing(Flow(), 1)
    ((t, s),) = grid.steps()
    assert [grid.between(t, s, r).sigma.item() for r in (0.0, 0.25, 1.0)] == pytest.approx([1, 0.75, 0])


@given(st.integers(1, 50), st.floats(0.001, 1))
def test_strength_keeps_the_last_steps(steps, strength):
    for schedule, least, most in ((Flow(), 0, 1), (VP.linear(), -1, 0)):
        whole = trailing(schedule, steps)
        part = whole.cut(strength)
        assert len(part) == 1 or least - 1e-9 <= len(part) - steps * strength <= most + 1e-9
        assert torch.equal(part.levels.sigma, whole.levels.sigma[-len(part) - 1 :])


@pytest.mark.parametrize(("steps", "strength", "down", "up"), [(25, 0.75, 18, 19), (30, 0.75, 22, 23)])
def test_steps_of_a_strength_are_those_of_diffusers(steps, strength, down, up):
    assert len(trailing(VP.linear(), steps).cut(strength)) == down == int(min(steps * strength, steps))
    theirs = steps - int(max(steps - min(steps * strength, steps), 0))
    assert len(trailing(Flow(), steps).cut(strength)) == up == theirs


@pytest.mark.parametrize("strength", [0.0, -1.0, 1.01, math.nan])
def test_other_strengths_are_refused(strength):
    with pytest.raises(ValueError, match="up to 1"):
        trailing(Flow(), 4).cut(strength)


@pytest.mark.parametrize("maker", OWN.values(), ids=OWN)
def test_no_steps_are_refused(maker):
    with pytest.raises(ValueError, match="1 or more"):
        maker(Flow(), 0)


def test_lists_are_taken_as_they_are():
    assert at_times(Flow(), [1.0, 0.9, 0.2, 0.0]).levels.sigma.tolist() == pytest.approx([1, 0.9, 0.2, 0])
    assert at_sigmas(VE(), [14.6, 3.0, 0.0]).levels.sigma.tolist() == pytest.approx([14.6, 3, 0])


@pytest.mark.parametrize("times", [[0.0, 1.0], [1.0, 0.5, 0.5, 0.0], [1.0]])
def test_lists_that_do_not_fall_are_refused(times):
    with pytest.raises(ValueError, match="level"):
        at_times(Flow(), times)


def test_rows_may_differ():
    times = torch.tensor([[1.0, 0.8], [0.5, 0.3], [0.0, 0.1]], dtype=torch.float64)
    grid = Grid(Flow(), Flow().at(times))
    assert isinstance(grid.start, Level)
    assert grid.start.sigma.tolist() == [1.0, 0.8]
    assert len(grid) == 2
