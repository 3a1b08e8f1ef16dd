"""An autoencoder of two unlike halves: principal components in, a convolutional network out.

Each cell of pixels is coded by its principal components, the best linear code there is, found in closed form.
A network then learns to draw from these codes and their neighbours what a linear decoder cannot: edges,
letters, faces. It is trained on codes with a little noise, so that the small errors of a sampler stay
invisible.
All its work happens at a quarter of the picture's side or less: the last step to pixels is a shuffle
(Shi et al. 2016, arXiv 1609.05158).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class AutoencoderConfig:
    """``widths`` and ``depths`` of the decoder go from the finest level (a quarter of the side) upwards.

    Each further level halves the side once more: three levels make latents 16 times smaller a side.
    """

    channels: int = 48
    widths: tuple[int, ...] = (64, 128, 256)
    depths: tuple[int, ...] = (2, 2, 1)

    @property
    def downscale(self) -> int:
        """Picture pixels a latent position, along a side."""
        return 4 * 2 ** (len(self.widths) - 1)


class ChannelNorm(nn.Module):
    """RMS norm over the channels of each position, learned gain; (B, C, H, W) -> the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-6) * self.gain


def silence(layer: nn.Conv2d) -> None:
    """Make a convolution answer zero, so that training starts without it."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class Residual(nn.Module):
    """x + conv(silu(conv(silu(norm(x)))))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.one = nn.Conv2d(width, width, 3, padding=1)
        self.two = nn.Conv2d(width, width, 3, padding=1)
        silence(self.two)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.two(F.silu(self.one(F.silu(self.norm(x)))))


class Up(nn.Module):
    """Double the side: a learned step beside a fixed one (channels repeated, then spread over space).

    The fixed way round is what lets deep compression train quickly (Chen et al. 2024, DC-AE,
    arXiv 2410.10733, section 3.2).
    """

    def __init__(self, wide: int, narrow: int) -> None:
        super().__init__()
        self.groups = 4 * narrow // wide
        self.learned = nn.Conv2d(wide, 4 * narrow, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.learned(x) + x.repeat_interleave(self.groups, dim=1), 2)


def residuals(width: int, depth: int) -> list[nn.Module]:
    """``depth`` residual blocks."""
    return [Residual(width) for _ in range(depth)]


def decoder(config: AutoencoderConfig) -> nn.Sequential:
    """(B, channels, h, w) -> (B, 3, h * downscale, w * downscale)."""
    layers: list[nn.Module] = [nn.Conv2d(config.channels, config.widths[-1], 3, padding=1)]
    for level in reversed(range(len(config.widths))):
        layers += residuals(config.widths[level], config.depths[level])
        if level:
            layers.append(Up(config.widths[level], config.widths[level - 1]))
    layers += [ChannelNorm(config.widths[0]), nn.SiLU(), nn.Conv2d(config.widths[0], 48, 3, padding=1)]
    return nn.Sequential(*layers, nn.PixelShuffle(4))


class Autoencoder(nn.Module):
    """Pictures (B, 3, H, W) in [-1, 1] <-> latents (B, channels, H / downscale, W / downscale).

    ``components`` (channels, 3 * cell * cell) are orthonormal rows, ``mean`` (3,) is the mean colour and
    ``deviation`` (channels,) how far cells spread along each component.
    """

    components: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        values = 3 * config.downscale**2
        self.register_buffer("components", torch.eye(config.channels, values))
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("deviation", torch.ones(config.channels))
        self.decoder = decoder(config)

    @property
    def strength(self) -> Tensor:
        """What a component is divided by to make a latent channel, (channels, 1, 1).

        Channels so have the square root of their component's deviation, one on average: coarse structure
        stays stronger than detail, and a diffusion model meets them in that order
        (compare Skorokhodov et al. 2025, arXiv 2502.14831).
        """
        root = self.deviation.sqrt()
        return (root * self.deviation.mean().sqrt())[:, None, None]

    def encode(self, picture: Tensor) -> Tensor:
        """Latents of mean square one. Raises ValueError for sides that are not multiples of ``downscale``."""
        cell = self.config.downscale
        if any(side % cell for side in picture.shape[-2:]):
            high, wide = picture.shape[-2:]
            raise ValueError(f"a picture of {wide}x{high} does not divide into cells of {cell} pixels")
        kernel = self.components.unflatten(1, (3, cell, cell))
        return F.conv2d(picture - self.mean[:, None, None], kernel, stride=cell) / self.strength

    def decode_linearly(self, latent: Tensor) -> Tensor:
        """The best picture that a linear decoder can make."""
        cell = self.config.downscale
        kernel = self.components.unflatten(1, (3, cell, cell))
        return F.conv_transpose2d(latent * self.strength, kernel, stride=cell) + self.mean[:, None, None]

    def decode(self, latent: Tensor) -> Tensor:
        """Pictures, clamped to [-1, 1] outside training."""
        picture = self.decode_linearly(latent) + self.decoder(latent)
        return picture if self.training else picture.clamp(-1, 1)

    def forward(self, latent: Tensor) -> Tensor:
        """Decode, for training."""
        return self.decode(latent)

    @torch.no_grad()
    def start_from(self, pictures: Tensor) -> None:
        """Find the principal components of these pictures' cells, and silence the decoder until it learns."""
        mean = pictures.mean(dim=(0, 2, 3))
        cell = self.config.downscale
        cells = F.unfold(pictures - mean[:, None, None], cell, stride=cell).transpose(1, 2).flatten(0, 1)
        variance, components = torch.linalg.eigh(cells.T @ cells / len(cells))
        self.mean.copy_(mean)
        self.deviation.copy_(variance.flip(0)[: self.config.channels].clamp(min=1e-12).sqrt())
        self.components.copy_(components.flip(1)[:, : self.config.channels].T)
        silence(next(layer for layer in reversed(self.decoder) if isinstance(layer, nn.Conv2d)))


def reconstruction_loss(made: Tensor, true: Tensor) -> Tensor:
    """L1 on pixels and on their differences to the right and below: (B, 3, H, W) twice -> (B,)."""
    error = made - true
    across = (error[..., 1:] - error[..., :-1]).abs().mean(dim=(1, 2, 3))
    down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean(dim=(1, 2, 3))
    return error.abs().mean(dim=(1, 2, 3)) + across + down
