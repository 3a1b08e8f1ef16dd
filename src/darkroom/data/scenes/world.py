"""A world: which kinds, colours, grounds and words scenes are made of, and how freely things stand."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...errors import InvalidRequest
from .catalogue import CATALOGUE, COLOURS, kind
from .chance import pick
from .drawings import ALOFT
from .words import WORDS

SCENIC = ("beach", "grass", "forest", "snow", "city", "night sky", "space", "wooden floor")
GROUNDS = ("white", *(colour for colour in COLOURS if colour != "white"), *SCENIC)
LIGHTS = ("day", "rain", "sunset")
STYLES = ("flat", "watercolour", "pixel art", "pencil sketch", "neon")

# How often each skill is shown: the harder, the more. One thing alone, what is worn and signs are what shows
# things large, and a large drawing has four times the cells to learn of a small one.
SKILL_WEIGHTS = (
    ("one", 0.05),
    ("two", 0.05),
    ("count", 0.10),
    ("colour", 0.10),
    ("position", 0.05),
    ("stack", 0.06),
    ("depth", 0.07),
    ("three", 0.07),
    ("mixed", 0.10),
    ("arrangement", 0.05),
    ("worn", 0.08),
    ("held", 0.02),
    ("crowd", 0.04),
    ("word", 0.16),
)


@dataclass(frozen=True)
class World:
    """What scenes are made of.

    ``sizes`` are the allowed long sides of things in fractions of the picture; ``snap`` is the fraction on
    whose multiples centres sit (0: anywhere); ``skills`` are (name, weight) pairs; ``holds_out`` says whether
    combinations that `heldout` names are left out, as in training; ``plain_signs`` is the part of signs that
    have no colour of their own. Raises UnknownName for a kind that the
    catalogue lacks, InvalidRequest for a skill that cannot be shown with what there is.
    """

    kinds: tuple[str, ...]
    colours: tuple[str, ...]
    grounds: tuple[str, ...]
    lights: tuple[str, ...]
    styles: tuple[str, ...]
    words: tuple[str, ...]
    sizes: tuple[float, ...]
    snap: float = 0.0
    skills: tuple[tuple[str, float], ...] = SKILL_WEIGHTS
    holds_out: bool = True
    plain_signs: float = 0.6

    def __post_init__(self) -> None:
        for name in self.kinds:
            kind(name)
        for skill, weight in self.skills:
            if weight and (missing := self._missing(skill)):
                raise InvalidRequest(
                    f"the skill '{skill}' needs {missing}; add it to the world or drop the skill"
                )

    def _missing(self, skill: str) -> str | None:
        """What a skill needs that this world lacks."""
        needs: dict[str, list[tuple[object, str]]] = {
            "worn": [(self.wearers, "a kind that wears"), (self.wearables, "a kind that can be worn")],
            "held": [
                (self.holders, "a kind that holds"),
                (self.held_aloft, "an umbrella, a balloon or a flag"),
            ],
            "crowd": [(self.people, "people"), ({"umbrella", "balloon"} & set(self.things), "an umbrella")],
            "word": [("sign" in self.kinds, "the kind sign"), (self.words, "a word")],
            "stack": [(self.bases, "a kind that supports")],
            "three": [(self.bases, "a kind that supports")],
        }
        common: list[tuple[object, str]] = [
            (len(self.coloured) > 3, "four kinds in colours"),
            (len(self.colours) > 4, "five colours"),
        ]
        return next((what for there, what in [*common, *needs.get(skill, [])] if not there), None)

    def size(self, rng: np.random.Generator, low: float, high: float) -> float:
        """One of the allowed long sides between low and high, or the allowed one nearest to that range."""
        allowed = [size for size in self.sizes if low <= size <= high]
        return pick(rng, allowed) if allowed else min(self.sizes, key=lambda s: max(low - s, s - high))

    @cached_property
    def things(self) -> tuple[str, ...]:
        """Kinds that can stand for themselves; a sign always carries a word, so it has a skill of its own."""
        return tuple(k for k in self.kinds if k != "sign")

    @cached_property
    def coloured(self) -> tuple[str, ...]:
        """Kinds that come in colours."""
        return tuple(k for k in self.things if CATALOGUE[k].recolour)

    @cached_property
    def holders(self) -> tuple[str, ...]:
        """Who can hold things."""
        return tuple(k for k in self.things if CATALOGUE[k].holds)

    @cached_property
    def people(self) -> tuple[str, ...]:
        """Those of them who make a crowd of people."""
        return tuple(k for k in self.holders if CATALOGUE[k].group == "person" and k not in NOT_PEOPLE)

    @cached_property
    def wearers(self) -> tuple[str, ...]:
        return tuple(k for k in self.things if CATALOGUE[k].wears)

    @cached_property
    def wearables(self) -> tuple[str, ...]:
        return tuple(k for k in self.things if CATALOGUE[k].wearable)

    @cached_property
    def bases(self) -> tuple[str, ...]:
        """Kinds on whose top another thing can stand."""
        return tuple(k for k in self.things if CATALOGUE[k].supports or k in ("book", "sphere"))

    @cached_property
    def held_aloft(self) -> tuple[str, ...]:
        """What everyone can hold: over the head, by its lower end."""
        return tuple(k for k in self.things if k in ALOFT)

    @cached_property
    def held_in_hand(self) -> tuple[str, ...]:
        """What those with hands can hold besides."""
        return tuple(k for k in self.things if k in HANDY)


NOT_PEOPLE = frozenset({"robot", "snowman"})
HANDY = ("flower", "book", "heart", "apple", "lollipop", "candle", "bag", "tulip", "rose", "present", "bell")

_SMALL_KINDS = """
apple, banana, lemon, strawberry, carrot, mushroom, doughnut, birthday cake, egg, cup, dog, cat, rabbit,
bear, panda, lion, pig, frog, penguin, bird, fish, butterfly, crab, elephant, tree, flower, cactus, rose,
car, bus, bicycle, rocket, sailing boat, man, woman, sunglasses, crown, top hat, house, umbrella, book,
balloon, heart, football, present, guitar, chair, bell, key, cloud, cube, sphere, cylinder, cone, pyramid,
circle, square, triangle, star, table, sign
"""


def full_world(*, holds_out: bool = True) -> World:
    """Every kind, colour, ground, light, style and word, anywhere and at any size."""
    return World(
        kinds=tuple(CATALOGUE),
        colours=tuple(COLOURS),
        grounds=GROUNDS,
        lights=LIGHTS,
        styles=STYLES,
        words=WORDS,
        sizes=tuple(np.round(np.arange(0.15, 0.73, 0.01), 2).tolist()),
        holds_out=holds_out,
    )


def small_world(*, holds_out: bool = True) -> World:
    """What two CPU cores can learn in two hours: fewer kinds and grounds, three sizes, a grid of 1/8.

    The smallest is for rows of three: with the gap between them, centres of wider things are 3/8 apart, so
    that with 1/4 alone there were never five apples.
    """
    return World(
        kinds=tuple(name.strip() for name in _SMALL_KINDS.split(",")),
        colours=("red", "orange", "yellow", "green", "blue", "purple", "black", "white"),
        grounds=("white", "blue", "grey", "beach", "grass"),
        lights=("day", "rain"),
        styles=("flat",),
        words=tuple(word for word in WORDS if len(word) <= 4),
        sizes=(0.22, 0.25, 0.5),
        snap=1 / 8,
        holds_out=holds_out,
    )
