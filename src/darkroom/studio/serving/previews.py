"""What a picture under way looks like, for next to nothing.

The starter's latents are a linear code, and decode linearly. For other models a linear map from a position's
channels to its mean colour is fitted to what their own decoder made of one picture; it shows each latent
position as one pixel.
"""

from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from darkroom.families.family import Model

if TYPE_CHECKING:
    from collections.abc import Callable

SMALLEST, LARGEST = 8, 32
"""Latent positions a side that the fit is made on: a decoder takes a while for more."""


class Linear(Protocol):
    """An autoencoder whose code is linear."""

    def decode_linearly(self, latent: Tensor) -> Tensor:
        """Latents -> pictures in [-1, 1]."""
        ...


class Previews:
    """Decodes estimates of one model."""

    def __init__(self, model: Model) -> None:
        self._model = model
        autoencoder = model.parts.get("autoencoder")
        known = hasattr(autoencoder, "decode_linearly")
        self._decode: Callable[[Tensor], Tensor] | None = (
            cast(Linear, autoencoder).decode_linearly if known else None
        )

    @torch.inference_mode()
    def show(self, latents: Tensor) -> np.ndarray:
        """One estimate, (1, C, h, w), as uint8 (H, W, 3)."""
        if self._decode is None:
            self._decode = fitted(self._model, latents)
        picture = self._decode(latents)[0].float()
        values = ((picture + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return values.permute(1, 2, 0).cpu().numpy()


def fitted(model: Model, latents: Tensor) -> "Callable[[Tensor], Tensor]":
    """The linear map from latents to colours that agrees best with the decoder on the middle of these."""
    middle = _middle(latents)
    decoded = model.decode_latents(middle).float()
    colours = avg_pool2d(decoded, decoded.shape[-1] // middle.shape[-1])
    weights = torch.linalg.lstsq(_rows(middle), colours[0].flatten(1).T).solution  # (C + 1, 3)

    def decode(latents: Tensor) -> Tensor:
        flat = _rows(latents) @ weights
        return flat.T.reshape(1, 3, *latents.shape[-2:])

    return decode


def _middle(latents: Tensor) -> Tensor:
    high, wide = (min(side, LARGEST) for side in latents.shape[-2:])
    top, left = (latents.shape[-2] - high) // 2, (latents.shape[-1] - wide) // 2
    return latents[..., top : top + high, left : left + wide].contiguous()


def _rows(latents: Tensor) -> Tensor:
    """(1, C, h, w) -> (h * w, C + 1), the last a one."""
    flat = latents[0].float().flatten(1).T
    return torch.cat([flat, torch.ones_like(flat[:, :1])], dim=1)
