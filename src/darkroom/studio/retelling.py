"""Guides whose questions are changed on their way to the network."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

from torch import Tensor

from darkroom.diffusion.guidance import Guide, Guiding
from darkroom.diffusion.levels import Level
from darkroom.networks.conditioning import Conditioning, Memory

Retell = Callable[[int, Conditioning], Conditioning]
"""(place of a question among those asked at once, what it tells the network) -> what is told instead."""


def retold(guide: Guide, retell: Retell) -> Guide:
    """The guide with all that it tells the network told otherwise."""

    def asking(x: Tensor, level: Level) -> Guiding:
        guiding = guide(x, level)
        queries = next(guiding)
        try:
            while True:
                told = (q._replace(cond=retell(i, q.cond)) for i, q in enumerate(queries))
                queries = guiding.send((yield tuple(told)))
        except StopIteration as stop:
            return stop.value

    return asking


def seeing(guide: Guide, concat: Tensor) -> Guide:
    """The guide with these channels laid beside the signal of all that it asks."""

    @cache
    def beside(place: int, cond: Conditioning) -> Conditioning:
        return replace(cond, concat=concat)

    return retold(guide, beside)


def reusing(guide: Guide, every: int) -> Guide:
    """The guide whose every so-many-th question alone has the network run its inner blocks.

    Of one picture: it remembers, so two must not share it.
    """
    turns = cache(lambda place, cond: Turns(cond, every))
    return retold(guide, lambda place, cond: turns(place, cond).next())


class Turns:
    """What a question tells the network, time after time."""

    def __init__(self, cond: Conditioning, every: int) -> None:
        self._run = replace(cond, memories=tuple(Memory() for _ in range(cond.batch)))
        self._recall = replace(self._run, recall=True)
        self._every, self._asked = every, 0

    def next(self) -> Conditioning:
        """The first, and then every so-many-th, has the inner blocks run; the others recall."""
        self._asked += 1
        return self._recall if (self._asked - 1) % self._every else self._run
