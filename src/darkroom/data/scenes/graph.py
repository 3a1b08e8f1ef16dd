"""The scene graph: the one truth from which picture, captions, masks, depth and boxes all follow.

Coordinates are fractions of the picture's side, x to the right and y downwards, so that a scene
is the same at 64 and at 512 pixels.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

RelationKind = Literal["left of", "right of", "above", "below", "on top of", "in front of", "behind"]


class Box(NamedTuple):
    """An axis-aligned box in fractions of the picture's side."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def centre(self) -> tuple[float, float]:
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


@dataclass(frozen=True)
class Thing:
    """One drawn thing.

    ``kind`` is a catalogue name ("apple", "cube", "sign"); ``colour`` is one of the world's colours or
    None for the drawing's own; ``depth`` grows away from the viewer (things are painted far to near);
    ``worn`` lists worn catalogue names ("sunglasses", "crown", "top hat"); ``held`` one held thing, as (kind,
    colour); ``word`` is the text of a sign.
    """

    kind: str
    box: Box
    colour: str | None = None
    depth: float = 0.5
    worn: tuple[str, ...] = ()
    held: tuple[str, str | None] | None = None
    word: str | None = None


@dataclass(frozen=True)
class Relation:
    """``things[subject]`` stands in ``kind`` to ``things[object]``, as the viewer sees it."""

    subject: int
    kind: RelationKind
    object: int


@dataclass(frozen=True)
class Scene:
    """A picture's whole truth. ``ground`` and ``light`` are names of the world; ``skill`` is what it teaches.

    ``arrangement`` names how several of a kind stand ("row", "pyramid", "circle", ...) where that is to be
    told. ``noise_seed`` feeds the ground's texture, so that rendering is a pure function of scene and size.
    """

    things: tuple[Thing, ...]
    relations: tuple[Relation, ...] = ()
    ground: str = "white"
    light: str = "day"
    style: str = "flat"
    skill: str = "one"
    arrangement: str | None = None
    noise_seed: int = 0
