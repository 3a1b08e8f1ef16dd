"""Light and weather: what they do to a ground, and what falls in front of everything."""

import numpy as np
from PIL import Image, ImageDraw

LIGHTS = ("day", "rain", "sunset")
RAIN_TINT = np.array([0.72, 0.78, 0.86], np.float32)
SUNSET_TOP = np.array([0.98, 0.66, 0.56], np.float32)
SUNSET_BOTTOM = np.array([1.04, 0.86, 0.62], np.float32)
SUNSET_GLOW = np.array([70, 26, 4], np.float32)


def light_ground(name: str, canvas: Image.Image) -> Image.Image:
    """A ground, RGB, under a light; under "day" it is unchanged."""
    if name == "day":
        return canvas
    pixels = np.asarray(canvas, np.float32)
    lit = _overcast(pixels) if name == "rain" else _sunset(pixels)
    return Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))


def _overcast(pixels: np.ndarray) -> np.ndarray:
    grey = pixels.mean(-1, keepdims=True)
    return (pixels * 0.7 + grey * 0.3) * RAIN_TINT


def _sunset(pixels: np.ndarray) -> np.ndarray:
    down = np.linspace(0, 1, pixels.shape[0], dtype=np.float32)[:, None, None]
    glow = np.exp(-(((down - 0.45) / 0.28) ** 2))  # along the horizon
    return pixels * (SUNSET_TOP * (1 - down) + SUNSET_BOTTOM * down) + SUNSET_GLOW * glow


def light_scene(name: str, canvas: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The whole picture under a light: streaks of rain, or a warm cast too faint to change a thing's colour."""
    if name == "rain":
        return _streaks(canvas, rng)
    if name == "sunset":
        warm = Image.new("RGB", canvas.size, (255, 130, 40))
        return Image.blend(canvas, warm, 0.07)
    return canvas


def _streaks(canvas: Image.Image, rng: np.random.Generator) -> Image.Image:
    side = canvas.width
    pen = ImageDraw.Draw(canvas, "RGBA")
    thick = max(1, round(side / 128))
    for x, y, long in rng.random((46, 3)):
        reach = side * (0.05 + 0.05 * long)
        left, top = x * side * 1.1, (y * 1.1 - 0.1) * side
        pen.line([left, top, left - reach * 0.25, top + reach], fill=(222, 232, 245, 105), width=thick)
    return canvas
