"""Giving a drawing another colour: its main hue moves, its shading stays, other hues are left alone.

Worked in OKLab (Ottosson, 2020), where lightness and hue can be moved apart.
"""

from dataclasses import dataclass

import numpy as np

from .catalogue import COLOURS

_TO_LMS = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]],
    np.float32,
)  # fmt: skip
_TO_LAB = np.array(
    [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099], [0.0259040371, 0.7827717662, -0.8086757660]],
    np.float32,
)  # fmt: skip
_FROM_LMS, _FROM_LAB = np.linalg.inv(_TO_LMS), np.linalg.inv(_TO_LAB)


def oklab(rgb: np.ndarray) -> np.ndarray:
    """sRGB (..., 3) in 0 to 255 as OKLab (..., 3): lightness 0 to 1, and the two colour axes."""
    c = np.asarray(rgb, np.float32) / 255
    linear = np.where(c > 0.04045, ((c + 0.055) / 1.055) ** 2.4, c / 12.92)
    return np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T


def srgb(lab: np.ndarray) -> np.ndarray:
    """OKLab (..., 3) as sRGB (..., 3), float in 0 to 255, clipped to what can be shown."""
    linear = np.clip((lab @ _FROM_LAB.T) ** 3 @ _FROM_LMS.T, 0, 1)
    c = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, linear * 12.92)
    return np.clip(c * 255, 0, 255)


@dataclass(frozen=True)
class Body:
    """Which pixels of a drawing take the new colour: a block of OKLab with soft sides.

    ``hue`` in degrees of the colour circle (None: the drawing's main hue) and ``width`` how far a hue may be from
    it; ``chroma`` and ``lightness`` from lowest to highest. With ``eyes``, dark features outside the body turn
    light when the body turns black, so that a black cat still looks at you.
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


def recolour(sprite: np.ndarray, colour: str, bodies: tuple[Body, ...] = (Body(),)) -> np.ndarray:
    """A drawing (H, W, 4) uint8 in another of COLOURS; a copy. Each body takes the colour at its own lightness."""
    lab, alpha = oklab(sprite[..., :3]), sprite[..., 3] / np.float32(255)
    target = oklab(np.array(COLOURS[colour]))
    mixed, taken = lab, np.zeros_like(alpha)
    for body in bodies:
        weight = body_weight(lab, alpha, body) * (1 - taken)
        inside = (weight > 0.5) & (alpha > 0.9)
        if not inside.any():
            raise ValueError("no pixel of the drawing is of its body's hue: give it another Body")
        mixed = mixed + (_shade(lab, lab[inside], target) - lab) * weight[..., None]
        taken = taken + weight
    if colour == "black" and any(body.eyes for body in bodies):
        mixed[..., 0] += np.clip(0.8 - 2 * lab[..., 0], 0, 1) * (1 - taken)
    out = sprite.copy()
    out[..., :3] = srgb(mixed).round()
    return out


def _shade(lab: np.ndarray, inside: np.ndarray, target: np.ndarray) -> np.ndarray:
    # the commonest lightness of the body becomes the target's, and the rest keeps its distance from it
    anchor = _mode(inside[:, 0])
    spread = max(float(np.quantile(inside[:, 0], 0.9) - np.quantile(inside[:, 0], 0.1)), 1e-3)
    gain = min(1.0, 0.25 / spread) * (0.8 if target[0] < 0.35 else 1.0)
    away = (lab[..., 0] - anchor) * gain
    room = np.where(away > 0, min(FARTHEST, 0.6 * (1 - target[0])), FARTHEST)
    away = room * np.tanh(away / room)
    lightness = np.clip(target[0] + away, 0.08, 1.0)
    pale = np.clip((1.0 - lightness) / max(1.0 - target[0], 1e-3), 0, 1)
    return np.concatenate([lightness[..., None], target[1:] * pale[..., None]], -1).astype(np.float32)


def _mode(lightness: np.ndarray) -> float:
    counts, _ = np.histogram(lightness, 40, (0, 1))
    smooth = counts + 0.6 * (np.roll(counts, 1) + np.roll(counts, -1))
    return (float(np.argmax(smooth)) + 0.5) / 40
