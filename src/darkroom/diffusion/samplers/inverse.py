"""The way back: from a picture to the noise that a deterministic sampler makes it of."""

from dataclasses import dataclass

from torch import Tensor

from darkroom.diffusion.grids import Grid
from darkroom.diffusion.levels import Level, left
from darkroom.diffusion.samplers.sampler import Sampler, Sampling


@dataclass(frozen=True, eq=False)
class Rising(Grid):
    """A grid from clean to noisy: Grid's levels in the other order, and Grid's law with them."""

    def __post_init__(self) -> None:
        Grid(self.schedule, _flipped(self.levels))


def _flipped(levels: Level) -> Level:
    return Level(*(part.flip(0) for part in levels))


def invert(sampler: Sampler, x: Tensor, grid: Grid, **options: float) -> Sampling:
    """Run a deterministic ``sampler`` from ``x`` (B, ...) at the end of ``grid`` up to its start.

    Sampling along ``grid`` from what it returns leads back to ``x``, to the order (Song et al. 2021,
    arXiv 2010.02502, section 5.4). The clean signal has no slope. From there eps grows in proportion to
    sigma / alpha, so half of the eps at the first level leads there, to second order.
    Raises ValueError for samplers that draw noise or choose their own steps, and where some rows end at the
    clean signal and others do not.
    """
    if sampler.stochastic or sampler.adaptive:
        raise ValueError(
            f"{sampler.label} does not repeat its steps; only a deterministic sampler can be inverted."
        )
    return _inverting(sampler, x, grid, options)


def _inverting(sampler: Sampler, x: Tensor, grid: Grid, options: dict[str, float]) -> Sampling:
    up, clean = _flipped(grid.levels), grid.levels.sigma[-1] == 0
    if clean.any():
        if not clean.all():
            raise ValueError("rows that end at the clean signal cannot be inverted together with others.")
        up = up.rows(slice(1, None))
        first = up.rows(0)
        scaled = left(first.alpha, x) * x
        x0 = yield scaled, first
        x = scaled + left(first.alpha, x) * (x - x0) / 2
    if len(up.t) == 1:
        return x
    return (yield from sampler(x, Rising(grid.schedule, up), _no_noise, **options))


def _no_noise(draw: int) -> Tensor:
    raise AssertionError("a deterministic sampler drew noise")
