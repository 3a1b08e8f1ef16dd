"""Brownian paths that do not depend on the steps: more of them follow the same path more closely."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from torch import Tensor

from darkroom.diffusion.levels import Level
from darkroom.diffusion.noise import Philox, normals

DEPTH = 20
"""Levels of the tree: steps down to 2**-20 in alpha / (alpha + sigma) have increments of their own."""

STREAMS = 2**63
"""The tree draws from streams above this, so that it has nothing in common with numbered draws."""

Point = tuple[float, np.ndarray]
"""A time and the path there."""


@dataclass(frozen=True)
class Brownian(Philox):
    """A :class:`~darkroom.diffusion.noise.Noise` that knows the increment over any interval of levels.

    The path B runs in time ``v = (alpha / sigma)**2``, from pure noise at 0 up. In it the noise that a
    stochastic step (eta 1, x0 held fixed) leaves at level s is ``sigma**2 / alpha * (B(v_s) - B(v_t))``,
    which adds up over steps: with x0 known, any number of them ends at the same signal.
    """

    def along(self, t: Level, s: Level) -> Callable[[int], Tensor]:
        """By a step's number its standard normal increment, (B, ...), from ``t`` to the cleaner ``s``.

        The levels are those of all steps, (steps, ...); where they meet the increment is 0.
        """
        starts, ends = (_times(level, len(self.seeds)) for level in (t, s))
        return lambda i: self._signal(
            *(path.increment(*span) for path, *span in zip(self._paths, starts[i], ends[i], strict=True))
        )

    @cached_property
    def _paths(self) -> "list[Path]":
        return [Path(seed, math.prod(self.shape)) for seed in self.seeds]


class Path:
    """The path B of one seed, at ``count`` places.

    It is bridged (Levy 1948) between the nodes of a dyadic tree over alpha / (alpha + sigma), which is finite
    at both ends; node n is stream ``STREAMS + n`` of the seed. Kept are the ends of the latest interval and
    the nodes on the way down to the latest time, which the next have in common with it.
    """

    def __init__(self, seed: int, count: int) -> None:
        self.seed, self.origin = seed, np.zeros(count)
        self.ends = {0.0: self.origin}
        self.nodes: dict[int, Point] = {}

    def increment(self, start: float, end: float) -> np.ndarray:
        """That from time ``start`` to ``end``, of variance 1."""
        self.ends = {v: self.ends[v] if v in self.ends else self.at(v) for v in (start, end)}
        change = self.ends[end] - self.ends[start]
        return change / math.sqrt(end - start) if end > start else change

    def at(self, time: float) -> np.ndarray:
        """B(time): down the tree to the node that holds it, bridging at those that are new."""
        place = math.sqrt(time) / (1 + math.sqrt(time))
        leaf = 2**DEPTH + int(place * 2**DEPTH)
        way = [leaf >> DEPTH - depth for depth in range(DEPTH + 1)]
        new = [node for node in way if node == leaf or node not in self.nodes]
        eps = dict(zip(new, normals(self.seed, [STREAMS + n for n in new], len(self.origin)), strict=True))
        known, self.nodes = self.nodes, {}
        low, high = (0.0, self.origin), (math.inf, self.origin)
        for depth, (node, child) in enumerate(pairwise(way)):
            middle = _time((node + 0.5) / 2**depth - 1)
            found = known[node] if node in known else _bridge(low, high, middle, eps[node])
            self.nodes[node] = found
            low, high = (found, high) if child % 2 else (low, found)
        return _bridge(low, high, time, eps[leaf])[1]


def _times(levels: Level, count: int) -> list[list[float]]:
    """(alpha / sigma)**2 of each step and row, up to that of the last node."""
    ratio = (levels.alpha.double() / levels.sigma.double()).clamp(max=math.sqrt(_time(1 - 2.0**-DEPTH)))
    return ratio.square().reshape(len(ratio), -1).expand(-1, count).tolist()


def _time(place: float) -> float:
    """(alpha / sigma)**2 where alpha / (alpha + sigma) is ``place``, below 1."""
    return (place / (1 - place)) ** 2


def _bridge(low: Point, high: Point, time: float, eps: np.ndarray) -> Point:
    """B(time) given B at both sides; the last end, at infinite time, says nothing."""
    (start, below), (end, above) = low, high
    share = (time - start) / (end - start)
    value = above - below
    value *= share
    value += below
    # a time at a node may be rounded to the other side of it
    value += math.sqrt(max((time - start) * (1 - share), 0.0)) * eps
    return time, value
