"""Light and weather: what they do to a ground, and what falls in front of everything."""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw

LIGHTS = ("day", "rain", "sunset")
RAIN_TINT = (184, 199, 219)
SUNSET_TOP, SUNSET_BOTTOM = (250, 168, 143), (255, 219, 158)
SUNSET_GLOW = (70, 26, 4)  # added along the horizon


def light_ground(name: str, canvas: Image.Image, strength: float) -> Image.Image:
    """A ground, RGB, under a light: unchanged at strength 0 and under "day", fully lit at 1."""
    if name == "day":
        return canvas
    return Image.blend(canvas, _overcast(canvas) if name == "rain" else _at_sunset(canvas), strength)


def _overcast(canvas: Image.Image) -> Image.Image:
    greyed = Image.blend(canvas, canvas.convert("L").convert("RGB"), 0.3)
    return ImageChops.multiply(greyed, Image.new("RGB", canvas.size, RAIN_TINT))


def _at_sunset(canvas: Image.Image) -> Image.Image:
    shade, glow = _sunset(canvas.width)
    return ImageChops.add(ImageChops.multiply(canvas, shade), glow)


@lru_cache(maxsize=8)
def _sunset(side: int) -> tuple[Image.Image, Image.Image]:
    """What multiplies a ground at sunset, and what is added to it."""
    down = np.linspace(0, 1, side)[:, None, None] * np.ones((1, side, 1))
    shade = np.array(SUNSET_TOP) * (1 - down) + np.array(SUNSET_BOTTOM) * down
    glow = np.exp(-(((down - 0.45) / 0.28) ** 2)) * np.array(SUNSET_GLOW)
    return Image.fromarray(shade.astype(np.uint8)), Image.fromarray(glow.astype(np.uint8))


def light_scene(name: str, canvas: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The whole picture under a light: streaks of rain, or a cast too faint to change a thing's colour."""
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
