"""What is behind the things: every ground drawn a few times, then shifted and flipped at random."""

from functools import lru_cache

import numpy as np
from PIL import Image

from .catalogue import COLOURS
from .noise import gradient, textured
from .places import PLACES

VARIANTS = 8
SLACK = 1.25  # how much wider a variant is drawn than it is shown
GROUNDS = (*COLOURS, *PLACES)
DARK = frozenset({"black", "night sky", "space"})


def _plain(colour: str, side: int, rng: np.random.Generator) -> np.ndarray:
    """A softly shaded colour, paler than things of that colour so that they remain visible."""
    base = np.array(COLOURS[colour], np.float32)
    soft = base + (255 - base) * 0.22 if base.max() > 60 else base + 14
    soft = soft * 0.97 if base.min() > 200 else soft
    return textured(gradient(soft * 1.03, soft * 0.93, side, side), rng, 0.07, (2, 2))


@lru_cache(maxsize=256)
def _variant(name: str, number: int, side: int) -> Image.Image:
    rng = np.random.Generator(np.random.Philox(key=[GROUNDS.index(name), number]))
    wide = round(side * SLACK)
    image = PLACES[name](wide, rng) if name in PLACES else _plain(name, wide, rng)
    bright = image * rng.uniform(0.97, 1.03)
    return Image.fromarray(np.clip(bright, 0, 255).astype(np.uint8))


def ground(name: str, side: int, rng: np.random.Generator) -> Image.Image:
    """A ground of (side, side), RGB: one of its variants, shifted and flipped at random."""
    number, across, down, flip = rng.integers(VARIANTS), rng.random(), rng.random(), rng.random() < 0.5
    whole = _variant(name, int(number), side)
    room = whole.width - side
    left, top = round(across * room), round((0.4 + 0.2 * down) * room)
    shown = whole.crop((left, top, left + side, top + side))
    return shown.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else shown
