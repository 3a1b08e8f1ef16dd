"""Samplers and schedulers by whatever name a tool gives them."""

from dataclasses import replace
from functools import cache

import darkroom.families.grids  # noqa: F401  they join the registry
from darkroom.diffusion.grids import GRIDS, find
from darkroom.diffusion.samplers import SAMPLERS
from darkroom.errors import UnknownName
from darkroom.studio.request import Request

ALIASES = {
    "dpm2_a": "dpm_2_ancestral",
    "dpmpp_2s_a": "dpmpp_2s_ancestral",
    "euler_a": "euler_ancestral",
}
"""ComfyUI's names where they are not ours."""

LONGEST = 5
"""Words of a sampler's name at most."""


def in_our_names(request: Request) -> Request:
    """The request with its sampler and scheduler by our names. Raises UnknownName."""
    sampler, scheduler = request.sampler, request.scheduler
    if sampler is not None:
        sampler, behind = sampler_named(sampler)
        scheduler = behind if scheduler is None else scheduler
    if scheduler is not None:
        scheduler = scheduler_named(scheduler)
    known = (sampler, scheduler) == (request.sampler, request.scheduler)
    return request if known else replace(request, sampler=sampler, scheduler=scheduler)


def sampler_named(name: str) -> tuple[str, str | None]:
    """Our name for a sampler, and for the scheduler that A1111 once wrote behind it ("DPM++ 2M Karras").

    Raises UnknownName.
    """
    found, behind = sampler_in(name)
    if found and not behind:
        return found, None
    if found and (scheduler := _scheduler(behind)):
        return found, scheduler
    labels = [sampler.label for sampler in SAMPLERS.values()]
    known = labels if set(name) & set(" +") else SAMPLERS  # the nearest in the manner of what was typed
    raise UnknownName("sampler", name, known)


def sampler_in(name: str) -> tuple[str | None, str]:
    """Our name for the sampler that ``name`` begins with, if there is one, and the words behind it."""
    words, known = name.split(), _called(tuple(SAMPLERS))
    for cut in range(min(len(words), LONGEST), 0, -1):
        if found := known.get(_letters(" ".join(words[:cut]))):
            return found, " ".join(words[cut:])
    return None, name


def scheduler_named(name: str) -> str:
    """Our name for a scheduler. Raises UnknownName."""
    try:
        return find(name).name
    except KeyError:
        raise UnknownName("scheduler", name, GRIDS) from None


def _scheduler(name: str) -> str | None:
    try:
        return scheduler_named(name)
    except UnknownName:
        return None


@cache
def _called(names: tuple[str, ...]) -> dict[str, str]:
    """Our name of each of these samplers by all that it is called; its own name is its own."""
    others = {
        _letters(called): name for name in names for called in (SAMPLERS[name].label, ALIASES.get(name, name))
    }
    return others | {_letters(name): name for name in names}


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower().replace("++", "pp") if letter.isalnum())
