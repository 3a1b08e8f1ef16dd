"""Which levels a sampler visits on its way from noise to the clean signal."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from darkroom.diffusion.levels import Level, Schedule

LAST_T = 1e-3
"""Fraction of the path where networks were last trained: index 0 of a table of a thousand."""

SIGMA_MAX = 80.0
"""Where Karras grids start when the schedule goes on to infinity (arXiv 2206.00364, table 1)."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Levels from noisy to clean, each part (steps + 1,) or, where rows differ, (steps + 1, B).

    Raises ValueError when there are fewer than two levels or the noise does not fall from each to the next.
    """

    schedule: Schedule
    levels: Level

    def __post_init__(self) -> None:
        logsnr = self.levels.logsnr
        if len(logsnr) < 2:
            raise ValueError(f"a grid needs two levels or more, not {len(logsnr)}; ask for 1 step or more.")
        if not (logsnr[1:] > logsnr[:-1]).all():
            raise ValueError("the levels of a grid must go from noisy to clean without a repeat.")

    def __len__(self) -> int:
        """How many steps there are."""
        return len(self.levels.t) - 1

    @property
    def start(self) -> Level:
        """The noisiest level: sampling starts from ``process.corrupt(x0, eps, grid.start)``.

        Without a picture to start from x0 is zero.
        """
        return self.levels.rows(0)

    def steps(self) -> Iterator[tuple[Level, Level]]:
        """Pairs (from, to)."""
        return ((self.levels.rows(i), self.levels.rows(i + 1)) for i in range(len(self)))

    def between(self, t: Level, s: Level, r: float) -> Level:
        """The level a fraction ``r`` in [0, 1] of the way from ``t`` to ``s`` in logsnr.

        Where an end has infinite logsnr the way is the straight line from (alpha, sigma) to (alpha, sigma).
        """
        even = torch.lerp(t.logsnr, s.logsnr, r)
        straight = torch.lerp(t.alpha, s.alpha, r).log() - torch.lerp(t.sigma, s.sigma, r).log()
        return self.schedule.at_logsnr(torch.where(even.isfinite(), even, straight))

    def cut(self, strength: float) -> "Grid":
        """The last ``strength`` in (0, 1] of the steps, at least one: what image to image walks.

        Raises ValueError for any other strength.
        """
        if not 0 < strength <= 1:
            raise ValueError(f"strength {strength:g} is out of range; give a number above 0 and up to 1.")
        kept = max(1, round(len(self) * strength))
        return Grid(self.schedule, self.levels.rows(slice(len(self) - kept, None)))


@dataclass(frozen=True)
class GridMaker:
    """A way to choose levels: call it with a schedule and a number of steps."""

    name: str
    label: str
    when: str
    make: Callable[..., Grid]

    def __call__(self, schedule: Schedule, steps: int, **options: float) -> Grid:
        """``steps`` steps along ``schedule``; options are those of the function that makes it."""
        if steps < 1:
            raise ValueError(f"{steps} steps cannot be taken; ask for 1 or more.")
        return self.make(schedule, steps, **options)


GRIDS: dict[str, GridMaker] = {}


def grid(name: str, *, label: str, when: str) -> Callable[[Callable[..., Grid]], GridMaker]:
    """Register a function (schedule, steps, ...) -> Grid under ``name``; ``when`` says what for."""

    def register(make: Callable[..., Grid]) -> GridMaker:
        GRIDS[name] = GridMaker(name, label, when, make)
        return GRIDS[name]

    return register


def at_times(schedule: Schedule, times: Sequence[float] | Tensor) -> Grid:
    """The levels at these fractions of the path, from 1 (noise) down to 0 (clean)."""
    return Grid(schedule, schedule.at(torch.as_tensor(times, dtype=torch.float64)))


def at_sigmas(schedule: Schedule, sigmas: Sequence[float] | Tensor) -> Grid:
    """The levels with these ratios sigma / alpha, falling; 0 is the clean signal."""
    return Grid(schedule, schedule.at_logsnr(-torch.as_tensor(sigmas, dtype=torch.float64).log()))


@grid(
    "trailing",
    label="SGM Uniform",
    when="The default: even steps in time from pure noise to the clean signal.",
)
def trailing(schedule: Schedule, steps: int) -> Grid:
    """Lin et al. 2024 (arXiv 2305.08891), table 2."""
    return at_times(schedule, torch.linspace(1, 0, steps + 1, dtype=torch.float64))


@grid(
    "uniform", label="Uniform", when="To match older pictures: even in time down to the last trained level."
)
def uniform(schedule: Schedule, steps: int) -> Grid:
    """Both ends of the trained times, evenly, then the clean signal (table 2 there calls it linspace)."""
    trained = torch.linspace(1, LAST_T, steps, dtype=torch.float64)
    return at_times(schedule, torch.cat([trained, trained.new_zeros(1)]))


@grid("karras", label="Karras", when="Few steps with VP models: short steps near the clean signal.")
def karras(
    schedule: Schedule,
    steps: int,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    rho: float = 7.0,
) -> Grid:
    """Karras et al. 2022 (arXiv 2206.00364), equation 5, in sigma / alpha.

    By default over the levels that networks are trained on.
    """
    high = sigma_max or min(_ratio(schedule, 1.0), SIGMA_MAX)
    low = sigma_min or _ratio(schedule, LAST_T)
    sigmas = torch.linspace(high ** (1 / rho), low ** (1 / rho), steps, dtype=torch.float64) ** rho
    return at_sigmas(schedule, torch.cat([sigmas, sigmas.new_zeros(1)]))


def _ratio(schedule: Schedule, t: float) -> float:
    """sigma / alpha at a fraction of the path."""
    return schedule.at(torch.tensor(t, dtype=torch.float64)).logsnr.neg().exp().item()
