"""What every door checks before the service takes a request."""

from collections.abc import Sequence
from dataclasses import replace

import darkroom.families.grids  # noqa: F401  they join the registry
from darkroom.diffusion.grids import GRIDS, find
from darkroom.diffusion.samplers import SAMPLERS
from darkroom.errors import UnknownName
from darkroom.server import names
from darkroom.studio.expanding import expanded, known_styles
from darkroom.studio.prompts import with_named_loras
from darkroom.studio.request import Request
from darkroom.text.styles import styled


def checked(request: Request, styles: Sequence[str] = ()) -> Request:
    """The request with styles around its prompt, as the service takes it: that makes the choices in it.

    Raises DarkroomError for a name that there is not, and for a prompt that would name a LoRA by a path.
    """
    names.model(request.model)
    if request.sampler is not None and request.sampler not in SAMPLERS:
        raise UnknownName("sampler", request.sampler, SAMPLERS)
    if request.scheduler is not None:
        request = replace(request, scheduler=scheduler_named(request.scheduler))
    if styles:
        prompt, negative = styled(request.prompt, request.negative, styles, known_styles())
        request = replace(request, prompt=prompt, negative=negative)
    for one in expanded(request):
        with_named_loras(one, names.find)
    return request


def scheduler_named(name: str) -> str:
    """Our name for a scheduler, whatever it is called elsewhere. Raises UnknownName."""
    try:
        return find(name).name
    except KeyError:
        raise UnknownName("scheduler", name, GRIDS) from None
