"""What ControlNets beside a transformer have in common (Zhang et al. 2023, arXiv 2302.05543).

The i-th of them reads parts of its own from ``cond.extra``, in which the rows of one batch may differ:
``control.i.hint`` (B, ...), the control picture as that network takes it; ``control.i.scale`` (B,), what its
effect is multiplied by; ``control.i.mode`` (B,) int64, the kind of control picture where it knows several.
"""

from collections.abc import Iterable

from torch import Tensor, nn

from darkroom.errors import InvalidRequest
from darkroom.networks.conditioning import Conditioning


def hint_and_mode(cond: Conditioning, control: int) -> tuple[Tensor, Tensor | None]:
    """What a ControlNet is told beside what the transformer is told."""
    return cond.extra[f"control.{control}.hint"], cond.extra.get(f"control.{control}.mode")


def scaled(residuals: Iterable[Tensor], cond: Conditioning, control: int) -> list[Tensor]:
    """What a ControlNet answers, (B, N, width) each, times its scale a row."""
    scale = cond.extra[f"control.{control}.scale"][:, None, None]
    return [residual * scale.to(residual.dtype) for residual in residuals]


def check_size(hint: Tensor, high: int, wide: int) -> None:
    """Raise InvalidRequest unless the control picture has the size that the noisy latents ask for."""
    if hint.shape[-2:] != (high, wide):
        raise InvalidRequest(
            f"the control picture is {hint.shape[-2]}x{hint.shape[-1]} where {high}x{wide} was expected; "
            "scale it to the size of the picture to be made."
        )


def zeroed(layer: nn.Linear | nn.Conv2d) -> nn.Linear | nn.Conv2d:
    """A layer that answers zero, so that a new ControlNet changes nothing before it is trained."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
