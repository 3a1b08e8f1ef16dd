"""Inner blocks that are run at some steps only: at the others their last answer is taken again.

From one step to the next what the inner blocks of a network give changes little. Ma et al. 2024 (DeepCache,
arXiv 2312.00858) for U-Nets; Chen et al. 2024 (delta-DiT, arXiv 2406.01125) for transformers, where what the
blocks add to their input is kept.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from darkroom.networks.conditioning import Conditioning


def recalled(cond: Conditioning, run: Callable[[], Tensor], base: Tensor | float = 0.0) -> Tensor:
    """What ``run`` gives, (B, ...); of ``cond.recall`` what it gave last instead, without running it.

    What is kept of each row is the difference from ``base``, so that a network whose blocks add to a signal
    adds the same to another.
    """
    if cond.recall:
        return base + torch.stack([memory.kept for memory in cond.memories])
    given = run()
    if cond.memories:
        for memory, row in zip(cond.memories, given - base, strict=True):
            memory.kept = row
    return given
