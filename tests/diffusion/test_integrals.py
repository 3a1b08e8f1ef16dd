"""The weights of multistep methods against integrals by another hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

from darkroom.diffusion.samplers.integrals import bh1, exact, midpoint, moments, weights


def double(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(st.floats(-40, 40), st.integers(1, 4))
def test_moments_are_those_of_the_density(rate, count):
    peak = max(rate, 0)
    powers = [
        integrate.quad(lambda v, k=k: v**k * np.exp(rate * v - peak), 0, 1, epsabs=1e-15, epsrel=1e-13)[0]
        for k in range(count)
    ]
    found = moments(torch.tensor(rate, dtype=torch.float64), count)
    np.testing.assert_allclose(found, np.array(powers) / powers[0], rtol=1e-11)


@given(st.floats(-8, 8), st.lists(st.floats(0.2, 2), min_size=3, max_size=3), st.integers(0, 3))
def test_weights_integrate_polynomials_exactly(rate, lengths, degree):
    places = np.concatenate([[0], -np.cumsum(lengths)])
    found = weights([torch.tensor(v) for v in places[1:]], torch.tensor(rate, dtype=torch.float64))
    expected = moments(torch.tensor(rate, dtype=torch.float64), 4)[degree]
    np.testing.assert_allclose(found.numpy() @ places**degree, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "known", [[1], [1.5, -0.5], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24]]
)
def test_even_steps_have_the_weights_of_adams_and_bashforth(known):
    zero = torch.zeros((), dtype=torch.float64)
    found = weights([zero - i for i in range(1, len(known))], zero)
    torch.testing.assert_close(found, double(*known), rtol=1e-13, atol=1e-13)


def test_values_from_an_infinite_place_on_are_left_out_row_by_row():
    rate = double(0.7, 0.7, torch.inf)
    places = [double(-1, -1, -1), double(-2, -torch.inf, -2)]
    found = weights(places, rate)
    three, two = (weights([p[0] for p in places[:n]], rate[0]) for n in (2, 1))
    torch.testing.assert_close(found[0], three)
    torch.testing.assert_close(found[1], torch.cat([two, double(0)]))
    assert found[2].tolist() == [1, 0, 0]


def test_most_bounds_the_values_in_use():
    rate = double(0.7, 0.7)
    found = weights([double(-1, -1), double(-2, -2)], rate, exact, torch.tensor([1, 2]))
    assert found[0].tolist() == [1, 0, 0]
    torch.testing.assert_close(found[1], torch.cat([weights([double(-1)], rate[:1])[0], double(0)]))


@pytest.mark.parametrize("rule", [midpoint, bh1])
def test_rules_for_two_values_tend_to_the_exact_one_in_short_steps(rule):
    """Their difference falls with the step; times the change in x0 and the step that is of third order."""
    apart = [
        (weights([double(-1)], double(rate), rule) - weights([double(-1)], double(rate))).abs().max()
        for rate in (0.02, 0.01)
    ]
    assert apart[0] / apart[1] == pytest.approx(2, rel=0.02)
    three = [weights([double(-1), double(-2)], double(0.5), r) for r in (rule, exact)]
    assert torch.equal(*three)
