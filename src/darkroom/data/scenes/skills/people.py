"""Skills about who wears and who holds what."""

from itertools import accumulate, pairwise

import numpy as np

from ..catalogue import CATALOGUE
from ..chance import chance, distinct, pick, shuffled, weighted
from ..faces import HANDS
from ..graph import Box, Scene, Thing
from ..layout import size_of, somewhere, tracks
from ..world import World
from .common import flat, setting, settle, show, shown_colours, some_kind, tint

EYEWEAR = frozenset({"sunglasses", "glasses"})
# What a whole crowd may hold, and how often.
CARRIED = (("umbrella", 0.7), ("balloon", 0.3))
CROWD_ROWS = {3: ((3,), (1, 2), (2, 1)), 4: ((2, 2), (4,)), 5: ((2, 3), (3, 2)), 6: ((3, 3),)}
CROWD_SPAN = {3: (0.3, 0.46), 4: (0.28, 0.44), 5: (0.28, 0.42), 6: (0.28, 0.42)}


def outfit(rng: np.random.Generator, world: World, but: tuple[str, ...] = ()) -> tuple[str, ...]:
    """One worn thing, or now and then something on the head and something before the eyes."""
    eyes = [k for k in world.wearables if k in EYEWEAR and k not in but]
    heads = [k for k in world.wearables if k not in EYEWEAR and k not in but]
    if eyes and heads and chance(rng, 0.15):
        return pick(rng, heads), pick(rng, eyes)
    return (pick(rng, eyes if eyes and (chance(rng, 0.4) or not heads) else heads),)


def worn(rng: np.random.Generator, world: World) -> Scene:
    """Somebody wearing glasses, a hat or a crown; alone, beside a thing, or beside another wearer."""
    where = setting(rng, world)
    wearer = pick(rng, world.wearers)
    clothes = [outfit(rng, world)]
    kinds = [wearer]
    company = weighted(rng, (("none", 0.6), ("thing", 0.2), ("wearer", 0.2)))
    if company == "wearer":
        kinds.append(some_kind(rng, world.wearers, but=[wearer]))
        clothes.append(outfit(rng, world, but=clothes[0]))
    elif company == "thing":
        kinds.append(some_kind(rng, world.things, but=[wearer, *clothes[0]]))
        clothes.append(())
    boxes = settle(lambda: _portraits(rng, world, kinds, clothes))
    colours = [tint(rng, world, kind, where.ground, own=0.6) for kind in kinds]
    things = [Thing(k, b, c, worn=w) for k, b, c, w in zip(kinds, boxes, colours, clothes, strict=True)]
    return show(rng, "worn", where, things)


def _portraits(
    rng: np.random.Generator, world: World, kinds: list[str], clothes: list[tuple[str, ...]]
) -> list[Box]:
    span = (0.46, 0.68) if len(kinds) == 1 else (0.34, 0.46)
    sizes = [size_of(k, world.size(rng, *span), worn=w) for k, w in zip(kinds, clothes, strict=True)]
    if len(kinds) == 1:
        return [somewhere(rng, sizes[0], world.snap)]
    return flat(tracks(rng, [[size] for size in sizes], 0, world.snap))


def some_held(rng: np.random.Generator, world: World, person: str) -> str:
    """An umbrella, most often, or what the person has hands for."""
    if "umbrella" in world.held_aloft and chance(rng, 0.4):
        return "umbrella"
    return pick(rng, world.held_aloft + (world.held_in_hand if person in HANDS else ()))


def held(rng: np.random.Generator, world: World) -> Scene:
    """One or two people, each holding a thing."""
    where = setting(rng, world, rain=0.25)
    people = distinct(rng, world.holders, 1 if chance(rng, 0.65) else 2)
    kinds = [some_held(rng, world, person) for person in people]
    fresh = distinct(rng, shown_colours(world, where.ground), len(people))
    goods = [(k, c if CATALOGUE[k].recolour else None) for k, c in zip(kinds, fresh, strict=True)]
    span = (0.5, 0.7) if len(people) == 1 else (0.4, 0.5)
    boxes = settle(lambda: _gathering(rng, world, people, goods, (len(people),), span))
    things = [Thing(p, box, held=h) for p, box, h in zip(people, boxes, goods, strict=True)]
    return show(rng, "held", where, things)


def crowd(rng: np.random.Generator, world: World) -> Scene:
    """Three to six people holding the same thing in one colour, but for one of them."""
    where = setting(rng, world, rain=0.6)
    carried = weighted(rng, [(k, w) for k, w in CARRIED if k in world.held_aloft])
    n = weighted(rng, ((3, 0.15), (4, 0.3), (5, 0.25), (6, 0.3)))
    people = [pick(rng, world.people) for _ in range(n)]
    odd, usual = distinct(rng, shown_colours(world, where.ground), 2)
    goods: list[tuple[str, str | None]] = [
        (carried, colour) for colour in shuffled(rng, [odd] + [usual] * (n - 1))
    ]
    boxes = settle(lambda: _gathering(rng, world, people, goods, pick(rng, CROWD_ROWS[n]), CROWD_SPAN[n]))
    return show(
        rng, "crowd", where, [Thing(p, b, held=h) for p, b, h in zip(people, boxes, goods, strict=True)]
    )


def _gathering(
    rng: np.random.Generator,
    world: World,
    people: list[str],
    goods: list[tuple[str, str | None]],
    rows: tuple[int, ...],
    span: tuple[float, float],
) -> list[Box]:
    """People in rows, all of one height."""
    long_side = world.size(rng, *span)
    sizes = [size_of(k, long_side, held=h) for k, h in zip(people, goods, strict=True)]
    ends = accumulate(rows, initial=0)
    grid = [sizes[a:b] for a, b in pairwise(ends)]
    return flat(tracks(rng, grid, 1, world.snap, even=True))
