"""The examiner: a small network that says what stands where in a picture, and in which colour.

A detector of centres in the manner of CenterNet (Zhou et al. 2019, arXiv 1904.07850): one heat map a kind on
a grid of cells of 4 pixels. What stands at a peak is asked by kind, so that glasses and the nose under them
may be in one cell.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 128
CELL, CELLS = 4, 32


@dataclass(frozen=True)
class ExaminerConfig:
    """What is told apart, and how wide the network is at 32, 16 and 8 cells a side."""

    kinds: tuple[str, ...]
    colours: tuple[str, ...]
    grounds: tuple[str, ...]
    lights: tuple[str, ...]
    widths: tuple[int, int, int] = (32, 72, 144)
    features: int = 64


class Maps(NamedTuple):
    """What one look at a batch gives; ``heat``, ``ground`` and ``light`` are logits."""

    heat: Tensor  # (B, kinds, 32, 32)
    fine: Tensor  # (B, features, 32, 32)
    coarse: Tensor  # (B, widths[1], 16, 16)
    ground: Tensor  # (B, grounds)
    light: Tensor  # (B, lights)


class Spots(NamedTuple):
    """Where a kind is asked about: whole numbers of picture, kind, row and column, (N,) each."""

    picture: Tensor
    kind: Tensor
    row: Tensor
    column: Tensor


def convolution(inputs: int, outputs: int, stride: int = 1, size: int = 3) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    layer = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Two convolutions beside an identity (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one = convolution(width, width)
        self.two = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.two(self.one(x)))


class Examiner(nn.Module):
    """A picture's maps, and what stands at a spot."""

    def __init__(self, config: ExaminerConfig) -> None:
        super().__init__()
        self.config = config
        a, b, c = config.widths
        self.fine = nn.Sequential(convolution(3 * CELL**2, a), Residual(a))
        self.middle = nn.Sequential(convolution(a, b, 2), Residual(b), Residual(b))
        self.coarse = nn.Sequential(convolution(b, c, 2), Residual(c), Residual(c))
        self.to_middle, self.at_middle = convolution(c, b, size=1), convolution(b, b)
        self.to_fine, self.at_fine = convolution(b, a, size=1), convolution(a, config.features)
        self.heat = nn.Conv2d(config.features, len(config.kinds), 1)
        nn.init.constant_(self.heat.bias, -4.6)  # type: ignore[arg-type]  # a hundredth of the cells, at first
        self.ground = nn.Linear(c, len(config.grounds))
        self.light = nn.Linear(c, len(config.lights))
        self.kind = nn.Embedding(len(config.kinds), 32)
        self.answer = nn.Sequential(
            nn.Linear(config.features + b + 32, 128), nn.ReLU(), nn.Linear(128, 4 + len(config.colours) + 1)
        )

    def forward(self, images: Tensor) -> Maps:
        """Look at images (B, 3, 128, 128) in [-1, 1]."""
        patches = F.pixel_unshuffle(images, CELL)  # (B, 48, 32, 32)
        fine = self.fine(patches.contiguous(memory_format=torch.channels_last))  # (B, a, 32, 32)
        middle = self.middle(fine)  # (B, b, 16, 16)
        coarse = self.coarse(middle)  # (B, c, 8, 8)
        middle = self.at_middle(middle + F.interpolate(self.to_middle(coarse), scale_factor=2.0))
        fine = self.at_fine(fine + F.interpolate(self.to_fine(middle), scale_factor=2.0))
        around = coarse.mean((2, 3))
        return Maps(self.heat(fine), fine, middle, self.ground(around), self.light(around))

    def ask(self, maps: Maps, spots: Spots) -> tuple[Tensor, Tensor]:
        """What of that kind is at each spot: boxes (N, 4) as in `targets`, colour logits (N, colours + 1)."""
        fine = maps.fine[spots.picture, :, spots.row, spots.column]
        coarse = maps.coarse[spots.picture, :, spots.row // 2, spots.column // 2]
        answer = self.answer(torch.cat([fine, coarse, self.kind(spots.kind)], dim=1))
        return answer[:, :4], answer[:, 4:]


def as_images(pictures: Tensor) -> Tensor:
    """Pictures uint8 (B, H, W, 3) as images (B, 3, H, W) in [-1, 1]."""
    return pictures.permute(0, 3, 1, 2).float() / 127.5 - 1
