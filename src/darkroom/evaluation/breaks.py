"""Scenes made wrong on purpose: one thing about each is not as its caption says.

A judge that finds every true picture right has shown nothing until it finds these wrong.
"""

import string
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from darkroom.data.scenes.catalogue import CATALOGUE
from darkroom.data.scenes.chance import between, distinct, pick
from darkroom.data.scenes.graph import Box, Scene, Thing
from darkroom.data.scenes.layout import Size, overlap, somewhere
from darkroom.data.scenes.skills.common import shown_colours, some_kind
from darkroom.data.scenes.world import World

from .findings import truth
from .requirements import check
from .told import requirements_of

Break = Callable[[np.random.Generator, World, Scene], Scene | None]
"""Makes a scene wrong, or gives None where it does not apply."""
_TRIES = 200


def broken(scene: Scene, world: World, rng: np.random.Generator) -> Scene:
    """The scene with one fault, which its own requirements find in the truth of the result.

    Raises ValueError if nothing can be made wrong about the scene.
    """
    requirements = requirements_of(scene)
    for _ in range(_TRIES):
        wrong = pick(rng, BREAKS[scene.skill])(rng, world, scene)
        if wrong is not None and not check(requirements, truth(wrong)).right:
            return wrong
    raise ValueError(f"found nothing to make wrong about a scene of the skill {scene.skill!r}: {scene}")


def _with(scene: Scene, things: Sequence[Thing]) -> Scene:
    return replace(scene, things=tuple(things), relations=())


def _changed(scene: Scene, index: int, **parts: object) -> Scene:
    things = list(scene.things)
    things[index] = replace(things[index], **parts)  # type: ignore[arg-type]
    return _with(scene, things)


def _any(rng: np.random.Generator, scene: Scene) -> int:
    return int(rng.integers(len(scene.things)))


def drop(rng: np.random.Generator, world: World, scene: Scene) -> Scene | None:
    """One thing less."""
    gone = _any(rng, scene)
    return (
        _with(scene, [t for i, t in enumerate(scene.things) if i != gone]) if len(scene.things) > 1 else None
    )


def add(rng: np.random.Generator, world: World, scene: Scene) -> Scene | None:
    """One more of a thing, where there is room."""
    thing = scene.things[_any(rng, scene)]
    box = _free(rng, thing.box, [other.box for other in scene.things])
    return _with(scene, [*scene.things, replace(thing, box=box)]) if box else None


def move(rng: np.random.Generator, world: World, scene: Scene) -> Scene | None:
    """One thing out of line."""
    i = _any(rng, scene)
    box = _free(rng, scene.things[i].box, [t.box for j, t in enumerate(scene.things) if j != i])
    return _changed(scene, i, box=box) if box else None


def _free(rng: np.random.Generator, box: Box, others: Sequence[Box]) -> Box | None:
    """Another place for a box, clear of the others; it may shrink by half to fit."""
    scale = between(rng, 0.5, 1.0)
    place = somewhere(rng, Size(scale * box.width, scale * box.height), 0.0)
    return None if any(overlap(place, other) for other in others) else place


def replace_kind(rng: np.random.Generator, world: World, scene: Scene) -> Scene | None:
    """Another kind of thing in place of one."""
    i = _any(rng, scene)
    thing = scene.things[i]
    kind = some_kind(rng, world.things, but=[t.kind for t in scene.things])
    colour = (
        (thing.colour or pick(rng, shown_colours(world, scene.ground))) if CATALOGUE[kind].recolour else None
    )
    return None if thing.worn or thing.held or thing.word else _changed(scene, i, kind=kind, colour=colour)


def recolour(rng: np.random.Generator, world: World, scene: Scene) -> Scene | None:
    """One thing in a colour that no thing here has."""
    i = _any(rng, scene)
    fresh = pick(rng, shown_colours(world, scene.ground, but=[t.colour for t in scene.things]))
    return _changed(scene, i, colour=fresh) if scene.things[i].colour else None


def swap_colours(rng: np.random.Generator, world: World, scene: Scene) -> Scene | None:
    """Two things exchange their colours."""
    pair = _two(rng, scene)
    if pair is None or not all(scene.things[i].colour for i in pair):
        return None
    i, j = pair
    once = _changed(scene, i, colour=scene.things[j].colour)
    return _changed(once, j, colour=scene.things[i].colour)


def swap_places(rng: np.random.Generator, world: World, scene: Scene) -> Scene | None:
    """Two things exchange their places."""
    pair = _two(rng, scene)
    if pair is None or any(thing.word for thing in scene.things):
        return None
    i, j = pair
    a, b = scene.things[i], scene.things[j]
    once = _changed(scene, i, kind=b.kind, colour=b.colour)
    return _changed(once, j, kind=a.kind, colour=a.colour)


def _two(rng: np.random.Generator, scene: Scene) -> tuple[int, int] | None:
    if len(scene.things) < 2:
        return None
    i, j = distinct(rng, range(len(scene.things)), 2)
    return i, j


def mirror(rng: np.random.Generator, world: World, scene: Scene) -> Scene | None:
    """The whole layout turned over, left to right or top to bottom."""
    turned = _left_to_right if rng.random() < 0.5 else _top_to_bottom
    return _with(scene, [replace(thing, box=turned(thing.box)) for thing in scene.things])


def _left_to_right(box: Box) -> Box:
    return Box(1 - box.right, box.top, 1 - box.left, box.bottom)


def _top_to_bottom(box: Box) -> Box:
    return Box(box.left, 1 - box.bottom, box.right, 1 - box.top)


def redress(rng: np.random.Generator, world: World, scene: Scene) -> Scene | None:
    """One wearer with other clothes, or with none."""
    i = _any(rng, scene)
    other = pick(rng, [(), *((name,) for name in world.wearables if name not in scene.things[i].worn)])
    return _changed(scene, i, worn=other) if scene.things[i].worn else None


def swap_clothes(rng: np.random.Generator, world: World, scene: Scene) -> Scene | None:
    """What one wears, the other wears."""
    pair = _two(rng, scene)
    if pair is None or not all(CATALOGUE[scene.things[i].kind].wears for i in pair):
        return None
    i, j = pair
    once = _changed(scene, i, worn=scene.things[j].worn)
    return _changed(once, j, worn=scene.things[i].worn)


def retint_held(rng: np.random.Generator, world: World, scene: Scene) -> Scene | None:
    """One held thing in a colour that nothing here has."""
    i = _any(rng, scene)
    held = scene.things[i].held
    used = [thing.held[1] for thing in scene.things if thing.held]
    fresh = pick(rng, shown_colours(world, scene.ground, but=used))
    return _changed(scene, i, held=(held[0], fresh)) if held and held[1] else None


def let_go(rng: np.random.Generator, world: World, scene: Scene) -> Scene | None:
    """One empty hand."""
    i = _any(rng, scene)
    return _changed(scene, i, held=None) if scene.things[i].held else None


def swap_held(rng: np.random.Generator, world: World, scene: Scene) -> Scene | None:
    """What one holds, the other holds."""
    pair = _two(rng, scene)
    if pair is None:
        return None
    i, j = pair
    once = _changed(scene, i, held=scene.things[j].held)
    return _changed(once, j, held=scene.things[i].held)


def misspell(rng: np.random.Generator, world: World, scene: Scene) -> Scene | None:
    """One letter of the sign is another."""
    i = _any(rng, scene)
    word = scene.things[i].word
    if not word:
        return None
    at = int(rng.integers(len(word)))
    letter = pick(rng, string.ascii_uppercase.replace(word[at], ""))
    return _changed(scene, i, word=word[:at] + letter + word[at + 1 :])


BREAKS: dict[str, tuple[Break, ...]] = {
    "one": (replace_kind,),
    "two": (drop, replace_kind),
    "count": (drop, add),
    "colour": (swap_colours, swap_colours, recolour),
    "position": (mirror, swap_places),
    "stack": (swap_places, move),
    "depth": (swap_places, move),
    "three": (swap_places, mirror, swap_colours),
    "mixed": (recolour, add, drop, mirror),
    "arrangement": (move,),
    "worn": (redress, swap_clothes),
    "held": (retint_held, let_go, swap_held),
    "crowd": (retint_held, let_go, drop),
    "word": (misspell,),
}
