"""Giving a drawing another colour: its main hue moves, its shading stays, other hues are left alone.

Worked in OKLab (Ottosson, 2020), where lightness and hue can be moved apart.
"""

from dataclasses import dataclass

import numpy as np

from .catalogue import COLOURS

_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    np.float32,
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    np.float32,
)
_FROM_LMS, _FROM_LAB = np.linalg.inv(_TO_LMS), np.linalg.inv(_TO_LAB)


_CODES = np.arange(256, dtype=np.float32) / 255
_LINEAR = np.where(_CODES > 0.04045, ((_CODES + 0.055) / 1.055) ** 2.4, _CODES / 12.92).astype(np.float32)


def oklab(rgb: np.ndarray) -> np.ndarray:
    """sRGB (..., 3), whole numbers in 0 to 255, as OKLab (..., 3): lightness in 0 to 1 and two axes."""
    return np.cbrt(_LINEAR[rgb] @ _TO_LMS.T) @ _TO_LAB.T


def srgb(lab: np.ndarray) -> np.ndarray:
    """OKLab (..., 3) as sRGB (..., 3), float in 0 to 255, clipped to what can be shown."""
    linear = np.clip((lab @ _FROM_LAB.T) ** 3 @ _FROM_LMS.T, 0, 1)
    c = np.where(linear > 0.0031308, 1.055 * linear ** np.float32(1 / 2.4) - 0.055, linear * 12.92)
    return c * 255


@dataclass(frozen=True)
class Body:
    """Which pixels of a drawing take the new colour: a block of OKLab with soft sides.

    ``hue`` in degrees of the colour circle (None: the drawing's main hue) and ``width`` how far a hue may be
    from it; ``chroma`` and ``lightness`` from lowest to highest. With ``eyes``, dark features outside the
    body turn light when the body turns black, so that a black cat still looks at you.
    """

    hue: float | None = None
    width: float = 40
    chroma: tuple[float, float] = (0.035, 1.0)
    lightness: tuple[float, float] = (0.0, 2.0)
    eyes: bool = False


FARTHEST = 0.2  # how far a shade may be from its colour, in lightness
NEUTRAL = Body(0, 180, (-1.0, 0.06))


def _ramp(x: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((x - low) / (high - low), 0, 1)


def main_hue(hue: np.ndarray, weight: np.ndarray) -> float:
    """The peak, in degrees, of a smoothed histogram of hues (N,) by weight (N,)."""
    counts, _ = np.histogram(hue % 360, 72, (0, 360), weights=weight)
    smooth = sum(np.roll(counts, k) * (3 - abs(k)) for k in (-2, -1, 0, 1, 2))
    return float(np.argmax(smooth)) * 5 + 2.5


def body_weight(lab: np.ndarray, alpha: np.ndarray, body: Body) -> np.ndarray:
    """How much of each pixel (H, W, 3) is of the body: 0 to 1, (H, W)."""
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    hue = np.degrees(np.arctan2(lab[..., 2], lab[..., 1]))
    centre = (
        main_hue(hue.ravel(), (chroma * alpha * (chroma > 0.05)).ravel()) if body.hue is None else body.hue
    )
    away = np.abs((hue - centre + 180) % 360 - 180)
    of_hue = _ramp(-away, -body.width - 12, -body.width)
    return of_hue * _between(chroma, *body.chroma, 0.015) * _between(lab[..., 0], *body.lightness, 0.03)


def _between(x: np.ndarray, low: float, high: float, soft: float) -> np.ndarray:
    return _ramp(x, low - soft, low + soft) * _ramp(-x, -high - soft, -high + soft)


@dataclass(frozen=True)
class Region:
    """A body found in a drawing.

    ``weight`` says how much of each pixel is of it (H, W, 1), ``anchor`` the lightness that is to become the
    target's, ``gain`` how much of the drawing's contrast is kept.
    """

    weight: np.ndarray
    anchor: float
    gain: float


@dataclass(frozen=True)
class Study:
    """A drawing (H, W, 4) uint8, looked at once and recoloured many times."""

    sprite: np.ndarray
    lab: np.ndarray
    regions: tuple[Region, ...]
    eyes: bool


def study(sprite: np.ndarray, bodies: tuple[Body, ...] = (Body(),)) -> Study:
    """Find each body, the later ones in what the earlier leave; ValueError if one is nowhere to be found."""
    lab, alpha = oklab(sprite[..., :3]), sprite[..., 3] / np.float32(255)
    free, regions = np.ones_like(alpha), []
    for body in bodies:
        weight = body_weight(lab, alpha, body) * free
        inside = lab[..., 0][(weight > 0.5) & (alpha > 0.9)]
        if not inside.size:
            raise ValueError(f"no pixel of the drawing is of {body}")
        spread = max(float(np.quantile(inside, 0.9) - np.quantile(inside, 0.1)), 1e-3)
        regions.append(
            Region(weight[..., None], (_mode(inside) + float(np.median(inside))) / 2, min(1.0, 0.25 / spread))
        )
        free = free - weight
    return Study(sprite, lab, tuple(regions), any(body.eyes for body in bodies))


def recolour(studied: Study, colour: str) -> np.ndarray:
    """The drawing (H, W, 4) uint8 in one of COLOURS: each body takes the colour at its own lightness."""
    target, mixed = oklab(np.array(COLOURS[colour])), studied.lab.copy()
    for region in studied.regions:
        mixed += (_shaded(studied.lab[..., 0], region, target) - studied.lab) * region.weight
    if colour == "black" and studied.eyes:
        free = 1 - sum(region.weight[..., 0] for region in studied.regions)
        mixed[..., 0] += np.clip(0.8 - 2 * studied.lab[..., 0], 0, 1) * free
    out = studied.sprite.copy()
    out[..., :3] = srgb(mixed).round()
    return out


def _shaded(lightness: np.ndarray, region: Region, target: np.ndarray) -> np.ndarray:
    # a shade keeps its distance from the body's commonest lightness; highlights of pale colours stay coloured
    away = (lightness - region.anchor) * (region.gain * (0.8 if target[0] < 0.35 else 1.0))
    room = np.where(away > 0, min(FARTHEST, 0.6 * (1 - target[0])), FARTHEST).astype(np.float32)
    shade = np.clip(target[0] + room * np.tanh(away / room), 0.08, 1.0)
    chroma = np.minimum((1 - shade) / (1 - target[0]), 1)
    return np.stack([shade, target[1] * chroma, target[2] * chroma], -1)


def _mode(lightness: np.ndarray) -> float:
    counts, _ = np.histogram(lightness, 40, (0, 1))
    smooth = counts + 0.6 * (np.roll(counts, 1) + np.roll(counts, -1))
    return (float(np.argmax(smooth)) + 0.5) / 40
