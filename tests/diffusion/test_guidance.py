"""Guides ask what their papers ask, in one batch, and only what is needed."""

from math import inf

import pytest
import torch

from darkroom.diffusion.guidance import cfg, guided, interval, unguided
from darkroom.diffusion.levels import VE, Flow

X = torch.arange(2 * 3 * 4 * 4, dtype=torch.float64).reshape(2, 3, 4, 4).sin()
LEVEL = Flow().at(torch.tensor([0.2, 0.8], dtype=torch.float64))


class Network:
    """Answers by condition, and remembers in which tuples it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, queries):
        self.asked.append([query.cond for query in queries])
        return [torch.tanh(query.x * query.cond) + query.cond for query in queries]

    def one(self, cond):
        return torch.tanh(X * cond) + cond


def test_unguided_asks_what_was_asked():
    network = Network()
    assert torch.equal(guided(unguided(2.0), network)(X, LEVEL), network.one(2.0))
    assert network.asked == [[2.0]]


@pytest.mark.parametrize("scale", [0.0, 0.5, 7.5])
def test_cfg_is_equation_6_asked_in_one_tuple(scale):
    network = Network()
    found = guided(cfg(2.0, -1.0, scale), network)(X, LEVEL)
    torch.testing.assert_close(found, scale * network.one(2.0) + (1 - scale) * network.one(-1.0))
    assert network.asked == [[2.0, -1.0]]


def test_scale_1_does_not_ask_the_negative():
    network = Network()
    assert torch.equal(guided(cfg(2.0, -1.0, 1.0), network)(X, LEVEL), network.one(2.0))
    assert network.asked == [[2.0]]


def test_a_scale_may_follow_the_level_row_by_row():
    network = Network()
    found = guided(cfg(2.0, -1.0, lambda level: 1 + 10 * level.sigma), network)(X, LEVEL)
    for row, scale in enumerate((3.0, 9.0)):
        expected = scale * network.one(2.0) + (1 - scale) * network.one(-1.0)
        torch.testing.assert_close(found[row], expected[row])


def test_interval_is_1_outside():
    level = VE().at_logsnr(-torch.tensor([0.1, 0.27, 0.29, 5.0, 5.4, 5.5]).double().log())
    assert interval(7.0, 0.28, 5.42)(level).tolist() == [1, 1, 7, 7, 7, 1]
    noise = Flow().at(torch.tensor([1.0, 0.9]))
    assert interval(7.0, 0.28, inf)(noise).tolist() == [7, 7]
    assert interval(7.0, 0.28, 1e6)(noise).tolist() == [1, 7]


def test_outside_the_interval_only_the_positive_is_asked():
    network = Network()
    guide = cfg(2.0, -1.0, interval(7.0, 0.3, 1.0))
    guided(guide, network)(X, Flow().at(torch.tensor(0.9).double()))
    guided(guide, network)(X, Flow().at(torch.tensor(0.4).double()))
    assert network.asked == [[2.0], [2.0, -1.0]]


def test_rescale_brings_the_spread_of_each_row_back():
    network = Network()
    plain, half, full = (
        guided(cfg(2.0, -1.0, 7.5, rescale), network)(X, LEVEL) for rescale in (0.0, 0.5, 1.0)
    )
    torch.testing.assert_close(full.std((1, 2, 3)), network.one(2.0).std((1, 2, 3)))
    assert (plain.std((1, 2, 3)) > 1.5 * full.std((1, 2, 3))).all()
    torch.testing.assert_close(half, (plain + full) / 2)


def test_a_guide_may_ask_twice():
    network = Network()

    def twice(x, level):
        (first,) = yield from ask(x, level, 2.0)
        (second,) = yield from ask(x, level, -1.0)
        return first - second

    def ask(x, level, cond):
        guiding = unguided(cond)(x, level)
        return (yield next(guiding))

    assert torch.equal(guided(twice, network)(X, LEVEL), network.one(2.0) - network.one(-1.0))
    assert network.asked == [[2.0], [-1.0]]
