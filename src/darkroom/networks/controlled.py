"""What ControlNets have in common (Zhang et al. 2023, arXiv 2302.05543).

The i-th of them reads parts of its own from ``cond.extra``, in which the rows of one batch may differ:
``control.i.hint`` (B, ...), the control picture as that network takes it; ``control.i.scale`` (B,), what its
effect is multiplied by (1 if not there); ``control.i.mode`` (B,) int64, the kind of control picture where it
knows several. One whose hint is not there, or whose scales are all 0, is not run.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from darkroom.errors import DarkroomError, InvalidRequest
from darkroom.networks.conditioning import Conditioning


class Hint(NamedTuple):
    """What one ControlNet is told beside what the transformer is told."""

    picture: Tensor
    scale: Tensor | None
    mode: Tensor | None

    def scaled(self, residuals: Iterable[Tensor]) -> list[Tensor]:
        """What the ControlNet answers, (B, N, width) each, times its scale a row."""
        scale = self.scale
        if scale is None:
            return list(residuals)
        return [residual * scale[:, None, None].to(residual.dtype) for residual in residuals]


def hint_of(cond: Conditioning, control: int) -> Hint | None:
    """What a ControlNet is told, or None where it need not be run."""
    picture, scale, mode = (cond.extra.get(f"control.{control}.{part}") for part in ("hint", "scale", "mode"))
    # a compiled graph cannot depend on values, so there the network is always run
    idle = scale is not None and not torch.compiler.is_compiling() and not scale.any()
    return None if picture is None or idle else Hint(picture, scale, mode)


def refuse_strangers(cond: Conditioning, controls: int) -> None:
    """Raise DarkroomError for a hint that none of so many ControlNets is there to read."""
    for name in cond.extra:
        if name.startswith("control.") and int(name.split(".")[1]) >= controls:
            raise DarkroomError(
                f"there is a '{name}' and there are {controls} ControlNets, counted from 0; "
                "load one for every hint."
            )


def check_size(hint: Tensor, high: int, wide: int) -> None:
    """Raise InvalidRequest unless the control picture has the size that the noisy latents ask for."""
    if hint.shape[-2:] != (high, wide):
        raise InvalidRequest(
            f"the control picture is {hint.shape[-2]}x{hint.shape[-1]} where {high}x{wide} was expected; "
            "scale it to the size of the picture to be made."
        )


def zeroed(layer: nn.Linear | nn.Conv2d) -> nn.Linear | nn.Conv2d:
    """A layer that answers zero, so that a new ControlNet changes nothing before it is trained."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
