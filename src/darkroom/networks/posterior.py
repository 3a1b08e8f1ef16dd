"""What an encoder of pictures answers, and what everything that stands in for an autoencoder can do."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Posterior:
    """Independent Gaussians over latents (Kingma and Welling 2013, arXiv 1312.6114, eq. 9).

    ``mean`` and ``std`` are (B, C, h, w); an encoder without noise has a ``std`` of zeros.
    """

    mean: Tensor
    std: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Latents from standard normal ``noise`` of their shape: mean + std * noise."""
        return self.mean + self.std * noise


class LatentAutoencoder(Protocol):
    """Pictures (B, 3, H, W) in [-1, 1] <-> latents (B, C, H // downscale, W // downscale).

    Latents are as the diffusion model meets them: shifted and scaled.
    """

    @property
    def downscale(self) -> int:
        """Picture pixels a latent position, along a side."""
        ...

    def encode(self, pictures: Tensor) -> Posterior:
        """Where the latents of pictures lie."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """The pictures of latents, not clamped."""
        ...
