"""The models that the page offers, and what it knows of them before they are loaded."""

from typing import Any

from darkroom.studio import home
from darkroom.studio.models import SHIPPED

SIDE = 128
"""The side that models which ship were trained at; far beyond it they only repeat themselves."""
LARGEST_SIDE = 2 * SIDE
PIXELS = 1024 * 1024
"""What models of others are given to edit, at most."""


def known_models() -> list[str]:
    """Those that a bare name stands for; the ones that ship first."""
    return [*SHIPPED, *(name for name in home.named("models") if name not in SHIPPED)]


def ships(model: str) -> bool:
    """Whether it is small enough to be loaded at once and drawn live."""
    return model in SHIPPED


def most_pixels(model: str) -> int:
    """Of a picture that is edited."""
    return SIDE**2 if ships(model) else PIXELS


def first_settings(model: str) -> dict[str, Any]:
    """What is set when a model is chosen: its defaults, or that it may choose, where it is to be loaded."""
    if not ships(model):
        names = ("side", "size", "steps", "cfg_scale", "sampler", "scheduler")
        return dict.fromkeys(names) | {"model": model, "live": False}
    from darkroom.families.starter import DEFAULTS

    return {"model": model, "side": SIDE, "size": None, "live": True, **DEFAULTS}
