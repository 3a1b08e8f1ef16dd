"""From a picture to its noise and back."""

import pytest
import torch
from bench.sampler_orders import INSIDE, TWO_PEAKS, WHOLE, even, measured, orders

from darkroom.diffusion.grids import Grid
from darkroom.diffusion.levels import VP, Flow
from darkroom.diffusion.samplers import SAMPLERS, invert, sample

METHODS = pytest.mark.parametrize(
    "method", [m for m in measured() if not m.stochastic], ids=lambda method: method.name
)
PICTURES = torch.linspace(-1.4, 1.4, 7, dtype=torch.float64)[:, None]


def noise_of(method, grid: Grid) -> torch.Tensor:
    return sample(invert(method, PICTURES, grid), TWO_PEAKS.denoise)


def unused(draw: int) -> torch.Tensor:
    raise AssertionError("a deterministic sampler drew noise")


@METHODS
def test_sampling_leads_back_to_the_order_of_the_method(method):
    errors = []
    for steps in (64, 128):
        grid = even(Flow(), steps, INSIDE)
        back = sample(method(noise_of(method, grid), grid, unused), TWO_PEAKS.denoise)
        errors.append((back - PICTURES).abs().max().item())
    assert orders(errors)[0] > method.order - 0.3


@METHODS
@pytest.mark.parametrize("schedule", [Flow(), VP.linear(), VP.scaled_linear().zero_terminal()])
def test_clean_pictures_lead_to_where_the_flow_comes_from(method, schedule):
    """Up to pure noise where the schedule has it."""
    grid = even(schedule, 100, WHOLE)
    true = TWO_PEAKS.transport(PICTURES, grid.levels.rows(-1), grid.start)
    assert (noise_of(method, grid) - true).abs().max() < 0.1


def test_one_step_from_the_clean_signal_is_of_second_order():
    """There is no step below it: the noise of a whole grid of one is that of its only level."""
    errors = []
    for t in (0.02, 0.01):
        grid = Grid(Flow(), Flow().at(torch.tensor([t, 0.0], dtype=torch.float64)))
        true = TWO_PEAKS.transport(PICTURES, grid.levels.rows(-1), grid.start)
        errors.append((noise_of(SAMPLERS["euler"], grid) - true).abs().max().item())
    assert orders(errors)[0] > 2.7


@pytest.mark.parametrize("method", [m for m in SAMPLERS.values() if m.stochastic or m.adaptive])
def test_others_cannot_be_inverted(method):
    with pytest.raises(ValueError, match="only a deterministic sampler"):
        invert(method, PICTURES, even(Flow(), 4, WHOLE))


def test_rows_must_end_alike():
    times = torch.tensor([[0.9, 0.9], [0.5, 0.5], [0.0, 0.1]], dtype=torch.float64)
    with pytest.raises(ValueError, match="cannot be inverted together"):
        sample(invert(SAMPLERS["ddim"], PICTURES[:2], Grid(Flow(), Flow().at(times))), TWO_PEAKS.denoise)
