"""Smooth random fields."""

import numpy as np
from PIL import Image


def fractal(
    rng: np.random.Generator, height: int, width: int, scale: tuple[int, int], octaves: int = 3
) -> np.ndarray:
    """Smooth noise of mean about 0.5 in 0 to 1, float32 (H, W); ``scale`` is the number of (x, y) cells of the coarsest octave."""
    total, weight = np.zeros((height, width), np.float32), 0.0
    for octave in range(octaves):
        cells = scale[1] * 2**octave + 1, scale[0] * 2**octave + 1
        coarse = Image.fromarray(rng.random(cells, np.float32))
        total += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) / 2**octave
        weight += 1 / 2**octave
    return np.clip(total / weight, 0, 1)
