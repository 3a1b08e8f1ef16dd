"""Step by step the samplers of k-diffusion, on its own VE and, as it runs Stable Diffusion, on VP."""

import itertools
from functools import partial

import pytest
import torch
from bench.sampler_orders import TWO_PEAKS
from reference import STARTS, Path, denoise_at_sigma, drawn, in_double, k_diffusion, path, ratios

from darkroom.diffusion.grids import karras
from darkroom.diffusion.levels import VE, VP
from darkroom.diffusion.samplers import SAMPLERS, sample

SCHEDULES = pytest.mark.parametrize("schedule", [VE(), VP.scaled_linear()], ids=["VE", "VP"])

DETERMINISTIC = {
    "euler": "euler",
    "heun": "heun",
    "dpm2": "dpm_2",
    "lms": "lms",
    "dpmpp_2m": "dpmpp_2m",
}

STOCHASTIC = [
    ("euler_a", "euler_ancestral", {}, {}),
    ("dpm2_a", "dpm_2_ancestral", {}, {}),
    ("dpmpp_2s_a", "dpmpp_2s_ancestral", {}, {}),
    ("dpmpp_sde", "dpmpp_sde", {}, {}),
    ("dpmpp_2m_sde", "dpmpp_2m_sde", {"solver_type": "midpoint"}, {}),
    ("dpmpp_2m_sde_heun", "dpmpp_2m_sde", {"solver_type": "heun"}, {}),
    ("dpmpp_3m_sde", "dpmpp_3m_sde", {}, {}),
]


def compare(schedule, ours, theirs, noise, options):
    """Ours along a Karras grid, theirs along its sigma / alpha from the same start."""
    grid = karras(schedule, 9, sigma_min=0.05, sigma_max=14.0)
    sigmas = ratios(grid)
    with in_double():
        expected = theirs(denoise_at_sigma, STARTS * sigmas[0], sigmas, disable=True)
    start = STARTS * sigmas[0] * grid.start.alpha
    found = sample(SAMPLERS[ours](start, grid, noise, **options), TWO_PEAKS.denoise)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@SCHEDULES
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_deterministic_samplers(schedule, name):
    theirs = getattr(k_diffusion(), f"sample_{DETERMINISTIC[name]}")
    compare(schedule, name, theirs, Path(), {})


@SCHEDULES
@pytest.mark.parametrize("eta", [1.0, 0.6, 0.0])
@pytest.mark.parametrize(("name", "theirs", "told", "options"), STOCHASTIC, ids=[s[0] for s in STOCHASTIC])
def test_stochastic_samplers(schedule, name, theirs, told, options, eta):
    theirs = partial(getattr(k_diffusion(), f"sample_{theirs}"), eta=eta, noise_sampler=path, **told)
    compare(schedule, name, theirs, Path(), {"eta": eta, **options})


@SCHEDULES
@pytest.mark.parametrize("name", ["euler", "heun", "dpm2"])
def test_churn(schedule, name, monkeypatch):
    churn = {"s_churn": 3.0, "s_tmin": 0.1, "s_tmax": 5.0, "s_noise": 1.01}
    numbers = itertools.count(1)
    monkeypatch.setattr(torch, "randn_like", lambda x: drawn(next(numbers)))
    theirs = getattr(k_diffusion(), f"sample_{DETERMINISTIC[name]}")
    compare(schedule, name, partial(theirs, **churn), drawn, churn)


@SCHEDULES
@pytest.mark.parametrize(("rtol", "h_init"), [(0.05, 0.05), (0.005, 1.5)], ids=["default", "with rejects"])
def test_adaptive_takes_the_same_steps_row_by_row(schedule, rtol, h_init):
    """k-diffusion measures a whole batch; ours gives each row the steps that it would have alone."""
    grid = karras(schedule, 2, sigma_min=0.05, sigma_max=14.0)
    grid = type(grid)(schedule, grid.levels.rows(slice(0, 2)))
    asked = []

    def denoise(x, level):
        asked.append(level)
        return TWO_PEAKS.denoise(x, level)

    options = {"rtol": rtol, "h_init": h_init}
    sampling = SAMPLERS["dpm_adaptive"](STARTS * 14.0 * grid.start.alpha, grid, Path(), **options)
    found = sample(sampling, denoise) / grid.levels.alpha[-1]
    counts = []
    for row, start in enumerate(STARTS):
        with in_double():
            expected, info = k_diffusion().sample_dpm_adaptive(
                denoise_at_sigma, start[None] * 14.0, 0.05, 14.0, disable=True, return_info=True, **options
            )
        torch.testing.assert_close(found[row : row + 1], expected, rtol=1e-9, atol=1e-9)
        counts.append(info["nfe"])
    assert len(asked) == max(counts)
    assert len(set(counts)) > 1, "the rows should differ in what they need"
