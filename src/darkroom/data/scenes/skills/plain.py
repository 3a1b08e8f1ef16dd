"""Skills about what there is: one thing, two things, numbers, colours, formations, words on signs."""

import numpy as np

from ..chance import chance, distinct, pick, shuffled, weighted
from ..graph import Box, Relation, RelationKind, Scene, Thing
from ..layout import Size, circle, half_a_step, seat, size_of, somewhere, tracks
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

NUMBERS = ((1, 0.06), (2, 0.14), (3, 0.2), (4, 0.2), (5, 0.2), (6, 0.2))
# How many things stand in each row; also read as columns.
ROWS: dict[int, tuple[tuple[int, ...], ...]] = {
    1: ((1,),),
    2: ((2,), (1, 1)),
    3: ((3,), (2, 1), (1, 2), (1, 1, 1)),
    4: ((4,), (2, 2), (3, 1), (1, 3), (1, 2, 1)),
    5: ((3, 2), (2, 3), (2, 1, 2), (1, 3, 1), (1, 2, 2)),
    6: ((3, 3), (2, 2, 2), (1, 3, 2), (2, 3, 1), (3, 1, 2)),
}
SPAN = {1: (0.4, 0.6), 2: (0.28, 0.42), 3: (0.25, 0.34), 4: (0.2, 0.3), 5: (0.2, 0.28), 6: (0.2, 0.28)}


def one(rng: np.random.Generator, world: World) -> Scene:
    """One thing, large."""
    where = setting(rng, world)
    kind = some_thing(rng, world)
    box = somewhere(rng, sized(rng, world, kind, 0.4, 0.68), world.snap)
    if stands(kind, where):
        [box] = seat(rng, [box], world.snap)
    return show(rng, "one", where, [Thing(kind, box, tint(rng, world, kind, where.ground))])


def beside(
    rng: np.random.Generator, world: World, kinds: list[str], where: Setting, sizes: tuple[float, float]
) -> list[Box]:
    """Boxes of different things next to each other, on the ground where there is one, else anywhere."""
    boxes = settle(lambda: _scattered(rng, world, [sized(rng, world, kind, *sizes) for kind in kinds]))
    rows = len({round(box.centre[0], 3) for box in boxes}) == len(boxes)
    if all(stands(kind, where) for kind in kinds) and rows and not _stacked(boxes):
        return seat(rng, boxes, world.snap)
    return boxes


def _scattered(rng: np.random.Generator, world: World, sizes: list[Size]) -> list[Box]:
    axis = 0 if chance(rng, 0.7) else 1
    return flat(tracks(rng, [[size] for size in sizes], axis, world.snap, level=chance(rng, 0.6)))


def _stacked(boxes: list[Box]) -> bool:
    """Whether boxes stand over each other, so that they would collide on one line."""
    return any(a.right > b.left and b.right > a.left for i, a in enumerate(boxes) for b in boxes[i + 1 :])


def two(rng: np.random.Generator, world: World) -> Scene:
    """Two things of different kinds."""
    where = setting(rng, world)
    first = some_thing(rng, world)
    kinds = [first, some_kind(rng, world.things, but=[first])]
    boxes = beside(rng, world, kinds, where, (0.28, 0.46))
    colours = [tint(rng, world, kind, where.ground) for kind in kinds]
    return show(rng, "two", where, [Thing(*parts) for parts in zip(kinds, boxes, colours, strict=True)])


def colour(rng: np.random.Generator, world: World) -> Scene:
    """Two or three things, each in a colour of its own."""
    where = setting(rng, world)
    count = 2 if chance(rng, 0.6) else 3
    kinds = distinct(rng, world.coloured, count)
    if chance(rng, 0.12):
        kinds = [kinds[0]] * count
    boxes = beside(rng, world, kinds, where, (0.28, 0.42) if count == 2 else (0.22, 0.3))
    colours = distinct(rng, shown_colours(world, where.ground), count)
    return show(rng, "colour", where, [Thing(*parts) for parts in zip(kinds, boxes, colours, strict=True)])


def herd(rng: np.random.Generator, world: World, kind: str, count: int) -> list[Box]:
    """``count`` boxes of one kind and size, loosely in rows or columns."""

    def draw() -> list[Box]:
        size = size_of(kind, world.size(rng, *SPAN[count]))
        rows = [[size] * n for n in pick(rng, ROWS[count])]
        return flat(tracks(rng, rows, int(chance(rng, 0.6)), world.snap, level=chance(rng, 0.3)))

    return settle(draw)


def count(rng: np.random.Generator, world: World) -> Scene:
    """One to six of a kind, all alike."""
    where = setting(rng, world)
    kind = some_thing(rng, world)
    painted = tint(rng, world, kind, where.ground, own=0.45)
    boxes = herd(rng, world, kind, weighted(rng, NUMBERS))
    return show(rng, "count", where, [Thing(kind, box, painted) for box in boxes])


def mixed(rng: np.random.Generator, world: World) -> Scene:
    """Two to four of a kind in one or two colours, alone or in a relation to another thing."""
    where = setting(rng, world)
    kind = pick(rng, world.coloured)
    n = weighted(rng, ((2, 0.3), (3, 0.45), (4, 0.25)))
    if chance(rng, 0.2):
        boxes = herd(rng, world, kind, n)
        return show(rng, "mixed", where, _two_coloured(rng, world, kind, boxes, where))
    other = some_kind(rng, world.things, but=[kind])
    side: RelationKind = pick(rng, ("left of", "right of", "left of", "right of", "above", "below"))
    boxes, far = settle(lambda: _group_and_one(rng, world, (kind, n, other), side))
    things = _two_coloured(rng, world, kind, boxes, where)
    things.append(Thing(other, far, tint(rng, world, other, where.ground)))
    return show(rng, "mixed", where, things, [Relation(i, side, n) for i in range(n)])


def _group_and_one(
    rng: np.random.Generator, world: World, what: tuple[str, int, str], side: RelationKind
) -> tuple[list[Box], Box]:
    kind, n, other = what
    size = sized(rng, world, kind, 0.18, 0.28)
    shape = pick(rng, {2: ((2,), (1, 1)), 3: ((2, 1), (1, 2), (3,)), 4: ((2, 2),)}[n])
    group = [[size] * members for members in shape]
    single = [[sized(rng, world, other, 0.22, 0.44)]]
    first = side in ("left of", "above")
    placed = tracks(rng, group + single if first else single + group, AXES[side], world.snap)
    return (flat(placed[:-1]), placed[-1][0]) if first else (flat(placed[1:]), placed[0][0])


def _two_coloured(
    rng: np.random.Generator, world: World, kind: str, boxes: list[Box], where: Setting
) -> list[Thing]:
    """Things of a kind in two colours, most often; else in one."""
    a, b = distinct(rng, shown_colours(world, where.ground), 2)
    of_a = 1 + int(rng.random() * (len(boxes) - 1)) if chance(rng, 0.8) else len(boxes)
    colours = shuffled(rng, [a] * of_a + [b] * (len(boxes) - of_a))
    return [Thing(kind, box, painted) for box, painted in zip(boxes, colours, strict=True)]


def arrangement(rng: np.random.Generator, world: World) -> Scene:
    """Several of a kind in a row, a column, a pyramid or a circle."""
    where = setting(rng, world)
    kind = some_thing(rng, world)
    painted = tint(rng, world, kind, where.ground, own=0.45)
    form = pick(rng, ("row", "column", "pyramid", "pyramid", "circle"))
    boxes = settle(lambda: _formation(rng, world, kind, form))
    return show(rng, "arrangement", where, [Thing(kind, box, painted) for box in boxes], arrangement=form)


def _formation(rng: np.random.Generator, world: World, kind: str, form: str) -> list[Box]:
    size = size_of(kind, world.size(rng, 0.2, 0.3))
    if form == "circle":
        return circle(rng, size, weighted(rng, ((4, 0.3), (5, 0.35), (6, 0.35))), world.snap)
    if form == "pyramid":
        rows = pick(rng, ((1, 2), (1, 2), (1, 2, 3)))
        return flat(tracks(rng, [[size] * n for n in rows], 1, world.snap, even=True))
    n = weighted(rng, ((2, 0.1), (3, 0.5), (4, 0.4)))
    return flat(tracks(rng, [[size]] * n, 0 if form == "row" else 1, world.snap, even=True))


def word(rng: np.random.Generator, world: World) -> Scene:
    """A sign with a word on it, now and then with another thing beside it."""
    where = setting(rng, world)
    text = pick(rng, world.words)
    own = tint(rng, world, "sign", where.ground, own=world.plain_signs)
    if chance(rng, 0.75):
        box = somewhere(rng, size_of("sign", world.size(rng, 0.5, 0.8), word=text), world.snap)
        return show(
            rng, "word", where, [Thing("sign", _between_lines(box, 0.5, text, world), own, word=text)]
        )
    other = some_thing(rng, world)
    side: RelationKind = pick(rng, tuple(AXES))
    sign, box = settle(lambda: _sign_and_one(rng, world, text, other, side))
    sign = _between_lines(sign, box.centre[0], text, world)
    things = [Thing("sign", sign, own, word=text), Thing(other, box, tint(rng, world, other, where.ground))]
    return show(rng, "word", where, things, [Relation(0, side, 1)])


def _between_lines(sign: Box, away: float, text: str, world: World) -> Box:
    """Where letters stand between the lines of the world's grid: those of an odd word half a step aside."""
    return half_a_step(sign, away, world.snap) if len(text) % 2 else sign


def _sign_and_one(
    rng: np.random.Generator, world: World, text: str, other: str, side: RelationKind
) -> tuple[Box, Box]:
    sign = size_of("sign", world.size(rng, 0.5, 0.6), word=text)
    sizes = [[sign], [sized(rng, world, other, 0.2, 0.34)]]
    first = side in ("left of", "above")
    boxes = flat(tracks(rng, sizes if first else sizes[::-1], AXES[side], world.snap))
    return (boxes[0], boxes[1]) if first else (boxes[1], boxes[0])
