"""Methods that ask once a step and remember former answers."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from darkroom.diffusion.grids import Grid
from darkroom.diffusion.levels import left
from darkroom.diffusion.noise import Noise
from darkroom.diffusion.samplers.integrals import Rule, bh1, exact, half_curved, midpoint, places, weights
from darkroom.diffusion.samplers.sampler import Sampling, sampler
from darkroom.diffusion.samplers.slopes import Unit, by_alpha, reach, slope, unit_of
from darkroom.diffusion.samplers.steps import Mixer, diffused, draws, mixers, straight

# ---- x0 integrated over logsnr


def multistep(
    x: Tensor,
    grid: Grid,
    noise: Noise,
    order: int,
    rule: Rule,
    corrector: int = 0,
    eta: float = 0.0,
    settle: bool = False,
) -> Sampling:
    """Steps with the mean of a polynomial through the last ``order`` estimates of x0, over logsnr.

    A ``corrector`` takes each step again, from the same noise, once the estimate at its end is there: with as
    many estimates as it says. ``eta`` brings noise in, and ``settle`` lowers the order to the number of steps
    left where the grid ends at the clean signal; the step that goes there is of first order always.
    """
    t, s, logsnr = grid.starts, grid.ends, grid.levels.logsnr
    kept, drawn = diffused(t, s, eta)
    of_x, of_x0 = straight(t, s, kept)
    rate, former = (1 + eta) * logsnr.diff(dim=0), places(logsnr, max(order, corrector) - 1)
    steps_left = left(torch.arange(len(grid), 0, -1), rate)
    most = torch.where(settle & (grid.levels.sigma[-1] == 0), steps_left, order)

    def walks(at: Sequence[Tensor], most: Tensor) -> Iterator[Mixer]:
        """Of (x, noise, the estimate where the step starts, those at the places ``at``)."""
        shares = of_x0[..., None] * weights(at, rate, rule, most)
        return mixers(x, of_x, drawn, *shares.unbind(-1))

    ahead = walks(former[: order - 1], most)
    again = walks([torch.ones_like(rate), *former][: corrector - 1], most + 1) if corrector else None
    found: list[Tensor] = []
    walked: Mixer | None = None
    for level, walk, eps in zip(t.each(), ahead, draws(x, noise, drawn, t, s), strict=True):
        x0 = yield x, level
        if walked:
            x = walked(found[0], x0, *found[1:])
        found = [x0, *found][:order]
        walked = partial(next(again), x, eps) if again else None
        x = walk(x, eps, *found)
    return x


@sampler("dpmpp_2m", label="DPM++ 2M", order=2, when="The best for its cost in 10 to 30 steps.")
def dpmpp_2m(x: Tensor, grid: Grid, noise: Noise) -> Sampling:
    """DPM-Solver++(2M): Lu et al. 2022 (arXiv 2211.01095), algorithm 2, first order in the last step."""
    return multistep(x, grid, noise, 2, midpoint)


@sampler(
    "dpmpp_2m_sde",
    label="DPM++ 2M SDE",
    order=2,
    stochastic=True,
    when="Fine detail at one call a step, 20 and more.",
)
def dpmpp_2m_sde(x: Tensor, grid: Grid, noise: Noise, eta: float = 1.0) -> Sampling:
    """SDE-DPM-Solver++(2M): Lu et al. 2022 (arXiv 2211.01095), with k-diffusion's midpoints."""
    return multistep(x, grid, noise, 2, midpoint, eta=eta)


@sampler(
    "dpmpp_2m_sde_heun",
    label="DPM++ 2M SDE Heun",
    order=2,
    stochastic=True,
    when="As DPM++ 2M SDE, sharper in long steps.",
)
def dpmpp_2m_sde_heun(x: Tensor, grid: Grid, noise: Noise, eta: float = 1.0) -> Sampling:
    """The same, the line through two estimates integrated exactly: ``solver_type="heun"`` there."""
    return multistep(x, grid, noise, 2, exact, eta=eta)


@sampler(
    "dpmpp_3m_sde",
    label="DPM++ 3M SDE",
    order=2,
    stochastic=True,
    when="As DPM++ 2M SDE, for 30 steps and more.",
)
def dpmpp_3m_sde(x: Tensor, grid: Grid, noise: Noise, eta: float = 1.0) -> Sampling:
    """k-diffusion's ``sample_dpmpp_3m_sde``, which halves the curvature: at ``eta`` 0 of order 2, not 3."""
    return multistep(x, grid, noise, 3, half_curved, eta=eta)


@sampler("unipc", label="UniPC", order=3, when="The fewest steps, 5 to 15, as other tools have it (bh1).")
def unipc(x: Tensor, grid: Grid, noise: Noise, order: int = 3) -> Sampling:
    """UniPC with B(h) = h: Zhao et al. 2023 (arXiv 2302.04867), algorithms 1 and 2; ``order`` 1 and up."""
    return multistep(x, grid, noise, order, bh1, corrector=order + 1, settle=True)


@sampler("unipc_bh2", label="UniPC bh2", order=3, when="The fewest steps, 5 to 15, with strong guidance.")
def unipc_bh2(x: Tensor, grid: Grid, noise: Noise, order: int = 3) -> Sampling:
    """The same with B(h) = exp(h) - 1."""
    return multistep(x, grid, noise, order, midpoint, corrector=order + 1, settle=True)


@sampler(
    "sa_solver",
    label="SA-Solver",
    order=2,
    stochastic=True,
    when="Stochastic and corrected: 15 steps and more.",
)
def sa_solver(x: Tensor, grid: Grid, noise: Noise, tau: float = 1.0) -> Sampling:
    """Xue et al. 2023 (arXiv 2309.05019), with predictor and corrector of two estimates each."""
    return multistep(x, grid, noise, 2, bh1, corrector=2, eta=tau**2, settle=True)


# ---- slopes


def adams(x: Tensor, grid: Grid, unit: Unit, shares: Tensor) -> Sampling:
    """Adams and Bashforth's steps: the mean of the last n slopes weighted by ``shares`` (steps, ..., n)."""
    t, s = grid.starts, grid.ends
    newest, *former = (reach(t, s, unit)[..., None] * shares).unbind(-1)
    newest = newest - reach(t, s, unit)  # which the straight step has gone already
    found: list[Tensor] = []
    moves, slopes = mixers(x, *straight(t, s), newest, *former), mixers(x, *slope(t, unit))
    for level, move, tangent in zip(t.each(), moves, slopes, strict=True):
        x0 = yield x, level
        found = [tangent(x, x0), *found][: shares.shape[-1]]
        x = move(x, x0, *found)
    return x


@sampler("lms", label="LMS", order=2, when="As Euler, smoother; not below 20 steps.")
def lms(x: Tensor, grid: Grid, noise: Noise, order: int = 4) -> Sampling:
    """The polynomial through ``order`` slopes over sigma, integrated: k-diffusion's ``sample_lms``.

    Its first steps have less to go by, and the first, Euler's, holds the whole to second order.
    """
    unit = unit_of(grid.schedule)
    along = grid.levels.sigma / unit(grid.levels)
    rate = 0 * along.diff(dim=0)  # not a number, so of first order, over an infinite step
    return adams(x, grid, unit, weights(places(along, order - 1), rate))


@sampler("ipndm", label="iPNDM", order=2, when="As LMS for steps of even length, its weights being fixed.")
def ipndm(x: Tensor, grid: Grid, noise: Noise, order: int = 4) -> Sampling:
    """Weights of even steps, such as (55, -59, 37, -9) / 24: Zhang and Chen 2022 (arXiv 2204.13902)."""
    number = torch.ones_like(grid.levels.t).cumsum(0)
    shares = weights(places(number, order - 1), torch.zeros_like(grid.starts.t))
    return adams(x, grid, unit_of(grid.schedule), shares)


@sampler("deis", label="DEIS", order=2, when="Few steps, 8 to 20; steady where guidance is weak.")
def deis(x: Tensor, grid: Grid, noise: Noise, order: int = 3) -> Sampling:
    """The polynomial in log(sigma / alpha) through ``order`` estimates of eps, integrated exactly.

    Zhang and Chen 2022 (arXiv 2204.13902).
    """
    logsnr = grid.levels.logsnr
    return adams(x, grid, by_alpha, weights(places(logsnr, order - 1), -logsnr.diff(dim=0)))
