"""Whole-picture treatments, in NumPy and Pillow; strokes and blocks grow with the picture."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from .noise import fractal

Field = np.ndarray
PAPER_WHITE = np.array([252, 250, 243], np.float32)
NEON_DUSK = (84, 84, 98)
SHEETS = 8  # of paper, of which each picture uses one


@lru_cache(maxsize=4 * SHEETS)
def _paper(number: int, side: int) -> Field:
    """The grain of a sheet, about -0.5 to 0.5, float32 (H, W, 1)."""
    rng = np.random.Generator(np.random.Philox(key=[91, number]))
    fine, coarse = fractal(rng, side, side, (48, 48), 2), fractal(rng, side, side, (6, 6), 2)
    return (0.6 * fine + 0.4 * coarse - 0.5)[..., None]


@lru_cache(maxsize=4 * SHEETS)
def _wobble(number: int, side: int) -> Field:
    """For each pixel the flat index of the one to take instead, a short way off: (H * W,)."""
    rng = np.random.Generator(np.random.Philox(key=[92, number]))
    reach = side * 0.034
    y, x = np.mgrid[:side, :side]
    down = (fractal(rng, side, side, (9, 9), 2) - 0.5) * reach
    across = (fractal(rng, side, side, (9, 9), 2) - 0.5) * reach
    rows = np.clip(np.round(y + down), 0, side - 1).astype(np.intp)
    columns = np.clip(np.round(x + across), 0, side - 1).astype(np.intp)
    return (rows * side + columns).ravel()


@lru_cache(maxsize=4 * SHEETS)
def _hatching(number: int, side: int) -> Field:
    """Slanted strokes, 0 to 1, float32 (H, W, 1)."""
    rng = np.random.Generator(np.random.Philox(key=[93, number]))
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    bend = fractal(rng, side, side, (4, 4), 2)
    waves = np.sin((x + y * 0.8 + 0.06 * bend) * 2 * np.pi * 30)
    return ((0.5 + 0.5 * waves) * (0.7 + 0.6 * fractal(rng, side, side, (24, 24), 2)))[..., None]


def _blurred(canvas: Image.Image, radius: float) -> Image.Image:
    return canvas.filter(ImageFilter.BoxBlur(radius))


def _flat(canvas: Image.Image, number: int) -> Field:
    return np.asarray(canvas)


def _watercolour(canvas: Image.Image, number: int) -> Field:
    side = canvas.width
    pixels = np.asarray(canvas).reshape(-1, 3)[_wobble(number, side)].reshape(side, side, 3)
    wash = _blurred(Image.fromarray(pixels), side / 128)
    soft = np.asarray(wash, np.float32)
    pooled = soft - np.asarray(_blurred(wash, side / 42), np.float32)  # pigment gathers at a wash's edge
    thin = 255 - (255 - soft) * 0.88 + np.minimum(pooled, 0) * 0.9
    return thin * (1 + 0.2 * _paper(number, side))


PIXEL_ROWS = 48  # blocks a side
PIXEL_STEP = 255 / 9  # between levels of lightness


def _grey(canvas: Image.Image) -> Field:
    return np.asarray(canvas.convert("L"), np.float32)[..., None]


def _pixel_art(canvas: Image.Image, number: int) -> Field:
    side = canvas.width
    small = canvas.resize((PIXEL_ROWS, PIXEL_ROWS), Image.Resampling.BOX)
    grey = _grey(small)
    stepped = (
        np.round(grey / PIXEL_STEP) * PIXEL_STEP
    )  # in lightness only: a red of fewer shades is still red
    blocks = np.clip(stepped + (np.asarray(small) - grey) * 1.15, 0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(blocks).resize((side, side), Image.Resampling.NEAREST))


def _near_and_round(canvas: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Each pixel's close and its wider surroundings, whose difference is an edge's dark or bright side."""
    reach = max(1.0, canvas.width / 128)
    return _blurred(canvas, reach * 0.3), _blurred(canvas, reach * 2)


def _pencil(canvas: Image.Image, number: int) -> Field:
    side = canvas.width
    near, wider = _near_and_round(canvas.convert("L"))
    line = np.asarray(ImageChops.subtract(wider, near), np.float32)[..., None]
    pixels, grey = np.asarray(canvas, np.float32), _grey(canvas)
    shade = np.clip((205 - grey) / 205, 0, 1) * _hatching(number, side)
    coloured = grey * 0.65 + 75 + (pixels - grey) * 0.85  # a colour pencil: red stays red
    drawn = 0.3 * PAPER_WHITE + 0.7 * coloured
    return drawn * ((1 - 0.55 * shade - np.minimum(line / 40, 0.75)) * (1 + 0.1 * _paper(number, side)))


def _neon(canvas: Image.Image, number: int) -> Field:
    pixels, grey = np.asarray(canvas, np.float32), _grey(canvas)
    vivid = np.clip(grey + (pixels - grey) * 1.7, 0, 255)
    brightest = np.maximum(np.maximum(vivid[..., :1], vivid[..., 1:2]), vivid[..., 2:])
    red, green, blue = ImageChops.subtract(*_near_and_round(canvas)).split()
    edge = np.asarray(ImageChops.lighter(ImageChops.lighter(red, green), blue), np.float32)[..., None]
    lines = vivid * (245 / np.maximum(brightest, 60) * np.minimum(edge / 34, 1))
    glow = _blurred(Image.fromarray(lines.astype(np.uint8)), canvas.width / 48)
    return 0.5 * vivid + 0.7 * lines + 0.7 * np.asarray(glow, np.float32)


def prepare(name: str, canvas: Image.Image) -> Image.Image:
    """The ground as a style wants it before things stand on it: neon shines in the dark."""
    if name == "neon":
        return ImageChops.multiply(canvas, Image.new("RGB", canvas.size, NEON_DUSK))
    return canvas


_DRAWERS: dict[str, Callable[[Image.Image, int], Field]] = {
    "flat": _flat,
    "watercolour": _watercolour,
    "pixel art": _pixel_art,
    "pencil sketch": _pencil,
    "neon": _neon,
}
STYLES = tuple(_DRAWERS)


def style(name: str, canvas: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """A picture in a style: uint8 (H, W, 3)."""
    drawn = _DRAWERS[name](canvas, int(rng.integers(SHEETS)))
    return drawn if drawn.dtype == np.uint8 else np.clip(drawn, 0, 255).astype(np.uint8)
