"""The closed forms that samplers are proved with, against integrals and a solver of another kind."""

import numpy as np
import pytest
import torch
from bench.mixture import GaussianMixture
from bench.sampler_orders import TWO_PEAKS
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from darkroom.diffusion.levels import VP, Flow, Level

PLANE = GaussianMixture(
    torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64),
    torch.tensor([[2.0, 0.0], [-1.0, 1.5], [0.0, -2.0]], dtype=torch.float64),
    torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64),
)


def prior(mixture: GaussianMixture, x0: np.ndarray) -> np.ndarray:
    parts = zip(mixture.weights, mixture.means[:, 0], mixture.stds, strict=True)
    return sum(float(w) * stats.norm.pdf(x0, float(m), float(s)) for w, m, s in parts)


@given(st.floats(-2, 2), st.floats(0.05, 0.99), st.sampled_from([Flow(), VP.linear()]))
def test_denoise_is_the_posterior_mean(x, t, schedule):
    level = schedule.at(torch.tensor(t, dtype=torch.float64))
    x0 = np.linspace(-6, 6, 20_001)
    posterior = prior(TWO_PEAKS, x0) * np.exp(
        -((x - level.alpha.item() * x0) ** 2) / (2 * level.sigma.item() ** 2)
    )
    expected = integrate.trapezoid(x0 * posterior, x0) / integrate.trapezoid(posterior, x0)
    found = TWO_PEAKS.denoise(torch.tensor([[x]], dtype=torch.float64), level)
    assert found.item() == pytest.approx(expected, rel=1e-7, abs=1e-7)


def test_denoise_is_regular_at_both_ends():
    x = torch.tensor([[0.3, -0.7], [5.0, 5.0]], dtype=torch.float64)
    noise, clean = (Flow().at(torch.tensor(t, dtype=torch.float64)) for t in (1.0, 0.0))
    torch.testing.assert_close(PLANE.denoise(x, noise), PLANE.mean.expand(2, 2))
    torch.testing.assert_close(PLANE.denoise(x, clean), x)


def test_moments_are_those_of_drawn_data():
    random = np.random.default_rng(5)
    which = random.choice(3, 400_000, p=PLANE.weights.numpy())
    data = PLANE.means.numpy()[which] + PLANE.stds.numpy()[which, None] * random.standard_normal((400_000, 2))
    np.testing.assert_allclose(data.mean(0), PLANE.mean, atol=0.02)
    np.testing.assert_allclose(np.cov(data.T), PLANE.covariance, atol=0.03)


@pytest.mark.parametrize("start", [-1.5, -0.2, 0.1, 1.8])
def test_transport_solves_the_probability_flow(start):
    """Flow's ODE, dx/dt = (x - E[x0 | x]) / t, by a Runge-Kutta method of order 8."""

    def slope(t: float, x: np.ndarray) -> np.ndarray:
        level = Flow().at(torch.tensor(t, dtype=torch.float64))
        return (x - TWO_PEAKS.denoise(torch.from_numpy(x)[None], level).numpy()[0]) / t

    high, low = 0.97, 0.02
    solved = integrate.solve_ivp(slope, (high, low), [start], method="DOP853", rtol=1e-11, atol=1e-12)
    t, s = (Flow().at(torch.tensor(v, dtype=torch.float64)) for v in (high, low))
    found = TWO_PEAKS.transport(torch.tensor([[start]], dtype=torch.float64), t, s)
    assert found.item() == pytest.approx(solved.y[0, -1], abs=1e-8)


def test_rows_may_stand_at_different_levels():
    x = torch.tensor([[0.3], [-0.7]], dtype=torch.float64)
    level = Flow().at(torch.tensor([0.9, 0.1], dtype=torch.float64))
    alone = [TWO_PEAKS.denoise(x[i : i + 1], Level(*(part[i] for part in level))) for i in range(2)]
    torch.testing.assert_close(TWO_PEAKS.denoise(x, level), torch.cat(alone))
