"""What is refused at once, before a job is accepted."""

from collections.abc import Callable, Sequence
from pathlib import Path

from darkroom.errors import DarkroomError
from darkroom.studio import home, hub
from darkroom.studio.expanding import expanded
from darkroom.studio.request import Request
from darkroom.studio.serving.limits import Limits


def acceptable(requests: Sequence[Request], limits: Limits) -> tuple[Request, ...]:
    """The requests with their choices made. Raises DarkroomError for what cannot be had, as far as that can
    be told without the model.
    """
    from darkroom.studio.methods import in_our_names

    limits.check(requests)
    plain = tuple(in_our_names(one) for request in requests for one in expanded(request))
    find = home.finder()
    for request in plain:
        _check(request, find)
    return plain


def _check(request: Request, find: Callable[[str, str], Path]) -> None:
    from darkroom.studio.models import locate
    from darkroom.studio.prompts import with_named_loras

    if request.model in home.named("models") or not hub.is_name(request.model):
        locate(request.model)
    for path in with_named_loras(request, find).files():
        if not path.exists():
            raise DarkroomError(f"there is no file '{path}'; check the path.")
