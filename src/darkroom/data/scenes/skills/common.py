"""What every skill needs: a setting, kinds, colours that show, and a second try when there is no room."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ..catalogue import CATALOGUE, COLOURS
from ..chance import chance, pick, weighted
from ..graph import Box, Relation, RelationKind, Scene, Thing
from ..layout import DoesNotFit, Size, size_of
from ..world import SCENIC, World

T = TypeVar("T")

# Colours that would be lost on a ground.
LOST = {
    "beach": {"yellow"},
    "grass": {"green"},
    "forest": {"green"},
    "snow": {"white"},
    "city": {"grey"},
    "night sky": {"black"},
    "space": {"black", "purple"},
    "wooden floor": {"brown", "orange"},
}
# Grounds that have a floor to stand on.
FLOORED = frozenset({"beach", "grass", "forest", "snow", "city", "wooden floor"})
DARK = frozenset({"night sky", "space"})
FLOATING = frozenset(
    {"balloon", "bird", "butterfly", "bee", "kite", "rocket", "helicopter", "flying saucer", "bat"}
)
AXES: dict[RelationKind, int] = {"left of": 0, "right of": 0, "above": 1, "below": 1}


@dataclass(frozen=True)
class Setting:
    ground: str
    light: str
    style: str


def setting(rng: np.random.Generator, world: World, rain: float = 0.08) -> Setting:
    """A ground, a light that can fall on it, and a style; plain and everyday ones most often."""
    ground = world.grounds[0] if chance(rng, 0.2) else pick(rng, world.grounds)
    style = world.styles[0] if chance(rng, 0.5) else pick(rng, world.styles)
    if style == "neon" and ground in COLOURS:
        ground = "black"  # neon glows in the dark: no plain ground would show its colour
    lights = [("day", 1.0)]
    if "rain" in world.lights and ground not in ("space", "snow", "wooden floor"):
        lights.append(("rain", rain / (1 - rain)))
    if "sunset" in world.lights and ground in SCENIC and ground not in DARK | {"wooden floor"}:
        lights.append(("sunset", 0.15))
    return Setting(ground, weighted(rng, lights), style)


def show(
    rng: np.random.Generator,
    skill: str,
    where: Setting,
    things: Sequence[Thing],
    relations: Sequence[Relation] = (),
    arrangement: str | None = None,
) -> Scene:
    noise_seed = int(rng.random() * 2**31)
    return Scene(
        tuple(things),
        tuple(relations),
        where.ground,
        where.light,
        where.style,
        skill,
        arrangement,
        noise_seed,
    )


def lost(ground: str) -> set[str]:
    return LOST.get(ground, {ground})


def shown_colours(world: World, ground: str, but: Collection[str | None] = ()) -> list[str]:
    hidden = lost(ground)
    return [c for c in world.colours if c not in hidden and c not in but]


def tint(
    rng: np.random.Generator,
    world: World,
    kind: str,
    ground: str,
    own: float = 0.25,
    but: Collection[str | None] = (),
) -> str | None:
    """A colour that shows on the ground, or None, the drawing's own; solids and shapes have no own colour."""
    entry = CATALOGUE[kind]
    if not entry.recolour or (entry.group not in ("solid", "shape") and chance(rng, own)):
        return None
    return pick(rng, shown_colours(world, ground, but))


def some_kind(rng: np.random.Generator, pool: Sequence[str], but: Collection[str] = ()) -> str:
    while (kind := pick(rng, pool)) in but:
        pass
    return kind


def some_thing(rng: np.random.Generator, world: World) -> str:
    """Any kind, those that come in colours as often as all the rest."""
    return pick(rng, world.coloured if chance(rng, 0.4) else world.things)


def stands(kind: str, where: Setting) -> bool:
    """Whether a kind looks best with its feet on this ground."""
    return where.ground in FLOORED and CATALOGUE[kind].group not in ("sky", "shape") and kind not in FLOATING


def sized(rng: np.random.Generator, world: World, kind: str, low: float, high: float) -> Size:
    return size_of(kind, world.size(rng, low, high))


def settle(draw: Callable[[], T], tries: int = 30) -> T:
    """The first draw that has room; DoesNotFit if none has."""
    for _ in range(tries - 1):
        try:
            return draw()
        except DoesNotFit:
            continue
    return draw()


def flat(groups: Sequence[Sequence[Box]]) -> list[Box]:
    return [box for group in groups for box in group]
