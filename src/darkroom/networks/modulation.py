"""How time and pooled text steer a transformer: one vector a row, and the norms that it shifts and scales.

adaLN-zero of Peebles and Xie 2023 (DiT, arXiv 2212.09748, section 3.2), as MMDiT and FLUX have it.
"""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.networks.layers import sinusoids

WAVES = 256
"""Width of the sinusoids that tell a time or a guidance scale."""


class Modulation(NamedTuple):
    """What the told vector makes of one step of a block; each (B, 1, width)."""

    shift: Tensor
    scale: Tensor
    gate: Tensor

    def before(self, x: Tensor) -> Tensor:
        """``x`` (B, N, width) normalised, scaled and shifted."""
        return modulated(x, self.shift, self.scale)


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """A layer norm whose gain and bias are given from outside."""
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


class AdaptiveNorm(nn.Module):
    """The modulations of the ``steps`` steps of a block."""

    def __init__(self, width: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.linear = nn.Linear(width, 3 * steps * width)

    def forward(self, told: Tensor) -> list[Modulation]:
        """``told`` (B, width) -> a modulation for each step."""
        parts = self.linear(told)[:, None].chunk(3 * self.steps, dim=-1)
        return [Modulation(*parts[3 * i : 3 * i + 3]) for i in range(self.steps)]


class FinalNorm(nn.Module):
    """A modulated norm after which nothing is added back, so it has no gate."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """``x`` (B, N, width), ``told`` (B, width) -> (B, N, width)."""
        scale, shift = self.linear(told)[:, None].chunk(2, dim=-1)
        return modulated(x, shift, scale)


class Projection(nn.Module):
    """Two linear layers with a SiLU between them."""

    def __init__(self, given: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(given, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(F.silu(self.linear_1(x)))


class TimeText(nn.Module):
    """Time, pooled text and, where ``guidance``, the distilled guidance scale, told as one vector a row.

    Times and scales are multiplied by 1000 in single precision, whatever the weights are in. Black Forest
    Labs' own code and diffusers round both to the weights' precision first, so that in bfloat16 they tell
    FLUX a time of 0.3 as 0.301 and a scale of 3.5 as 3.504.
    """

    def __init__(self, width: int, pooled_width: int, guidance: bool = False) -> None:
        super().__init__()
        self.timestep_embedder = Projection(WAVES, width)
        self.guidance_embedder = Projection(WAVES, width) if guidance else None
        self.text_embedder = Projection(pooled_width, width)

    def forward(self, time: Tensor, pooled: Tensor, guidance: Tensor | None = None) -> Tensor:
        """``time`` (B,) in [0, 1], ``pooled`` (B, P), ``guidance`` (B,) -> (B, width), after a SiLU.

        Raises ValueError where the network was distilled for guidance and no scale is given.
        """
        told = self.timestep_embedder(waves(time, pooled))
        if self.guidance_embedder is not None:
            if guidance is None:
                raise ValueError("this network reads a guidance scale (B,) from cond.extra['guidance']")
            told = told + self.guidance_embedder(waves(guidance, pooled))
        return F.silu(told + self.text_embedder(pooled))


def waves(value: Tensor, like: Tensor) -> Tensor:
    """Sinusoids of 1000 times a value a row: (B,) -> (B, 256), in the precision of ``like``."""
    return sinusoids(1000 * value.float(), WAVES).to(like.dtype)
