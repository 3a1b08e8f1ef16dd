"""A painter that learns to say what it is about to paint, while it learns to paint.

Representation alignment (Yu et al. 2025, REPA, arXiv 2410.06940, equation 8) pulls the middle of a diffusion
transformer towards the features of a pretrained encoder. A drawn world needs no encoder: the truth of each
cell is known, so a linear layer names it from the middle blocks' tokens, and is thrown away after training.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.families.starter import Painter
from darkroom.networks.layers import RMSNorm


class AlignedPainter(nn.Module):
    """``painter``, and ``names``: class scores of each cell, from the tokens after the middle block."""

    def __init__(self, painter: Painter, classes: Sequence[int]) -> None:
        super().__init__()
        config = painter.network.config
        self.painter = painter
        self.norm = RMSNorm(config.width)
        self.names = nn.Linear(config.width, sum(classes))
        self.middle: Tensor | None = None
        painter.network.blocks[config.depth // 2].register_forward_hook(self._listen)

    def _listen(self, block: nn.Module, given: Any, tokens: Tensor) -> None:
        self.middle = tokens

    def forward(self, words: Tensor, letters: Tensor, x: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """The painter's prediction (B, C, H, W), and class scores (B, H * W, classes)."""
        painted = self.painter(words, letters, x, time)
        assert self.middle is not None
        named, self.middle = self.names(self.norm(self.middle)), None
        return painted, named


def naming_loss(scores: Tensor, cells: Tensor, classes: Sequence[int]) -> Tensor:
    """Cross-entropy, summed over aspects and averaged over cells.

    ``scores`` (B, N, all classes), ``cells`` (B, aspects, H, W) integers with H * W = N.
    """
    told = cells.flatten(2).long().unbind(1)
    parts = zip(scores.float().split(list(classes), dim=-1), told, strict=True)
    return torch.stack([F.cross_entropy(part.flatten(0, 1), true.flatten()) for part, true in parts]).sum()


def spelling_loss(scores: Tensor, cells: Tensor, classes: Sequence[int]) -> Tensor:
    """Cross-entropy of the last aspect, letters, averaged over the cells that show one; 0 where none does.

    Shapes as in :func:`naming_loss`, in whose mean over all cells letters are too few to be learnt.
    """
    told = cells[:, -1].flatten().long()
    each = F.cross_entropy(scores[..., -classes[-1] :].float().flatten(0, 1), told, reduction="none")
    shown = told > 0
    return (each * shown).sum() / shown.sum().clamp(min=1)
