"""Smooth random fields and gradients, of which grounds and paper are made."""

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image


def fractal(
    rng: np.random.Generator, height: int, width: int, cells: tuple[int, int], octaves: int = 3
) -> np.ndarray:
    """Smooth noise of mean about 0.5 in 0 to 1, float32 (H, W), with (x, y) cells in its coarsest octave."""
    total, weight = np.zeros((height, width), np.float32), 0.0
    for octave in range(octaves):
        shape = cells[1] * 2**octave + 1, cells[0] * 2**octave + 1
        coarse = Image.fromarray(rng.random(shape, np.float32))
        total += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) / 2**octave
        weight += 1 / 2**octave
    return np.clip(total / weight, 0, 1)


def gradient(top: ArrayLike, bottom: ArrayLike, height: int, width: int) -> np.ndarray:
    """From one colour (3,) down to another, float32 (H, W, 3)."""
    down = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None, None]
    rows = np.asarray(top, np.float32) * (1 - down) + np.asarray(bottom, np.float32) * down
    return np.repeat(rows, width, axis=1)


def textured(
    image: np.ndarray, rng: np.random.Generator, strength: float, cells: tuple[int, int]
) -> np.ndarray:
    """An image (H, W, 3) made lighter and darker by noise, by up to half of ``strength`` either way."""
    return image * (1 + strength * (fractal(rng, image.shape[0], image.shape[1], cells) - 0.5))[..., None]
