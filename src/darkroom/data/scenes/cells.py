"""What each cell of a picture shows: a scene's truth in the shape of a diffusion transformer's tokens."""

from functools import lru_cache

import numpy as np

from .graph import Box, Scene
from .props import letter_boxes
from .render import Part, parts
from .world import World

ASPECTS = ("kind", "colour", "place", "letter")
"""The layers of a cell map; 0 means nothing in each."""
PLACES = 4  # columns and rows that a drawing is divided into, to tell which part of it a cell shows
LETTERS = 26
COVERED, LETTERED = 0.3, 0.12  # the part of a cell that a drawing or a letter must cover to count


def cell_classes(world: World) -> tuple[int, ...]:
    """How many values each of ASPECTS has."""
    return 1 + len(world.kinds), 1 + len(world.colours), 1 + PLACES**2, 1 + LETTERS


def cell_map(scene: Scene, world: World, count: int) -> np.ndarray:
    """uint8 (aspects, count, count): kind and colour of what is nearest to the viewer in each cell (their
    places in the world's lists, from 1), which part of that drawing it is, and the letter of a sign's word.
    """
    kinds, colours = _numbers(world.kinds), _numbers(world.colours)
    cells = np.zeros((len(ASPECTS), count, count), np.uint8)
    for part in _far_to_near(scene):
        covered = coverage(part.box, count) > COVERED
        cells[0, covered] = kinds.get(part.kind, 0)
        cells[1, covered] = colours.get(part.colour or "", 0)
        cells[2, covered] = _places(part.box, count)[covered]
        cells[3, covered] = 0
        if part.word is not None:
            cells[3] = np.maximum(cells[3], _letters(part, count))
    return cells


def coverage(box: Box, count: int) -> np.ndarray:
    """(count, count): the part of each cell that lies in the box."""
    edges = np.arange(count + 1) / count
    across, down = (
        np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None) * count
        for low, high in ((box.left, box.right), (box.top, box.bottom))
    )
    return np.outer(down, across)


def _far_to_near(scene: Scene) -> list[Part]:
    return sorted(parts(scene), key=lambda part: -scene.things[part.owner].depth)


def _places(box: Box, count: int) -> np.ndarray:
    """(count, count): in which of the drawing's columns and rows each cell's middle lies, from 1."""
    middle = (np.arange(count) + 0.5) / count
    across, down = (
        np.clip((middle - low) / size * PLACES, 0, PLACES - 1).astype(int)
        for low, size in ((box.left, box.width), (box.top, box.height))
    )
    return 1 + down[:, None] * PLACES + across


def _letters(part: Part, count: int) -> np.ndarray:
    """(count, count): the letter that has most of itself in each cell, A is 1; so narrow ones count too."""
    assert part.word is not None
    left, top, width, height = part.box.left, part.box.top, part.box.width, part.box.height
    covered = np.stack(
        [
            coverage(Box(left + a * width, top + b * height, left + c * width, top + d * height), count)
            for a, b, c, d in letter_boxes(part.word, width / height)
        ]
    )
    most = np.argmax(covered / covered.sum((1, 2), keepdims=True), axis=0)
    numbers = np.array([ord(letter) - ord("A") + 1 for letter in part.word])
    return np.where(covered.max(0) > LETTERED, numbers[most], 0)


@lru_cache
def _numbers(names: tuple[str, ...]) -> dict[str, int]:
    return {name: i for i, name in enumerate(names, start=1)}
