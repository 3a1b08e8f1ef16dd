"""Optimizers and their learning rate, with a state that is keyed by the names of the parameters."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from darkroom.errors import DarkroomError

Shape = Literal["linear", "cosine", "sqrt"]


@dataclass(frozen=True)
class Ending:
    """Where the learning rate falls: for ``steps`` steps from step ``start``; then the run is over.

    ``left`` is the part of the rate that it falls from: less than all where it was falling already.
    """

    start: int
    steps: int
    left: float = 1.0

    @property
    def end(self) -> int:
        """The number of steps of the whole run."""
        return self.start + self.steps


@dataclass(frozen=True, kw_only=True)
class LearningRate:
    """Linear warm-up to ``peak``, a constant stretch, ``decay`` steps of decay to ``floor * peak``.

    ``decay=0`` stays constant; a decay as long as the run is the usual cosine schedule; one of a tenth to a
    fifth of the run is WSD, for which ``sqrt`` (1 - sqrt) does best (Hägele et al. 2024, arXiv 2405.18392).
    """

    peak: float
    warmup: int = 0
    decay: int = 0
    shape: Shape = "cosine"
    floor: float = 0.0

    def at(self, step: int, ending: Ending) -> float:
        """The rate of step 0, 1, ...; a pure function of its arguments."""
        rising = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return self.peak * rising * (self.floor + (1 - self.floor) * self.left(step, ending))

    def left(self, step: int, ending: Ending) -> float:
        """What the decay has left of it, from 1 to 0."""
        done = min(max((step - ending.start) / ending.steps, 0.0), 1.0) if ending.steps else 0.0
        return ending.left * _left(self.shape, done)


def _left(shape: Shape, done: float) -> float:
    """What is left of the rate once ``done`` in [0, 1] of the decay is over."""
    match shape:
        case "linear":
            return 1 - done
        case "cosine":
            return (1 + math.cos(math.pi * done)) / 2
        case "sqrt":
            return 1 - math.sqrt(done)


@dataclass(frozen=True, kw_only=True)
class OptimizerRecipe:
    """AdamW, or Muon for the matrices and AdamW for the rest.

    Weight decay acts on matrices and convolution kernels alone. Gradients are scaled down to a norm of
    ``clip``. Muon (a GPU's choice: it costs seconds a step on a CPU) takes two-dimensional weights other than
    embeddings and those whose names begin with one of ``heads``: name the input and output layers there. It
    is scaled to AdamW's step size, so that both share one rate (Liu et al. 2025, arXiv 2502.16982, section
    2.2).
    """

    rate: LearningRate
    kind: Literal["adamw", "muon"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    clip: float = 1.0
    heads: tuple[str, ...] = ()


class Optimizer:
    """The optimizers of one network, stepped together."""

    def __init__(self, recipe: OptimizerRecipe, network: nn.Module) -> None:
        self.recipe = recipe
        self.names: dict[Tensor, str] = {p: n for n, p in network.named_parameters() if p.requires_grad}
        turned = _muon_parameters(recipe, network) if recipe.kind == "muon" else []
        known = {id(p) for p in turned}
        plain = [p for p in self.names if id(p) not in known]
        self.parts: list[torch.optim.Optimizer] = [_adamw(recipe, plain)] if plain else []
        if turned:
            options = {"weight_decay": recipe.weight_decay, "adjust_lr_fn": "match_rms_adamw"}
            self.parts.append(torch.optim.Muon(turned, **options))  # type: ignore[arg-type]

    def clip(self) -> Tensor:
        """Scale the gradients down to the recipe's norm; returns the norm that they had."""
        return nn.utils.clip_grad_norm_(self.names, self.recipe.clip)

    def step(self, rate: float) -> None:
        """Change the weights by their gradients."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad()

    def state(self) -> dict[str, Tensor]:
        """Everything that the optimizers remember, as ``quantity/parameter``."""
        slots = ((p, slot) for part in self.parts for p, slot in part.state.items())
        return {f"{quantity}/{self.names[p]}": value for p, slot in slots for quantity, value in slot.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of :meth:`state`. Raises DarkroomError for a parameter that is not trained here."""
        places = {
            self.names[p]: (part, p) for part in self.parts for g in part.param_groups for p in g["params"]
        }
        for key, value in state.items():
            quantity, _, name = key.partition("/")
            if name not in places:
                raise DarkroomError(
                    f"the checkpoint's optimizer knows '{name}', which this recipe does not train."
                )
            part, p = places[name]
            part.state[p][quantity] = _laid_out_like(p, value)


def _laid_out_like(p: Tensor, value: Tensor) -> Tensor:
    """``value`` on the parameter's device and, where the shapes agree, in its memory order, for speed."""
    if value.shape != p.shape:
        return value.to(p.device)
    return torch.empty_like(p, dtype=value.dtype).copy_(value)


def _adamw(recipe: OptimizerRecipe, parameters: Sequence[Tensor]) -> torch.optim.AdamW:
    matrices = [p for p in parameters if _is_matrix(p)]
    vectors = [p for p in parameters if not _is_matrix(p)]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], betas=recipe.betas, fused=True)


def _is_matrix(p: Tensor) -> bool:
    """Whether two axes at least are longer than 1: a gain of shape (C, 1, 1) is a vector."""
    return sum(side > 1 for side in p.shape) >= 2


def _muon_parameters(recipe: OptimizerRecipe, network: nn.Module) -> list[Tensor]:
    embeddings = {id(m.weight) for m in network.modules() if isinstance(m, nn.Embedding)}
    return [
        p
        for name, p in network.named_parameters()
        if p.requires_grad and p.ndim == 2 and id(p) not in embeddings and not name.startswith(recipe.heads)
    ]
