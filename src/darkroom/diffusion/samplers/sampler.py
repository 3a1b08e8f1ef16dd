"""What a sampler is, and the registry of all."""

from collections.abc import Callable, Generator
from dataclasses import dataclass

from torch import Tensor

from darkroom.diffusion.grids import Grid
from darkroom.diffusion.levels import Level
from darkroom.diffusion.noise import Noise

Sampling = Generator[tuple[Tensor, Level], Tensor, Tensor]
"""Yields (x, level), is sent x0, returns the final x."""

Denoiser = Callable[[Tensor, Level], Tensor]
"""(x, level) -> estimate of x0."""


@dataclass(frozen=True)
class Sampler:
    """A method: call it with a signal at ``grid.start``, a grid and a noise.

    ``order`` is that of its convergence in the step (0 for methods that want a distilled network, whose error
    is the network's), ``calls`` how often it asks in a step, ``stochastic`` whether it draws noise under way,
    ``adaptive`` whether it chooses its own steps between the grid's ends and ``when`` what it is good for.
    """

    name: str
    label: str
    order: int
    calls: int
    when: str
    stochastic: bool
    adaptive: bool
    asks: Callable[[int], int]
    method: Callable[..., Sampling]

    def __call__(self, x: Tensor, grid: Grid, noise: Noise, **options: float) -> Sampling:
        """``x`` (B, ...); options are those of the method."""
        return self.method(x, grid, noise, **options)

    def questions(self, grid: Grid) -> int:
        """How often it asks along ``grid``; an estimate for an adaptive method, which cannot know.

        A last step that does not end clean is like the others: its end can be asked at too.
        """
        clean = bool((grid.levels.sigma[-1] == 0).all())
        return self.asks(len(grid)) + (0 if clean else self.calls - 1)


SAMPLERS: dict[str, Sampler] = {}


def sampler(
    name: str,
    *,
    label: str,
    order: int,
    when: str,
    calls: int = 1,
    stochastic: bool = False,
    adaptive: bool = False,
    asks: Callable[[int], int] | None = None,
) -> Callable[[Callable[..., Sampling]], Sampler]:
    """Register a method (x, grid, noise, ...) under ``name``.

    ``asks`` gives the questions for a number of steps. Without it there are ``calls`` to a step and one in
    the last, which has no level at its end to ask at.
    """

    def register(method: Callable[..., Sampling]) -> Sampler:
        count = asks or (lambda steps: calls * steps - (calls - 1))
        SAMPLERS[name] = Sampler(name, label, order, calls, when, stochastic, adaptive, count, method)
        return SAMPLERS[name]

    return register


def sample(sampling: Sampling, denoiser: Denoiser) -> Tensor:
    """Run a sampler to its end with ``denoiser`` answering; returns the final signal."""
    try:
        x, level = next(sampling)
        while True:
            x, level = sampling.send(denoiser(x, level))
    except StopIteration as stop:
        return stop.value
