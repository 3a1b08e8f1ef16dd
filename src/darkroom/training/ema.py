"""Running averages of a network's weights: raw weights are trained, averages are sampled from."""

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn


class Profile(Protocol):
    """How much of the past an average keeps. ``name`` names its file in a checkpoint."""

    @property
    def name(self) -> str: ...

    def keep(self, update: int) -> float:
        """beta(t), the share of the old average that is kept at update t = 1, 2, ..."""
        ...


@dataclass(frozen=True)
class Decay:
    """Exponential average; beta rises as (1 + t) / (10 + t) to ``decay``: the first weights fade soon."""

    decay: float = 0.999

    @property
    def name(self) -> str:
        return f"ema-{self.decay}"

    def keep(self, update: int) -> float:
        return min(self.decay, (1 + update) / (10 + update))


@dataclass(frozen=True)
class PowerFunction:
    """The average over all of the past weighted by t^gamma, whose relative width ``sigma_rel`` never changes.

    Karras et al. 2024 (EDM2, arXiv 2312.02696), equations 1 to 3; 0.05 and 0.10 are the pair that they store.
    """

    sigma_rel: float = 0.10

    @property
    def name(self) -> str:
        return f"ema-power-{self.sigma_rel}"

    @cached_property
    def gamma(self) -> float:
        """The positive root of (gamma + 2)^2 (gamma + 3) = (gamma + 1) / sigma_rel^2 (equation 3)."""
        inverse = self.sigma_rel**-2
        return float(np.roots([1, 7, 16 - inverse, 12 - inverse]).real.max())

    def keep(self, update: int) -> float:
        return (1 - 1 / update) ** (self.gamma + 1)  # equation 2


class Average:
    """One average of a network, kept as a network of its own (``network``, in eval mode)."""

    def __init__(self, profile: Profile, network: nn.Module) -> None:
        self.profile = profile
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, update: int) -> None:
        """Move towards ``network`` after its ``update``-th change (counted from 1).

        Floating-point buffers are averaged as the weights are, so that running statistics fit the weights
        that they go with; other buffers are copied.
        """
        pairs = list(zip(_tensors(self.network), _tensors(network), strict=True))
        smooth = [pair for pair in pairs if pair[0].is_floating_point()]
        torch._foreach_lerp_(
            [old for old, _ in smooth], [new for _, new in smooth], 1 - self.profile.keep(update)
        )
        for old, new in pairs:
            if not old.is_floating_point():
                old.copy_(new)


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]
