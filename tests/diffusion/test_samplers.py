"""Samplers: right to the order, equal to their references, regular at both ends, row by row."""

import math

import pytest
import torch
from bench.mixture import GaussianMixture
from bench.sampler_orders import (
    INSIDE,
    LATE,
    ONE_PEAK,
    PATHS,
    TWO_PEAKS,
    WHOLE,
    WITH_MEMORY,
    error,
    even,
    measured,
    orders,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from darkroom.diffusion.grids import GRIDS, Grid, at_times, karras, trailing
from darkroom.diffusion.levels import VE, VP, Flow, Level
from darkroom.diffusion.noise import Philox
from darkroom.diffusion.prediction import PREDICTIONS
from darkroom.diffusion.process import Process
from darkroom.diffusion.samplers import (
    SAMPLERS,
    Sampler,
    ddim,
    ddpm,
    dpmpp_2m,
    euler,
    euler_a,
    heun,
    lcm,
    sample,
    tcd,
)
from darkroom.diffusion.samplers.steps import renewed
from darkroom.diffusion.samplers.two_stage import halves

METHODS = pytest.mark.parametrize("method", SAMPLERS.values(), ids=SAMPLERS)
MEASURED = pytest.mark.parametrize("method", measured(), ids=lambda method: method.name)
SCHEDULES = {"flow": Flow(), "vp": VP.linear(), "zero": VP.scaled_linear().zero_terminal(), "ve": VE()}


def no_noise(draw: int) -> torch.Tensor:
    raise AssertionError("a deterministic sampler drew noise")


def double(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def start(grid: Grid, rows: int = 3) -> torch.Tensor:
    """Noise at the grid's first level, (rows, 1)."""
    return torch.linspace(-1.5, 1.5, rows, dtype=torch.float64)[:, None] * grid.start.sigma[..., None]


# ---- right to the order


def order_of(method: Sampler, path: str, span: tuple[float, float], steps: int) -> float:
    """The order seen from so many steps to twice as many."""
    (seen,) = orders([error(method, even(PATHS[path], n, span)) for n in (steps, 2 * steps)])
    return seen


@MEASURED
@pytest.mark.parametrize("path", PATHS)
def test_the_error_falls_at_least_with_the_order_that_is_claimed(method, path):
    assert order_of(method, path, INSIDE, 64) > method.order - 0.2


@MEASURED
def test_the_error_falls_no_faster_than_is_claimed(method):
    """On every path, but where the memory of a method shows more than its start: then on one of them."""
    seen = {path: order_of(method, path, LATE, 128) for path in PATHS}
    assert min(seen.values()) == pytest.approx(method.order, abs=0.2)
    if method.name not in WITH_MEMORY:
        assert max(seen.values()) == pytest.approx(method.order, abs=0.2)


@pytest.mark.parametrize("name", WITH_MEMORY)
def test_what_is_better_than_claimed_is_the_order_with_memory(name):
    """On VE even steps in sigma begin so short in logsnr that the start costs nothing."""
    assert order_of(SAMPLERS[name], "VE", INSIDE, 256) == pytest.approx(WITH_MEMORY[name], abs=0.2)


@MEASURED
@pytest.mark.parametrize("path", ["VP", "flow"])
def test_the_whole_path_ends_at_the_truth(method, path):
    coarse, fine = (error(method, even(PATHS[path], steps, WHOLE)) for steps in (32, 128))
    assert fine < (0.25 if method.stochastic else 0.06)
    assert fine < coarse / 2


@METHODS
@pytest.mark.parametrize("steps", [1, 2, 9])
@pytest.mark.parametrize("end", ["clean", "noisy"])
def test_the_questions_that_are_announced_are_asked(method, steps, end):
    asked, grid = [], trailing(VP.linear(), steps + (end == "noisy"))
    if end == "noisy":
        grid = Grid(grid.schedule, grid.levels.rows(slice(0, -1)))

    def denoise(x, level):
        asked.append(level)
        return TWO_PEAKS.denoise(x, level)

    sample(method(start(grid), grid, Philox.run(0, 3, (1,))), denoise)
    assert method.adaptive or len(asked) == method.questions(grid)
    assert (asked[0].sigma == grid.start.sigma).all()


def test_the_adaptive_sampler_gets_as_close_as_it_is_told():
    grid = trailing(Flow(), 20)
    errors, counts = [], []
    for tolerance in (1e-2, 1e-4):
        asked = []
        sampling = SAMPLERS["dpm_adaptive"](start(grid), grid, no_noise, rtol=tolerance, atol=tolerance)
        found = sample(sampling, lambda x, at, asked=asked: (asked.append(at), TWO_PEAKS.denoise(x, at))[1])
        true = TWO_PEAKS.transport(start(grid), grid.start, grid.levels.rows(-1))
        errors.append((found - true).abs().max())
        counts.append(len(asked))
    assert errors[0] < 0.05
    assert counts[0] < counts[1] < 400


# ---- made for distilled networks


def ends(x: torch.Tensor, level: Level) -> torch.Tensor:
    """Where the flow of one Gaussian ends: what a perfectly distilled network answers."""
    return x * ONE_PEAK.stds / ((level.alpha * ONE_PEAK.stds) ** 2 + level.sigma**2).sqrt()


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("path", PATHS)
def test_lcm_has_the_right_variance_in_any_number_of_steps(path, steps):
    axes = torch.eye(steps, dtype=torch.float64)[:, :, None]
    grid = even(PATHS[path], steps, WHOLE)
    first = ((grid.start.alpha * ONE_PEAK.stds) ** 2 + grid.start.sigma**2).sqrt()
    end = sample(lcm(first * axes[0], grid, lambda draw: axes[draw]), ends)
    torch.testing.assert_close(end.square().sum(), ONE_PEAK.stds[0] ** 2, rtol=1e-12, atol=0)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_tcd_leads_from_ddim_to_lcm(schedule):
    grid, noise = trailing(SCHEDULES[schedule], 5), Philox.run(0, 3, (1,), dtype=torch.float64)
    for gamma, other in ((0.0, ddim), (1.0, lcm)):
        found, expected = (
            sample(sampling, TWO_PEAKS.denoise)
            for sampling in (tcd(start(grid), grid, noise, gamma=gamma), other(start(grid), grid, noise))
        )
        # a table's first time has a little noise, of which tcd keeps some
        slack = 2e-2 if gamma and schedule in ("vp", "zero") else 1e-9
        torch.testing.assert_close(found, expected, rtol=slack, atol=slack)


DRAWING = {"ddim": {"eta": 1.0}} | {m.name: {} for m in SAMPLERS.values() if m.stochastic and m.order}
"""Samplers that draw noise, with their options; those for distilled networks want another denoiser."""


@pytest.mark.parametrize("schedule", ["flow", "vp", "ve"])
@pytest.mark.parametrize(("method", "options"), DRAWING.items(), ids=DRAWING)
def test_stochastic_samplers_end_with_the_mean_and_covariance_of_the_data(method, options, schedule):
    """Within 4 standard errors of the truth with 4,000 samples, steps being fine enough not to matter."""
    mixture = GaussianMixture(
        double(0.2, 0.5, 0.3), double(2, 0, -1, 1.5, 0, -2).reshape(3, 2), double(0.5, 0.6, 0.4)
    )
    rows, steps = 4000, 200
    noise = Philox((5,), (rows, 2), dtype=torch.float64)
    spread_by = "karras" if schedule == "ve" else "trailing"  # even steps in sigma are too long at the end
    grid = GRIDS[spread_by](SCHEDULES[schedule], steps)
    x = noised(mixture, grid.start, noise)
    drawn = lambda draw: noise(draw)[0]  # noqa: E731 - of one row for each sample
    end = sample(SAMPLERS[method](x, grid, drawn, **options), mixture.denoise)
    true = mixture.covariance
    assert ((end.mean(0) - mixture.mean).abs() < 4 * (true.diag() / rows).sqrt()).all()
    spread = (end - mixture.mean)[:, :, None] * (end - mixture.mean)[:, None, :]  # (rows, 2, 2)
    assert ((spread.mean(0) - true).abs() < 4 * spread.std(0) / math.sqrt(rows)).all()


def noised(mixture: GaussianMixture, level: Level, noise: Philox) -> torch.Tensor:
    """One sample a row of the mixture at ``level``, the components in turn by their weights in tenths."""
    which = torch.arange(noise.shape[0]) % 10
    part = torch.searchsorted(mixture.weights.cumsum(0) * 10 - 0.5, which)
    x0 = mixture.means[part] + mixture.stds[part, None] * noise(10**6)[0]
    return level.alpha * x0 + level.sigma * noise(0)[0]


# ---- equal to their references


@pytest.mark.parametrize("method", [euler, ddim])
def test_steps_equal_native_flow_euler(method):
    grid = trailing(Flow(), 20)
    x = expected = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    sampling = method(x, grid, no_noise)
    asked, level = next(sampling)
    for t, s in grid.steps():
        velocity = (asked - TWO_PEAKS.denoise(asked, level)) / t.sigma
        expected = asked + (s.sigma - t.sigma) * velocity
        try:
            asked, level = sampling.send(TWO_PEAKS.denoise(asked, level))
        except StopIteration as stop:
            asked = stop.value
        torch.testing.assert_close(asked, expected, rtol=0, atol=4e-16 * 2)  # |x| is up to 2


def test_heun_on_ve_is_algorithm_1_of_edm():
    grid = karras(VE(), 12, sigma_min=0.002, sigma_max=80.0)
    x = expected = start(grid)
    sigmas = grid.levels.sigma
    for i in range(12):
        slope = (expected - TWO_PEAKS.denoise(expected, grid.levels.rows(i))) / sigmas[i]
        guess = expected + (sigmas[i + 1] - sigmas[i]) * slope
        if sigmas[i + 1] != 0:
            at_end = (guess - TWO_PEAKS.denoise(guess, grid.levels.rows(i + 1))) / sigmas[i + 1]
            guess = expected + (sigmas[i + 1] - sigmas[i]) * (slope + at_end) / 2
        expected = guess
    torch.testing.assert_close(
        sample(heun(x, grid, no_noise), TWO_PEAKS.denoise), expected, rtol=1e-11, atol=1e-11
    )


def test_heun_on_flow_is_native():
    grid = trailing(Flow(), 10)
    x = expected = start(grid)
    for t, s in grid.steps():
        slope = (expected - TWO_PEAKS.denoise(expected, t)) / t.t
        guess = expected + (s.t - t.t) * slope
        if s.t > 0:
            guess = expected + (s.t - t.t) * (slope + (guess - TWO_PEAKS.denoise(guess, s)) / s.t) / 2
        expected = guess
    torch.testing.assert_close(
        sample(heun(x, grid, no_noise), TWO_PEAKS.denoise), expected, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("schedule", ["vp", "ve"])
def test_dpmpp_2m_is_k_diffusions(schedule):
    """Its formula for sigma / alpha, with x / alpha for x and exp(-h) from the sigmas."""
    grid = karras(SCHEDULES[schedule], 10, sigma_max=14.0, sigma_min=0.03)
    x = start(grid)
    y, before = x / grid.start.alpha, None
    sigmas = grid.levels.logsnr.neg().exp()
    for i, (t, _) in enumerate(grid.steps()):
        x0 = TWO_PEAKS.denoise(y * t.alpha, t)
        h = sigmas[i].log() - sigmas[i + 1].log()
        if before is None or sigmas[i + 1] == 0:
            mixed = x0
        else:
            r = (sigmas[i - 1].log() - sigmas[i].log()) / h
            mixed = (1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * before
        y = sigmas[i + 1] / sigmas[i] * y - torch.expm1(-h) * mixed
        before = x0
    torch.testing.assert_close(
        sample(dpmpp_2m(x, grid, no_noise), TWO_PEAKS.denoise), y, rtol=1e-10, atol=1e-10
    )


def test_ddpm_is_algorithm_2():
    """Equation 7 over all 50 entries of a table, in the symbols of the paper."""
    betas = torch.linspace(0.01, 0.3, 50, dtype=torch.float64)
    bars = torch.cat([torch.ones(1).double(), torch.cumprod(1 - betas, 0)])
    noise = Philox.run(2, 3, (1,), dtype=torch.float64)
    grid = trailing(VP.from_betas(betas), 50)
    x = expected = noise(0)
    for draw, t in enumerate(range(50, 0, -1), start=1):
        beta, bar, previous = betas[t - 1], bars[t], bars[t - 1]
        x0 = TWO_PEAKS.denoise(expected, Level(bar, bar.sqrt(), (1 - bar).sqrt()))
        mean = previous.sqrt() * beta / (1 - bar) * x0
        mean += (1 - beta).sqrt() * (1 - previous) / (1 - bar) * expected
        expected = mean + ((1 - previous) / (1 - bar) * beta).sqrt() * noise(draw)
    torch.testing.assert_close(
        sample(ddpm(x, grid, noise), TWO_PEAKS.denoise), expected, rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_ddim_is_equation_12(eta):
    noise = Philox.run(2, 3, (1,), dtype=torch.float64)
    grid = trailing(VP.linear(), 25)
    x = expected = noise(0)
    for draw, (t, s) in enumerate(grid.steps(), start=1):
        a, b = t.alpha**2, s.alpha**2
        x0 = TWO_PEAKS.denoise(expected, t)
        eps = (expected - a.sqrt() * x0) / (1 - a).sqrt()
        std = eta * ((1 - b) / (1 - a)).sqrt() * (1 - a / b).sqrt()
        expected = b.sqrt() * x0 + (1 - b - std**2).clamp(min=0).sqrt() * eps + std * noise(draw)
    torch.testing.assert_close(
        sample(ddim(x, grid, noise, eta=eta), TWO_PEAKS.denoise), expected, rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_euler_a_is_k_diffusions(eta):
    """``get_ancestral_step`` and an Euler step to sigma_down."""
    noise = Philox.run(4, 3, (1,), dtype=torch.float64)
    grid = karras(VE(), 10, sigma_max=20.0, sigma_min=0.05)
    x = expected = grid.start.sigma * noise(0)
    for draw, (t, s) in enumerate(grid.steps(), start=1):
        up = eta * (s.sigma**2 * (t.sigma**2 - s.sigma**2) / t.sigma**2).sqrt()
        down = (s.sigma**2 - up**2).sqrt()
        slope = (expected - TWO_PEAKS.denoise(expected, t)) / t.sigma
        expected = expected + slope * (down - t.sigma) + up * noise(draw)
    torch.testing.assert_close(
        sample(euler_a(x, grid, noise, eta=eta), TWO_PEAKS.denoise), expected, rtol=1e-11, atol=1e-11
    )


# ---- regular at both ends, row by row


@METHODS
@pytest.mark.parametrize("grid", ["trailing", "karras"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_nothing_is_nan_from_pure_noise_to_the_clean_signal(method, grid, schedule):
    noise = Philox.run(0, 2, (2, 3))
    for prediction, steps in (("eps", 5), ("velocity", 1), ("v", 2)):
        process = Process(SCHEDULES[schedule], PREDICTIONS[prediction])
        levels = GRIDS[grid](process.schedule, steps)
        x = process.corrupt(torch.zeros(2, 2, 3), noise(0), levels.start)
        end = sample(
            method(x, levels, noise),
            lambda x, at, process=process: process.denoise(lambda x, time, _: x.tanh(), x, at, None),
        )
        assert end.isfinite().all()
        assert end.dtype == torch.float32


@METHODS
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_whoever_knows_the_picture_gets_the_picture(method, schedule):
    picture = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(2, 6)
    grid, noise = trailing(SCHEDULES[schedule], 8), Philox.run(1, 2, (6,), dtype=torch.float64)
    x = grid.start.alpha * picture + grid.start.sigma * noise(0)
    end = sample(method(x, grid, noise), lambda x, level: picture)
    torch.testing.assert_close(end, picture, rtol=1e-12, atol=1e-12)


@METHODS
@given(st.data())
@settings(max_examples=5, deadline=None)
def test_rows_at_different_levels_go_as_if_alone(method, data):
    schedule = SCHEDULES[data.draw(st.sampled_from(["flow", "vp", "zero"]))]
    inner = st.lists(st.floats(0.01, 0.99), min_size=4, max_size=4, unique_by=lambda t: round(t, 3))
    starts = st.sampled_from([1.0, 0.995])
    times = [[data.draw(starts), *sorted(data.draw(inner), reverse=True), 0.0] for _ in range(3)]
    together = Grid(schedule, schedule.at(torch.tensor(times, dtype=torch.float64).T))
    x = start(together)
    noise = Philox.run(0, 3, (1,), dtype=torch.float64)
    found = sample(method(x, together, noise), TWO_PEAKS.denoise)
    for row in range(3):
        one = Philox.run(row, 1, (1,), dtype=torch.float64)
        alone = sample(method(x[row : row + 1], at_times(schedule, times[row]), one), TWO_PEAKS.denoise)
        torch.testing.assert_close(found[row : row + 1], alone, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("method", [heun, dpmpp_2m])
def test_a_row_may_be_done_before_another(method):
    """Rows that differ need not be singular together: one ends clean while the other keeps some noise."""
    times = double(0.9, 0.8, 0.4, 0.5, 0.0, 0.1).reshape(3, 2)
    together = Grid(Flow(), Flow().at(times))
    x = start(together, rows=2)
    found = sample(method(x, together, no_noise), TWO_PEAKS.denoise)
    for row in range(2):
        alone = sample(method(x[row : row + 1], at_times(Flow(), times[:, row]), no_noise), TWO_PEAKS.denoise)
        torch.testing.assert_close(found[row : row + 1], alone, rtol=1e-13, atol=1e-13)


@METHODS
def test_deterministic_samplers_draw_nothing_and_others_nothing_twice(method):
    grid, drawn = trailing(Flow(), 6), []

    def noise(draw):
        drawn.append(draw)
        return torch.zeros(3, 1)

    sample(method(start(grid), grid, noise), TWO_PEAKS.denoise)
    assert bool(drawn) == method.stochastic
    assert len(set(drawn)) == len(drawn)
    assert 0 not in drawn, "draw 0 is what sampling starts from"


def test_the_noise_half_way_is_a_part_of_the_noise_of_the_step():
    """From independent draws, as the reverse equation composes them by way of the middle."""
    axes, grid = torch.eye(5, dtype=torch.float64), trailing(VP.linear(), 3)
    middle, number = grid.between(grid.starts, grid.ends, 0.5), 1
    noises = halves(axes[0], lambda draw: axes[draw], grid.starts, middle, grid.ends)
    first, whole = list(noises)[number]
    t, middle, s = (level.rows(number) for level in (grid.starts, middle, grid.ends))
    torch.testing.assert_close(whole.norm().item(), 1.0)
    (_, early), (onward, late), (_, total) = (
        renewed(*way, 1.0) for way in ((t, middle), (middle, s), (t, s))
    )
    assert torch.equal(first, axes[3])
    torch.testing.assert_close(total * whole, onward / middle.sigma * early * axes[3] + late * axes[4])
