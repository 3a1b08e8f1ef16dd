"""What a network predicts, and how it is asked: ``x0 = skip * x + out * network(scale * x, time, cond)``."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from darkroom.diffusion.levels import Level, Schedule, left

MIN_ALPHA = 1e-5
"""Floor that keeps x0 finite when it is read from eps at alpha = 0, where eps says nothing about it."""

MAX_LOGSNR = 80.0
"""Bound on the logsnr that a network is told, which must be finite."""


Weight = Tensor | float
"""Of the level's shape, or a number that holds at every level."""


class Coefficients(NamedTuple):
    """How to call a network at a level and how to read x0 from its answer.

    The form is that of Karras et al. 2022 (arXiv 2206.00364), equation 7.
    """

    skip: Weight
    out: Weight
    scale: Weight
    time: Tensor


class Prediction(Protocol):
    """What a network was trained to answer."""

    def __call__(self, level: Level) -> Coefficients:
        """The coefficients at ``level``."""

    def target(self, x0: Tensor, eps: Tensor, level: Level) -> Tensor:
        """The right answer for ``x = alpha * x0 + sigma * eps``; x0, eps and the answer are (B, ...)."""


def weighed(first: Weight, x: Tensor, second: Weight, y: Tensor) -> Tensor:
    """``first * x + second * y``; what the number 0 weighs is left out."""
    terms = ((first, x), (second, y))
    return reduce(add, (scaled(*term) for term in terms if isinstance(term[0], Tensor) or term[0]))


def scaled(weight: Weight, x: Tensor) -> Tensor:
    """``weight * x``; what the number 1 weighs stays as it is, which takes no time."""
    if isinstance(weight, Tensor):
        return left(weight, x) * x
    return x if weight == 1 else weight * x


@dataclass(frozen=True)
class Mix(Prediction):
    """A network that sees the bare signal and the level's time and answers ``signal * x0 + noise * eps``.

    ``mix`` gives (signal, noise) at a level, ``read`` gives (skip, out); both regular at both ends.
    """

    name: str
    mix: Callable[[Level], tuple[Weight, Weight]]
    read: Callable[[Level], tuple[Weight, Weight]]

    def __call__(self, level: Level) -> Coefficients:
        return Coefficients(*self.read(level), 1.0, level.t)

    def target(self, x0: Tensor, eps: Tensor, level: Level) -> Tensor:
        signal, noise = self.mix(level)
        return weighed(signal, x0, noise, eps)

    def __repr__(self) -> str:
        return f"predict_{self.name}"


def _read_eps(level: Level) -> tuple[Tensor, Tensor]:
    alpha = level.alpha.clamp(min=MIN_ALPHA)
    return 1 / alpha, -level.sigma / alpha


def _read_v(level: Level) -> tuple[Tensor, Tensor]:
    power = level.alpha**2 + level.sigma**2
    return level.alpha / power, -level.sigma / power


def _read_velocity(level: Level) -> tuple[Tensor, Tensor]:
    total = level.alpha + level.sigma
    return 1 / total, -level.sigma / total


predict_eps: Prediction = Mix("eps", lambda level: (0.0, 1.0), _read_eps)
"""The noise (Ho et al. 2020, arXiv 2006.11239, equation 11)."""

predict_x0: Prediction = Mix("x0", lambda level: (1.0, 0.0), lambda level: (0.0, 1.0))
"""The clean signal."""

predict_v: Prediction = Mix("v", lambda level: (-level.sigma, level.alpha), _read_v)
"""``alpha * eps - sigma * x0`` (Salimans and Ho 2022, arXiv 2202.00512, appendix D)."""

predict_velocity: Prediction = Mix("velocity", lambda level: (-1.0, 1.0), _read_velocity)
"""``eps - x0``, the velocity of rectified flow (Liu et al. 2023, arXiv 2209.03003, equation 1 backwards)."""


@dataclass(frozen=True)
class Edm(Prediction):
    """Preconditioned, so that what the network sees and answers has variance 1 at every level.

    Karras et al. 2022 (arXiv 2206.00364), table 1, for data of deviation ``sigma_data``, with x / alpha for x
    and sigma / alpha for sigma. The loss without a weight is theirs (equation 8, lambda = 1 / c_out**2).
    """

    sigma_data: float = 0.5

    def __call__(self, level: Level) -> Coefficients:
        signal, noise, length = self._parts(level)
        time = level.logsnr.clamp(-MAX_LOGSNR, MAX_LOGSNR) / -4
        return Coefficients(
            signal / length * (self.sigma_data / length), noise / length * self.sigma_data, 1 / length, time
        )

    def target(self, x0: Tensor, eps: Tensor, level: Level) -> Tensor:
        signal, noise, length = self._parts(level)
        return left(noise / (length * self.sigma_data), x0) * x0 - left(signal / length, eps) * eps

    def _parts(self, level: Level) -> tuple[Tensor, Tensor, Tensor]:
        """The deviations of signal and noise in x, and of x."""
        signal = level.alpha * self.sigma_data
        return signal, level.sigma, torch.hypot(signal, level.sigma)


predict_edm: Prediction = Edm()


@dataclass(frozen=True)
class Along(Prediction):
    """A network trained along one schedule, asked along any other: the same signal to noise ratio, its scale.

    ``schedule`` and ``prediction`` are those of its training. The estimate of x0 depends on the ratio alone
    (Karras et al. 2022, arXiv 2206.00364, section 2 and table 1), so it is the same on every path.
    """

    schedule: Schedule
    prediction: Prediction

    def __call__(self, level: Level) -> Coefficients:
        native = self.schedule.at_logsnr(level.logsnr)
        factor = torch.hypot(native.alpha, native.sigma) / torch.hypot(level.alpha, level.sigma)
        skip, out, scale, time = self.prediction(native)
        return Coefficients(skip * factor, out, scale * factor, time)

    def target(self, x0: Tensor, eps: Tensor, level: Level) -> Tensor:
        return self.prediction.target(x0, eps, self.schedule.at_logsnr(level.logsnr))


PREDICTIONS = {
    "eps": predict_eps,
    "x0": predict_x0,
    "v": predict_v,
    "velocity": predict_velocity,
    "edm": predict_edm,
}
