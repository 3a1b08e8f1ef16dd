"""One change of one layer: merged into its parameter, or computed beside it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from darkroom.adapters.block_weights import BlockWeights, block_weight
from darkroom.adapters.live import Beside, shape_of, weight_of
from darkroom.adapters.merging import lay, lift
from darkroom.adapters.patches import LowRank, Patch
from darkroom.weights.operations import Operation, Rows, Same, SwappedHalves


@dataclass(frozen=True)
class Strength:
    """How strong an adapter is in each module of each part."""

    weight: float
    text_weight: float | None = None
    blocks: BlockWeights | None = None

    def __call__(self, part: str, module: str) -> float:
        text = self.text_weight is not None and part.startswith("text_encoder")
        return (self.text_weight if text else self.weight) * block_weight(self.blocks, part, module)  # type: ignore[operator]


class Change(ABC):
    """One change of one layer by one adapter."""

    part: str
    module: str

    @abstractmethod
    def apply(self, strength: Strength) -> None:
        """Make it, or make it as strong as is said now."""

    @abstractmethod
    def undo(self) -> None:
        """Take it back."""


@dataclass(frozen=True, eq=False)
class Merged(Change):
    """A change merged into a parameter."""

    part: str
    module: str
    parameter: nn.Parameter
    patch: Patch

    def apply(self, strength: Strength) -> None:
        lay(self.parameter, self, self.patch, strength(self.part, self.module))

    def undo(self) -> None:
        lift(self.parameter, self)


@dataclass(eq=False)
class Live(Change):
    """A change computed beside a layer."""

    part: str
    module: str
    layer: nn.Module
    hook: Beside
    handle: RemovableHandle | None = None

    def apply(self, strength: Strength) -> None:
        self.hook.strength = strength(self.part, self.module)
        if self.handle is None:
            self.handle = self.layer.register_forward_hook(self.hook)

    def undo(self) -> None:
        if self.handle is not None:
            self.handle.remove()
        self.handle = None


@dataclass(frozen=True)
class Share:
    """A patch of one layer, out of one for several that the file has as one: ``how`` merges their weights."""

    patch: Patch
    how: Operation
    layers: tuple[nn.Module, ...]
    index: int

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the one layer's weight."""
        return shape_of(self.layers[self.index])

    def agrees(self, weight: tuple[int, ...]) -> bool:
        """That was seen to before it was shared out."""
        return True

    def delta(self, weight: Tensor) -> Tensor:
        """This layer's share of the delta of all."""
        whole = self.how.merge([weight_of(layer, weight).to(weight) for layer in self.layers])
        return self.how.split(self.patch.delta(whole))[self.index]


def split(patch: Patch, how: Operation, layers: tuple[nn.Module, ...]) -> tuple[Patch, ...]:
    """A patch for each layer, out of one for the weight that they make together."""
    if isinstance(how, Same):
        return (patch,)
    if isinstance(patch, LowRank) and isinstance(how, Rows | SwappedHalves):
        return patch.split(how)
    return tuple(Share(patch, how, layers, index) for index in range(len(layers)))
