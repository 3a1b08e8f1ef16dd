"""Brownian paths: the right covariance, one path whatever the steps, the same bits whatever the batch."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from darkroom.diffusion.brownian import Brownian
from darkroom.diffusion.grids import GRIDS, Grid, at_times
from darkroom.diffusion.levels import VE, VP, Flow, Level
from darkroom.diffusion.noise import Philox
from darkroom.diffusion.samplers import euler_a, sample

WIDE = (20_000,)
FLOW = Flow()


def at(t: float, schedule=FLOW) -> Level:
    return schedule.at(torch.tensor(t, dtype=torch.float64))


def time(level: Level) -> float:
    """The path's own: (alpha / sigma)**2."""
    return float((level.alpha / level.sigma) ** 2)


def brownian(seed: int = 1, shape: tuple[int, ...] = WIDE) -> Brownian:
    return Brownian.run(seed, 1, shape, dtype=torch.float64)


def between(noise: Brownian, t: Level, s: Level) -> torch.Tensor:
    """The increment of a single step."""
    return noise.along(*(Level(*(part[None] for part in level)) for level in (t, s)))(0)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ((0.9, 0.5), (0.5, 0.2)),
        ((0.9, 0.5), (0.7, 0.2)),
        ((0.9, 0.2), (0.6, 0.5)),
        ((1.0, 0.6), (0.8, 0.0)),
        ((0.31, 0.3), (0.305, 0.303)),
        ((0.011, 0.01), (0.0105, 0.002)),
    ],
)
def test_increments_have_the_covariance_of_a_brownian_path(one, two):
    """The time they share over the root of the product of their lengths, within 4.5 standard errors."""
    noise = brownian()
    z, y = (between(noise, at(t), at(s)).flatten() for t, s in (one, two))
    cap = (2.0**20 - 1) ** 2  # the last node, to which the clean signal is moved
    (a, b), (c, d) = ([min(time(at(end)), cap) for end in span] for span in (one, two))
    shared = max(0.0, min(b, d) - max(a, c)) / math.sqrt((b - a) * (d - c))
    count = len(z)
    assert abs((z * y).mean() - shared) < 4.5 * math.sqrt((1 + shared**2) / count)
    for each in (z, y):
        assert abs(each.mean()) < 4.5 / math.sqrt(count)
        assert abs(each.square().mean() - 1) < 4.5 * math.sqrt(2 / count)


@given(st.lists(st.floats(0.001, 1), min_size=3, max_size=6, unique_by=lambda t: round(t, 4)))
@settings(max_examples=20)
def test_parts_of_an_interval_add_up_to_it(times):
    """In whatever order they are asked for: B(c) - B(a) = B(b) - B(a) + B(c) - B(b)."""
    levels = [at(t) for t in sorted(times, reverse=True)]
    v = [time(level) for level in levels]
    noise, again = brownian(shape=(5,)), brownian(shape=(5,))
    whole = between(noise, levels[0], levels[-1]) * math.sqrt(v[-1] - v[0])
    parts = [
        between(again, levels[i], levels[i + 1]) * math.sqrt(v[i + 1] - v[i])
        for i in reversed(range(len(levels) - 1))
    ]
    torch.testing.assert_close(sum(parts), whole, rtol=1e-9, atol=1e-9 * math.sqrt(v[-1]))


@pytest.mark.parametrize("schedule", [FLOW, VP.linear(), VE(20.0)], ids=["flow", "vp", "ve"])
def test_with_x0_known_any_steps_end_at_the_same_signal(schedule):
    """Ancestral steps to a noisy level: 3, 12 and 50 of them, and a Karras grid to the same end."""
    x0 = torch.linspace(-1, 1, 7, dtype=torch.float64)[None]
    ends = []
    for steps in (3, 12, 50):
        grid = at_times(schedule, torch.linspace(0.95, 0.2, steps + 1, dtype=torch.float64))
        ends.append(walk(grid, x0))
    other = torch.linspace(0.95**0.3, 0.2**0.3, 21, dtype=torch.float64) ** (1 / 0.3)
    ends.append(walk(at_times(schedule, other), x0))
    for end in ends[1:]:
        torch.testing.assert_close(end, ends[0], rtol=1e-8, atol=1e-8)


def walk(grid: Grid, x0: torch.Tensor) -> torch.Tensor:
    """``euler_a`` with increments of the path for its draws."""
    noise = brownian(seed=4, shape=(7,))
    x = grid.start.alpha * x0 + grid.start.sigma * noise(0)
    return sample(euler_a(x, grid, noise), lambda *_: x0)


def test_independent_draws_end_apart():
    """What the test above would see without a path."""
    x0, ends = torch.zeros(1, 7, dtype=torch.float64), []
    for steps in (3, 12):
        grid = at_times(FLOW, torch.linspace(0.95, 0.2, steps + 1, dtype=torch.float64))
        noise = Philox.run(4, 1, (7,), dtype=torch.float64)
        ends.append(sample(euler_a(grid.start.sigma * noise(0), grid, noise), lambda *_: x0))
    assert (ends[0] - ends[1]).abs().max() > 0.05


@given(st.integers(0, 2**64 - 1), st.floats(0.3, 1), st.floats(0, 0.3, exclude_max=True))
@settings(max_examples=15)
def test_a_picture_has_the_same_bits_alone_and_in_a_batch(seed, t, s):
    batch = between(Brownian.run(seed, 3, (2, 3)), at(t), at(s))
    for i in range(3):
        assert torch.equal(batch[i : i + 1], between(Brownian.run(seed + i, 1, (2, 3)), at(t), at(s)))


def test_no_way_is_no_increment():
    assert not between(Brownian.run(3, 2, (4,)), at(0.4), at(0.4)).any()


def test_rows_may_stand_at_different_levels():
    t, s = (FLOW.at(torch.tensor(times, dtype=torch.float64)) for times in ([1.0, 0.6], [0.7, 0.0]))
    both = between(Brownian.run(3, 2, (4,)), t, s)
    for row in range(2):
        alone = between(Brownian.run(3 + row, 1, (4,)), t.rows(row), s.rows(row))
        assert torch.equal(both[row : row + 1], alone)


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("schedule", [FLOW, VP.scaled_linear(), VE()], ids=["flow", "vp", "ve"])
def test_every_step_of_every_grid_has_an_increment(name, schedule):
    noise = Brownian.run(0, 1, (3,))
    for t, s in GRIDS[name](schedule, 9).steps():
        z = between(noise, t, s)
        assert z.isfinite().all()
        assert z.abs().max() < 6


def test_numbered_draws_are_those_of_philox():
    assert torch.equal(Brownian.run(3, 2, (4,))(2), Philox.run(3, 2, (4,))(2))


PINNED = {
    (0, 1.0, 20, 0): [0.0187518578, 0.291755974, 1.2886132, -1.02584577],
    (0, 1.0, 20, 3): [0.295529753, 0.813794374, -0.039741084, 1.30816543],
    (0, 1.0, 20, 19): [-0.323114127, -0.136727065, -1.01249468, 1.65610921],
    (7, 2.0, 7, 0): [1.04150009, 1.42366827, -0.381445885, -0.210271433],
    (7, 2.0, 7, 3): [0.119395703, 0.870501101, -0.465914488, -0.22421369],
    (7, 2.0, 7, 6): [-0.694026589, 0.617741764, 1.60075414, -1.64121616],
}
"""By seed, shift, steps and step: places 0, 1, 500 and 999 of a thousand, as pictures were first made."""


@pytest.mark.parametrize(("seed", "shift", "steps", "step"), PINNED)
def test_increments_are_what_they_were(seed, shift, steps, step):
    grid = GRIDS["trailing"](Flow(shift), steps)
    z = Brownian.run(seed, 1, (1000,)).along(grid.starts, grid.ends)(step)[0, [0, 1, 500, 999]]
    assert torch.equal(z, torch.tensor(PINNED[seed, shift, steps, step]))


def test_steps_may_be_taken_in_any_order():
    grid = GRIDS["trailing"](FLOW, 6)
    there, back = (Brownian.run(3, 2, (5,)).along(grid.starts, grid.ends) for _ in range(2))
    backwards = [back(i) for i in reversed(range(6))]
    for i, z in enumerate(reversed(backwards)):
        torch.testing.assert_close(there(i), z, rtol=0, atol=0)


def test_a_time_that_rounding_moves_out_of_its_node_has_an_increment():
    """Half the way of a flow with shift 3 lies at a node, and its time before it."""
    grid = GRIDS["trailing"](Flow(3.0), 20)
    at = Brownian.run(5, 1, (64,)).along(grid.starts, grid.ends)
    drawn = torch.stack([at(i) for i in range(20)])
    assert drawn.isfinite().all()
    assert abs(drawn.square().mean() - 1) < 4.5 * math.sqrt(2 / drawn.numel())
