"""What must go together on the command line: what would do nothing is refused, or told of."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from darkroom.errors import InvalidRequest

if TYPE_CHECKING:
    from darkroom.studio.request import Request

NEEDS = {
    "strength": ("init_image", "--strength needs a picture to start from; give it with -i."),
    "ip_strength": ("ip_adapter", "--ip-strength needs an IP-Adapter; give it with --ip-adapter."),
    "styles_file": ("styles_named", "--styles needs a style of that file; name it with --style."),
    "token": ("server", "--token needs the server that it is for; name it with --server."),
}
"""Options that do nothing without another one, and the sentence that asks for it."""
NEARLY = 0.02
"""How much the proportions of a picture and its mask may differ: what rounding does to small ones."""


def typed(name: str) -> bool:
    """Whether a parameter of the running command was typed, be it as it is by itself."""
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


def check_together(request: "Request") -> None:
    """Raise InvalidRequest for an option of the running command that would do nothing in its request, and for
    a mask of another shape than its picture.
    """
    _check_typed()
    for name in _without_effect(request):
        if name != "negative prompt":  # many give one to every model, and distilled ones want this scale
            raise InvalidRequest(_has_no_effect(name))
    if request.init_image and request.mask:
        _check_shapes(request.init_image, request.mask)


def _check_typed() -> None:
    given = click.get_current_context().params
    for name, (needed, sentence) in NEEDS.items():
        if typed(name) and not given[needed]:
            raise InvalidRequest(sentence)
    if typed("memory") and given["server"]:
        raise InvalidRequest("--memory is for models on this machine; leave it or --server out.")


def idle(requests: "Sequence[Request]") -> list[str]:
    """Sentences on what had no effect in filled requests."""
    names = dict.fromkeys(name for request in requests for name in _without_effect(request))
    return [_has_no_effect(name) for name in names]


def _without_effect(request: "Request") -> Iterator[str]:
    """What a request gives although guidance at its scale is none.

    The scale of cfg_pp is of another kind, and prompts joined by AND differ from the negative one at any.
    """
    from darkroom.text.prompt import parse

    if request.cfg_scale != 1 or request.guide == "cfg_pp":
        return
    joined = len(parse(request.prompt).branches) > 1
    given = {
        "negative prompt": request.negative and not joined,
        "cfg rescale": request.cfg_rescale,
        "cfg interval": request.cfg_interval,
    }
    yield from (name for name, value in given.items() if value)


def _has_no_effect(name: str) -> str:
    return f"the {name} has no effect at cfg scale 1; choose another --cfg-scale, or leave it out."


def _check_shapes(picture: Path, mask: Path) -> None:
    """Raise InvalidRequest where proportions differ: each is cropped to fit, so white would lie elsewhere."""
    from darkroom.studio.pictures import read

    (height, width, _), (high, wide, _) = (read(path).pixels.shape for path in (picture, mask))
    if abs(width * high - wide * height) > NEARLY * width * high:
        raise InvalidRequest(
            f"the mask '{mask}' is {wide}x{high} and '{picture}' {width}x{height}; "
            "give a mask of the picture's proportions."
        )
