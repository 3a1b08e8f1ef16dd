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
    """Which pixels of a drawing take the new colour.

    ``hue`` in degrees of OKLab's colour circle (None: the drawing's main hue); ``width`` how far a hue may be
    from it; ``neutral`` takes the greys instead of a hue, and ``both`` takes them besides; ``dark`` is the
    lightness under which a pixel is an outline, an eye or a wheel and is left alone; ``light`` the one over which it is left alone.
    """

    hue: float | None = None
    width: float = 40
    neutral: bool = False
    both: bool = False
    dark: float = 0.0
    light: float = 2.0


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
    grey = 1 - _ramp(chroma, 0.05, 0.08)
    limits = _ramp(lab[..., 0], body.dark - 0.03, body.dark + 0.03) * _ramp(
        -lab[..., 0], -body.light - 0.03, -body.light + 0.03
    )
    if body.neutral:
        return grey * limits
    hue = np.degrees(np.arctan2(lab[..., 2], lab[..., 1]))
    centre = (
        main_hue(hue.ravel(), (chroma * alpha * (chroma > 0.05)).ravel()) if body.hue is None else body.hue
    )
    away = np.abs((hue - centre + 180) % 360 - 180)
    of_hue = _ramp(-away, -body.width - 12, -body.width) * _ramp(chroma, 0.02, 0.05)
    return np.maximum(of_hue, grey if body.both else 0) * limits


def recolour(sprite: np.ndarray, colour: str, body: Body = Body()) -> np.ndarray:
    """A drawing (H, W, 4) uint8 in another of COLOURS; a copy."""
    lab, alpha = oklab(sprite[..., :3]), sprite[..., 3] / np.float32(255)
    weight = body_weight(lab, alpha, body)
    inside = (weight > 0.5) & (alpha > 0.9)
    if not inside.any():
        raise ValueError("no pixel of the drawing is of its body's hue: give it another Body")
    painted = _shade(lab, lab[inside], oklab(np.array(COLOURS[colour])))
    mixed = lab + (painted - lab) * weight[..., None]
    out = sprite.copy()
    out[..., :3] = srgb(mixed).round()
    return out


def _shade(lab: np.ndarray, inside: np.ndarray, target: np.ndarray) -> np.ndarray:
    # a white thing's shading goes down from its light parts, a dark thing's up from its dark ones
    level = np.clip((target[0] - 0.2) / 0.75, 0, 1)
    anchor = np.quantile(inside[:, 0], 0.5 + 0.35 * max(0.0, level - 0.75) / 0.25)
    spread = max(float(np.quantile(inside[:, 0], 0.9) - np.quantile(inside[:, 0], 0.1)), 1e-3)
    gain = min(1.0, 0.25 / spread) * (0.8 if target[0] < 0.35 else 1.0)
    lightness = np.clip(target[0] + (lab[..., 0] - anchor) * gain, 0.08, 1.0)
    pale = np.clip((1.0 - lightness) / max(1.0 - target[0], 1e-3), 0, 1.15)
    return np.concatenate([lightness[..., None], target[1:] * np.minimum(pale, 1.0)[..., None]], -1).astype(
        np.float32
    )
