"""Mixtures of Gaussians: data whose best denoiser is known in closed form, to prove samplers with."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from darkroom.diffusion.levels import Level, left


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """Round Gaussians: ``weights`` (K,) that add up to 1, ``means`` (K, D), deviations ``stds`` (K,)."""

    weights: Tensor
    means: Tensor
    stds: Tensor

    @cached_property
    def mean(self) -> Tensor:
        """(D,)"""
        return self.weights @ self.means

    @cached_property
    def covariance(self) -> Tensor:
        """(D, D)"""
        apart = self.means - self.mean
        within = (self.weights * self.stds**2).sum() * torch.eye(len(self.mean)).to(apart)
        return within + (self.weights[:, None] * apart).T @ apart

    def denoise(self, x: Tensor, level: Level) -> Tensor:
        """E[x0 | x] for ``x`` (B, D), by Bayes' rule over the components."""
        alpha, apart, variance = self._noised(x, level)
        distance = apart.square().sum(-1) / variance
        density = self.weights.log() - (x.shape[1] * variance.log() + distance) / 2  # (B, K)
        pull = (alpha * self.stds**2 / variance)[..., None]  # (B, K, 1)
        return (density.softmax(-1)[..., None] * (self.means + pull * apart)).sum(-2)

    def transport(self, x: Tensor, t: Level, s: Level) -> Tensor:
        """Where the probability flow takes ``x`` (B, 1) from ``t`` to ``s``: what a sampler should find.

        In one dimension trajectories cannot cross, so each keeps its quantile: F_s(x_s) = F_t(x_t). Solved by
        bisection to the last bit or so.
        """
        quantile = self.cdf(x, t)
        reach = left(s.alpha, x) * self._extent + 9 * left(s.sigma, x)
        low, high = -reach.expand_as(x), reach.expand_as(x)
        for _ in range(64):
            middle = (low + high) / 2
            below = self.cdf(middle, s) < quantile
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2

    def cdf(self, x: Tensor, level: Level) -> Tensor:
        """Probability that a noisy signal lies at or below ``x`` (B, 1)."""
        _, apart, variance = self._noised(x, level)
        below = torch.special.ndtr(apart[..., 0] / variance.sqrt())
        return (self.weights * below).sum(-1, keepdim=True)

    @cached_property
    def _extent(self) -> Tensor:
        """So far from zero that no data lie beyond in double precision."""
        return (self.means.abs().amax(-1) + 9 * self.stds).max()

    def _noised(self, x: Tensor, level: Level) -> tuple[Tensor, Tensor, Tensor]:
        """At ``level``: alpha (B, 1); from each component's mean to x (B, K, D); its variance (B, K)."""
        alpha, sigma = (left(part.expand(len(x)), x) for part in (level.alpha, level.sigma))
        apart = x[:, None, :] - alpha[..., None] * self.means
        return alpha, apart, (alpha * self.stds) ** 2 + sigma**2
