"""The proportions of each single drawing, and where things stand on it."""

from functools import cache

from .assets import manifest
from .catalogue import kind as catalogue_kind

# width / height of what is drawn in code
DRAWN: dict[str, float] = {
    "cube": 1.0, "sphere": 1.0, "cylinder": 0.75, "cone": 0.85, "pyramid": 1.05,
    "circle": 1.0, "square": 1.0, "triangle": 1.15, "star": 1.05, "diamond": 0.8, "hexagon": 1.15,
    "pentagon": 1.05, "cross": 1.0, "ring": 1.0, "crescent": 0.67, "oval": 1.5, "rectangle": 1.6,
    "table": 1.6, "sign": 1.4, "shelf": 2.4, "party hat": 0.75,
}  # fmt: skip

# how far down from its top, as a fraction of its height, a thing standing on a drawing has its foot
FOOTING: dict[str, float] = {"cube": 0.11, "cylinder": 0.13, "table": 0.09, "shelf": 0.2}


@cache
def own_aspect(kind: str) -> float:
    """Width / height of a kind's drawing alone."""
    entry = manifest()["drawings"][catalogue_kind(kind).name][0]
    if "box" not in entry:
        return DRAWN[kind]
    left, top, right, bottom = entry["box"]
    return (right - left) / (bottom - top)


def footing(kind: str) -> float:
    """Where on a drawing another thing stands: a fraction of its height down from its top."""
    catalogue_kind(kind)
    return FOOTING.get(kind, 0.03)
