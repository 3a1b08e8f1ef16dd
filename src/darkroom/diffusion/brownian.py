"""Brownian paths that do not depend on the steps: more of them follow the same path more closely."""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from darkroom.diffusion.levels import Level
from darkroom.diffusion.noise import Philox, normal

DEPTH = 20
"""Levels of the tree: steps down to 2**-20 in alpha / (alpha + sigma) have increments of their own."""

STREAMS = 2**63
"""The tree draws from streams above this, so that it has nothing in common with numbered draws."""


@dataclass(frozen=True)
class Brownian(Philox):
    """A :class:`~darkroom.diffusion.noise.Noise` that knows the increment over any interval of levels.

    The path B runs in time ``v = (alpha / sigma)**2``, from pure noise at 0 up. In it the noise that a
    stochastic step (eta 1, x0 held fixed) leaves at level s is ``sigma**2 / alpha * (B(v_s) - B(v_t))``,
    which adds up over steps: with x0 known, any number of them ends at the same signal.

    Values are bridged (Levy 1948) between the nodes of a dyadic tree over alpha / (alpha + sigma), which is
    finite at both ends; node n of row i is stream ``STREAMS + n`` of ``seeds[i]``.
    """

    _latest: dict[int, tuple[float, np.ndarray]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def between(self, draw: int, t: Level, s: Level) -> Tensor:
        """The standard normal increment from level ``t`` to the cleaner ``s``, (B, ...); 0 where they meet.

        ``draw`` is not needed here; it is what a noise without paths would go by.
        """
        count = len(self.seeds)
        ends = zip(_times(t, count), _times(s, count), strict=True)
        rows = np.stack([self._increment(row, *times) for row, times in enumerate(ends)])
        return torch.from_numpy(rows).to(self.dtype).to(self.device).unflatten(1, tuple(self.shape))

    def _increment(self, row: int, start: float, end: float) -> np.ndarray:
        known, before = self._latest.get(row, (math.nan, None))
        if before is None or known != start:
            before = self._path(self.seeds[row], start)
        after = self._path(self.seeds[row], end)
        self._latest[row] = end, after  # the next step starts here
        return (after - before) / math.sqrt(end - start) if end > start else np.zeros_like(after)

    def _path(self, seed: int, time: float) -> np.ndarray:
        """B(time): down the tree to the node that holds it."""
        count = math.prod(self.shape)
        low, high, node = 0.0, 1.0, 1
        below, above = np.zeros(count), np.zeros(count)
        place = math.sqrt(time) / (1 + math.sqrt(time))
        for _ in range(DEPTH):
            middle = (low + high) / 2
            value = _bridge(below, above, _time(low), _time(high), _time(middle), _draw(seed, node, count))
            if place < middle:
                high, above, node = middle, value, 2 * node
            else:
                low, below, node = middle, value, 2 * node + 1
        return _bridge(below, above, _time(low), _time(high), time, _draw(seed, node, count))


def _times(level: Level, count: int) -> list[float]:
    """(alpha / sigma)**2 of each row, up to that of the last node."""
    ratio = (level.alpha.double() / level.sigma.double()).clamp(max=math.sqrt(_time(1 - 2.0**-DEPTH)))
    return ratio.square().expand(count).tolist()


def _time(place: float) -> float:
    """(alpha / sigma)**2 where alpha / (alpha + sigma) is ``place``."""
    return (place / (1 - place)) ** 2 if place < 1 else math.inf


def _draw(seed: int, node: int, count: int) -> np.ndarray:
    return normal(seed, STREAMS + node, count)


def _bridge(
    below: np.ndarray, above: np.ndarray, low: float, high: float, time: float, eps: np.ndarray
) -> np.ndarray:
    """B(time) given B(low) and B(high); the last end, at infinite time, says nothing."""
    share = (time - low) / (high - low)
    spread = max((time - low) * (1 - share), 0.0)  # rounding may put a time just outside its node
    return below + share * (above - below) + math.sqrt(spread) * eps
