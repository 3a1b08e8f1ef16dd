"""What happens to a tensor's values between two layouts: operations that can be undone to the bit.

``split`` goes from the one tensor of a single file to the tensors of ours; ``merge`` goes back. Both work on
the ``meta`` device too, which is how shapes are known before anything is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from darkroom.errors import DarkroomError


class Operation(Protocol):
    """Between a tensor of a single file and the tensors of ours that it holds; ``merge`` undoes ``split``."""

    def split(self, tensor: Tensor) -> tuple[Tensor, ...]:
        """Views of the tensor where that can be, copies otherwise."""

    def merge(self, parts: Sequence[Tensor]) -> Tensor:
        """The tensor that ``split`` takes into these parts."""


@dataclass(frozen=True)
class Same:
    """Another name, the same tensor."""

    def split(self, tensor: Tensor) -> tuple[Tensor, ...]:
        return (tensor,)

    def merge(self, parts: Sequence[Tensor]) -> Tensor:
        return parts[0]


@dataclass(frozen=True)
class Rows:
    """Several layers that were laid behind each other: their rows, in these shares of the whole."""

    shares: tuple[int, ...]

    def split(self, tensor: Tensor) -> tuple[Tensor, ...]:
        unit, rest = divmod(tensor.shape[0], sum(self.shares))
        if rest:
            raise DarkroomError(
                f"{tensor.shape[0]} rows cannot be shared out as {':'.join(map(str, self.shares))}; "
                "the file is damaged or of a kind that is not known here."
            )
        return tensor.split([share * unit for share in self.shares])

    def merge(self, parts: Sequence[Tensor]) -> Tensor:
        rows = [part.shape[0] for part in parts]
        if any(
            size * sum(self.shares) != share * sum(rows)
            for size, share in zip(rows, self.shares, strict=True)
        ):
            raise DarkroomError(
                f"layers with {', '.join(map(str, rows))} rows do not fit one tensor in shares of "
                f"{':'.join(map(str, self.shares))}; the model is of a kind that is not known here."
            )
        return torch.cat(list(parts))


@dataclass(frozen=True)
class SwappedHalves:
    """Scale and shift in the other order."""

    def split(self, tensor: Tensor) -> tuple[Tensor, ...]:
        return (torch.cat(tensor.chunk(2)[::-1]),)

    def merge(self, parts: Sequence[Tensor]) -> Tensor:
        return self.split(parts[0])[0]


@dataclass(frozen=True)
class OneByOne:
    """A 1x1 convolution (out, in, 1, 1) for a linear layer (out, in). One that is linear already stays."""

    def split(self, tensor: Tensor) -> tuple[Tensor, ...]:
        return (tensor.flatten(1) if tensor.ndim > 2 else tensor,)

    def merge(self, parts: Sequence[Tensor]) -> Tensor:
        return parts[0][:, :, None, None]


@dataclass(frozen=True)
class Transposed:
    """A matrix (in, out) for the weight of a linear layer (out, in)."""

    def split(self, tensor: Tensor) -> tuple[Tensor, ...]:
        return (tensor.T,)

    def merge(self, parts: Sequence[Tensor]) -> Tensor:
        return parts[0].T


SAME, SWAPPED, ONE_BY_ONE, TRANSPOSED = Same(), SwappedHalves(), OneByOne(), Transposed()
THIRDS = Rows((1, 1, 1))
