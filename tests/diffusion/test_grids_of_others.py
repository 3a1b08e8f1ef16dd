"""Grids equal those of k-diffusion, diffusers and ComfyUI; where they do not, the reason is the test."""

import math

import numpy as np
import pytest
import references_of_grids as other
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from darkroom.diffusion.grids import GRIDS, Grid, find, karras
from darkroom.diffusion.grids.quantile import beta_cdf, beta_quantile
from darkroom.diffusion.levels import VE, VP, Flow

SD = VP.scaled_linear()
STEPS = pytest.mark.parametrize("steps", [2, 10, 20, 25, 30, 37])
CONFIG = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def ratios(grid: Grid) -> np.ndarray:
    """sigma / alpha, the sigma of other tools on VP and VE."""
    return grid.levels.logsnr.neg().exp().numpy()


def same(found: np.ndarray, expected: np.ndarray, rtol: float = 1e-10) -> None:
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-12)


# ---- k-diffusion


@STEPS
@pytest.mark.parametrize(
    ("name", "theirs", "options"),
    [
        ("karras", "get_sigmas_karras", {"rho": 5.0}),
        ("exponential", "get_sigmas_exponential", {}),
        ("polyexponential", "get_sigmas_polyexponential", {"rho": 1.7}),
    ],
)
def test_grids_in_ratios_are_k_diffusions(name, theirs, options, steps):
    """Single precision there."""
    expected = getattr(other.k_diffusion(), theirs)(steps, 0.03, 14.6, **options).numpy()
    found = GRIDS[name](SD, steps, sigma_min=0.03, sigma_max=14.6, **options)
    same(ratios(found), expected, rtol=1e-5)


# ---- diffusers


@STEPS
@pytest.mark.parametrize("spacing", ["linspace", "leading", "trailing"])
def test_times_are_those_of_diffusers(spacing, steps):
    """They round trailing times to whole indices; we do not, as networks take any time."""
    scheduler = other.diffusers("scheduling_euler_discrete", "EulerDiscreteScheduler")(
        **CONFIG, timestep_spacing=spacing, steps_offset=1
    )
    scheduler.set_timesteps(steps)
    times = find(spacing)(SD, steps).levels.t[:-1].numpy()
    if spacing == "trailing":
        assert np.abs(times - scheduler.timesteps.numpy()).max() <= 0.5 + 1e-9
        times = (times + 1).round() - 1
    same(times, scheduler.timesteps.numpy(), rtol=1e-5)


@STEPS
def test_at_whole_indices_sigmas_are_those_of_diffusers(steps):
    scheduler = other.diffusers("scheduling_euler_discrete", "EulerDiscreteScheduler")(
        **CONFIG, timestep_spacing="leading", steps_offset=1
    )
    scheduler.set_timesteps(steps)
    same(ratios(GRIDS["leading"](SD, steps)), scheduler.sigmas.numpy(), rtol=1e-5)


@STEPS
@pytest.mark.parametrize(
    ("name", "option"), [("karras", "use_karras_sigmas"), ("exponential", "use_exponential_sigmas")]
)
def test_ratios_are_those_of_diffusers(name, option, steps):
    """Theirs start from the table of the spacing; linspace has both of its ends, as ours by default."""
    scheduler = other.diffusers("scheduling_euler_discrete", "EulerDiscreteScheduler")(
        **CONFIG, timestep_spacing="linspace", **{option: True}
    )
    scheduler.set_timesteps(steps)
    same(ratios(GRIDS[name](SD, steps)), scheduler.sigmas.numpy(), rtol=1e-4)


@STEPS
@pytest.mark.parametrize(
    ("flow", "options", "mu"),
    [
        (Flow(3.0), {"shift": 3.0}, None),
        (Flow.exponential(0.8), {"use_dynamic_shifting": True}, 0.8),
        (Flow(0.8), {"use_dynamic_shifting": True, "time_shift_type": "linear"}, 0.8),
    ],
    ids=["static", "exponential", "linear"],
)
def test_trailing_on_shifted_flows_is_that_of_the_pipelines_of_diffusers(flow, options, mu, steps):
    """SD3 and FLUX hand the scheduler the unshifted sigmas, evenly from 1 to 1 / steps."""
    scheduler = other.diffusers("scheduling_flow_match_euler_discrete", "FlowMatchEulerDiscreteScheduler")(
        **options
    )
    scheduler.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps), mu=mu)
    same(GRIDS["trailing"](flow, steps).levels.sigma.numpy(), scheduler.sigmas.numpy(), rtol=1e-5)


def test_beta_is_even_in_time_here_and_in_sigma_in_diffusers_and_a1111():
    """The paper bends the times (arXiv 2407.12173), and so does ComfyUI; in sigma the same
    quantiles leave hardly a step for detail."""
    in_sigma = 0.029 + stats.beta.ppf(1 - np.linspace(0, 1, 10), 0.6, 0.6) * (14.615 - 0.029)
    found = ratios(GRIDS["beta"](SD, 10))[:-1]
    assert found[5] < 1.7
    assert in_sigma[5] > 4


# ---- ComfyUI


@STEPS
@pytest.mark.parametrize("shift", [None, 1.0, 3.0], ids=["vp", "flow", "shifted"])
@pytest.mark.parametrize("name", ["simple", "beta"])
def test_grids_of_the_table_are_comfyuis(name, shift, steps):
    expected = getattr(other, name)(other.table(shift), steps)
    if shift is None:
        same(ratios(GRIDS[name](SD, steps)), expected)
    else:
        same(GRIDS[name](Flow(shift), steps).levels.sigma.numpy(), expected)


@pytest.mark.parametrize("steps", [1, 2, 10, 20, 25, 50, 100])
def test_ddim_uniform_is_comfyuis_where_the_steps_divide_the_table(steps):
    same(
        ratios(find("ddim_uniform")(SD, steps))[: steps + 1],
        other.ddim_uniform(other.table(), steps)[-steps - 1 :],
    )


@pytest.mark.parametrize("steps", [30, 45])
def test_ddim_uniform_takes_the_steps_asked_for_and_comfyui_one_or_more_too_many(steps):
    """It walks on to the end of the table; ours, as in diffusers, ends with the count."""
    found, theirs = ratios(find("ddim_uniform")(SD, steps)), other.ddim_uniform(other.table(), steps)
    assert len(theirs) > len(found) == steps + 1
    same(found, theirs[-steps - 1 :])


@STEPS
@pytest.mark.parametrize("name", ["normal", "sgm_uniform"])
def test_even_times_are_comfyuis(name, steps):
    """Between two indices its sigma lies on a line in log sigma, ours on a chord of the circle."""
    times = other.along_times(999, 0, steps, sgm=name == "sgm_uniform")
    grid = find(name)(SD, steps)
    same(grid.levels.t[:-1].numpy(), times)
    same(ratios(grid)[:-1], other.log_linear(other.table(), times), rtol=1e-4)


@STEPS
@pytest.mark.parametrize("name", ["normal", "sgm_uniform"])
def test_even_times_on_a_flow_are_comfyuis(name, steps):
    times = other.along_times(1, 0.001, steps, sgm=name == "sgm_uniform")
    same(find(name)(Flow(), steps).levels.sigma[:-1].numpy(), times)


@STEPS
def test_on_a_shifted_flow_comfyui_shifts_the_last_time_twice(steps):
    """It takes the least sigma, which is shifted, for a time; so it ends 3 times too early."""
    shift, least = 3.0, other.table(3.0)[0]
    times = other.along_times(1, least, steps, sgm=False)
    theirs = shift * times / (1 + (shift - 1) * times)
    found = find("normal")(Flow(shift), steps).levels.sigma[:-1].numpy()
    assert found[-1] == pytest.approx(least)
    assert theirs[-1] == pytest.approx(3 * least, rel=0.01)
    assert np.abs(found - theirs).max() < 0.0061


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 25, 40])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_linear_quadratic_is_that_of_mochi_on_any_flow(shift, steps):
    expected = other.linear_quadratic(other.table(shift), steps)
    same(GRIDS["linear_quadratic"](Flow(shift), steps).levels.sigma.numpy(), expected)


def test_linear_quadratic_on_vp_is_in_the_time_of_a_flow_not_in_sigma_as_comfyuis():
    """There half the steps of a VP model pass between sigma 14.6 and 14.2, where nothing happens."""
    theirs = other.linear_quadratic(other.table(), 20)
    assert theirs[10] > 14.2
    grid = GRIDS["linear_quadratic"](SD, 20)
    top = ratios(grid)[0] / (1 + ratios(grid)[0])
    same(ratios(grid) / (1 + ratios(grid)), other.linear_quadratic(np.array([top]), 20))


@STEPS
def test_kl_optimal_is_comfyuis(steps):
    same(ratios(GRIDS["kl_optimal"](SD, steps)), other.kl_optimal(other.table(), steps))


def test_on_a_flow_ratios_go_to_80_where_comfyui_takes_the_sigma_of_the_flow_for_one():
    """Karras et al. mean sigma / alpha; theirs is the sigma of the flow, which ends at 1."""
    sigma = karras(Flow(), 10).levels.sigma
    assert sigma[0] == pytest.approx(80 / 81)
    assert sigma[-2] == pytest.approx(0.001)


@pytest.mark.parametrize("steps", [5, 10, 11, 24])
@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("align_your_steps", "StableDiffusionSigmas"),
        ("align_your_steps_sdxl", "StableDiffusionXLSigmas"),
        ("align_your_steps_svd", "StableDiffusionVideoSigmas"),
    ],
)
def test_align_your_steps_is_the_table_and_between_its_points_a_line_in_log(name, attribute, steps):
    """As diffusers and ComfyUI have it: 11 ends of 10 steps, and the last of them becomes 0. A1111 takes
    the 11 for 11 steps and adds one to 0, so that its ten steps are none of the table's."""
    pytest.importorskip("diffusers")
    from diffusers.schedulers import AysSchedules

    points = [*AysSchedules[attribute][:-1], 0.002 if "Video" in attribute else 0.029]
    same(ratios(GRIDS[name](VE(), steps))[:-1], other.log_linear_table(points, steps + 1)[:-1])
    if steps == 10:
        same(ratios(GRIDS[name](VE(), steps)), np.array(AysSchedules[attribute]))


# ---- names


A1111 = """Uniform,Karras,Exponential,Polyexponential,SGM Uniform,SGMUniform,KL Optimal,Align Your Steps,
Simple,Normal,DDIM,Beta,uniform,sgm_uniform,kl_optimal,align_your_steps,normal,ddim"""
COMFYUI = "simple,sgm_uniform,karras,exponential,ddim_uniform,beta,normal,linear_quadratic,kl_optimal"


@pytest.mark.parametrize("name", [one.strip() for one in f"{A1111},{COMFYUI}".split(",")])
def test_the_names_of_other_tools_are_known(name):
    assert find(name) in GRIDS.values()


def test_every_name_label_and_alias_means_one_grid():
    for maker in GRIDS.values():
        for name in (maker.name, maker.label, maker.label.upper(), *maker.aliases):
            assert find(name) is maker
    with pytest.raises(KeyError):
        find("kerras")


# ---- the quantile of the beta distribution


@given(st.floats(1e-9, 0.99), st.floats(0.3, 9), st.floats(0.3, 9))
@settings(max_examples=60)
def test_the_beta_quantile_is_scipys(share, a, b):
    """Nearer to 1 the next number may be another share."""
    found = beta_quantile(share, a, b)
    assert found == pytest.approx(stats.beta.ppf(share, a, b), rel=1e-9)
    assert beta_cdf(found, a, b) == pytest.approx(share, rel=1e-8)


def test_the_beta_quantile_at_its_ends_and_where_it_is_known():
    assert (beta_quantile(0.0, 0.6, 0.6), beta_quantile(1.0, 0.6, 0.6)) == (0, 1)
    for share in (0.1, 0.5, 0.77):
        assert beta_quantile(share, 1, 1) == pytest.approx(share, rel=1e-14)
        assert beta_quantile(share, 0.5, 0.5) == pytest.approx(math.sin(math.pi * share / 2) ** 2, rel=1e-13)


def test_beta_grids_of_many_steps_have_them_all():
    """Rounded to whole indices 400 steps would be fewer."""
    grid = GRIDS["beta"](SD, 400)
    assert len(grid) == 400
    assert len(other.beta(other.table(), 400)) < 401
    assert torch.equal(grid.levels.t[:1], torch.tensor([999.0], dtype=torch.float64))
