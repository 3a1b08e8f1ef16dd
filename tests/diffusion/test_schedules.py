"""Schedules are those of others, and one serves a network that was trained along another."""

import math

import numpy as np
import pytest
import references_of_grids as other
import torch
from bench.sampler_orders import TWO_PEAKS
from hypothesis import given
from hypothesis import strategies as st

from darkroom.diffusion.grids import at_sigmas, trailing
from darkroom.diffusion.levels import VE, VP, Flow, Level
from darkroom.diffusion.prediction import PREDICTIONS, Along, Edm, predict_eps, predict_v, predict_velocity
from darkroom.diffusion.process import Process
from darkroom.diffusion.samplers import euler, sample


def double(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


# ---- tables and shifts


@pytest.mark.parametrize(
    ("schedule", "theirs"),
    [
        (VP.linear(), {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}),
        (VP.scaled_linear(), {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}),
        (VP.cosine(), {"beta_schedule": "squaredcos_cap_v2"}),
        (VP.sigmoid(), {"beta_schedule": "sigmoid", "beta_start": 1e-4, "beta_end": 0.02}),
        (
            VP.scaled_linear().zero_terminal(),
            {
                "beta_schedule": "scaled_linear",
                "beta_start": 0.00085,
                "beta_end": 0.012,
                "rescale_betas_zero_snr": True,
            },
        ),
    ],
    ids=["linear", "scaled linear", "cosine", "sigmoid", "zero terminal"],
)
def test_tables_are_those_of_diffusers(schedule, theirs):
    """In single precision there, so the smallest alphas are right to 1e-4 of themselves or 1e-8."""
    scheduler = other.diffusers("scheduling_ddpm", "DDPMScheduler")(**theirs)
    np.testing.assert_allclose(schedule.alphas_cumprod, scheduler.alphas_cumprod, rtol=2e-4, atol=1e-8)


def test_sigmoid_betas_are_a_sigmoid():
    schedule = VP.sigmoid(count=5, start=0.1, end=0.3)
    betas = [0.1 + 0.2 / (1 + math.exp(-x)) for x in (-6, -3, 0, 3, 6)]
    assert schedule.alphas_cumprod == pytest.approx(np.cumprod([1 - beta for beta in betas]))


@pytest.mark.parametrize("table", [(), (1.0, 0.5), (0.5, 0.5), (0.4, 0.5), (0.5, -0.1), (0.5, math.nan)])
def test_tables_that_do_not_fall_are_refused(table):
    with pytest.raises(ValueError, match="must fall"):
        VP(table)


@given(st.floats(-2, 3), st.floats(1e-3, 1))
def test_the_exponential_shift_is_the_formula_of_flux(mu, t):
    expected = math.exp(mu) / (math.exp(mu) + (1 / t - 1))
    assert Flow.exponential(mu).at(double(t)).sigma.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("tokens", "mu"), [(256, 0.5), (4096, 1.15), (1024, 0.63), (16384, 3.23)])
def test_the_shift_for_tokens_is_on_the_line_of_flux(tokens, mu):
    """A picture of 1024 x 1024 has 4096 tokens of 16 x 16 pixels."""
    assert Flow.for_tokens(tokens).shift == pytest.approx(math.exp(mu))


@given(st.floats(0.1, 10), st.floats(0.1, 16), st.floats(0.01, 0.99))
def test_a_resized_shift_is_equation_23(shift, ratio, t):
    """Of arXiv 2403.03206: the time of the small picture, shifted by sqrt(m / n)."""
    small, root = Flow(shift).at(double(t)).t.item(), math.sqrt(ratio)
    expected = root * small / (1 + (root - 1) * small)
    assert Flow(shift).resized(ratio).at(double(t)).t.item() == pytest.approx(expected, rel=1e-12)


# ---- EDM


def test_the_edm_loss_is_equation_8_with_its_weight():
    """Table 1 and equation 8 of arXiv 2206.00364: lambda(sigma) * |D(x0 + sigma eps) - x0|**2."""
    random = torch.Generator().manual_seed(1)
    x0, eps = (torch.randn(4, 3, 2, generator=random, dtype=torch.float64) for _ in range(2))
    level = VE().at_logsnr(-double(0.01, 0.5, 3.0, 70.0).log())
    s, data = level.sigma[:, None, None], 0.5
    noisy = x0 + s * eps
    inside = noisy / (s**2 + data**2).sqrt()
    answer = net(inside, (s.log() / 4).flatten(), None)
    denoised = data**2 / (s**2 + data**2) * noisy + s * data / (s**2 + data**2).sqrt() * answer
    weight = (s**2 + data**2) / (s * data) ** 2
    process = Process(VE(), Edm(data))
    torch.testing.assert_close(
        process.loss(net, x0, eps, level, None),
        (weight * (denoised - x0) ** 2).mean((1, 2)),
        rtol=1e-5,
        atol=0,
    )
    torch.testing.assert_close(process.denoise(net, noisy, level, None), denoised, rtol=1e-6, atol=1e-6)


@given(st.floats(0, 1), st.floats(0.1, 5), st.sampled_from([VE(), Flow(), VP.linear()]))
def test_edm_inputs_and_targets_have_variance_1_on_every_path(t, data, schedule):
    level = schedule.at(double(t))
    edm = Edm(data)
    scale = edm(level).scale
    assert (scale**2 * ((level.alpha * data) ** 2 + level.sigma**2)).item() == pytest.approx(1)
    in_x0 = edm.target(double(1.0), double(0.0), level)
    in_eps = edm.target(double(0.0), double(1.0), level)
    assert ((in_x0 * data) ** 2 + in_eps**2).item() == pytest.approx(1)


def net(x, time, cond):
    """Any network: depends on everything that it is told."""
    return torch.tanh(x) + time.double().reshape(-1, *[1] * (x.ndim - 1)).sin()


# ---- a schedule swapped under a trained network

TRAINED = {
    "vp eps": Process(VP.scaled_linear(), predict_eps),
    "vp v": Process(VP.cosine().zero_terminal(), predict_v),
    "flow velocity": Process(Flow(), predict_velocity),
    "edm": Process(VE(), PREDICTIONS["edm"]),
}


@given(st.sampled_from(list(TRAINED)), st.sampled_from([VE(), Flow(2.0), VP.linear()]), st.floats(-4, 3))
def test_a_network_denoises_the_same_along_any_path(name, path, logsnr):
    trained = TRAINED[name]
    home, away = (one.at_logsnr(double(logsnr, logsnr - 0.5)) for one in (trained.schedule, path))
    swapped = Process(path, Along(trained.schedule, trained.prediction))
    x0, eps = double(0.3, -1.2)[:, None], double(0.7, 0.1)[:, None]
    found = swapped.denoise(net, swapped.corrupt(x0, eps, away), away, None)
    expected = trained.denoise(net, trained.corrupt(x0, eps, home), home, None)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)  # the network is told single precision
    torch.testing.assert_close(
        swapped.prediction.target(x0, eps, away),
        trained.prediction.target(x0, eps, home),
        rtol=1e-9,
        atol=1e-9,
    )


@pytest.mark.parametrize("path", [VE(), Flow(), VP.linear()], ids=["ve", "flow", "vp"])
def test_a_swapped_network_is_regular_at_both_ends(path):
    process = Process(path, Along(VP.scaled_linear(), predict_v))
    level = path.at(double(0.0, 1e-9, 1.0))
    assert process.denoise(net, torch.ones(3, 2).double(), level, None).isfinite().all()


@pytest.mark.parametrize("path", [VE(), Flow(), VP.cosine()], ids=["ve", "flow", "vp"])
def test_euler_ends_at_the_same_signal_along_any_path(path):
    """First order steps through the same signal to noise ratios are the same steps at any scale of x."""
    sigmas = double(10.0, 4.0, 1.5, 0.4, 0.1, 0.0)
    trained = TRAINED["flow velocity"]

    def end(schedule, prediction):
        process, grid = Process(schedule, prediction), at_sigmas(schedule, sigmas)
        x = grid.start.alpha * 0.1 + grid.start.sigma * torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
        return sample(euler(x, grid, no_noise), lambda x, level: process.denoise(ideal, x, level, None))

    def ideal(x, time, cond):
        """The velocity that a network without fault has learnt on ``TWO_PEAKS``."""
        t = time.double()
        return (x - TWO_PEAKS.denoise(x, Level(t, 1 - t, t))) / t[:, None]

    expected = end(trained.schedule, trained.prediction)
    torch.testing.assert_close(end(path, Along(*vars(trained).values())), expected, rtol=1e-5, atol=1e-5)


def no_noise(draw: int) -> torch.Tensor:
    raise AssertionError("a deterministic sampler drew noise")


def test_predictions_are_values():
    assert Along(VP.linear(), predict_eps) == Along(VP.linear(), predict_eps)
    assert hash(Process(Flow(), Along(VP.linear(), predict_eps))) is not None
    assert Edm(0.5) != Edm(1.0)
    assert len(trailing(VP.sigmoid(), 3)) == 3
