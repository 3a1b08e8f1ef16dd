"""Skills about where things stand to each other."""

import numpy as np

from ..catalogue import CATALOGUE
from ..chance import chance, distinct, pick
from ..drawings import footing
from ..graph import Box, Relation, RelationKind, Scene, Thing
from ..layout import EDGE, Size, box_at, in_front, nearest, seat, somewhere, tracks
from ..world import World
from .common import (
    AXES,
    Setting,
    flat,
    setting,
    settle,
    show,
    shown_colours,
    sized,
    some_kind,
    some_thing,
    stands,
    tint,
)


def some_pair(rng: np.random.Generator, world: World) -> list[str]:
    """Two kinds; now and then one kind twice, to be told apart by colour."""
    if chance(rng, 0.12):
        return [pick(rng, world.coloured)] * 2
    first = some_thing(rng, world)
    return [first, some_kind(rng, world.things, but=[first])]


def painted(rng: np.random.Generator, world: World, kinds: list[str], where: Setting) -> list[str | None]:
    """Colours for things; those of the same kind get different ones."""
    if len(set(kinds)) < len(kinds):
        return list(distinct(rng, shown_colours(world, where.ground), len(kinds)))
    return [tint(rng, world, kind, where.ground) for kind in kinds]


def line_up(rng: np.random.Generator, sizes: list[Size], axis: int, snap: float) -> list[Box]:
    """Boxes along an axis, level most of the time and never so far aside that the relation is unclear."""
    singles = [[size] for size in sizes]
    boxes = flat(tracks(rng, singles, axis, snap, level=chance(rng, 0.75)))
    return boxes if _plain(boxes, axis) else flat(tracks(rng, singles, axis, snap))


def _plain(boxes: list[Box], axis: int) -> bool:
    centres = [box.centre for box in boxes]
    return all(
        abs(a[1 - axis] - b[1 - axis]) < 0.6 * abs(a[axis] - b[axis])
        for i, a in enumerate(centres)
        for b in centres[i + 1 :]
    )


def position(rng: np.random.Generator, world: World) -> Scene:
    """One thing to the left of, to the right of, above or below another."""
    where = setting(rng, world)
    kinds = some_pair(rng, world)
    side: RelationKind = pick(rng, tuple(AXES))
    axis, first = AXES[side], side in ("left of", "above")
    order = kinds if first else kinds[::-1]
    boxes = settle(lambda: line_up(rng, [sized(rng, world, k, 0.26, 0.46) for k in order], axis, world.snap))
    if axis == 0 and all(stands(kind, where) for kind in kinds):
        boxes = seat(rng, boxes, world.snap)
    colours = painted(rng, world, kinds, where)
    things = [Thing(*p) for p in zip(kinds, boxes if first else boxes[::-1], colours, strict=True)]
    return show(rng, "position", where, things, [Relation(0, side, 1)])


def some_stack(rng: np.random.Generator, world: World) -> tuple[str, str]:
    """A kind that stands on top and a kind that bears it."""
    base = pick(rng, world.bases)
    if CATALOGUE[base].recolour and chance(rng, 0.1):
        return base, base
    while CATALOGUE[top := some_thing(rng, world)].group == "sky" or top in (base, "table"):
        pass
    return top, base


def stack_size(top: Size, base: Size, kind: str) -> Size:
    """What a thing and its base take up together."""
    return Size(max(top.width, base.width), top.height + base.height * (1 - footing(kind)))


def unstack(both: Box, top: Size, base: Size) -> tuple[Box, Box]:
    """The boxes of a thing and its base within the box of both."""
    x = both.centre[0]
    return (
        box_at((x, both.top + top.height / 2), top),
        box_at((x, both.bottom - base.height / 2), base),
    )


def stack(rng: np.random.Generator, world: World) -> Scene:
    """A thing on top of another, standing on it."""
    where = setting(rng, world)
    kinds = list(some_stack(rng, world))
    boxes = settle(lambda: _stacked(rng, world, kinds, where))
    colours = painted(rng, world, kinds, where)
    things = [Thing(*parts) for parts in zip(kinds, boxes, colours, (0.4, 0.6), strict=True)]
    return show(rng, "stack", where, things, [Relation(0, "on top of", 1)])


def _stacked(rng: np.random.Generator, world: World, kinds: list[str], where: Setting) -> tuple[Box, Box]:
    base = sized(rng, world, kinds[1], 0.4, 0.6)
    top = sized(rng, world, kinds[0], 0.22, 0.36)
    both = somewhere(rng, stack_size(top, base, kinds[1]), world.snap)
    if stands(kinds[1], where):
        [both] = seat(rng, [both], world.snap)
    return unstack(both, top, base)


def depth(rng: np.random.Generator, world: World) -> Scene:
    """One thing in front of another, hiding a corner of it."""
    where = setting(rng, world)
    kinds = some_pair(rng, world)  # near, far
    near, far = settle(lambda: _overlapping(rng, world, kinds))
    colours = painted(rng, world, kinds, where)
    things = [Thing(*parts) for parts in zip(kinds, (near, far), colours, (0.3, 0.7), strict=True)]
    if chance(rng, 0.5):
        return show(rng, "depth", where, things, [Relation(0, "in front of", 1)])
    return show(rng, "depth", where, things[::-1], [Relation(0, "behind", 1)])


def _overlapping(rng: np.random.Generator, world: World, kinds: list[str]) -> tuple[Box, Box]:
    far = somewhere(rng, sized(rng, world, kinds[1], 0.42, 0.62), world.snap)
    return in_front(rng, far, sized(rng, world, kinds[0], 0.28, 0.46), world.snap), far


def three(rng: np.random.Generator, world: World) -> Scene:
    """Three things in a chain of two relations: a on b beside c, three in a line, or a above b beside c."""
    return pick(rng, (_stack_beside, _stack_beside, _in_line, _corner))(rng, world)


def _colours_of_three(
    rng: np.random.Generator, world: World, kinds: list[str], where: Setting
) -> list[str | None]:
    """Colours for three things: different ones where kinds repeat, and most often anyway."""
    if len(set(kinds)) == 3 and not chance(rng, 0.6):
        return [tint(rng, world, kind, where.ground) for kind in kinds]
    fresh = distinct(rng, shown_colours(world, where.ground), 3)
    return [c if CATALOGUE[k].recolour else None for k, c in zip(kinds, fresh, strict=True)]


def _third(rng: np.random.Generator, world: World, kinds: list[str]) -> str:
    solids = [k for k in world.things if CATALOGUE[k].group == "solid" and k not in kinds]
    if solids and chance(rng, 0.4):
        return pick(rng, solids)
    return some_kind(rng, world.things, but=kinds)


def _stack_beside(rng: np.random.Generator, world: World) -> Scene:
    where = setting(rng, world)
    top, base = some_stack(rng, world)
    kinds = [top, base, _third(rng, world, [top, base])]
    side: RelationKind = pick(rng, ("left of", "right of"))
    boxes = settle(lambda: _stack_and_one(rng, world, kinds, side, where))
    things = _things(rng, world, kinds, boxes, where, (0.4, 0.6, 0.5))
    return show(rng, "three", where, things, [Relation(0, "on top of", 1), Relation(1, side, 2)])


def _stack_and_one(
    rng: np.random.Generator, world: World, kinds: list[str], side: RelationKind, where: Setting
) -> list[Box]:
    top, base = sized(rng, world, kinds[0], 0.22, 0.32), sized(rng, world, kinds[1], 0.28, 0.44)
    pair = [stack_size(top, base, kinds[1]), sized(rng, world, kinds[2], 0.26, 0.44)]
    order = 1 if side == "left of" else -1
    both, other = flat(tracks(rng, [[size] for size in pair[::order]], 0, world.snap))[::order]
    if where.ground not in ("night sky", "space") or chance(rng, 0.5):
        both, other = seat(rng, [both, other], world.snap)
    return [*unstack(both, top, base), other]


def _things(
    rng: np.random.Generator,
    world: World,
    kinds: list[str],
    boxes: list[Box],
    where: Setting,
    depths: tuple[float, ...] = (0.5, 0.5, 0.5),
) -> list[Thing]:
    colours = _colours_of_three(rng, world, kinds, where)
    return [Thing(*parts) for parts in zip(kinds, boxes, colours, depths, strict=True)]


def _three_kinds(rng: np.random.Generator, world: World) -> list[str]:
    if chance(rng, 0.08):
        return [pick(rng, world.coloured)] * 3
    return distinct(rng, world.things, 3) if chance(rng, 0.5) else distinct(rng, world.coloured, 3)


def _in_line(rng: np.random.Generator, world: World) -> Scene:
    where = setting(rng, world)
    kinds = _three_kinds(rng, world)
    side: RelationKind = pick(rng, ("left of", "right of", "left of", "right of", "above", "below"))
    axis, order = AXES[side], 1 if side in ("left of", "above") else -1

    def draw() -> list[Box]:
        return line_up(rng, [sized(rng, world, k, 0.2, 0.3) for k in kinds[::order]], axis, world.snap)

    boxes = settle(draw)
    if axis == 0 and all(stands(kind, where) for kind in kinds):
        boxes = seat(rng, boxes, world.snap)
    things = _things(rng, world, kinds, boxes[::order], where)
    return show(rng, "three", where, things, [Relation(0, side, 1), Relation(1, side, 2)])


def _corner(rng: np.random.Generator, world: World) -> Scene:
    where = setting(rng, world)
    kinds = _three_kinds(rng, world)
    upright: RelationKind = pick(rng, ("above", "below"))
    side: RelationKind = pick(rng, ("left of", "right of"))
    boxes = settle(lambda: _column_and_one(rng, world, kinds, upright, side))
    things = _things(rng, world, kinds, boxes, where)
    return show(rng, "three", where, things, [Relation(0, upright, 1), Relation(1, side, 2)])


def _column_and_one(
    rng: np.random.Generator, world: World, kinds: list[str], upright: RelationKind, side: RelationKind
) -> list[Box]:
    """a over (or under) b in one column, and c level with b in the other."""
    a, b, c = (sized(rng, world, kind, 0.24, 0.36) for kind in kinds)
    column = [a, b] if upright == "above" else [b, a]
    groups = [column, [c]] if side == "left of" else [[c], column]
    placed = tracks(rng, groups, 0, world.snap)
    pair, [lone] = placed if side == "left of" else placed[::-1]
    over, under = pair if upright == "above" else pair[::-1]
    y = nearest(under.centre[1], world.snap, EDGE + c.height / 2, 1 - EDGE - c.height / 2)
    return [over, under, box_at((lone.centre[0], y), c)]
