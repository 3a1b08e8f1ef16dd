"""Places to be in, drawn in code: calm, not too bright and not too busy, so that things stay easy to see."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .noise import fractal, gradient, textured

Field = np.ndarray  # float32 (side, side, 3), 0 to 255
Generator = np.random.Generator
RGB = tuple[int, int, int]

SKY: tuple[RGB, RGB] = ((150, 198, 240), (214, 234, 250))  # a gradient's top and bottom
WINTER_SKY: tuple[RGB, RGB] = ((168, 190, 214), (212, 224, 236))
FOREST_SKY: tuple[RGB, RGB] = ((176, 206, 186), (206, 226, 196))
CITY_SKY: tuple[RGB, RGB] = ((170, 200, 228), (228, 232, 236))


def _land(
    side: int, rng: Generator, sky: tuple[RGB, RGB], earth: tuple[RGB, RGB], grain: float
) -> tuple[Field, int]:
    """Sky over earth, and the row of the horizon between them."""
    horizon = round(side * rng.uniform(0.36, 0.5))
    above = textured(gradient(*sky, horizon, side), rng, 0.05, (2, 3))
    below = textured(gradient(*earth, side - horizon, side), rng, grain, (12, 6))
    return np.concatenate([above, below]), horizon


def _canvas(image: Field) -> Image.Image:
    return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))


def _grass(side: int, rng: Generator) -> Field:
    return _land(side, rng, SKY, ((150, 200, 110), (104, 166, 72)), 0.22)[0]


def _snow(side: int, rng: Generator) -> Field:
    image, _ = _land(side, rng, WINTER_SKY, ((240, 246, 252), (214, 226, 240)), 0.05)
    return _dots(image, rng, 70, (0.003, 0.008), (255, 255), 1.0)


def _dots(
    image: Field,
    rng: Generator,
    count: int,
    radii: tuple[float, float],
    tones: tuple[int, int],
    lowest: float,
) -> Field:
    """Flakes or stars: grey dots of random size and tone, down to a fraction of the height."""
    side, picture = image.shape[0], _canvas(image)
    pen = ImageDraw.Draw(picture)
    for _ in range(count):
        x, y, r = rng.uniform(0, side), rng.uniform(0, side * lowest), side * rng.uniform(*radii)
        tone = round(rng.uniform(*tones))
        pen.ellipse([x - r, y - r, x + r, y + r], fill=(tone, tone, min(255, tone + 12)))
    return np.asarray(picture, np.float32)


def _beach(side: int, rng: Generator) -> Field:
    image, horizon = _land(side, rng, SKY, ((242, 222, 170), (226, 196, 138)), 0.1)
    x, y = np.arange(side), np.arange(side)[:, None]
    shore = horizon + side * (0.1 + 0.02 * np.sin(x / side * rng.uniform(4, 9) + rng.uniform(0, 6)))
    sea = (y >= horizon) & (y < shore)
    image[sea] = np.array([70, 165, 205]) * (1 + 0.1 * fractal(rng, side, side, (16, 3))[sea])[..., None]
    image[(y >= shore) & (y < shore + side * 0.018)] = (240, 250, 250)  # foam
    return image


def _forest(side: int, rng: Generator) -> Field:
    image, horizon = _land(side, rng, FOREST_SKY, ((128, 150, 88), (98, 120, 64)), 0.25)
    picture = _canvas(image)
    pen = ImageDraw.Draw(picture)
    for near in (0.0, 0.5, 1.0):
        for x in np.arange(-0.1, 1.1, 0.12) * side + rng.uniform(0, 0.12) * side:
            tone = np.array([118, 160, 122]) * (1 - 0.28 * near) * rng.uniform(0.92, 1.08)
            high, wide = side * rng.uniform(0.3, 0.45), side * rng.uniform(0.05, 0.08)
            _fir(pen, x, horizon + side * 0.04 * near, high, wide, tuple(int(v) for v in tone))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(side / 200)), np.float32)


def _fir(
    pen: ImageDraw.ImageDraw, x: float, foot: float, high: float, wide: float, tone: tuple[int, ...]
) -> None:
    pen.rectangle([x - wide * 0.12, foot - high * 0.2, x + wide * 0.12, foot], fill=(104, 84, 64))
    for k in range(3):
        base, top, half = (
            foot - high * (0.12 + 0.24 * k),
            foot - high * (0.5 + 0.25 * k),
            wide * (1 - 0.25 * k),
        )
        pen.polygon([(x, top), (x + half, base), (x - half, base)], fill=tone)


def _city(side: int, rng: Generator) -> Field:
    image, horizon = _land(side, rng, CITY_SKY, ((150, 152, 156), (118, 120, 126)), 0.06)
    picture = _canvas(image)
    pen = ImageDraw.Draw(picture)
    foot, x = horizon + side * 0.06, -side * 0.05
    while x < side:
        wide, high = side * rng.uniform(0.09, 0.17), side * rng.uniform(0.2, 0.46)
        _house(pen, rng, (x, foot - high, x + wide, foot), side * 0.03)
        x += wide + side * rng.uniform(0, 0.015)
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(side / 220)), np.float32)


def _house(
    pen: ImageDraw.ImageDraw, rng: Generator, box: tuple[float, float, float, float], step: float
) -> None:
    """A block with windows every ``step`` pixels."""
    left, top, right, foot = box
    tone = np.array([150, 160, 178]) * rng.uniform(0.85, 1.12) + rng.uniform(-10, 10, 3)
    pen.rectangle(box, fill=tuple(int(v) for v in tone))
    for x in np.arange(left + step * 0.5, right - step * 0.6, step):
        for y in np.arange(top + step * 0.6, foot - step, step * 1.3):
            glass = (222, 226, 214) if rng.random() < 0.5 else (118, 130, 150)
            pen.rectangle([x, y, x + step * 0.45, y + step * 0.6], fill=glass)


def _night_sky(side: int, rng: Generator) -> Field:
    sky = textured(gradient((16, 22, 58), (62, 72, 124), side, side), rng, 0.1, (4, 4))
    image = _dots(sky, rng, 55, (0.002, 0.006), (140, 240), 0.85).copy()
    x = np.arange(side) / side
    hill = side * (0.88 + 0.03 * np.sin(x * rng.uniform(3, 7) + rng.uniform(0, 6)))
    image[np.arange(side)[:, None] > hill] = (26, 34, 56)
    return image


def _space(side: int, rng: Generator) -> Field:
    image = np.full((side, side, 3), (14, 12, 26), np.float32)
    for glow in ((90, 40, 120), (30, 60, 130)):
        cloud = np.clip(fractal(rng, side, side, (3, 3)) - 0.45, 0, 1)[..., None]
        image += cloud * np.array(glow, np.float32) * 1.3
    return _dots(image, rng, 110, (0.002, 0.006), (140, 240), 1.0)


def _wooden_floor(side: int, rng: Generator) -> Field:
    image = np.full((side, side, 3), (206, 168, 120), np.float32)
    grain, seam, boards = fractal(rng, side, side, (3, 48)), max(1, side // 128), 6
    for k in range(boards):
        rows = slice(k * side // boards, (k + 1) * side // boards)
        shifted = np.roll(grain[rows], int(rng.integers(side)), 1)
        image[rows] *= rng.uniform(0.92, 1.05) * (0.94 + 0.12 * shifted)[..., None]
        image[rows.start : rows.start + seam] *= 0.72
        joint = int(rng.integers(side - seam))
        image[rows, joint : joint + seam] *= 0.8
    return image


PLACES: dict[str, Callable[[int, Generator], Field]] = {
    "beach": _beach,
    "grass": _grass,
    "forest": _forest,
    "snow": _snow,
    "city": _city,
    "night sky": _night_sky,
    "space": _space,
    "wooden floor": _wooden_floor,
}
