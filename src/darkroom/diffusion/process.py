"""One object that trains and samples: how signals are noised and how a network takes the noise away."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from darkroom.diffusion.levels import Level, LevelFunction, Schedule, left
from darkroom.diffusion.prediction import Coefficients, Prediction, scaled, weighed

Network = Callable[[Tensor, Tensor, Any], Tensor]
"""``network(x, time, cond)``: x and the answer are (B, ...), time (B,)."""


def as_velocity(level: Level, floor: float = 0.05) -> Tensor:
    """The weight that turns a squared error in x0 into one in the velocity eps - x0.

    With x fixed, an error in x0 moves eps by -alpha / sigma times it, so the velocity by
    -(alpha + sigma) / sigma; on a flow the weight is ``1 / sigma**2``. It is infinite at the clean signal, so
    ``floor`` is the least sigma divided by, as in JiT (Li and He 2025, arXiv 2511.13720).
    """
    return ((level.alpha + level.sigma) / level.sigma.clamp(min=floor)) ** 2


@dataclass(frozen=True)
class Process:
    """A schedule and what the network predicts along it.

    Signals are (B, ...); levels are one for all rows (0-dim) or one a row (B,), and come from
    ``schedule.at(t)`` with t in [0, 1]. The network is told ``level.t``, or what the prediction makes of it.
    """

    schedule: Schedule
    prediction: Prediction

    def corrupt(self, x0: Tensor, eps: Tensor, level: Level) -> Tensor:
        """``alpha * x0 + sigma * eps``."""
        return left(level.alpha, x0) * x0 + left(level.sigma, eps) * eps

    def denoise(self, network: Network, x: Tensor, level: Level, cond: Any) -> Tensor:
        """E[x0 | x], the network's estimate of the clean signal in ``x``."""
        told = self.prediction(level)
        return weighed(told.skip, x, told.out, _ask(network, x, told, cond))

    def loss(
        self,
        network: Network,
        x0: Tensor,
        eps: Tensor,
        level: Level,
        cond: Any,
        weight: LevelFunction | None = None,
    ) -> Tensor:
        """Mean squared error of what the network predicts, times ``weight(level)`` if given: (B,).

        Without a weight this is the textbook loss of the prediction. A weight turns it into the loss of
        another: for a network that predicts x0, ``as_velocity`` gives the velocity loss and
        ``lambda level: (level.alpha / level.sigma) ** 2`` the loss in eps.
        """
        answer = _ask(network, self.corrupt(x0, eps, level), self.prediction(level), cond)
        error = (answer - self.prediction.target(x0, eps, level)).square().flatten(1).mean(1)
        return error if weight is None else weight(level).to(error) * error


def _ask(network: Network, x: Tensor, told: Coefficients, cond: Any) -> Tensor:
    time = told.time.to(x.device, torch.float32).expand(x.shape[0])
    return network(scaled(told.scale, x), time, cond)
