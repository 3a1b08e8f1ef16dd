"""What text encoders answer, how weights are laid on it, and how the answers of several are put together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import pad

from darkroom.errors import UnknownName
from darkroom.text.emphasis import Fragment

Emphasis = Literal["a1111", "comfy", "plain"]
"""How weights count: :func:`emphasised`."""

Text = str | Sequence[Fragment]
"""A prompt as an encoder takes it: read by :func:`darkroom.text.prompt.weighted`, or a plain text."""


@dataclass(frozen=True)
class Encoded:
    """A batch of encoded prompts.

    ``tokens`` (B, L, D); ``pooled`` (B, P), or None where the encoder has none; ``mask`` (B, L) bool, True
    where a token counts, or None where all do: prompts of several lengths are padded with zeros.
    """

    tokens: Tensor
    pooled: Tensor | None = None
    mask: Tensor | None = None

    @staticmethod
    def of(rows: Sequence[Tensor], pooled: Tensor | None = None) -> "Encoded":
        """From one (L, D) a prompt."""
        lengths = torch.tensor([len(row) for row in rows], device=rows[0].device)
        longest = int(lengths.max())
        tokens = torch.stack([pad(row, (0, 0, 0, longest - len(row))) for row in rows])
        mask = torch.arange(longest, device=lengths.device) < lengths[:, None]
        return Encoded(tokens, pooled, None if mask.all() else mask)

    def widened(self, width: int) -> "Encoded":
        """The same with zeros behind each token's features, up to ``width``."""
        return replace(self, tokens=pad(self.tokens, (0, width - self.tokens.shape[-1])))

    def beside(self, other: "Encoded") -> "Encoded":
        """Feature by feature: of SDXL's and SD3's two CLIP encoders, which read the same chunks.

        A learned word that only one of them knows may give them different numbers of chunks.
        """
        length = max(self.tokens.shape[1], other.tokens.shape[1])
        mine, theirs = self._lengthened(length), other._lengthened(length)
        tokens = torch.cat([mine.tokens, theirs.tokens], dim=-1)
        return Encoded(tokens, _joined(self.pooled, other.pooled), _either(mine.mask, theirs.mask))

    def then(self, other: "Encoded") -> "Encoded":
        """Token after token: SD3's T5 behind its CLIPs. ``other``'s pooled vector is left out."""
        masks = [one.mask if one.mask is not None else one._whole() for one in (self, other)]
        mask = None if self.mask is None and other.mask is None else torch.cat(masks, dim=1)
        return replace(self, tokens=torch.cat([self.tokens, other.tokens], dim=1), mask=mask)

    def _whole(self) -> Tensor:
        return self.tokens.new_ones(self.tokens.shape[:2], dtype=torch.bool)

    def _lengthened(self, length: int) -> "Encoded":
        missing = length - self.tokens.shape[1]
        if not missing:
            return self
        mask = self._whole() if self.mask is None else self.mask
        return replace(self, tokens=pad(self.tokens, (0, 0, 0, missing)), mask=pad(mask, (0, missing)))


def emphasised(hidden: Tensor, weights: Tensor, empty: Tensor | None, emphasis: Emphasis) -> Tensor:
    """Encoded chunks with the weights of their tokens laid on.

    ``hidden`` (N, L, D), ``weights`` (N, L); ``empty`` (L, D), which "comfy" needs, is the empty prompt's.

    - "a1111": every token times its weight, then the chunk scaled so that its mean is what it was.
    - "plain": every token times its weight (A1111's "No norm").
    - "comfy": every token moved on the line from the empty prompt's token in its place, by its weight.

    A1111 takes one mean over the prompts it encodes together; here none depends on its neighbours.
    """
    found, times = hidden.float(), weights.float()[..., None]
    if emphasis == "comfy":
        assert empty is not None
        changed = torch.lerp(empty.float().expand_as(found), found, times)
    else:
        changed = found * times
        if emphasis == "a1111":
            changed = changed * (found.mean((1, 2), keepdim=True) / changed.mean((1, 2), keepdim=True))
    weighed = (weights != 1).any(dim=1)[:, None, None] if emphasis != "comfy" else times != 1
    return torch.where(weighed, changed.to(hidden.dtype), hidden)


def check_emphasis(emphasis: str) -> None:
    """Raise UnknownName when there is no such way to lay weights on."""
    if emphasis not in get_args(Emphasis):
        raise UnknownName("emphasis", emphasis, get_args(Emphasis))


def fragments(text: Text) -> Sequence[Fragment]:
    """A prompt as fragments; a plain text is one, and nothing in it is syntax."""
    return [Fragment(text)] if isinstance(text, str) else text


def _joined(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    both = [one for one in (first, second) if one is not None]
    return torch.cat(both, dim=-1) if both else None


def _either(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    return None if first is None or second is None else first | second
