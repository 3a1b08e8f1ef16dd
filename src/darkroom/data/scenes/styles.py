"""Whole-picture treatments, in NumPy and Pillow; strokes and blocks grow with the picture."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

from .noise import fractal

Field = np.ndarray
GREY = np.array([0.299, 0.587, 0.114], np.float32)
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
    reach = side * 0.045
    y, x = np.mgrid[:side, :side]
    down = (fractal(rng, side, side, (9, 9), 2) - 0.5) * reach
    across = (fractal(rng, side, side, (9, 9), 2) - 0.5) * reach
    rows = np.clip(np.round(y + down), 0, side - 1).astype(np.intp)
    columns = np.clip(np.round(x + across), 0, side - 1).astype(np.intp)
    return (rows * side + columns).ravel()


@lru_cache(maxsize=4 * SHEETS)
def _hatching(number: int, side: int) -> Field:
    """Slanted strokes, 0 to 1, float32 (H, W)."""
    rng = np.random.Generator(np.random.Philox(key=[93, number]))
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    bend = fractal(rng, side, side, (4, 4), 2)
    waves = np.sin((x + y * 0.8 + 0.06 * bend) * 2 * np.pi * 30)
    return (0.5 + 0.5 * waves) * (0.7 + 0.6 * fractal(rng, side, side, (24, 24), 2))


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
    thin = 255 - (255 - soft) * 0.88 + np.minimum(pooled, 0) * 0.5
    return thin * (1 + 0.2 * _paper(number, side))


PIXEL_ROWS = 48  # blocks a side
PIXEL_LEVELS = 7  # a channel


def _pixel_art(canvas: Image.Image, number: int) -> Field:
    side = canvas.width
    small = np.asarray(canvas.resize((PIXEL_ROWS, PIXEL_ROWS), Image.Resampling.BOX), np.float32)
    grey = small @ GREY
    vivid = grey[..., None] + (small - grey[..., None]) * 1.15
    step = 255 / (PIXEL_LEVELS - 1)
    blocks = np.clip(np.round(vivid / step) * step, 0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(blocks).resize((side, side), Image.Resampling.NEAREST))


def _pencil(canvas: Image.Image, number: int) -> Field:
    side = canvas.width
    pixels = np.asarray(canvas, np.float32)
    grey = pixels @ GREY
    outline = _edges(canvas.convert("L"), side)
    shade = np.clip((190 - grey) / 190, 0, 1) * _hatching(number, side)
    tinted = grey[..., None] + (pixels - grey[..., None]) * 0.75  # a colour pencil: red stays red
    paper = 0.45 * tinted + 0.55 * np.array([250, 248, 240], np.float32)
    drawn = paper * (1 - 0.5 * shade)[..., None] - 1.5 * outline[..., None]
    return drawn * (1 + 0.1 * _paper(number, side))


def _edges(grey: Image.Image, side: int) -> Field:
    """How much darker or lighter each pixel is than its surroundings, float32 (H, W)."""
    reach = max(1.0, side / 128)
    near = np.asarray(grey.filter(ImageFilter.BoxBlur(reach * 0.5)), np.float32)
    return np.abs(near - np.asarray(grey.filter(ImageFilter.BoxBlur(reach * 2)), np.float32))


def _neon(canvas: Image.Image, number: int) -> Field:
    side = canvas.width
    pixels = np.asarray(canvas, np.float32)
    strength = np.maximum.reduce([_edges(band, side) for band in canvas.split()])[..., None]
    brightest = np.maximum(pixels.max(-1, keepdims=True), 40)
    grey = (pixels @ GREY)[..., None]
    hue = np.clip(grey + (pixels - grey) * 1.6, 0, 255) * (255 / brightest)
    lines = np.clip(hue * np.minimum(strength / 26, 1), 0, 255)
    glow = np.asarray(_blurred(Image.fromarray(lines.astype(np.uint8)), side / 40), np.float32)
    return 0.3 * pixels * (pixels / 255) ** 0.5 + lines * 0.9 + 1.3 * glow


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
