"""Values that a request may have, and the sentences that refuse others. Nothing here imports torch."""

from darkroom.errors import InvalidRequest


def check_whole(name: str, value: object, low: int, high: int, advice: str = "") -> None:
    """Raise InvalidRequest unless ``value`` is a whole number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidRequest(
            f"{name} {value!r} is out of range; {advice}give a whole number from {low} to {high}."
        )


def check_number(name: str, value: object, low: float, high: float) -> None:
    """Raise InvalidRequest unless ``value`` is a number from ``low`` to ``high``."""
    # NaN fails the comparison too
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidRequest(f"{name} {value!r} is out of range; give a number from {low:g} to {high:g}.")
