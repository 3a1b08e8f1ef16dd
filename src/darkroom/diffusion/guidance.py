"""Guides: they turn a sampler's question into questions for the network, and the answers into one.

A guide is a function of ``(x, level)`` that returns a generator: it yields a tuple of :class:`Query`, is
sent their answers (estimates of x0, in the same order) and returns x0. What it asks in one tuple may be
answered in one batch; an empty tuple asks nothing.
"""

from collections.abc import Callable, Generator, Sequence
from math import isinf
from typing import Any, NamedTuple

import torch
from torch import Tensor

from darkroom.diffusion.grids import Grid
from darkroom.diffusion.levels import Level, LevelFunction, left
from darkroom.diffusion.samplers import Denoiser


class Query(NamedTuple):
    """What is the clean signal in ``x`` (B, ...) at ``level``, given ``cond``?

    ``network`` is who is asked; by default the one that makes the picture.
    """

    x: Tensor
    level: Level
    cond: Any
    network: Any = None


Guiding = Generator[tuple[Query, ...], Sequence[Tensor], Tensor]
Guide = Callable[[Tensor, Level], Guiding]

Scale = float | LevelFunction
"""How strongly to guide: a number, or a function of the level."""


def unguided(cond: Any) -> Guide:
    """Ask what was asked."""

    def guide(x: Tensor, level: Level) -> Guiding:
        (x0,) = yield (Query(x, level, cond),)
        return x0

    return guide


def cfg(positive: Any, negative: Any, scale: Scale, rescale: float = 0.0) -> Guide:
    """Classifier-free guidance, ``negative + scale * (positive - negative)``, both asked in one tuple.

    Where ``scale`` is 1 for every row the negative is not asked. ``rescale`` in [0, 1] pulls the standard
    deviation of each row back to the positive answer's.

    Ho and Salimans 2022 (arXiv 2207.12598), equation 6; rescaling: Lin et al. 2024 (arXiv 2305.08891),
    equations 15 and 16, here of x0.
    """

    alone = unguided(positive)

    def guide(x: Tensor, level: Level) -> Guiding:
        strength = strength_of(scale, level, x)
        if isinstance(strength, Tensor) and (strength == 1).all():
            return (yield from alone(x, level))
        wanted, unwanted = yield (Query(x, level, positive), Query(x, level, negative))
        guided = torch.lerp(unwanted, wanted, strength)
        return torch.lerp(guided, _with_std_of(guided, wanted), rescale) if rescale else guided

    return alone if scale == 1 else guide


def composition(prompts: Sequence[tuple[Any, float]], negative: Any, scale: Scale) -> Guide:
    """Prompts joined by AND, each a (condition, weight); NOT is a weight below 0.

    ``negative + scale * sum(weight * (prompt - negative))``: Liu et al. 2022 (arXiv 2206.01714), with one
    scale in front as A1111 has it.
    """

    def guide(x: Tensor, level: Level) -> Guiding:
        unwanted, *wanted = yield tuple(
            Query(x, level, cond) for cond in (negative, *(c for c, _ in prompts))
        )
        pull = sum(weight * (one - unwanted) for (_, weight), one in zip(prompts, wanted, strict=True))
        return unwanted + strength_of(scale, level, x) * pull

    return guide


def autoguidance(cond: Any, weak: Any, scale: Scale) -> Guide:
    """Away from what a worse network, ``weak``, says of the same: ``weak + scale * (own - weak)``.

    Karras et al. 2024 (arXiv 2406.02507). The weak network is asked as the own one is, in one process.
    """

    def guide(x: Tensor, level: Level) -> Guiding:
        own, worse = yield (Query(x, level, cond), Query(x, level, cond, weak))
        return worse + strength_of(scale, level, x) * (own - worse)

    return guide


def perturbed_attention(positive: Any, negative: Any, perturbed: Any, scale: Scale, push: Scale) -> Guide:
    """Classifier-free guidance, and ``push`` times the way from an answer whose attention saw nothing.

    ``perturbed`` is the positive condition with the request to perturb (see ``Conditioning.perturb``).
    Ahn et al. 2024 (arXiv 2403.17377).
    """

    def guide(x: Tensor, level: Level) -> Guiding:
        conds = (positive, negative, perturbed)
        wanted, unwanted, blind = yield tuple(Query(x, level, cond) for cond in conds)
        guided = unwanted + strength_of(scale, level, x) * (wanted - unwanted)
        return guided + strength_of(push, level, x) * (wanted - blind)

    return guide


def apg(
    positive: Any,
    negative: Any,
    scale: Scale,
    parallel: float = 0.0,
    largest: float = 15.0,
    momentum: float = -0.5,
) -> Guide:
    """Adaptive projected guidance: high scales without glaring colours.

    The difference of the two answers is taken with ``momentum`` times that before, cut to the length
    ``largest``, and its part along the positive answer counts only ``parallel`` as much. Make one guide a
    picture, and none for tiles: it remembers the difference.

    Sadat et al. 2024 (arXiv 2410.02416).
    """
    before: Tensor | None = None

    def guide(x: Tensor, level: Level) -> Guiding:
        nonlocal before
        wanted, unwanted = yield (Query(x, level, positive), Query(x, level, negative))
        apart = wanted - unwanted
        before = apart if before is None else apart + momentum * before
        short = before * (largest / _length(before)).clamp(max=1)
        along = _dot(short, wanted) / _dot(wanted, wanted).clamp(min=_tiny(x)) * wanted
        return wanted + (strength_of(scale, level, x) - 1) * (short - along + parallel * along)

    return guide


def cfg_zero_star(positive: Any, negative: Any, scale: Scale, zero_above: float = 1.0) -> Guide:
    """Classifier-free guidance of velocities, the negative one first brought to the best length.

    The velocity is ``eps - x0`` of the flow with the same signal to noise ratio, times its sigma. Where
    sigma / (alpha + sigma) lies above ``zero_above`` it is zero and no network is asked; that is for the
    first steps of methods of one question a step.

    Fan et al. 2025 (arXiv 2503.18886).
    """

    def guide(x: Tensor, level: Level) -> Guiding:
        total = left(level.alpha + level.sigma, x)
        if (level.sigma > zero_above * (level.alpha + level.sigma)).all():
            yield ()
            return x / total
        wanted, unwanted = yield (Query(x, level, positive), Query(x, level, negative))
        towards, away = x / total - wanted, x / total - unwanted
        best = _dot(towards, away) / _dot(away, away).clamp(min=_tiny(x)) * away
        return x / total - best - strength_of(scale, level, x) * (towards - best)

    return guide


def interval(scale: Scale, low: float, high: float) -> LevelFunction:
    """``scale``, and 1 but where sigma / alpha lies above ``low`` and up to ``high``, which may be infinite.

    Kynkaanniemi et al. 2024 (arXiv 2404.07724), equation 6.
    """

    def at(level: Level) -> Tensor:
        inside = (level.sigma > low * level.alpha) & ((level.sigma <= high * level.alpha) | isinf(high))
        return torch.where(inside, strength_of(scale, level, level.alpha), torch.ones_like(level.alpha))

    return at


def cfg_plus_plus(scale: float, grid: Grid) -> LevelFunction:
    """The scale that turns :func:`cfg` into CFG++ with ``scale`` in [0, 1], for Euler and DDIM on ``grid``.

    CFG++ steps to ``s.alpha * guided + s.sigma * eps`` with the eps of the negative answer, not the guided
    one. From t to s that is the step of plain guidance by ``scale / (1 - ratio)``, with the ratio of the two
    sigma / alpha, as both are linear in the answers: so no sampler need know.

    Chung et al. 2024 (arXiv 2406.08070), algorithm 2.
    """

    def at(level: Level) -> Tensor:
        here = level.logsnr
        logsnr = left(grid.levels.logsnr.to(level.alpha), here[None])
        # a level that was rounded on its way is not its own successor
        later = (logsnr > here) & ~logsnr.isclose(here, rtol=1e-5, atol=1e-5)
        after = torch.where(later, logsnr, torch.inf).amin(0)
        return scale / -torch.expm1(here - after)

    return at


def strength_of(scale: Scale, level: Level, x: Tensor) -> Tensor | float:
    """The scale at a level, ready to multiply ``x``."""
    return left(scale(level), x) if callable(scale) else scale


def together(guidings: Sequence[Guiding]) -> Generator[tuple[Query, ...], Sequence[Tensor], list[Tensor]]:
    """Run guides side by side: what all ask at once is asked in one tuple. Returns what each returns."""
    found: dict[int, Tensor] = {}
    asked: dict[int, tuple[Query, ...]] = {}

    def advance(i: int, answers: Sequence[Tensor] | None) -> None:
        try:
            asked[i] = next(guidings[i]) if answers is None else guidings[i].send(answers)
        except StopIteration as stop:
            found[i] = stop.value

    for i in range(len(guidings)):
        advance(i, None)
    while asked:
        waiting, asked = asked, {}
        answers = iter((yield tuple(query for queries in waiting.values() for query in queries)))
        for i, queries in waiting.items():
            advance(i, [next(answers) for _ in queries])
    return [found[i] for i in range(len(guidings))]


def guided(guide: Guide, answer: Callable[[tuple[Query, ...]], Sequence[Tensor]]) -> Denoiser:
    """The denoiser that ``guide`` makes of ``answer``, for use without an engine."""

    def denoise(x: Tensor, level: Level) -> Tensor:
        guiding = guide(x, level)
        try:
            queries = next(guiding)
            while True:
                queries = guiding.send(answer(queries))
        except StopIteration as stop:
            return stop.value

    return denoise


def _with_std_of(x: Tensor, model: Tensor) -> Tensor:
    """Rows of ``x`` scaled to the standard deviation of the rows of ``model``."""
    axes = tuple(range(1, x.ndim))
    return x * (model.std(axes, keepdim=True) / x.std(axes, keepdim=True).clamp(min=_tiny(x)))


def _dot(x: Tensor, y: Tensor) -> Tensor:
    """The inner product of each row, (B, 1, ...)."""
    return (x * y).sum(tuple(range(1, x.ndim)), keepdim=True)


def _length(x: Tensor) -> Tensor:
    return _dot(x, x).sqrt().clamp(min=_tiny(x))


def _tiny(x: Tensor) -> float:
    return torch.finfo(x.dtype).tiny
