"""From a request's words to a guide: parts joined by AND, words that change on the way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, floor, inf
from pathlib import Path
from typing import Protocol

from torch import Tensor

from darkroom.diffusion.grids import Grid
from darkroom.diffusion.guidance import (
    Guide,
    Guiding,
    Scale,
    apg,
    cfg,
    cfg_plus_plus,
    cfg_zero_star,
    composition,
    interval,
    perturbed_attention,
)
from darkroom.diffusion.levels import Level
from darkroom.errors import InvalidRequest
from darkroom.networks.conditioning import Conditioning
from darkroom.studio.attachments import Lora, check_how_many
from darkroom.studio.guides import MAX_RATIO
from darkroom.studio.home import finder
from darkroom.studio.request import Request
from darkroom.text.prompt import TAG, Branch, Dialect, parse

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


def dialect_of(request: Request) -> Dialect:
    """In whose way its prompts are read, A1111's or ComfyUI's."""
    return "comfy" if request.emphasis == "comfy" else "a1111"


def with_named_loras(request: Request, find: Callable[[str, str], Path] | None = None) -> Request:
    """The request with each ``<lora:name:weight>`` of its prompt attached, and out of the words.

    ``find`` gives the file of a kind and a name (None: as the command line does). Raises DarkroomError for a
    name without a file, for too many, for a tag of another kind, and for any tag in the negative prompt.
    """
    if tag := TAG.search(request.negative):
        raise InvalidRequest(f"'{tag[0]}' means nothing in a negative prompt; take it out.")
    told = parse(request.prompt, dialect_of(request))
    if told.unsupported:
        raise InvalidRequest(f"'{told.unsupported[0]}' in the prompt cannot be followed; take it out.")
    if not told.loras:
        return request
    check_how_many("loras", len(told.loras))
    find = find or finder()
    loras = (Lora(find("loras", one.name), one.network, one.text) for one in told.loras)
    attached = replace(request.attached, loras=(*request.attached.loras, *loras))
    return replace(request, prompt=TAG.sub("", request.prompt), attached=attached)


def guide_of(
    request: Request, encode: Encode, grid: Grid, finish: Finish, middle_blocks: Sequence[bool] = ()
) -> Guide:
    """The guide of a filled request for one picture along ``grid``; apg remembers, so two must not share it.

    ``middle_blocks`` of the network are those whose attention is perturbed.
    Raises InvalidRequest for AND in a negative prompt, and with a guide that knows no sums.
    """
    steps = len(grid)
    dialect = dialect_of(request)
    positive, negative = (parse(text, dialect).branches for text in (request.prompt, request.negative))
    if len(negative) > 1:
        raise InvalidRequest("a negative prompt cannot be joined by AND; list what to keep out with commas.")
    if (len(positive) > 1 or positive[0].weight != 1) and not only_cfg(request):
        raise InvalidRequest(
            "prompts joined by AND go with plain cfg and its interval alone; leave the rest out."
        )
    stretches = []
    for first, end in pairwise(bounds((*positive, *negative), steps, finish.breaks)):

        def cond(branch: Branch, wanted: bool, first: int = first, end: int = end) -> Conditioning:
            told = encode(branch.at(first + 1, steps), wanted)
            return finish(told, first / steps, end / steps, wanted)

        parts = [(cond(branch, True), branch.weight) for branch in positive]
        guide = guided_by(request, grid, parts, cond(negative[0], False), middle_blocks)
        stretches.append(Stretch(first, end, guide))
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


def guided_by(
    request: Request,
    grid: Grid,
    parts: Sequence[tuple[Conditioning, float]],
    negative: Conditioning,
    middle_blocks: Sequence[bool],
) -> Guide:
    """The guide that the request names, of several prompts where they are joined by AND."""
    scale = scale_of(request, grid)
    (first, weight), *more = parts
    if more or weight != 1:
        return composition(parts, negative, scale)
    if request.guide == "apg":
        return apg(first, negative, scale)
    if request.guide == "cfg_zero":
        return cfg_zero_star(first, negative, scale)
    if request.pag_scale and scale == 1:
        return cfg(first, first.blind(middle_blocks), 1 + request.pag_scale)
    if request.pag_scale:
        return perturbed_attention(first, negative, first.blind(middle_blocks), scale, request.pag_scale)
    return cfg(first, negative, scale, request.cfg_rescale)


def scale_of(request: Request, grid: Grid) -> Scale:
    """How strongly to guide at each level."""
    scale: Scale = request.cfg_scale or 0.0
    if request.guide == "cfg_pp":
        scale = cfg_plus_plus(request.cfg_scale or 0.0, grid)
    if request.cfg_interval is None:
        return scale
    low, high = request.cfg_interval
    return interval(scale, low, inf if high >= MAX_RATIO else high)


def only_cfg(request: Request) -> bool:
    """Whether guidance is plain but for its interval."""
    return request.guide == "cfg" and not request.cfg_rescale and not request.pag_scale


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
