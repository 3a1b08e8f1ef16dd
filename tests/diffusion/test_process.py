"""One process trains and samples: losses are the textbook's, and every prediction reads the same x0."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from darkroom.diffusion.levels import VE, VP, Flow
from darkroom.diffusion.prediction import (
    PREDICTIONS,
    predict_eps,
    predict_v,
    predict_velocity,
    predict_x0,
)
from darkroom.diffusion.process import Process, as_velocity

SCHEDULES = {"vp": VP.linear(), "zero": VP.cosine().zero_terminal(), "flow": Flow(), "ve": VE()}


def double(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture
def signals():
    random = torch.Generator().manual_seed(3)
    return [torch.randn(4, 3, 5, 5, generator=random, dtype=torch.float64) for _ in range(3)]


def net(x, time, cond):
    """Any network: depends on everything that it is told."""
    return torch.tanh(x) * (1 + time[:, None, None, None].double()) + cond


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", PREDICTIONS)
def test_the_right_answer_denoises_exactly(schedule, name, signals):
    x0, eps, _ = signals
    process = Process(SCHEDULES[schedule], PREDICTIONS[name])
    level = process.schedule.at(double(0.0, 0.2, 0.6, 0.95))
    target = process.prediction.target(x0, eps, level)
    found = process.denoise(lambda x, time, cond: target, process.corrupt(x0, eps, level), level, None)
    torch.testing.assert_close(found, x0, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", PREDICTIONS)
def test_nothing_is_nan_or_infinite_from_pure_noise_to_the_clean_signal(schedule, name, signals):
    x0, eps, _ = signals
    process = Process(SCHEDULES[schedule], PREDICTIONS[name])
    level = process.schedule.at(double(0.0, 1e-7, 1.0 - 1e-7, 1.0))
    assert all(torch.as_tensor(part).isfinite().all() for part in process.prediction(level))
    assert process.denoise(net, process.corrupt(x0, eps, level), level, 0.5).isfinite().all()
    assert process.loss(net, x0, eps, level, 0.5, as_velocity).isfinite().all()


@pytest.mark.parametrize(
    ("process", "target"),
    [
        (Process(VP.linear(), predict_eps), lambda x0, eps, a, s: eps),
        (Process(VP.linear(), predict_x0), lambda x0, eps, a, s: x0),
        (Process(VP.linear(), predict_v), lambda x0, eps, a, s: a * eps - s * x0),
        (Process(Flow(), predict_velocity), lambda x0, eps, a, s: eps - x0),
    ],
    ids=["eps", "x0", "v", "velocity"],
)
def test_losses_are_the_textbooks(process, target, signals):
    x0, eps, cond = signals
    level = process.schedule.at(double(0.0, 0.1, 0.5, 1.0))
    alpha, sigma, time = (part[:, None, None, None] for part in (level.alpha, level.sigma, level.t))
    answer = net(alpha * x0 + sigma * eps, time.flatten().float(), cond)
    expected = ((answer - target(x0, eps, alpha, sigma)) ** 2).mean(dim=(1, 2, 3))
    found = process.loss(net, x0, eps, level, cond)
    assert found.shape == (4,)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_an_x0_network_trains_on_the_velocity_loss(signals):
    x0, eps, cond = signals
    process, t = Process(Flow(), predict_x0), double(0.06, 0.3, 0.7, 1.0)
    x = process.corrupt(x0, eps, process.schedule.at(t))
    velocity = (x - net(x, t.float(), cond)) / t[:, None, None, None]
    expected = ((velocity - (eps - x0)) ** 2).mean(dim=(1, 2, 3))
    found = process.loss(net, x0, eps, process.schedule.at(t), cond, as_velocity)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=0)


def test_below_the_floor_the_velocity_weight_stays(signals):
    weight = as_velocity(Flow().at(double(0.0, 0.01, 0.05)))
    torch.testing.assert_close(weight, double(400, 400, 400))


@given(st.floats(0.05, 0.95), st.sampled_from(["vp", "flow"]))
def test_a_weight_turns_x0_error_into_eps_error(t, schedule):
    process = Process(SCHEDULES[schedule], predict_x0)
    level = process.schedule.at(double(t))
    x0, eps = double(0.3, -1.2)[None], double(0.7, 0.1)[None]
    x = process.corrupt(x0, eps, level)
    answer = torch.tanh(x)
    expected = ((x - level.alpha * answer) / level.sigma - eps).square().mean(1)
    found = process.loss(lambda *_: answer, x0, eps, level, None, lambda at: (at.alpha / at.sigma) ** 2)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-15)


def test_networks_are_told_the_index_of_vp_and_the_t_of_flow():
    told = []

    def listen(x, time, cond):
        told.append(time)
        return x

    x = torch.zeros(3, 1, dtype=torch.float64)
    for schedule in (VP.linear(), Flow()):
        Process(schedule, predict_eps).denoise(listen, x, schedule.at(double(0.001, 0.5, 1.0)), None)
    torch.testing.assert_close(told[0], torch.tensor([0.0, 499.0, 999.0]))
    torch.testing.assert_close(told[1], torch.tensor([0.001, 0.5, 1.0]))


def test_one_level_serves_all_rows(signals):
    x, _, cond = signals
    process = Process(Flow(), predict_velocity)
    one = process.denoise(net, x, process.schedule.at(torch.tensor(0.4).double()), cond)
    each = process.denoise(net, x, process.schedule.at(torch.full((4,), 0.4).double()), cond)
    assert torch.equal(one, each)


def test_processes_with_the_same_parts_are_equal():
    assert Process(Flow(), predict_x0) == Process(Flow(), predict_x0)
    assert hash(Process(VP.linear(), predict_v)) == hash(Process(VP.linear(), predict_v))
    assert Process(Flow(), predict_x0) != Process(Flow(), predict_velocity)
