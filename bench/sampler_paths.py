"""How each sampler walks: ``python -m bench.sampler_paths`` draws docs/pictures/sampler-paths.png.

Forty starts, the same for all, are led by the exact denoiser of three Gaussian heaps in the plane.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from bench.mixture import GaussianMixture
from darkroom.diffusion.grids import GRIDS
from darkroom.diffusion.levels import Flow, Level
from darkroom.diffusion.noise import Philox
from darkroom.diffusion.samplers import SAMPLERS, Sampler, sample

STEPS, STARTS, COLUMNS = 10, 40, 6
HEAPS = GaussianMixture(
    torch.tensor([0.4, 0.35, 0.25]),
    torch.tensor([[-1.1, -0.7], [1.1, -0.4], [0.1, 1.2]]),
    torch.tensor([0.22, 0.16, 0.3]),
)


def walk(sampler: Sampler, steps: int = STEPS) -> np.ndarray:
    """Where a sampler stands whenever it asks, and where it ends: (questions + 1, starts, 2)."""
    seen: list[Tensor] = []

    def denoise(x: Tensor, level: Level) -> Tensor:
        seen.append(x)
        return HEAPS.denoise(x, level)

    grid, noise = GRIDS["trailing"](Flow(), steps), Philox.run(0, STARTS, (2,))
    start = grid.start.sigma.float() * noise(0)
    seen.append(sample(sampler(start, grid, noise), denoise))
    return torch.stack(seen).numpy()


def draw(path: Path) -> Path:
    """One small picture a sampler, walks as lines, ends as dots, on the density that they should reach."""
    rows = -(-len(SAMPLERS) // COLUMNS)
    figure = Figure(figsize=(2.1 * COLUMNS, 2.4 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, sampler in zip(axes.flat, SAMPLERS.values(), strict=False):
        _density(axis)
        walked = walk(sampler)
        axis.plot(walked[..., 0], walked[..., 1], color="#3060c0", linewidth=0.5, alpha=0.55)
        axis.scatter(*walked[-1].T, s=5, color="#d03010", zorder=3)
        axis.set_title(f"{sampler.label}\norder {sampler.order}, {len(walked) - 1} calls", fontsize=7)
        axis.set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), aspect="equal")
    figure.savefig(path, dpi=110)
    return path


def _density(axis: Axes) -> None:
    """The heaps as grey ground."""
    across = torch.linspace(-2.6, 2.6, 80)
    points = torch.cartesian_prod(across, across)  # x first
    apart = (points[:, None] - HEAPS.means).square().sum(-1) / HEAPS.stds**2
    density = (HEAPS.weights / HEAPS.stds**2 * (-apart / 2).exp()).sum(-1).reshape(80, 80).T
    axis.imshow(
        density.sqrt(), origin="lower", extent=(-2.6, 2.6, -2.6, 2.6), cmap="Greys", alpha=0.5, aspect="auto"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/sampler-paths.png"))
    print(draw(parser.parse_args().out))


if __name__ == "__main__":
    main()
