"""Step by step the schedulers of diffusers, on the levels that they are made to take."""

import itertools

import pytest
import torch
from bench.sampler_orders import TWO_PEAKS
from reference import STARTS, drawn, drive, scheduler

from darkroom.diffusion.grids import Grid, at_times, karras
from darkroom.diffusion.levels import VP, Flow
from darkroom.diffusion.samplers import SAMPLERS, sample
from darkroom.diffusion.samplers.integrals import exact, half_curved
from darkroom.diffusion.samplers.multistep import multistep

PATHS = pytest.mark.parametrize(
    ("schedule", "flow"), [(VP.scaled_linear(), False), (Flow(), True)], ids=["VP", "flow"]
)


def short_of_clean(schedule, steps: int = 9) -> Grid:
    """From sigma / alpha of 14 to 0.05, all steps alike: to the clean signal there is one way."""
    levels = karras(schedule, steps + 1, sigma_min=0.05, sigma_max=14.0).levels
    return Grid(schedule, levels.rows(slice(0, -1)))


def start(grid: Grid) -> torch.Tensor:
    return STARTS * grid.start.sigma


def ours(name: str, grid: Grid, noise=drawn, **options: float) -> torch.Tensor:
    return sample(SAMPLERS[name](start(grid), grid, noise, **options), TWO_PEAKS.denoise)


def same(found: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(found, expected.double(), rtol=tolerance, atol=tolerance)


@PATHS
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize(("name", "solver_type"), [("unipc", "bh1"), ("unipc_bh2", "bh2")])
def test_unipc(schedule, flow, order, name, solver_type):
    grid = short_of_clean(schedule)
    config = {"solver_order": order, "solver_type": solver_type, "lower_order_final": False}
    theirs = unipc(use_flow_sigmas=flow, **config)
    same(ours(name, grid, order=order), drive(theirs, grid, start(grid)))


@PATHS
def test_unipc_to_the_clean_signal_lowers_its_order(schedule, flow):
    grid = karras(schedule, 9, sigma_min=0.05, sigma_max=14.0)
    theirs = unipc(use_flow_sigmas=flow, solver_order=3, solver_type="bh2", lower_order_final=True)
    same(ours("unipc_bh2", grid), drive(theirs, grid, start(grid)))


def unipc(**config):
    config |= {"use_karras_sigmas": False, "prediction_type": "sample"}
    return scheduler("UniPCMultistepScheduler", "unipc_multistep", **config)


@PATHS
@pytest.mark.parametrize("order", [1, 2, 3])
def test_deis(schedule, flow, order):
    grid = short_of_clean(schedule)
    config = {"solver_order": order, "use_flow_sigmas": flow, "lower_order_final": False}
    theirs = scheduler("DEISMultistepScheduler", "deis_multistep", prediction_type="sample", **config)
    same(ours("deis", grid, order=order), drive(theirs, grid, start(grid)))


@PATHS
@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_sa_solver(schedule, flow, tau, monkeypatch):
    grid = short_of_clean(schedule)
    config = {"use_flow_sigmas": flow, "lower_order_final": False, "tau_func": lambda t: tau}
    theirs = scheduler("SASolverScheduler", "sasolver", prediction_type="sample", **config)
    numbers = itertools.count(1)
    monkeypatch.setitem(type(theirs).step.__globals__, "randn_tensor", lambda *_, **__: drawn(next(numbers)))
    same(ours("sa_solver", grid, tau=tau), drive(theirs, grid, start(grid)))


def test_ipndm_in_its_own_variables():
    """Its scheduler calls alpha and sigma alphas and betas, and expects ``alpha * eps - sigma * x0``."""
    grid = short_of_clean(VP.scaled_linear())
    theirs = scheduler("IPNDMScheduler", "ipndm")
    theirs.set_timesteps(len(grid))
    theirs.alphas, theirs.betas, theirs.timesteps = grid.levels.alpha, grid.levels.sigma, grid.levels.t[:-1]
    theirs.set_begin_index(0)
    x = start(grid)
    for t, _ in grid.steps():
        x0 = TWO_PEAKS.denoise(x, t)
        x = theirs.step(t.alpha * (x - t.alpha * x0) / t.sigma - t.sigma * x0, t.t, x).prev_sample
    same(ours("ipndm", grid), x)


INDICES = (980, 700, 420, 100)


def distilled(theirs, **options) -> torch.Tensor:
    """A scheduler that steps through ``INDICES`` of the table, from our start."""
    theirs.alphas_cumprod = torch.tensor(VP.scaled_linear().alphas_cumprod, dtype=torch.float64)
    theirs.set_timesteps(4)
    theirs.timesteps = torch.tensor(INDICES)
    theirs.set_begin_index(0)
    x = start(at_indices(*INDICES, -1))
    for i in INDICES:
        x0 = TWO_PEAKS.denoise(x, at_indices(i, -1).start)
        x = theirs.step(x0, i, x, **options).prev_sample
    return x


def at_indices(*indices: int) -> Grid:
    return at_times(VP.scaled_linear(), [(i + 1) / 1000 for i in indices])


def test_lcm(monkeypatch):
    """Its boundary conditions belong to the network; ``timestep_scaling`` is set to make them vanish."""
    config = {"prediction_type": "sample", "timestep_scaling": 1e9, "clip_sample": False}
    theirs = scheduler("LCMScheduler", "lcm", **config)
    numbers = itertools.count(1)
    monkeypatch.setitem(type(theirs).step.__globals__, "randn_tensor", lambda *_, **__: drawn(next(numbers)))
    same(ours("lcm", at_indices(*INDICES, -1)), distilled(theirs))


@pytest.mark.parametrize("gamma", [0.0, 0.25, 0.5])
def test_tcd(gamma, monkeypatch):
    """Its last step is to index 0; times are chosen so that it rounds nothing."""
    theirs = scheduler("TCDScheduler", "tcd", prediction_type="sample")
    numbers = itertools.count(1)
    monkeypatch.setitem(type(theirs).step.__globals__, "randn_tensor", lambda *_, **__: drawn(next(numbers)))
    same(ours("tcd", at_indices(*INDICES, 0), gamma=gamma), distilled(theirs, eta=gamma))


def dpm(order: int, algorithm: str, schedule, noise=None, **config):
    """diffusers' DPM-Solver++ casts to single precision in each step."""
    config |= {"solver_order": order, "algorithm_type": algorithm, "lower_order_final": False}
    flow = isinstance(schedule, Flow)
    theirs = scheduler(
        "DPMSolverMultistepScheduler",
        "dpmsolver_multistep",
        prediction_type="flow_prediction" if flow else "sample",
        use_flow_sigmas=flow,
        final_sigmas_type="sigma_min",
        **config,
    )
    theirs.register_to_config(prediction_type="sample")
    grid, numbers = short_of_clean(schedule), itertools.count(1)
    step = None
    if noise:
        step = lambda *asked: theirs.step(*asked, variance_noise=noise(next(numbers)))  # noqa: E731
    return drive(theirs, grid, start(grid), step)


@PATHS
def test_dpmpp_2m(schedule, flow):
    same(ours("dpmpp_2m", short_of_clean(schedule)), dpm(2, "dpmsolver++", schedule), 1e-5)


@PATHS
@pytest.mark.parametrize(
    ("name", "solver_type"), [("dpmpp_2m_sde", "midpoint"), ("dpmpp_2m_sde_heun", "heun")]
)
def test_dpmpp_2m_sde(schedule, flow, name, solver_type):
    theirs = dpm(2, "sde-dpmsolver++", schedule, drawn, solver_type=solver_type)
    same(ours(name, short_of_clean(schedule)), theirs, 1e-5)


@PATHS
def test_dpmpp_3m_without_noise(schedule, flow):
    """It halves the curvature as k-diffusion does, whose second step is the one that is called heun here."""
    theirs = dpm(3, "dpmsolver++", schedule, solver_type="heun")
    same(ours("dpmpp_3m_sde", short_of_clean(schedule), eta=0.0), theirs, 1e-5)


@PATHS
def test_dpmpp_3m_with_noise_differs(schedule, flow):
    """diffusers weighs the curvature with (1 - exp(-a) - a) / a**2 - 1/2; k-diffusion adds the half.

    So does diffusers without noise: then the weight tends to 0 in short steps, and not to -1. We do as they.
    """
    theirs = dpm(3, "sde-dpmsolver++", schedule, drawn, solver_type="heun")
    assert (ours("dpmpp_3m_sde", short_of_clean(schedule)) - theirs).abs().max() > 1e-3


def test_half_the_curvature_costs_the_third_order():
    """k-diffusion's and diffusers' third order step takes the second difference for the second derivative.

    The integral of the polynomial itself is of order 3. First steps short enough that Euler's error in them
    does not show.
    """
    orders = {}
    for rule in (exact, half_curved):
        errors = []
        for steps in (96, 192):
            h = 0.9 / steps
            times = [
                0.95,
                0.95 - h**2,
                0.95 - h**1.5,
                *torch.linspace(0.95 - h, 0.05, steps).double().tolist(),
            ]
            grid = at_times(Flow(), times)
            found = sample(multistep(start(grid), grid, drawn, 3, rule), TWO_PEAKS.denoise)
            true = TWO_PEAKS.transport(start(grid), grid.start, grid.levels.rows(-1))
            errors.append((found - true).abs().max())
        orders[rule] = torch.log2(errors[0] / errors[1]).item()
    assert orders[exact] > 2.7
    assert orders[half_curved] < 2.4
