"""An explanation as the browser is sent it: small pictures in addresses, attention in bytes."""

import base64
from typing import Any

import numpy as np

from darkroom.studio.explaining import Explanation, Moment
from darkroom.web.session import data_url

GLOW = np.array([255, 125, 82], np.float32)
"""The safelight, in which heat is drawn."""


def told(explanation: Explanation) -> dict[str, Any]:
    """All that the views of Explain show."""
    moments = explanation.moments
    attention = [moment.attention for moment in moments if moment.attention is not None]
    high, wide = attention[0].shape[1:] if attention else (1, 1)
    return {
        "words": list(explanation.words),
        "steps": [_step(moment) for moment in moments],
        "visited": explanation.visited,
        "looks": _bytes(attention) if len(attention) == len(moments) else None,
        "wide": wide,
        "high": high,
    }


def _step(moment: Moment) -> dict[str, Any]:
    return {
        "alpha": moment.alpha,
        "sigma": moment.sigma,
        "noisy": data_url(moment.noisy),
        "estimate": data_url(moment.estimate),
        "alone": None if moment.alone is None else data_url(moment.alone),
        "pull": None if moment.pull is None else data_url(heat(moment.pull)),
    }


def heat(values: np.ndarray) -> np.ndarray:
    """Values (H, W) from 0 up as light on black, the largest the brightest: uint8 (H, W, 3)."""
    return (np.sqrt(values / max(float(values.max()), 1e-6))[..., None] * GLOW).round().astype(np.uint8)


def _bytes(attention: list[np.ndarray]) -> str:
    """(steps, words, h, w) as bytes in base64, each step by its own largest."""
    scaled = [255 * one / max(float(one[1:].max(initial=0)), 1e-9) for one in attention]
    return base64.b64encode(np.stack(scaled).clip(0, 255).round().astype(np.uint8).tobytes()).decode()
