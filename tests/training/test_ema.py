"""Averages against their closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from darkroom.training.ema import Average, Decay, PowerFunction, Profile


def weights_of_the_past(profile: Profile, updates: int) -> np.ndarray:
    """The share of each update in the last average; they sum to 1 where the start is forgotten."""
    keep = np.array([profile.keep(t) for t in range(1, updates + 1)])
    after = np.append(np.cumprod(keep[::-1])[::-1][1:], 1.0)
    return (1 - keep) * after


def averaged(profile: Profile, values: list[float]) -> float:
    """The average of a one-weight network that takes these values."""
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(values[0])
    average = Average(profile, network)
    for update, value in enumerate(values, 1):
        network.weight.data.fill_(value)
        average.update(network, update)
    return next(average.network.parameters()).item()


@given(st.floats(0.02, 0.28), st.lists(st.floats(-10, 10), min_size=1, max_size=40))
def test_power_function_weighs_the_past_by_its_power(sigma_rel: float, values: list[float]) -> None:
    """The weights of update t are the integral of (gamma + 1) tau^gamma / T^(gamma + 1) over [t - 1, t]."""
    profile = PowerFunction(sigma_rel)
    times = np.arange(len(values) + 1) / len(values)
    shares = np.diff(times ** (profile.gamma + 1))
    assert averaged(profile, values) == pytest.approx(float(shares @ np.array(values)), abs=1e-4)


@pytest.mark.parametrize(("sigma_rel", "gamma"), [(0.05, 16.97), (0.10, 6.94)])
def test_power_function_has_the_width_that_it_is_named_for(sigma_rel: float, gamma: float) -> None:
    """The pairs printed in the paper, and the standard deviation of the profile itself."""
    profile, updates = PowerFunction(sigma_rel), 20_000
    assert profile.gamma == pytest.approx(gamma, abs=0.005)
    shares, times = weights_of_the_past(profile, updates), np.arange(1, updates + 1) / updates
    mean = shares @ times
    assert np.sqrt(shares @ (times - mean) ** 2) == pytest.approx(sigma_rel, rel=1e-3)


def test_decay_becomes_a_plain_exponential() -> None:
    shares = weights_of_the_past(Decay(0.9), 400)
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(shares[1:][-200:] / shares[:-1][-200:], 1 / 0.9)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=30), st.floats(0.3, 0.9999))
def test_decay_warms_up(values: list[float], decay: float) -> None:
    keep = [min(decay, (1 + t) / (10 + t)) for t in range(1, len(values) + 1)]
    expected = values[0]
    for share, value in zip(keep, values, strict=True):
        expected = share * expected + (1 - share) * value
    assert averaged(Decay(decay), values) == pytest.approx(expected, abs=1e-4)


def test_buffers_are_averaged_if_they_are_real_and_copied_if_not() -> None:
    network = nn.BatchNorm1d(2)
    average = Average(Decay(0.5), network)
    network.running_mean = torch.tensor([8.0, 4.0])
    network.num_batches_tracked = torch.tensor(7)
    average.update(network, 100)
    buffers = dict(average.network.named_buffers())
    assert buffers["running_mean"].tolist() == [4.0, 2.0]
    assert buffers["num_batches_tracked"].item() == 7


def test_an_average_is_for_looking_at() -> None:
    network = nn.Linear(2, 2).train()
    average = Average(Decay(0.9), network).network
    assert not average.training and network.training
    assert not any(p.requires_grad for p in average.parameters())
    assert all(p.requires_grad for p in network.parameters())
