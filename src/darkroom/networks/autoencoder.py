"""A convolutional autoencoder: pictures to small latents of unit variance, and back.

Deterministic. In place of a KL term the latent is normalised channel by channel by running statistics, and
the decoder is trained on latents with a little noise, so that the small errors of a sampler stay invisible.
All work happens at a quarter of the picture's side or less: the last step to pixels is a shuffle
(Shi et al. 2016, arXiv 1609.05158).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class AutoencoderConfig:
    """``widths`` and ``depths`` go from the finest level (a quarter of the side) to the coarsest.

    Each further level halves the side once more: three levels make latents 16 times smaller a side.
    """

    channels: int = 32
    widths: tuple[int, ...] = (64, 128, 256)
    encoder_depths: tuple[int, ...] = (0, 1, 1)
    decoder_depths: tuple[int, ...] = (2, 2, 1)

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


class Down(nn.Module):
    """Halve the side: a learned step beside a fixed one (space to channels, averaged in groups).

    The fixed way round is what lets deep compression train quickly (Chen et al. 2024, DC-AE,
    arXiv 2410.10733, section 3.2).
    """

    def __init__(self, narrow: int, wide: int) -> None:
        super().__init__()
        self.groups = 4 * narrow // wide
        self.learned = nn.Conv2d(4 * narrow, wide, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pixel_unshuffle(x, 2)
        return self.learned(x) + x.unflatten(1, (-1, self.groups)).mean(dim=2)


class Up(nn.Module):
    """Double the side: the inverse of :class:`Down`, channels repeated in place of averaged."""

    def __init__(self, wide: int, narrow: int) -> None:
        super().__init__()
        self.groups = 4 * narrow // wide
        self.learned = nn.Conv2d(wide, 4 * narrow, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.learned(x) + x.repeat_interleave(self.groups, dim=1), 2)


def residuals(width: int, depth: int) -> list[nn.Module]:
    """``depth`` residual blocks."""
    return [Residual(width) for _ in range(depth)]


def encoder(config: AutoencoderConfig) -> nn.Sequential:
    """(B, 3, H, W) -> (B, channels, H / downscale, W / downscale)."""
    layers: list[nn.Module] = [nn.PixelUnshuffle(4), nn.Conv2d(48, config.widths[0], 3, padding=1)]
    for level, (width, depth) in enumerate(zip(config.widths, config.encoder_depths, strict=True)):
        if level:
            layers.append(Down(config.widths[level - 1], width))
        layers += residuals(width, depth)
    return nn.Sequential(
        *layers, ChannelNorm(config.widths[-1]), nn.Conv2d(config.widths[-1], config.channels, 1)
    )


def decoder(config: AutoencoderConfig) -> nn.Sequential:
    """(B, channels, h, w) -> (B, 3, h * downscale, w * downscale)."""
    layers: list[nn.Module] = [nn.Conv2d(config.channels, config.widths[-1], 3, padding=1)]
    for level in reversed(range(len(config.widths))):
        layers += residuals(config.widths[level], config.decoder_depths[level])
        if level:
            layers.append(Up(config.widths[level], config.widths[level - 1]))
    layers += [ChannelNorm(config.widths[0]), nn.SiLU(), nn.Conv2d(config.widths[0], 48, 3, padding=1)]
    return nn.Sequential(*layers, nn.PixelShuffle(4))


class Autoencoder(nn.Module):
    """Pictures (B, 3, H, W) in [-1, 1] <-> latents (B, channels, H / downscale, W / downscale).

    Each way is a linear map of one cell of pixels plus a network for what the linear map leaves.
    """

    gain: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        cell, channels = config.downscale, config.channels
        self.analysis = nn.Conv2d(3, channels, cell, stride=cell)
        self.encoder = encoder(config)
        self.normalise = nn.BatchNorm2d(channels, affine=False, momentum=0.01)
        self.register_buffer("gain", torch.ones(channels, 1, 1))
        self.decoder = decoder(config)
        self.synthesis = nn.ConvTranspose2d(channels, 3, cell, stride=cell)

    def encode(self, picture: Tensor) -> Tensor:
        """Latents of variance gain squared, one on average.

        Raises ValueError when the sides are not multiples of ``downscale``.
        """
        if any(side % self.config.downscale for side in picture.shape[-2:]):
            high, wide = picture.shape[-2:]
            raise ValueError(
                f"a picture of {wide}x{high} does not divide into cells of {self.config.downscale} pixels"
            )
        return self.normalise(self.analysis(picture) + self.encoder(picture)) * self.gain

    def decode(self, latent: Tensor) -> Tensor:
        """Pictures, clamped to [-1, 1] outside training."""
        latent = latent / self.gain
        picture = self.synthesis(latent) + self.decoder(latent)
        return picture if self.training else picture.clamp(-1, 1)

    def forward(self, picture: Tensor, noise: Tensor) -> Tensor:
        """Encode, add ``noise`` to the latent, decode."""
        return self.decode(self.encode(picture) + noise)

    @torch.no_grad()
    def start_from(self, pictures: Tensor) -> None:
        """Set the linear maps to the principal components of these pictures' cells, and silence the networks.

        Training so begins at the best linear autoencoder. A channel's gain is the fourth root of its
        component's variance: coarse structure stays stronger than detail, which a diffusion model then
        meets in that order (compare Skorokhodov et al. 2025, arXiv 2502.14831).
        """
        cell, channels = self.config.downscale, self.config.channels
        cells = (
            F.unfold(pictures, cell, stride=cell).transpose(1, 2).flatten(0, 1)
        )  # (cells, 3 * cell * cell)
        mean = cells.mean(0)
        variance, components = torch.linalg.eigh(torch.cov(cells.T))
        deviation = variance.flip(0)[:channels].clamp(min=1e-12).sqrt()
        components = components.flip(1)[:, :channels].T  # (channels, 3 * cell * cell)
        shape = (channels, 3, cell, cell)
        self.analysis.weight.copy_((components / deviation[:, None]).reshape(shape))
        self.analysis.bias = nn.Parameter(-(components @ mean) / deviation)
        self.synthesis.weight.copy_((components * deviation[:, None]).reshape(shape))
        self.synthesis.bias = nn.Parameter(pictures.mean(dim=(0, 2, 3)))
        self.gain.copy_((deviation.sqrt() / deviation.mean().sqrt())[:, None, None])
        for network in (self.encoder, self.decoder):
            silence(next(layer for layer in reversed(network) if isinstance(layer, nn.Conv2d)))


def reconstruction_loss(made: Tensor, true: Tensor) -> Tensor:
    """L1 on pixels and on their differences to the right and below: (B, 3, H, W) twice -> (B,)."""
    error = made - true
    across = (error[..., 1:] - error[..., :-1]).abs().mean(dim=(1, 2, 3))
    down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean(dim=(1, 2, 3))
    return error.abs().mean(dim=(1, 2, 3)) + across + down
