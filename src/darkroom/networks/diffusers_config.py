"""Reading the config.json of a part of a diffusers folder: what we know is taken, what we lack is refused."""

from collections.abc import Collection, Mapping
from typing import Any

from darkroom.errors import DarkroomError


def read_options(
    values: Mapping[str, Any],
    kind: str,
    taken: Collection[str],
    fixed: Mapping[str, Collection[Any]],
    without_effect: Collection[str] = (),
) -> dict[str, Any]:
    """The options named in ``taken``, with lists as tuples; nulls are left out, so that defaults hold.

    ``kind`` is the class that the file should name. ``fixed`` gives the only values of an option (for a list:
    of its items) that we compute. An option ``without_effect`` on the answer may have any value; one that
    we don't know must be off (null, false, zero or empty). Raises DarkroomError that names it otherwise.
    """
    found = values.get("_class_name", kind)
    if found != kind:
        raise DarkroomError(f"the configuration is that of a '{found}'; expected a '{kind}'.")
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if not k.startswith("_")}
    for name, value in options.items():
        if value is None:
            continue
        if name in fixed:
            _check(kind, name, value, fixed[name])
        elif value and name not in taken and name not in without_effect:
            raise DarkroomError(
                f"'{name}' ({value!r}) is an option of {kind} that we don't have; use a model without it."
            )
    return {name: value for name, value in options.items() if name in taken and value is not None}


def _check(kind: str, name: str, value: Any, allowed: Collection[Any]) -> None:
    """Raise DarkroomError unless the value, or each of its items, is allowed."""
    items = value if isinstance(value, tuple) else (value,)
    for item in items:
        if item not in allowed:
            expected = " or ".join(repr(one) for one in allowed)
            raise DarkroomError(
                f"'{name}' of this {kind} is {item!r}; we have {expected} alone, so use another model."
            )
