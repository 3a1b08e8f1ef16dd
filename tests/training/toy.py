"""A run of milliseconds with all that resuming could get wrong: dropout, statistics, noise, two averages."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.training.ema import Decay, PowerFunction
from darkroom.training.optimizer import LearningRate, OptimizerRecipe
from darkroom.training.recipe import Batch, Recipe, generator

STEPS = 40


class Toy(nn.Module):
    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.first = nn.Linear(6, width)
        self.norm = nn.BatchNorm1d(width)
        self.drop = nn.Dropout(0.1)
        self.last = nn.Linear(width, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.drop(F.silu(self.norm(self.first(x)))))


def batch(step: int) -> Batch:
    rng = np.random.default_rng([3, step])
    return {"x": rng.normal(size=(8, 6)).astype(np.float32), "names": [f"row {step}"] * 8}


def loss(network: nn.Module, batch: Batch, step: int) -> dict[str, Tensor]:
    x = batch["x"]
    noisy = x + 0.1 * torch.randn(x.shape, generator=generator(0, step))
    error = F.mse_loss(network(noisy), x)
    return {"loss": error, "root": error.sqrt()}


RECIPE = Recipe(
    name="toy",
    build=Toy,
    batch=batch,
    loss=loss,
    steps=STEPS,
    batch_size=8,
    optimizer=OptimizerRecipe(rate=LearningRate(peak=1e-2, warmup=5, decay=10)),
    ema=(Decay(0.9), PowerFunction(0.1)),
    checkpoint_every=3,
    workers=0,
)


def recipe(**changes: Any) -> Recipe:
    return replace(RECIPE, **changes)


def with_bad_steps(good: Callable[[int], Batch], bad: range) -> Callable[[int], Batch]:
    """Batches that hold a nan at the steps of ``bad``."""

    def poisoned(step: int) -> Batch:
        made = good(step)
        if step in bad:
            made["x"][0, 0] = np.nan
        return made

    return poisoned


def digests(checkpoint: Path) -> dict[str, str]:
    """The SHA-256 of every tensor file."""
    return {file.name: sha256(file.read_bytes()).hexdigest() for file in checkpoint.glob("*.safetensors")}


def journal(out: Path) -> str:
    return (out / "metrics.jsonl").read_text()
