"""What a request hangs on a model while its pictures are made: LoRAs, ControlNets, picture prompts."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor, nn

from darkroom.families.family import Model
from darkroom.networks.conditioning import Conditioning
from darkroom.studio.prompts import Finish
from darkroom.studio.request import Request


class Untouched:
    """A :class:`~darkroom.studio.prompts.Finish` that adds nothing."""

    breaks: Sequence[float] = ()

    def __call__(self, cond: Conditioning, first: float, end: float, wanted: bool) -> Conditioning:
        return cond


@dataclass(frozen=True)
class Hung:
    """The network to ask, what it is told besides words, embeddings for prompts, and news for the user."""

    network: nn.Module
    finish: Finish = field(default_factory=Untouched)
    embeddings: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


@contextmanager
def hanging(model: Model, request: Request) -> Iterator[Hung]:
    """Hang what the request asks for on the model; it is as it was when the block is left."""
    yield Hung(model.network)
