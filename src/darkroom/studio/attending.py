"""Which words each place of a picture attends to, read off a diffusion transformer while it runs.

Hooks alone do it: the network does not know that it is watched, and is as it was afterwards.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from darkroom.networks.dit import DiT, DiTBlock
from darkroom.networks.layers import rotate


@dataclass
class Attended:
    """What one forward pass attended to: ``weights`` (B, positions, tokens), the mean over blocks and heads.

    A row sums to less than 1; the rest went to other places of the picture.
    """

    blocks: list[Tensor] = field(default_factory=list)

    @property
    def weights(self) -> Tensor:
        return torch.stack(self.blocks).mean(0)

    def clear(self) -> None:
        """Forget the pass."""
        self.blocks.clear()


@contextmanager
def attending(network: nn.Module) -> Iterator[Attended | None]:
    """Watch every forward pass while the block lasts; None for networks other than :class:`DiT`.

    Whoever runs the passes calls ``clear`` between them.
    """
    if not isinstance(network, DiT):
        yield None
        return
    attended, hooks = Attended(), list[Any]()
    for block in network.blocks:
        assert isinstance(block, DiTBlock)
        hooks += _watch(block, attended)
    try:
        yield attended
    finally:
        for hook in hooks:
            hook.remove()


def _watch(block: DiTBlock, attended: Attended) -> list[Any]:
    """Note the queries and the keys of a block as its norms give them, and weigh them when it has run."""
    queries, keys = list[Tensor](), list[Tensor]()

    def note_query(module: nn.Module, args: Any, out: Tensor) -> None:
        queries.append(out)

    def note_keys(module: nn.Module, args: Any, out: Tensor) -> None:
        keys.append(out)  # those of the picture, then those of the prompt

    def weigh(module: nn.Module, args: Any, out: Tensor) -> None:
        _, _, _, mask, angles = args
        attended.blocks.append(weights_of(queries[-1], keys[0], keys[1], mask, angles))
        queries.clear()
        keys.clear()

    return [
        block.query_norm.register_forward_hook(note_query),
        block.key_norm.register_forward_hook(note_keys),
        block.register_forward_hook(weigh),
    ]


def weights_of(q: Tensor, k: Tensor, text_k: Tensor, mask: Tensor, angles: Tensor) -> Tensor:
    """The part of attention that goes to the prompt: (B, N, L), the mean over heads.

    ``q`` and ``k`` (B, heads, N, d) before they are turned by ``angles``; ``text_k`` (B, heads, L, d).
    """
    keys = torch.cat([rotate(k, angles), text_k], dim=2).float()
    scores = rotate(q, angles).float() @ keys.transpose(-1, -2) * q.shape[-1] ** -0.5
    weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
    return weights[..., k.shape[2] :].mean(1)
