"""From a request's words to a guide: parts joined by AND, words that change on the way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from math import ceil, floor
from typing import Protocol

from torch import Tensor

from darkroom.diffusion.grids import Grid
from darkroom.diffusion.guidance import Guide, Guiding, cfg, composition
from darkroom.diffusion.levels import Level
from darkroom.errors import InvalidRequest
from darkroom.networks.conditioning import Conditioning
from darkroom.studio.attachments import Lora
from darkroom.studio.home import find
from darkroom.studio.request import Request
from darkroom.text.prompt import TAG, Branch, parse

SLACK = 1e-9
"""Shares of the steps that differ by less are the same."""

Encode = Callable[[str, bool], Conditioning]
"""(text, whether it is wanted) -> what the network is told."""


class Finish(Protocol):
    """What else a network is told than words, at each time."""

    @property
    def breaks(self) -> Sequence[float]:
        """The shares of the steps at which it changes."""
        ...

    def __call__(self, cond: Conditioning, first: float, end: float, wanted: bool) -> Conditioning:
        """The condition as it is between two shares; ``wanted`` is false for the negative prompt's."""
        ...


@dataclass(frozen=True)
class Stretch:
    """A guide and the steps it is for: from ``first`` up to, not including, ``end``."""

    first: int
    end: int
    guide: Guide


def with_named_loras(request: Request) -> Request:
    """The request with each ``<lora:name:weight>`` of its prompt attached, and out of the words.

    Raises DarkroomError for a name without a file, and for a tag of another kind.
    """
    told = parse(request.prompt)
    if told.unsupported:
        raise InvalidRequest(f"'{told.unsupported[0]}' in the prompt cannot be followed; take it out.")
    if not told.loras:
        return request
    loras = (Lora(find("loras", one.name), one.network, one.text) for one in told.loras)
    attached = replace(request.attached, loras=(*request.attached.loras, *loras))
    return replace(request, prompt=TAG.sub("", request.prompt), attached=attached)


def guide_of(request: Request, encode: Encode, grid: Grid, finish: Finish) -> Guide:
    """The guide of a filled request along ``grid``. Raises InvalidRequest for AND in a negative prompt."""
    steps, scale = len(grid), request.cfg_scale or 0.0
    positive, negative = parse(request.prompt).branches, parse(request.negative).branches
    if len(negative) > 1:
        raise InvalidRequest("a negative prompt cannot be joined by AND; list what to keep out with commas.")
    remembered = cache(encode)
    stretches = []
    for first, end in pairwise(bounds((*positive, *negative), steps, finish.breaks)):

        def cond(branch: Branch, wanted: bool, first: int = first, end: int = end) -> Conditioning:
            told = remembered(branch.at(first + 1, steps), wanted)
            return finish(told, first / steps, end / steps, wanted)

        parts = [(cond(branch, True), branch.weight) for branch in positive]
        stretches.append(Stretch(first, end, joined(parts, cond(negative[0], False), scale)))
    return stretches[0].guide if len(stretches) == 1 else switching(stretches, grid)


def bounds(branches: Sequence[Branch], steps: int, breaks: Sequence[float]) -> list[int]:
    """The numbers of steps after which anything changes, with 0 and ``steps``.

    A share that lies within a step has a break on either side of it.
    """
    changes = {until for branch in branches for until, _ in branch.schedule(steps)}
    shares = {
        step for share in breaks for step in (ceil(share * steps - SLACK), floor(share * steps + SLACK))
    }
    return sorted({0, steps} | {step for step in changes | shares if 0 < step < steps})


def joined(parts: Sequence[tuple[Conditioning, float]], negative: Conditioning, scale: float) -> Guide:
    """Classifier-free guidance, of several prompts where they are joined by AND."""
    (first, weight), *more = parts
    return cfg(first, negative, scale) if not more and weight == 1 else composition(parts, negative, scale)


def switching(stretches: Sequence[Stretch], grid: Grid) -> Guide:
    """At each level the guide of the stretch in which its step lies."""
    logsnr = grid.levels.logsnr

    def guide(x: Tensor, level: Level) -> Guiding:
        here = level.logsnr.double().flatten()[0]
        # a level that was rounded on its way still belongs to its own step
        passed = int(((logsnr <= here) | logsnr.isclose(here, rtol=1e-5, atol=1e-5)).sum())
        at = next(s for s in stretches if passed - 1 < s.end or s is stretches[-1])
        return (yield from at.guide(x, level))

    return guide
