"""When boxes stand in a relation, are worn, are held, or form a figure.

Every rule looks at boxes alone, in fractions of the picture with y downwards, and allows for a box that
is off by about a tenth of its size.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from darkroom.data.scenes.graph import Box, RelationKind

SLACK = 0.1  # of the summed sizes, as in GenEval (Ghosh et al. 2023, arXiv 2310.11513, appendix)


def right_of(a: Box, b: Box) -> bool:
    """Whether a's centre lies to the right of b's by more than boxes err."""
    return a.centre[0] - b.centre[0] > SLACK * (a.width + b.width)


def below(a: Box, b: Box) -> bool:
    """Whether a's centre lies under b's by more than boxes err."""
    return a.centre[1] - b.centre[1] > SLACK * (a.height + b.height)


def on_top_of(a: Box, b: Box) -> bool:
    """Whether a stands on b: its foot near b's upper edge, its middle over b."""
    over = b.left < a.centre[0] < b.right
    sunk = a.bottom - b.top
    clear, deep = max(0.2 * a.height, 0.03), max(0.4 * a.height, 0.25 * b.height)
    return over and below(b, a) and -clear < sunk < deep


def in_front_of(a: Box, b: Box) -> bool:
    """Whether a hides a part of b and its foot is nearer to the viewer; pictures show no more of depth."""
    return shared(a, b) > 0.05 * min(area(a), area(b)) and a.bottom > b.bottom


RELATIONS: dict[RelationKind, Callable[[Box, Box], bool]] = {
    "left of": lambda a, b: right_of(b, a),
    "right of": right_of,
    "above": lambda a, b: below(b, a),
    "below": below,
    "on top of": on_top_of,
    "in front of": in_front_of,
    "behind": lambda a, b: in_front_of(b, a),
}


def worn_by(a: Box, b: Box) -> bool:
    """Whether a, glasses or a hat, sits on the head that is b or on its top."""
    x, y = a.centre
    middle = b.left + 0.2 * b.width < x < b.right - 0.2 * b.width
    upper = b.top - 0.6 * a.height < y < b.top + 0.75 * b.height
    return middle and upper and 0.15 * b.width < a.width < 1.5 * b.width


def distance(a: Box, b: Box) -> float:
    """The free way between two boxes; 0 where they touch."""
    across = max(a.left - b.right, b.left - a.right, 0.0)
    down = max(a.top - b.bottom, b.top - a.bottom, 0.0)
    return math.hypot(across, down)


def held_by(a: Box, b: Box) -> bool:
    """Whether a is as near to b as a thing in a hand."""
    return distance(a, b) < 0.1 * b.height


def area(box: Box) -> float:
    return max(box.width, 0.0) * max(box.height, 0.0)


def shared(a: Box, b: Box) -> float:
    """The area that two boxes share."""
    width = min(a.right, b.right) - max(a.left, b.left)
    height = min(a.bottom, b.bottom) - max(a.top, b.top)
    return max(width, 0.0) * max(height, 0.0)


def iou(a: Box, b: Box) -> float:
    """Shared area over the area of both; 0 for two empty boxes."""
    common = shared(a, b)
    return common / (area(a) + area(b) - common) if common else 0.0


def row(boxes: Sequence[Box]) -> bool:
    """Whether boxes stand side by side at one height."""
    return _line(sorted(boxes, key=lambda box: box.centre[0]), axis=0)


def column(boxes: Sequence[Box]) -> bool:
    """Whether boxes stand over one another."""
    return _line(sorted(boxes, key=lambda box: box.centre[1]), axis=1)


def _line(boxes: Sequence[Box], axis: int) -> bool:
    off = [box.centre[1 - axis] for box in boxes]
    level = max(off) - min(off) < 0.5 * min((box.height, box.width)[axis] for box in boxes)
    follows = RELATIONS["left of" if axis == 0 else "above"]
    return level and all(follows(a, b) for a, b in pairwise(boxes))


def rows_of(boxes: Sequence[Box]) -> list[list[Box]]:
    """Boxes in rows from top to bottom: a new row begins where the next centre is half a box lower."""
    rows: list[list[Box]] = []
    for box in sorted(boxes, key=lambda box: box.centre[1]):
        if rows and box.centre[1] - rows[-1][-1].centre[1] < 0.45 * box.height:
            rows[-1].append(box)
        else:
            rows.append([box])
    return rows


def pyramid(boxes: Sequence[Box]) -> bool:
    """Whether each row, from the top, has one box more than the row over it and stands centred under it."""
    rows = rows_of(boxes)
    grows = [len(r) for r in rows] == list(range(1, len(rows) + 1)) and len(rows) > 1
    middles = [sum(box.centre[0] for box in r) / len(r) for r in rows]
    widest = max(box.width for box in boxes)
    return grows and max(middles) - min(middles) < 0.5 * widest and all(row(r) for r in rows)


def circle(boxes: Sequence[Box]) -> bool:
    """Whether four or more boxes lie about a free middle, no step over 1.6 times the even one."""
    n = len(boxes)
    x, y = (sum(box.centre[i] for box in boxes) / n for i in (0, 1))
    arms = [(box.centre[0] - x, box.centre[1] - y) for box in boxes]
    radii = [math.hypot(*arm) for arm in arms]
    angles = sorted(math.atan2(dy, dx) for dx, dy in arms)
    gaps = [b - a for a, b in pairwise([*angles, angles[0] + 2 * math.pi])]
    return n > 3 and min(radii) > 0.7 * max(radii) and max(gaps) < 1.6 * 2 * math.pi / n


ARRANGEMENTS: dict[str, Callable[[Sequence[Box]], bool]] = {
    "row": row,
    "column": column,
    "pyramid": pyramid,
    "circle": circle,
}
