"""What is behind the things: plain colours and places, drawn a few times each and cropped, flipped and tinted."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .catalogue import COLOURS
from .noise import fractal

VARIANTS = 8
SLACK = 1.25  # how much wider a variant is drawn than it is shown
Field = np.ndarray
Generator = np.random.Generator


def _gradient(stops: list[tuple[float, tuple[int, int, int]]], height: int, width: int) -> Field:
    """Rows of colour (H, W, 3) through (place, colour) stops from top to bottom."""
    y = (np.arange(height) + 0.5) / height
    places = [p for p, _ in stops]
    rows = np.stack([np.interp(y, places, [c[i] for _, c in stops]) for i in range(3)], -1)
    return np.broadcast_to(rows[:, None], (height, width, 3)).astype(np.float32)


def _textured(image: Field, rng: Generator, strength: float, scale: tuple[int, int] = (4, 4)) -> Field:
    return image * (1 + strength * (fractal(rng, *image.shape[:2], scale) - 0.5))[..., None]


def _plain(rgb: tuple[int, int, int]) -> Callable[[int, Generator], Field]:
    def draw(side: int, rng: Generator) -> Field:
        # paler than things of the same colour, so that these remain visible
        base = np.array(rgb, np.float32)
        soft = base + (255 - base) * 0.22 if max(rgb) > 60 else base + 14
        soft = soft * 0.97 if min(rgb) > 200 else soft
        top, bottom = soft * 1.03, soft * 0.93
        image = _gradient([(0, tuple(top)), (1, tuple(bottom))], side, side)
        return _textured(image, rng, 0.07, (2, 2))

    return draw


def _land(
    sky: list[tuple[float, tuple[int, int, int]]],
    earth: list[tuple[float, tuple[int, int, int]]],
    grain: float,
) -> Callable[[int, Generator], tuple[Field, int]]:
    def draw(side: int, rng: Generator) -> tuple[Field, int]:
        horizon = round(side * rng.uniform(0.36, 0.5))
        above = _textured(_gradient(sky, horizon, side), rng, 0.05, (2, 3))
        below = _textured(_gradient(earth, side - horizon, side), rng, grain, (12, 6))
        return np.concatenate([above, below]), horizon

    return draw


_SKY = [(0.0, (150, 198, 240)), (1.0, (214, 234, 250))]


def _grass(side: int, rng: Generator) -> Field:
    image, _ = _land(_SKY, [(0, (150, 200, 110)), (1, (104, 166, 72))], 0.22)(side, rng)
    return image


def _snow(side: int, rng: Generator) -> Field:
    image, horizon = _land(
        [(0, (168, 190, 214)), (1, (212, 224, 236))], [(0, (240, 246, 252)), (1, (214, 226, 240))], 0.05
    )(side, rng)
    picture = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for _ in range(70):
        x, y, r = rng.uniform(0, side), rng.uniform(0, side), side * rng.uniform(0.003, 0.008)
        pen.ellipse([x - r, y - r, x + r, y + r], fill=(255, 255, 255))
    return np.asarray(picture, np.float32)


def _beach(side: int, rng: Generator) -> Field:
    image, horizon = _land(_SKY, [(0, (242, 222, 170)), (1, (226, 196, 138))], 0.1)(side, rng)
    image = image.copy()
    x = np.arange(side)
    shore = horizon + side * (0.1 + 0.02 * np.sin(x / side * rng.uniform(4, 9) + rng.uniform(0, 6)))
    y = np.arange(side)[:, None]
    sea = (y >= horizon) & (y < shore)
    foam = (y >= shore) & (y < shore + side * 0.018)
    image[sea] = np.array([70, 165, 205]) * (1 + 0.1 * fractal(rng, side, side, (16, 3))[sea])[..., None]
    image[foam] = (240, 250, 250)
    return image


def _forest(side: int, rng: Generator) -> Field:
    image, horizon = _land(
        [(0, (176, 206, 186)), (1, (206, 226, 196))], [(0, (128, 150, 88)), (1, (98, 120, 64))], 0.25
    )(side, rng)
    picture = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for depth in (0.0, 0.5, 1.0):
        for x in np.arange(-0.1, 1.1, 0.12) * side + rng.uniform(0, 0.12) * side:
            tall, wide = side * rng.uniform(0.3, 0.45), side * rng.uniform(0.05, 0.08)
            foot = horizon + side * 0.04 * depth
            tone = np.array([118, 160, 122]) * (1 - 0.28 * depth) * rng.uniform(0.92, 1.08)
            fill = tuple(int(v) for v in tone)
            pen.rectangle([x - wide * 0.12, foot - tall * 0.2, x + wide * 0.12, foot], fill=(104, 84, 64))
            for k in range(3):
                base, top = foot - tall * (0.12 + 0.24 * k), foot - tall * (0.5 + 0.25 * k)
                half = wide * (1 - 0.25 * k)
                pen.polygon([(x, top), (x + half, base), (x - half, base)], fill=fill)
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(side / 200)), np.float32)


def _city(side: int, rng: Generator) -> Field:
    image, horizon = _land(
        [(0, (170, 200, 228)), (1, (228, 232, 236))], [(0, (150, 152, 156)), (1, (118, 120, 126))], 0.06
    )(side, rng)
    picture = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    foot, x = horizon + side * 0.06, -side * 0.05
    while x < side:
        wide, tall = side * rng.uniform(0.09, 0.17), side * rng.uniform(0.2, 0.46)
        tone = np.array([150, 160, 178]) * rng.uniform(0.85, 1.12) + rng.uniform(-10, 10, 3)
        pen.rectangle([x, foot - tall, x + wide, foot], fill=tuple(int(v) for v in tone))
        step = side * 0.03
        for wx in np.arange(x + step * 0.5, x + wide - step * 0.6, step):
            for wy in np.arange(foot - tall + step * 0.6, foot - step, step * 1.3):
                lit = rng.random() < 0.5
                pen.rectangle(
                    [wx, wy, wx + step * 0.45, wy + step * 0.6],
                    fill=(222, 226, 214) if lit else (118, 130, 150),
                )
        x += wide + side * rng.uniform(0, 0.015)
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(side / 220)), np.float32)


def _stars(image: Field, rng: Generator, count: int, lowest: float) -> Field:
    side = image.shape[0]
    picture = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for _ in range(count):
        x, y, r = rng.uniform(0, side), rng.uniform(0, side * lowest), side * rng.uniform(0.002, 0.006)
        v = int(rng.uniform(140, 240))
        pen.ellipse([x - r, y - r, x + r, y + r], fill=(v, v, min(255, v + 12)))
    return np.asarray(picture, np.float32)


def _night(side: int, rng: Generator) -> Field:
    image = _gradient([(0, (16, 22, 58)), (0.75, (44, 56, 112)), (1, (62, 72, 124))], side, side)
    image = _stars(_textured(image, rng, 0.1), rng, 55, 0.85).copy()
    x = np.arange(side) / side
    hill = side * (0.88 + 0.03 * np.sin(x * rng.uniform(3, 7) + rng.uniform(0, 6)))
    image[np.arange(side)[:, None] > hill] = (26, 34, 56)
    return image


def _space(side: int, rng: Generator) -> Field:
    image = np.full((side, side, 3), (14, 12, 26), np.float32)
    for tint in ((90, 40, 120), (30, 60, 130)):
        cloud = np.clip(fractal(rng, side, side, (3, 3)) - 0.45, 0, 1)[..., None]
        image = image + cloud * np.array(tint, np.float32) * 1.3
    return _stars(image, rng, 110, 1.0)


def _wood(side: int, rng: Generator) -> Field:
    image = np.full((side, side, 3), (206, 168, 120), np.float32)
    boards = 6
    grain = fractal(rng, side, side, (3, 48))
    for k in range(boards):
        rows = slice(k * side // boards, (k + 1) * side // boards)
        image[rows] *= rng.uniform(0.92, 1.05)
        image[rows] *= (0.94 + 0.12 * np.roll(grain[rows], int(rng.integers(side)), 1))[..., None]
        seam = max(1, side // 128)
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
    "night sky": _night,
    "space": _space,
    "wooden floor": _wood,
}
DRAWERS = {name: _plain(rgb) for name, rgb in COLOURS.items()} | PLACES
GROUNDS = tuple(DRAWERS)
DARK = frozenset({"black", "night sky", "space"})


@lru_cache(maxsize=256)
def _variant(name: str, number: int, side: int) -> Image.Image:
    rng = np.random.Generator(np.random.Philox(key=[GROUNDS.index(name), number]))
    image = DRAWERS[name](round(side * SLACK), rng)
    return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))


def ground(name: str, side: int, rng: Generator) -> Image.Image:
    """A ground of (side, side), RGB: one of its variants, shifted and flipped at random."""
    number, across, down, flip = rng.integers(VARIANTS), rng.random(), rng.random(), rng.random() < 0.5
    whole = _variant(name, int(number), side)
    room = whole.width - side
    left, top = round(across * room), round((0.4 + 0.2 * down) * room)
    shown = whole.crop((left, top, left + side, top + side))
    return shown.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else shown
