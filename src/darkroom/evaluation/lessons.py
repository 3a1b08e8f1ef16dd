"""The scenes that the examiner learns from: those of every skill, and heaps in which no context helps."""

import string
from dataclasses import dataclass, replace

import numpy as np

from darkroom.data.scenes.catalogue import CATALOGUE
from darkroom.data.scenes.chance import between, chance, philox, pick, weighted
from darkroom.data.scenes.graph import Box, Scene, Thing
from darkroom.data.scenes.layout import Size, overlap, size_of, somewhere
from darkroom.data.scenes.skills import draw
from darkroom.data.scenes.skills.common import Setting, setting, show, tint
from darkroom.data.scenes.skills.people import outfit, some_held
from darkroom.data.scenes.world import World

HEAPS = 0.40
# How often each skill is shown besides the heaps: what is hard to see, the more.
SKILLS = (
    ("one", 0.02),
    ("two", 0.04),
    ("count", 0.06),
    ("colour", 0.07),
    ("position", 0.04),
    ("stack", 0.07),
    ("depth", 0.16),
    ("three", 0.08),
    ("mixed", 0.07),
    ("arrangement", 0.04),
    ("worn", 0.07),
    ("held", 0.05),
    ("crowd", 0.18),
    ("word", 0.05),
)
SMALLEST = 0.11  # side of a thing in a heap: a balloon held in a crowd is not much larger
HIDDEN = 0.3  # the largest part of a thing in a heap that another may cover
MOST = 8


@dataclass(frozen=True)
class Lessons:
    """Endless scenes of a world, by number: a pure function of (seed, index)."""

    world: World
    seed: int = 0

    def scene(self, index: int) -> Scene:
        rng = philox(self.seed, index)
        return heap(rng, self.world) if chance(rng, HEAPS) else draw(rng, self.world, weighted(rng, SKILLS))


def anywhere(world: World) -> World:
    """The world with all its combinations, and things of every size at every place."""
    return replace(world, holds_out=False, snap=0.0, sizes=tuple(n / 100 for n in range(16, 67)))


def _letters(rng: np.random.Generator, count: int) -> str:
    return "".join(pick(rng, string.ascii_uppercase) for _ in range(count))


def heap(rng: np.random.Generator, world: World) -> Scene:
    """One to eight things of any kind and size, some over the edges of others."""
    where = setting(rng, world)
    wanted = 1 + int(rng.random() * MOST)
    things: list[Thing] = []
    for _ in range(3 * wanted):
        thing = _any_thing(rng, world, where, 0.45 if wanted < 5 else 0.32)
        if len(things) < wanted and not any(_hides(thing.box, other.box) for other in things):
            things.append(replace(thing, depth=rng.random()))
    return show(rng, "heap", where, things)


def _hides(a: Box, b: Box) -> bool:
    return overlap(a, b) > HIDDEN * min(a.width * a.height, b.width * b.height)


def _any_thing(rng: np.random.Generator, world: World, where: Setting, largest: float) -> Thing:
    kind = pick(rng, world.kinds)
    entry = CATALOGUE[kind]
    colour = tint(rng, world, kind, where.ground)
    word = _letters(rng, 1 + int(rng.random() * 6)) if kind == "sign" else None
    worn = outfit(rng, world) if entry.wears and chance(rng, 0.3) else ()
    held = _held(rng, world, where, kind) if kind in world.people and not worn and chance(rng, 0.3) else None
    smallest = 0.36 if word or worn or held else SMALLEST
    side = between(rng, smallest, max(largest, smallest + 0.2))
    box = somewhere(rng, Size(*size_of(kind, side, worn, held, word)), 0.0)
    return Thing(kind, box, colour, worn=worn, held=held, word=word)


def _held(rng: np.random.Generator, world: World, where: Setting, person: str) -> tuple[str, str | None]:
    kind = some_held(rng, world, person)
    return kind, tint(rng, world, kind, where.ground)
