"""Parameters whose numbers lie in a file and need not be in memory.

Such a parameter knows its :class:`Origin`. While it is absent it has its shape, type and device but no
memory: all its numbers are one NaN, so that nobody can reckon with it unnoticed.
"""

import math
import mmap
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

ATTRIBUTE = "origin"
PAGE = mmap.PAGESIZE


@dataclass(eq=False)
class Origin:
    """Where a parameter's own numbers come from.

    ``read(check)`` gives them anew in the type that the parameter has, and where ``check`` says so looks at
    every one; it raises DarkroomError for what is not finite. ``mapped`` says that they are the file's pages,
    which the system can take back, and not a copy. ``present`` is whether the parameter has them now.
    """

    read: Callable[[bool], Tensor]
    mapped: bool
    present: bool = False
    checked: bool = False

    def fetch(self) -> Tensor:
        """The numbers, in memory; they are looked at the first time. May be called by any thread."""
        tensor = self.read(not self.checked)
        if self.checked and self.mapped:  # looking at them has read them the first time
            touch(tensor)
        self.checked = True
        return tensor


def origin_of(parameter: nn.Parameter) -> Origin | None:
    """Where its numbers come from; None where they are in memory alone."""
    return getattr(parameter, ATTRIBUTE, None)


def is_absent(parameter: nn.Parameter) -> bool:
    """Whether its numbers are not in memory now."""
    origin = origin_of(parameter)
    return origin is not None and not origin.present


def absent(shape: Iterable[int], dtype: torch.dtype, device: torch.device | str = "cpu") -> Tensor:
    """What stands for numbers that are not in memory."""
    nothing = math.nan if dtype.is_floating_point else 0
    return torch.full((), nothing, dtype=dtype, device=device).expand(tuple(shape))


def touch(numbers: Tensor) -> None:
    """Read one byte of every page, so that this thread waits for the disk and not the one that computes."""
    if numbers.numel():
        numbers.view(-1).view(torch.uint8).numpy()[::PAGE].max()


def parameter_from(origin: Origin, slot: nn.Parameter, dtype: torch.dtype) -> nn.Parameter:
    """An absent parameter in place of ``slot``."""
    made = nn.Parameter(absent(slot.shape, dtype), slot.requires_grad)
    setattr(made, ATTRIBUTE, origin)
    return made
