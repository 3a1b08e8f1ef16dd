"""The guides that a request can name, and what goes with each. Nothing here imports torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from darkroom.errors import InvalidRequest, UnknownName
from darkroom.studio.checks import check_number

if TYPE_CHECKING:
    from darkroom.studio.request import Request

MAX_PAG_SCALE = 100.0
MAX_RATIO = 1e6
"""Of noise to signal: from it on is pure noise for every model, and an interval up to it takes that in."""


@dataclass(frozen=True)
class GuideKind:
    """What ``name`` does, how often a step asks the network, and what goes with it.

    ``scale`` is the scale where none is asked for (None leaves it to the model) and ``most`` the largest;
    ``plain`` says that guidance is a sum of answers: then it can be rescaled, or hold perturbed attention.
    """

    name: str
    calls: int
    when: str
    scale: float | None = None
    most: float = 100.0
    plain: bool = False


GUIDES = {
    kind.name: kind
    for kind in (
        GuideKind("cfg", 2, "The default: follow the prompt, keep the negative prompt out.", plain=True),
        GuideKind(
            "cfg_pp", 2, "Scales up to 1 that stay near real pictures; with euler and ddim.", 0.6, 1.0, True
        ),
        GuideKind("apg", 2, "High scales without glaring colours."),
        GuideKind("cfg_zero", 2, "Flow models: the negative answer at its best length."),
    )
}


def check_guide(request: "Request") -> None:
    """Raise InvalidRequest for what cannot be had of guides, or not together, and UnknownName."""
    if request.guide not in GUIDES:
        raise UnknownName("guide", str(request.guide), GUIDES)
    kind = GUIDES[request.guide]
    if request.cfg_scale is not None and request.cfg_scale > kind.most:
        raise InvalidRequest(
            f"cfg scale {request.cfg_scale:g} is too much for the guide {kind.name}; "
            f"give a number up to {kind.most:g}."
        )
    check_number("cfg rescale", request.cfg_rescale, 0.0, 1.0)
    check_number("pag scale", request.pag_scale, 0.0, MAX_PAG_SCALE)
    if request.cfg_interval is not None:
        _check_interval(request.cfg_interval)
    if (request.cfg_rescale or request.pag_scale) and not kind.plain:
        plain = " and ".join(kind.name for kind in GUIDES.values() if kind.plain)
        raise InvalidRequest(
            f"the guide {kind.name} takes no cfg rescale and no pag scale; choose {plain} for them."
        )
    if request.cfg_rescale and request.pag_scale:
        raise InvalidRequest("cfg rescale and pag scale do not go together; leave one out.")


def _check_interval(interval: object) -> None:
    if not isinstance(interval, tuple) or len(interval) != 2:
        raise InvalidRequest("a cfg interval is two numbers, the lowest and the highest ratio; give both.")
    for end in interval:
        check_number("cfg interval", end, 0.0, MAX_RATIO)
    if interval[0] >= interval[1]:
        raise InvalidRequest("the cfg interval is empty; give its lower end first.")
