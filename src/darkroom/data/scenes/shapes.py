"""Flat shapes of one colour with a slightly darker edge."""

import math

import numpy as np
from PIL import Image, ImageDraw

SUPERSAMPLE = 4
Points = list[tuple[float, float]]


def _polygon(corners: int, start: float = -90, inner: float | None = None) -> Points:
    """Corners on a circle from ``start`` degrees, with ``inner`` a star; stretched to the unit square."""
    count = corners * (2 if inner else 1)
    points = []
    for i in range(count):
        angle = math.radians(start + 360 * i / count)
        radius = inner if inner and i % 2 else 1.0
        points.append((radius * math.cos(angle), radius * math.sin(angle)))
    left, right = min(p[0] for p in points), max(p[0] for p in points)
    top, bottom = min(p[1] for p in points), max(p[1] for p in points)
    return [((x - left) / (right - left), (y - top) / (bottom - top)) for x, y in points]


def _crescent() -> Points:
    """The part of a disc that another disc, to its right, leaves free."""
    outer = [(math.cos(math.radians(a)), math.sin(math.radians(a))) for a in range(60, 301, 4)]
    inner = [
        (0.5 + 0.866 * math.cos(math.radians(a)), 0.866 * math.sin(math.radians(a)))
        for a in range(270, 89, -4)
    ]
    points = outer + inner
    left, right = min(p[0] for p in points), max(p[0] for p in points)
    return [((x - left) / (right - left), (y + 1) / 2) for x, y in points]


_ARM = 0.34
_FAR = 1 - _ARM
_CROSS: Points = [
    (_ARM, 0), (_FAR, 0), (_FAR, _ARM), (1, _ARM), (1, _FAR), (_FAR, _FAR),
    (_FAR, 1), (_ARM, 1), (_ARM, _FAR), (0, _FAR), (0, _ARM), (_ARM, _ARM),
]  # fmt: skip
_SQUARE: Points = [(0, 0), (1, 0), (1, 1), (0, 1)]
_DISC = _polygon(96)
SHAPES: dict[str, Points] = {
    "circle": _DISC,
    "oval": _DISC,
    "ring": _DISC,
    "square": _SQUARE,
    "rectangle": _SQUARE,
    "triangle": [(0.5, 0), (1, 1), (0, 1)],
    "diamond": [(0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5)],
    "pentagon": _polygon(5),
    "hexagon": _polygon(6, 0),
    "star": _polygon(5, inner=0.42),
    "cross": _CROSS,
    "crescent": _crescent(),
}
RING_HOLE = 0.56


def shape(kind: str, rgb: tuple[int, int, int], width: int, height: int) -> np.ndarray:
    """A shape filling (height, width), uint8 (H, W, 4)."""
    w, h = width * SUPERSAMPLE, height * SUPERSAMPLE
    mask = Image.new("L", (w, h))
    pen = ImageDraw.Draw(mask)
    pen.polygon([(x * (w - 1), y * (h - 1)) for x, y in SHAPES[kind]], fill=255)
    if kind == "ring":
        margin = (1 - RING_HOLE) / 2
        pen.ellipse([margin * w, margin * h, (1 - margin) * w, (1 - margin) * h], fill=0)
    alpha = np.asarray(mask.resize((width, height), Image.Resampling.BOX))
    shade = np.linspace(1.04, 0.94, height, dtype=np.float32)[:, None, None]
    colour = np.clip(np.array(rgb, np.float32) * shade, 0, 255) * np.ones((1, width, 1), np.float32)
    return np.dstack([colour.round().astype(np.uint8), alpha])
