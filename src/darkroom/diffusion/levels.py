"""Levels of noise, and the schedules that lead from a clean signal to noise.

A noisy signal is ``x = alpha * x0 + sigma * eps``. Everything in this package speaks of the pair
(alpha, sigma), so that one formula serves variance-preserving (VP), variance-exploding (VE) and flow models.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


def left(value: Tensor, x: Tensor) -> Tensor:
    """``value``, 0-dim or (B, ...), ready to multiply ``x``: axes added on the right, dtype and device."""
    if value.ndim:
        value = value.reshape(value.shape + (1,) * (x.ndim - value.ndim))
    return value.to(x)


class Level(NamedTuple):
    """How noisy a signal is; each part is 0-dim or (B, ...) and broadcasts against signals from the left.

    ``t`` is the time that a network is told: the flow's own t in [0, 1] (1 is pure noise), or the index in
    the table of a VP schedule (0 to 999 for the usual thousand; -1 is the clean signal before it).
    ``alpha`` scales the signal and ``sigma`` the noise.
    """

    t: Tensor
    alpha: Tensor
    sigma: Tensor

    @property
    def logsnr(self) -> Tensor:
        """log(alpha / sigma), half the log of the power ratio; -inf is pure noise, +inf the clean signal."""
        return self.alpha.log() - self.sigma.log()

    def expand(self, batch: int) -> "Level":
        """One level for each of ``batch`` rows, from one for all or one for each."""
        return Level(*(part.expand(batch) for part in self))

    def rows(self, index: int | slice | Tensor) -> "Level":
        """The levels at ``index`` of the first axis."""
        return Level(*(part[index] for part in self))

    def each(self) -> "list[Level]":
        """The levels along the first axis, one by one."""
        return [Level(*parts) for parts in zip(*(part.unbind() for part in self), strict=True)]

    def where(self, chosen: Tensor, other: "Level") -> "Level":
        """These levels where ``chosen``, elsewhere those of ``other``."""
        return Level(*(torch.where(chosen, *parts) for parts in zip(self, other, strict=True)))


class Schedule(Protocol):
    """A path from the clean signal to noise."""

    def at(self, t: Tensor) -> Level:
        """The level a fraction ``t`` in [0, 1] along the path: 0 is the clean signal, 1 the noisiest."""

    def at_logsnr(self, logsnr: Tensor) -> Level:
        """The level where log(alpha / sigma) is ``logsnr``."""

    def at_time(self, time: Tensor) -> Level:
        """The level of which a network is told ``time``."""


@dataclass(frozen=True)
class Flow:
    """Rectified flow, ``x = (1 - t) x0 + t eps`` (Liu et al. 2023, arXiv 2209.03003).

    ``shift`` above 1 moves even steps towards noise, as larger pictures need
    (Esser et al. 2024, arXiv 2403.03206, equation 23). One shift after another is their product.
    """

    shift: float = 1.0

    @staticmethod
    def exponential(mu: float) -> "Flow":
        """The shift as FLUX writes it, ``t -> e^mu / (e^mu + 1/t - 1)``: that of ``e^mu``."""
        return Flow(math.exp(mu))

    @staticmethod
    def for_tokens(
        tokens: float, base: float = 256, most: float = 4096, mu_base: float = 0.5, mu_most: float = 1.15
    ) -> "Flow":
        """The shift for so many tokens: mu on the line through two sizes (by default FLUX.1's)."""
        return Flow.exponential(mu_base + (mu_most - mu_base) * (tokens - base) / (most - base))

    def resized(self, ratio: float) -> "Flow":
        """The shift for pictures of ``ratio`` times as many pixels: its square root times this one.

        There the same t is as hard to see through (Esser et al. 2024, arXiv 2403.03206, equation 23).
        """
        return Flow(self.shift * math.sqrt(ratio))

    def at(self, t: Tensor) -> Level:
        stretch = 1 + (self.shift - 1) * t
        sigma = self.shift * t / stretch
        return Level(sigma, (1 - t) / stretch, sigma)

    def at_logsnr(self, logsnr: Tensor) -> Level:
        sigma = torch.sigmoid(-logsnr)
        return Level(sigma, torch.sigmoid(logsnr), sigma)

    def at_time(self, time: Tensor) -> Level:
        return Level(time, 1 - time, time)


@dataclass(frozen=True)
class VE:
    """Variance exploding, ``x = x0 + sigma eps`` at time sigma (Karras et al. 2022, arXiv 2206.00364)."""

    sigma_max: float = 80.0

    def at(self, t: Tensor) -> Level:
        return self.at_time(self.sigma_max * t)

    def at_logsnr(self, logsnr: Tensor) -> Level:
        return self.at_time(torch.exp(-logsnr))

    def at_time(self, time: Tensor) -> Level:
        return Level(time, torch.ones_like(time), time)


@dataclass(frozen=True)
class VP:
    """Variance preserving, ``alpha**2 + sigma**2 = 1``, through a falling table of alpha**2.

    Continuous in time and exact at the table, whose index i lies at the fraction ``(i + 1) / len(table)`` of
    the path. Between two entries (alpha, sigma) moves along the chord and is put back on the circle: that
    stays regular at both ends, where the logarithm of either is infinite.

    Raises ValueError for a table that does not fall from below 1 to 0 or more.
    """

    alphas_cumprod: tuple[float, ...] = field(repr=False)

    def __post_init__(self) -> None:
        powers = (1.0, *self.alphas_cumprod)
        if len(powers) < 2 or powers[-1] < 0 or not all(a > b for a, b in pairwise(powers)):
            raise ValueError("a table of alphas_cumprod must fall from below 1, never below 0.")

    @staticmethod
    def linear(count: int = 1000, start: float = 1e-4, end: float = 0.02) -> "VP":
        """Evenly rising betas (Ho et al. 2020, arXiv 2006.11239, section 4)."""
        return VP.from_betas(torch.linspace(start, end, count, dtype=torch.float64))

    @staticmethod
    def scaled_linear(count: int = 1000, start: float = 0.00085, end: float = 0.012) -> "VP":
        """Betas whose square roots rise evenly (the checkpoints of Rombach et al. 2022, arXiv 2112.10752)."""
        return VP.from_betas(torch.linspace(start**0.5, end**0.5, count, dtype=torch.float64) ** 2)

    @staticmethod
    def cosine(count: int = 1000, offset: float = 0.008) -> "VP":
        """Squared cosine with betas below 0.999 (Nichol and Dhariwal 2021, arXiv 2102.09672, equation 17)."""
        t = torch.linspace(0, 1, count + 1, dtype=torch.float64)
        curve = torch.cos((t + offset) / (1 + offset) * math.pi / 2) ** 2
        return VP.from_betas((1 - curve[1:] / curve[:-1]).clamp(max=0.999))

    @staticmethod
    def sigmoid(count: int = 1000, start: float = 1e-4, end: float = 0.02) -> "VP":
        """Betas that rise like a sigmoid from -6 to 6 (Xu et al. 2022, GeoDiff, arXiv 2203.02923)."""
        rise = torch.sigmoid(torch.linspace(-6, 6, count, dtype=torch.float64))
        return VP.from_betas(start + (end - start) * rise)

    @staticmethod
    def from_betas(betas: Tensor) -> "VP":
        """The table of a Markov chain with these variances, (count,)."""
        return VP(tuple(torch.cumprod(1 - betas.double(), 0).tolist()))

    def zero_terminal(self) -> "VP":
        """The same with its last entry pure noise (Lin et al. 2024, arXiv 2305.08891, algorithm 1)."""
        root = torch.tensor(self.alphas_cumprod, dtype=torch.float64).sqrt()
        stretched = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
        return VP(tuple((stretched**2).tolist()))

    @cached_property
    def _nodes(self) -> tuple[Tensor, Tensor]:
        """alpha and sigma of the clean signal and then of the table, each (count + 1,)."""
        power = torch.tensor((1.0, *self.alphas_cumprod), dtype=torch.float64)
        return power.sqrt(), (1 - power).sqrt()

    def at(self, t: Tensor) -> Level:
        alphas, sigmas = (node.to(t) for node in self._nodes)
        place = t.clamp(0, 1) * (len(alphas) - 1)
        before = place.long().clamp(max=len(alphas) - 2)
        weight = place - before
        alpha, sigma = (torch.lerp(node[before], node[before + 1], weight) for node in (alphas, sigmas))
        length = torch.hypot(alpha, sigma)
        return Level(place - 1, alpha / length, sigma / length)

    def at_logsnr(self, logsnr: Tensor) -> Level:
        """Levels beyond the table are had too; their time is that of its nearest end."""
        alphas, sigmas = (node.to(logsnr) for node in self._nodes)
        alpha, sigma = torch.sigmoid(2 * logsnr).sqrt(), torch.sigmoid(-2 * logsnr).sqrt()
        angles, angle = torch.atan2(sigmas, alphas), torch.atan2(sigma, alpha)
        before = (torch.searchsorted(angles, angle.contiguous(), right=True) - 1).clamp(0, len(angles) - 2)
        past = sigma * alphas[before] - alpha * sigmas[before]  # sine of the angle to the entry before
        short = alpha * sigmas[before + 1] - sigma * alphas[before + 1]  # and to the one after
        return Level(before + (past / (past + short)).clamp(0, 1) - 1, alpha, sigma)

    def at_time(self, time: Tensor) -> Level:
        return self.at((time + 1) / len(self.alphas_cumprod))


LevelFunction = Callable[[Level], Tensor]
"""A number for each level, such as a loss weight or a guidance scale."""
