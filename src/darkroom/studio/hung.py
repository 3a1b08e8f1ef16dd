"""A model with what a request hangs on it, as the rest of the studio sees it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from darkroom.networks.conditioning import Conditioning
from darkroom.studio.prompts import Finish

Extra = Callable[[float, float, bool], Mapping[str, Tensor]]
"""(from, until, whether it is wanted) -> what is told between these shares of the steps."""


@dataclass(frozen=True)
class Told:
    """A :class:`~darkroom.studio.prompts.Finish` that tells all ``extras``."""

    extras: Sequence[Extra] = ()
    breaks: Sequence[float] = ()

    def __call__(self, cond: Conditioning, first: float, end: float, wanted: bool) -> Conditioning:
        extra = dict(cond.extra)
        for more in self.extras:
            extra |= more(first, end, wanted)
        return replace(cond, extra=extra)


@dataclass(frozen=True)
class Hung:
    """The network to ask, what it is told besides words, embeddings for prompts, and news for the user."""

    network: nn.Module
    finish: Finish = field(default_factory=Told)
    embeddings: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
