"""Light and weather over a ground."""

import numpy as np
from PIL import Image

LIGHTS = ("day", "rain", "sunset")


def light(name: str, canvas: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The ground under a light, RGB; under "day" it is unchanged."""
    if name == "day":
        return canvas
    pixels = np.asarray(canvas).astype(np.float32)
    return Image.fromarray(
        np.clip(_RAIN(pixels, rng) if name == "rain" else _SUNSET(pixels, rng), 0, 255).astype(np.uint8)
    )


def _RAIN(p, rng):
    return p * 0.8


def _SUNSET(p, rng):
    return p * np.array([1.0, 0.8, 0.6])
