"""What a network is told beside the noisy signal and the time."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True)
class Conditioning:
    """Encoded conditions of a batch of rows; every part is optional.

    ``tokens`` (B, L, D) sequence of encoded text; ``mask`` (B, L) bool, True where a token counts; ``pooled``
    (B, D) one vector a row; ``concat`` (B, C, H, W) channels laid beside the noisy signal; ``perturb``
    (B, blocks) bool, True where a block's attention is to see nothing (perturbed-attention guidance).
    """

    tokens: Tensor | None = None
    mask: Tensor | None = None
    pooled: Tensor | None = None
    concat: Tensor | None = None
    perturb: Tensor | None = None

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> "Conditioning":
        """Move every part; the boolean mask keeps its dtype."""
        moved = {
            name: part.to(device=device, dtype=dtype if part.is_floating_point() else None)
            for name, part in self.parts().items()
        }
        return replace(self, **moved)

    def parts(self) -> dict[str, Tensor]:
        """The parts that are there, by name."""
        named = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: part for name, part in named if part is not None}

    def rows(self, index: slice | Tensor) -> "Conditioning":
        """The chosen rows."""
        return replace(self, **{name: part[index] for name, part in self.parts().items()})

    @property
    def batch(self) -> int:
        """How many rows there are."""
        return next(iter(self.parts().values())).shape[0]

    @staticmethod
    def stack(many: Sequence["Conditioning"]) -> "Conditioning":
        """Join batches row by row; sequences are padded to the longest, padding is masked out.

        Raises ValueError when one has a part that another lacks.
        """
        names = {tuple(one.parts()) for one in many}
        if len(names) != 1:
            raise ValueError(f"cannot stack conditionings with different parts: {sorted(names)}")
        length = max((one.tokens.shape[1] for one in many if one.tokens is not None), default=0)
        padded = [one.padded(length) for one in many]
        return Conditioning(**{name: torch.cat([p.parts()[name] for p in padded]) for name in names.pop()})

    def padded(self, length: int) -> "Conditioning":
        """The same with its token sequence padded to ``length``; the padding is masked."""
        if self.tokens is None or self.tokens.shape[1] == length:
            return self
        missing = length - self.tokens.shape[1]
        mask = (
            self.mask
            if self.mask is not None
            else self.tokens.new_ones(self.tokens.shape[:2], dtype=torch.bool)
        )
        return replace(self, tokens=pad(self.tokens, (0, 0, 0, missing)), mask=pad(mask, (0, missing)))
