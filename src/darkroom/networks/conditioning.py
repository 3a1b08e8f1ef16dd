"""What a network is told beside the noisy signal and the time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

EXTRA = "extra."
"""How the names of extra parts begin among all parts."""


@dataclass(eq=False)
class Memory:
    """What the inner blocks of a network last gave one row, see ``networks.recall``."""

    kept: Tensor = field(default_factory=lambda: torch.empty(0))


@dataclass(frozen=True, eq=False)
class Conditioning:
    """Encoded conditions of a batch of rows; every part is optional.

    ``tokens`` (B, L, D) sequence of encoded text; ``mask`` (B, L) bool, True where a token counts; ``pooled``
    (B, D) one vector a row; ``concat`` (B, C, H, W) channels laid beside the noisy signal; ``perturb``
    (B, blocks) bool, True where a block's attention is to see nothing (perturbed-attention guidance);
    ``extra`` what one network alone knows, by name, each (B, ...). ``memories``, one a row or none at all,
    are where the network keeps what its inner blocks give; with ``recall`` it takes that instead.
    """

    tokens: Tensor | None = None
    mask: Tensor | None = None
    pooled: Tensor | None = None
    concat: Tensor | None = None
    perturb: Tensor | None = None
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    memories: tuple[Memory, ...] = ()
    recall: bool = False

    @staticmethod
    def of(parts: Mapping[str, Tensor]) -> "Conditioning":
        """The inverse of :meth:`parts`."""
        own: dict[str, Any] = {k: v for k, v in parts.items() if not k.startswith(EXTRA)}
        extra = {k.removeprefix(EXTRA): v for k, v in parts.items() if k.startswith(EXTRA)}
        return Conditioning(**own, extra=extra)

    def parts(self) -> dict[str, Tensor]:
        """The parts that are there, by name; those of ``extra`` as "extra.NAME"."""
        own = {name: getattr(self, name) for name in ("tokens", "mask", "pooled", "concat", "perturb")}
        told = {name: part for name, part in own.items() if part is not None}
        return told | {EXTRA + name: part for name, part in sorted(self.extra.items())}

    @cached_property
    def names(self) -> frozenset[str]:
        """Of the parts that are there; conditions share a batch only where these are the same."""
        return frozenset(self.parts()) | {f"recall={self.recall}" for _ in self.memories[:1]}

    def map(self, change: Callable[[Tensor], Tensor]) -> "Conditioning":
        """Every part changed in the same way."""
        changed = Conditioning.of({name: change(part) for name, part in self.parts().items()})
        return replace(changed, memories=self.memories, recall=self.recall)

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> "Conditioning":
        """Move every part; what is not a real number keeps its dtype."""
        return self.map(
            lambda part: part.to(device=device, dtype=dtype if part.is_floating_point() else None)
        )

    def blind(self, blocks: Sequence[bool]) -> "Conditioning":
        """The same, with the attention of these blocks to see nothing."""
        device = next(iter(self.parts().values())).device
        return replace(self, perturb=torch.tensor([blocks], device=device).expand(self.batch, -1))

    def rows(self, index: slice | Tensor) -> "Conditioning":
        """The chosen rows."""
        chosen = self.map(lambda part: part[index])
        if not self.memories:
            return chosen
        places = torch.arange(self.batch)[index].tolist()
        return replace(chosen, memories=tuple(self.memories[place] for place in places))

    @property
    def batch(self) -> int:
        """How many rows there are."""
        return next(iter(self.parts().values())).shape[0]

    @staticmethod
    def stack(many: Sequence["Conditioning"]) -> "Conditioning":
        """Join batches row by row; where lengths differ, sequences are padded and the padding masked out.

        Raises ValueError when one has a part that another lacks.
        """
        if len({one.names for one in many}) != 1:
            names = sorted(sorted(one.names) for one in many)
            raise ValueError(f"cannot stack conditionings with different parts: {names}")
        lengths = {one.tokens.shape[1] for one in many if one.tokens is not None}
        rows = [one.padded(max(lengths)).parts() for one in many] if len(lengths) > 1 else _parts(many)
        joined = Conditioning.of({name: torch.cat([row[name] for row in rows]) for name in rows[0]})
        memories = tuple(memory for one in many for memory in one.memories)
        return replace(joined, memories=memories, recall=many[0].recall)

    def padded(self, length: int) -> "Conditioning":
        """The same with its token sequence padded to ``length``, and a mask that leaves the padding out."""
        assert self.tokens is not None
        missing = length - self.tokens.shape[1]
        whole = self.tokens.new_ones(self.tokens.shape[:2], dtype=torch.bool)
        mask = whole if self.mask is None else self.mask
        return replace(self, tokens=pad(self.tokens, (0, 0, 0, missing)), mask=pad(mask, (0, missing)))


def _parts(many: Sequence[Conditioning]) -> list[dict[str, Tensor]]:
    return [one.parts() for one in many]


def only_middle(blocks: int) -> list[bool]:
    """Of so many blocks the one in the middle: where attention is perturbed unless one says otherwise."""
    return [i == blocks // 2 for i in range(blocks)]
