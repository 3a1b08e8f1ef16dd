"""What a grid is, and the registry of ways to lay one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from darkroom.diffusion.levels import Flow, Level, Schedule


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

    @property
    def starts(self) -> Level:
        """Where all the steps begin: each part (steps, ...)."""
        return self.levels.rows(slice(None, -1))

    @property
    def ends(self) -> Level:
        """Where all the steps end: each part (steps, ...)."""
        return self.levels.rows(slice(1, None))

    def steps(self) -> Iterator[tuple[Level, Level]]:
        """Pairs (from, to)."""
        return pairwise(self.levels.each())

    def between(self, t: Level, s: Level, r: float) -> Level:
        """The level a fraction ``r`` in [0, 1] of the way from ``t`` to ``s`` in logsnr.

        Where an end has infinite logsnr the way is the straight line from (alpha, sigma) to (alpha, sigma).
        """
        even = torch.lerp(t.logsnr, s.logsnr, r)
        straight = torch.lerp(t.alpha, s.alpha, r).log() - torch.lerp(t.sigma, s.sigma, r).log()
        return self.schedule.at_logsnr(torch.where(even.isfinite(), even, straight))

    def cut(self, strength: float) -> "Grid":
        """The last ``strength`` in (0, 1] of the steps, at least one: what image to image walks.

        What is no whole number is rounded up for a flow and down for others, as in diffusers' pipelines.
        Raises ValueError for any other strength.
        """
        if not 0 < strength <= 1:
            raise ValueError(f"strength {strength:g} is out of range; give a number above 0 and up to 1.")
        whole, asked = len(self), len(self) * strength
        kept = whole - int(whole - asked) if isinstance(self.schedule, Flow) else max(1, int(asked))
        return Grid(self.schedule, self.levels.rows(slice(len(self) - kept, None)))


@dataclass(frozen=True)
class GridMaker:
    """A way to choose levels: call it with a schedule and a number of steps.

    ``label`` is what other tools show for it and ``aliases`` are the other names they know it by.
    """

    name: str
    label: str
    when: str
    make: Callable[..., Grid]
    aliases: tuple[str, ...] = ()

    def __call__(self, schedule: Schedule, steps: int, **options: float) -> Grid:
        """``steps`` steps along ``schedule``; options are those of the function that makes it."""
        if steps < 1:
            raise ValueError(f"{steps} steps cannot be taken; ask for 1 or more.")
        return self.make(schedule, steps, **options)


GRIDS: dict[str, GridMaker] = {}


def grid(
    name: str, *, label: str, when: str, aliases: tuple[str, ...] = ()
) -> Callable[[Callable[..., Grid]], GridMaker]:
    """Register a function (schedule, steps, ...) -> Grid under ``name``; ``when`` says what for."""

    def register(make: Callable[..., Grid]) -> GridMaker:
        GRIDS[name] = GridMaker(name, label, when, make, aliases)
        return GRIDS[name]

    return register


def find(name: str) -> GridMaker:
    """The grid of this name, label or alias, however its words are joined and cased. Raises KeyError."""
    wanted = _plain(name)
    for maker in GRIDS.values():
        if wanted in map(_plain, (maker.name, maker.label, *maker.aliases)):
            return maker
    raise KeyError(name)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def at_times(schedule: Schedule, times: Sequence[float] | Tensor) -> Grid:
    """The levels at these fractions of the path, from 1 (noise) down to 0 (clean)."""
    return Grid(schedule, schedule.at(torch.as_tensor(times, dtype=torch.float64)))


def at_sigmas(schedule: Schedule, sigmas: Sequence[float] | Tensor) -> Grid:
    """The levels with these ratios sigma / alpha, falling; 0 is the clean signal."""
    return Grid(schedule, schedule.at_logsnr(-torch.as_tensor(sigmas, dtype=torch.float64).log()))
