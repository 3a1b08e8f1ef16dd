"""The learning rate against its formula, and optimizers that can be put down and taken up."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from darkroom.errors import DarkroomError
from darkroom.training.optimizer import Ending, LearningRate, Optimizer, OptimizerRecipe, Shape
from darkroom.training.painter import learning_rate
from darkroom.training.presets import preset

SHAPES = st.sampled_from(["linear", "cosine", "sqrt"])


class Mixed(nn.Module):
    """A parameter of every sort."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 4)
        self.hidden = nn.Linear(4, 4)
        self.gain = nn.Parameter(torch.ones(4, 1, 1))
        self.conv = nn.Conv2d(4, 3, 3)
        self.head = nn.Linear(3, 2)

    def forward(self, index: Tensor) -> Tensor:
        signal = self.hidden(self.table(index)).mean(0)[:, None, None] * self.gain
        return self.head(self.conv(signal.expand(1, 4, 3, 3)).flatten(1))


def test_the_rate_at_landmarks() -> None:
    rate, ending = LearningRate(peak=2.0, warmup=4, decay=10, shape="cosine", floor=0.1), Ending(20, 10)
    assert [rate.at(step, ending) for step in range(4)] == [0.5, 1.0, 1.5, 2.0]
    assert all(rate.at(step, ending) == 2.0 for step in range(4, 21))
    assert rate.at(25, ending) == pytest.approx(2.0 * (0.1 + 0.9 / 2))
    assert rate.at(30, ending) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("shape", "left"), [("linear", 0.75), ("cosine", (1 + math.cos(math.pi / 4)) / 2), ("sqrt", 0.5)]
)
def test_the_rate_a_quarter_into_its_decay(shape: Shape, left: float) -> None:
    assert LearningRate(peak=1.0, decay=8, shape=shape).at(102, Ending(100, 8)) == pytest.approx(left)


@given(SHAPES, st.integers(0, 20), st.integers(0, 50), st.integers(0, 50), st.floats(0, 1))
def test_the_rate_rises_then_falls_and_keeps_its_bounds(
    shape: Shape, warmup: int, start: int, steps: int, floor: float
) -> None:
    rate = LearningRate(peak=1.0, warmup=warmup, decay=steps, shape=shape, floor=floor)
    rates = [rate.at(step, Ending(start, steps)) for step in range(start + steps + 2)]
    top = max(range(len(rates)), key=rates.__getitem__)
    assert all(0 <= value <= 1 for value in rates)
    assert warmup > start or top <= start + 1
    falling = rates[max(start, warmup) :]
    assert all(later <= earlier for earlier, later in pairwise(falling))
    if steps and warmup <= start + steps:
        assert rates[start + steps] == pytest.approx(floor, abs=1e-9)


def channels_last(network: Mixed) -> Mixed:
    network.conv.weight.data = network.conv.weight.data.to(memory_format=torch.channels_last)
    return network


def take_steps(network: nn.Module, optimizer: Optimizer, steps: range) -> None:
    for step in steps:
        network(torch.tensor([step % 5, 1])).square().sum().backward()
        optimizer.clip()
        optimizer.step(0.01)
        optimizer.zero_grad()


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_put_down_and_taken_up_it_goes_on_in_the_same_bits(kind: str) -> None:
    recipe = OptimizerRecipe(rate=LearningRate(peak=1.0), kind=kind, heads=("head",))  # type: ignore[arg-type]
    torch.manual_seed(0)
    one = channels_last(Mixed())
    optimizer = Optimizer(recipe, one)
    take_steps(one, optimizer, range(3))
    two = channels_last(Mixed())
    two.load_state_dict(one.state_dict())
    other = Optimizer(recipe, two)
    other.load({name: value.contiguous().clone() for name, value in optimizer.state().items()})
    take_steps(one, optimizer, range(3, 6))
    take_steps(two, other, range(3, 6))
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name]), name
    assert other.state()["exp_avg/conv.weight"].stride() == one.conv.weight.stride()


def test_weight_decay_acts_on_matrices_alone() -> None:
    network = Mixed()
    optimizer = Optimizer(OptimizerRecipe(rate=LearningRate(peak=1.0), weight_decay=0.3), network)
    before = {name: p.clone() for name, p in network.named_parameters()}
    for p in network.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step(0.1)
    for name, p in network.named_parameters():
        shrunk = (
            1 - 0.1 * 0.3 if name in ("table.weight", "hidden.weight", "conv.weight", "head.weight") else 1
        )
        torch.testing.assert_close(p.detach(), before[name].detach() * shrunk)


def test_muon_takes_hidden_matrices() -> None:
    network = Mixed()
    recipe = OptimizerRecipe(rate=LearningRate(peak=1.0), kind="muon", heads=("head",))
    optimizer = Optimizer(recipe, network)
    take_steps(network, optimizer, range(1))
    state = optimizer.state()
    assert [name for name in state if name.startswith("momentum")] == ["momentum_buffer/hidden.weight"]
    assert "exp_avg/table.weight" in state and "exp_avg/head.weight" in state


def test_gradients_are_clipped_and_frozen_parameters_left_alone() -> None:
    network = nn.Linear(3, 1)
    network.bias.requires_grad_(False)
    optimizer = Optimizer(OptimizerRecipe(rate=LearningRate(peak=1.0), clip=0.5), network)
    network.weight.grad = torch.full((1, 3), 10.0)
    assert optimizer.clip().item() == pytest.approx(10 * math.sqrt(3))
    assert network.weight.grad.norm().item() == pytest.approx(0.5, rel=1e-4)
    with pytest.raises(DarkroomError, match="'bias'"):
        optimizer.load({"exp_avg/bias": torch.zeros(1)})


def test_weights_that_have_learnt_begin_at_half_the_rate_which_falls_all_along():
    chosen, length = preset("cpu"), 1000

    def rates(fresh):
        rate = learning_rate(chosen, length, fresh)
        return [rate.at(step, Ending(length - rate.decay, rate.decay)) for step in range(length)]

    fresh, learnt = rates(True), rates(False)
    assert max(fresh) == chosen.rate and max(learnt) == chosen.rate / 2
    assert fresh[700] == fresh[300] and fresh[-1] < 0.01 * chosen.rate
    falling = learnt[201:]
    assert all(after < before for before, after in pairwise(falling)) and falling[-1] < 1e-5
