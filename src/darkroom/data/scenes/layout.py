"""Where things stand: boxes that do not touch, lie inside the picture, and make relations plain to the eye.

Everything is built from one primitive, the chain: lengths that follow each other along an axis, gaps between.
Centres sit on multiples of the world's ``snap`` (0 means anywhere).
"""

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from . import drawings
from .chance import between, chance
from .graph import Box

EDGE = 0.012  # kept free at the picture's rim
GAP = 0.025  # kept free between things that do not touch
TOLERANCE = 1e-9


class DoesNotFit(Exception):
    """This draw of kinds and sizes has no room in the picture; the sampler draws again."""


class Size(NamedTuple):
    width: float
    height: float


def size_of(
    kind: str,
    long_side: float,
    worn: tuple[str, ...] = (),
    held: tuple[str, str | None] | None = None,
    word: str | None = None,
) -> Size:
    """Width and height of a whole drawing, its longer side given, all in fractions of the picture."""
    aspect = drawings.aspect(kind, worn, held, word)
    return Size(long_side, long_side / aspect) if aspect >= 1 else Size(long_side * aspect, long_side)


def box_at(centre: tuple[float, float], size: Size) -> Box:
    (x, y), (w, h) = centre, size
    return Box(x - w / 2, y - h / 2, x + w / 2, y + h / 2)


def up(value: float, snap: float) -> float:
    return math.ceil(value / snap - TOLERANCE) * snap if snap else value


def down(value: float, snap: float) -> float:
    return math.floor(value / snap + TOLERANCE) * snap if snap else value


def nearest(value: float, snap: float, low: float, high: float) -> float:
    """The allowed centre in [low, high] next to ``value``; DoesNotFit where there is none."""
    low, high = up(low, snap), down(high, snap)
    if low > high + TOLERANCE:
        raise DoesNotFit
    value = min(max(value, low), high)
    return min(max(round(value / snap) * snap, low), high) if snap else value


def somewhere(rng: np.random.Generator, size: Size, snap: float) -> Box:
    """Anywhere inside the picture."""
    x, y = (nearest(rng.random(), snap, EDGE + s / 2, 1 - EDGE - s / 2) for s in size)
    return box_at((x, y), size)


def half_a_step(box: Box, away: float, snap: float) -> Box:
    """The box half a step of the grid to the side, away from that place; where it was if there is no room."""
    step = snap / 2 if box.centre[0] > away else -snap / 2
    left, right = box.left + step, box.right + step
    return Box(left, box.top, right, box.bottom) if left >= EDGE and right <= 1 - EDGE else box


def chain(lengths: Sequence[float], snap: float, gap: float = GAP, even: bool = False) -> list[float]:
    """Centres, the first at 0, of lengths as close as gap and snap allow; ``even`` gives one pitch."""
    steps = [up((a + b) / 2 + gap, snap) for a, b in pairwise(lengths)]
    if even and steps:
        steps = [max(steps)] * len(steps)
    return list(accumulate(steps, initial=0.0))


def room(centres: Sequence[float], lengths: Sequence[float], snap: float) -> tuple[float, float]:
    """The lowest and highest shift that keep a chain inside the picture."""
    low = max(up(EDGE + length / 2 - c, snap) for c, length in zip(centres, lengths, strict=True))
    high = min(down(1 - EDGE - length / 2 - c, snap) for c, length in zip(centres, lengths, strict=True))
    if low > high + TOLERANCE:
        raise DoesNotFit
    return low, high


def spread(
    rng: np.random.Generator, lengths: Sequence[float], snap: float, even: bool = False
) -> list[float]:
    """Centres of lengths along an axis; the room left falls at random between them, or if even around."""
    centres = chain(lengths, snap, even=even)
    low, high = room(centres, lengths, snap)
    if even:
        shift = low + down(rng.random() * (high - low + snap), snap)
        return [c + shift for c in centres]
    shifts = sorted(low + down(rng.random() * (high - low + snap), snap) for _ in centres)
    return [c + s for c, s in zip(centres, shifts, strict=True)]


def tracks(
    rng: np.random.Generator,
    groups: Sequence[Sequence[Size]],
    axis: int,
    snap: float,
    *,
    level: bool = True,
    even: bool = False,
) -> list[list[Box]]:
    """Groups that follow each other along ``axis`` (0: columns left to right, 1: rows top to bottom).

    The members of a group follow each other along the other axis. ``level`` centres the groups on one line;
    otherwise each lies loosely. ``even`` spaces groups and members at one pitch, as in a formation.
    """
    other = 1 - axis
    along = spread(rng, [max(size[axis] for size in group) for group in groups], snap, even)
    across = _level(rng, groups, other, snap) if level else [_loose(rng, g, other, snap) for g in groups]
    return [
        [box_at((a, c) if axis == 0 else (c, a), size) for c, size in zip(centres, group, strict=True)]
        for a, centres, group in zip(along, across, groups, strict=True)
    ]


def _loose(rng: np.random.Generator, group: Sequence[Size], axis: int, snap: float) -> list[float]:
    return spread(rng, [size[axis] for size in group], snap)


def _level(
    rng: np.random.Generator, groups: Sequence[Sequence[Size]], axis: int, snap: float
) -> list[list[float]]:
    """Centres of every group about one common middle."""
    lengths = [[size[axis] for size in group] for group in groups]
    pitch = 2 * snap  # an even number of snaps, so that half a pitch still snaps (pyramids)
    chains = [chain(row, pitch if len(row) > 1 else snap, even=True) for row in lengths]
    spans = [room(c, row, snap) for c, row in zip(chains, lengths, strict=True)]
    low = max(span[0] + c[-1] / 2 for span, c in zip(spans, chains, strict=True))
    high = min(span[1] + c[-1] / 2 for span, c in zip(spans, chains, strict=True))
    middle = nearest(between(rng, low, high), snap, low, high)
    return [
        [c + nearest(middle - cs[-1] / 2, snap, *span) for c in cs]
        for cs, span in zip(chains, spans, strict=True)
    ]


def seat(rng: np.random.Generator, boxes: Sequence[Box], snap: float) -> list[Box]:
    """The same boxes moved up or down to stand on one line in the lower part of the picture."""
    tallest = max(box.height for box in boxes)
    floor = between(rng, max(0.72, tallest + EDGE), 1 - EDGE) if tallest < 0.95 else 1 - EDGE
    return [_seated(box, floor, snap) for box in boxes]


def _seated(box: Box, floor: float, snap: float) -> Box:
    half = box.height / 2
    y = nearest(floor - half, snap, EDGE + half, 1 - EDGE - half)
    return box_at((box.centre[0], y), Size(box.width, box.height))


def circle(rng: np.random.Generator, size: Size, count: int, snap: float) -> list[Box]:
    """``count`` boxes of one size around a circle, the first at the top."""
    step = 2 * math.sin(math.pi / count)
    radius = between(rng, 1.0, 1.15) * (max(size) + GAP + snap / 2) / step
    margin = [EDGE + radius + s / 2 for s in size]
    x, y = (nearest(rng.random(), snap, m, 1 - m) for m in margin)
    turns = [2 * math.pi * i / count for i in range(count)]
    boxes = [box_at(_snapped(x + radius * math.sin(a), y - radius * math.cos(a), snap), size) for a in turns]
    if any(overlap(a, b) or not inside(a) for i, a in enumerate(boxes) for b in boxes[i + 1 :]):
        raise DoesNotFit
    return boxes


def _snapped(x: float, y: float, snap: float) -> tuple[float, float]:
    return (round(x / snap) * snap, round(y / snap) * snap) if snap else (x, y)


def in_front(rng: np.random.Generator, back: Box, size: Size, snap: float) -> Box:
    """A box that hides a corner of ``back``: aside, lower, and at most 45% of it covered."""
    for _ in range(12):
        side = 1 if chance(rng, 0.5) else -1
        x = back.centre[0] + side * between(rng, 0.3, 0.55) * back.width
        y = back.bottom + between(rng, 0.03, 0.14) - size.height / 2
        box = box_at(_snapped(x, y, snap), size)
        hidden = overlap(box, back)
        plain = 0.1 * back.width * back.height < hidden < 0.45 * back.width * back.height
        lower = 0.02 < box.bottom - back.bottom < 0.2
        if plain and lower and inside(box) and hidden > 0.2 * size.width * size.height:
            return box
    raise DoesNotFit


def overlap(a: Box, b: Box) -> float:
    """The area that two boxes share."""
    width = min(a.right, b.right) - max(a.left, b.left)
    height = min(a.bottom, b.bottom) - max(a.top, b.top)
    return max(width, 0.0) * max(height, 0.0)


def inside(box: Box) -> bool:
    return box.left >= 0 and box.top >= 0 and box.right <= 1 and box.bottom <= 1
