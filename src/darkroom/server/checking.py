"""What every door checks before the service takes a request."""

from collections.abc import Sequence
from dataclasses import replace

from darkroom.server import names
from darkroom.studio.expanding import expanded, known_styles
from darkroom.studio.home import finder
from darkroom.studio.methods import in_our_names
from darkroom.studio.prompts import with_named_loras
from darkroom.studio.request import Request
from darkroom.text.styles import styled


def checked(request: Request, styles: Sequence[str] = ()) -> Request:
    """The request with styles around its prompt, as the service takes it: that makes the choices in it.

    Raises DarkroomError for a name that there is not, and for a prompt that would name a LoRA by a path.
    """
    names.model(request.model)
    request = in_our_names(request)
    if styles:
        prompt, negative = styled(request.prompt, request.negative, styles, known_styles())
        request = replace(request, prompt=prompt, negative=negative)
    find = finder(paths=False)
    for one in expanded(request):
        with_named_loras(one, find)
    return request
