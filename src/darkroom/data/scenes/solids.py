"""Shaded solids, drawn from their geometry under a light from the upper left."""

from collections.abc import Callable

import numpy as np

SUPERSAMPLE = 2
Field = np.ndarray
Lit = tuple[Field, Field]  # brightness (about 0 to 1.2) and coverage (0 or 1), both (H, W)
LIGHT = np.array([-0.45, -0.6, 0.66], np.float32)
HALF = (LIGHT + np.array([0, 0, 1], np.float32)) / np.linalg.norm(LIGHT + np.array([0, 0, 1], np.float32))


def _inside(x: Field, y: Field, corners: list[tuple[float, float]]) -> Field:
    """Where a convex polygon covers; corners in order, clockwise on the page."""
    covered = np.ones(np.broadcast(x, y).shape, bool)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        covered &= (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) >= -1e-9
    return covered


def _faces(x: Field, y: Field, faces: list[tuple[float, list[tuple[float, float]]]]) -> Lit:
    brightness, covered = np.zeros_like(x * y), np.zeros(np.broadcast(x, y).shape, bool)
    for shade, corners in faces:
        here = _inside(x, y, corners)
        brightness[here] = shade
        covered |= here
    return brightness * (1.06 - 0.12 * y), covered


def _cube(x: Field, y: Field) -> Lit:
    front = [(0.0, 0.22), (0.78, 0.22), (0.78, 1.0), (0.0, 1.0)]
    top = [(0.0, 0.22), (0.22, 0.0), (1.0, 0.0), (0.78, 0.22)]
    side = [(0.78, 0.22), (1.0, 0.0), (1.0, 0.78), (0.78, 1.0)]
    return _faces(x, y, [(0.97, front), (1.22, top), (0.68, side)])


def _pyramid(x: Field, y: Field) -> Lit:
    left = [(0.46, 0.0), (0.6, 1.0), (0.0, 0.86)]
    right = [(0.46, 0.0), (1.0, 0.84), (0.6, 1.0)]
    return _faces(x, y, [(1.06, left), (0.68, right)])


def _round(nx: Field, ny: Field, nz: Field) -> Field:
    """Diffuse light with a small highlight, for unit normals towards the viewer."""
    facing = np.clip(nx * LIGHT[0] + ny * LIGHT[1] + nz * LIGHT[2], 0, 1)
    shine = np.clip(nx * HALF[0] + ny * HALF[1] + nz * HALF[2], 0, 1) ** 40
    return 0.64 + 0.46 * facing + 0.4 * shine


def _sphere(x: Field, y: Field) -> Lit:
    nx, ny = 2 * x - 1, 2 * y - 1
    r2 = nx**2 + ny**2
    return _round(nx, ny, np.sqrt(np.clip(1 - r2, 0, 1))), r2 <= 1


def _cylinder(x: Field, y: Field, lid: float = 0.13) -> Lit:
    nx = 2 * x - 1 + 0 * y
    bulge = lid * np.sqrt(np.clip(1 - nx**2, 0, 1))
    covered = (y >= lid - bulge) & (y <= 1 - lid + bulge)
    brightness = _round(nx, np.zeros_like(nx), np.sqrt(np.clip(1 - nx**2, 0, 1)))
    return np.where(y <= lid + bulge, 1.18, brightness), covered


def _cone(x: Field, y: Field, foot: float = 0.1) -> Lit:
    half = np.clip(y / (1 - foot), 1e-6, 1)
    u = (2 * x - 1) / half
    base = foot * np.sqrt(np.clip(1 - (2 * x - 1) ** 2, 0, 1))
    covered = (np.abs(u) <= 1) & (y <= 1 - foot + base)
    u = np.clip(u, -1, 1)
    return _round(0.92 * u, np.full_like(u, -0.25), np.sqrt(np.clip(1 - u**2, 0, 1)) * 0.92), covered


SOLIDS: dict[str, Callable[[Field, Field], Lit]] = {
    "cube": _cube,
    "sphere": _sphere,
    "cylinder": _cylinder,
    "cone": _cone,
    "pyramid": _pyramid,
}


def paint(brightness: Field, rgb: tuple[int, int, int]) -> np.ndarray:
    """A colour under a brightness (H, W): darker below 1, towards white above it; float (H, W, 3)."""
    base = np.maximum(np.array(rgb, np.float32), 30)
    b = brightness[..., None]
    return base * np.minimum(b, 1) + (255 - base) * np.clip(b - 1, 0, 1) * 0.85


def solid(kind: str, rgb: tuple[int, int, int], width: int, height: int) -> np.ndarray:
    """A solid filling (height, width), uint8 (H, W, 4)."""
    w, h = width * SUPERSAMPLE, height * SUPERSAMPLE
    x = (np.arange(w, dtype=np.float32)[None] + 0.5) / w
    y = (np.arange(h, dtype=np.float32)[:, None] + 0.5) / h
    brightness, covered = SOLIDS[kind](x, y)
    mask = np.broadcast_to(covered, (h, w)).astype(np.float32)[..., None]
    colour = paint(np.broadcast_to(brightness, (h, w)), rgb) * mask
    both = np.concatenate([colour, mask * 255], -1)
    small = both.reshape(height, SUPERSAMPLE, width, SUPERSAMPLE, 4).mean((1, 3))
    small[..., :3] *= 255 / np.maximum(small[..., 3:], 1)
    return np.clip(small.round(), 0, 255).astype(np.uint8)
