"""Putting layers of 8 bits in a network, in place of those where that is worth while."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeGuard

from torch import nn

from darkroom.errors import DarkroomError, UnknownName
from darkroom.networks.packed import PackedConv2d, PackedLinear
from darkroom.networks.quantized import (
    EightBits,
    QuantizedConv2d,
    QuantizedLinear,
    StoredConv2d,
    StoredLinear,
)

Choose = Callable[[str, nn.Module], bool]
"""(name, layer) -> whether it is to have 8 bits."""

KINDS: dict[str, tuple[type[EightBits], type[EightBits]]] = {
    "int8": (QuantizedLinear, QuantizedConv2d),
    "int8-weights": (StoredLinear, StoredConv2d),
}
"""Integers all through, for speed; weights alone, for memory."""
NARROW = 128
"""Layers with fewer channels on either side cost little; the first and the last are among them."""
TOLD = ("time", "norm", "embed", "modulat", "pooled")
"""In the names of layers that see one vector a picture, or the prompt once: little work, much to lose."""


@dataclass(frozen=True)
class Report:
    """What became of a network: the names of layers, and the bytes of its weights before and after."""

    kind: str
    quantized: tuple[str, ...]
    kept: tuple[str, ...]
    bytes_before: int
    bytes_after: int

    def __str__(self) -> str:
        layers = len(self.quantized) + len(self.kept)
        sizes = f"{self.bytes_before / 2**20:.0f} MiB of weights became {self.bytes_after / 2**20:.0f}"
        return f"{self.kind} in {len(self.quantized)} of {layers} layers; {sizes}"


def quantize(network: nn.Module, kind: str = "int8", choose: Choose | None = None) -> Report:
    """Replace linear layers and convolutions of ``network`` by ones of 8 bits, in place, one after another.

    ``kind`` is one of ``KINDS``; ``choose`` says which layers, among those that can be, and is :func:`busy`
    for "int8" and :func:`large` for "int8-weights" where it is left out. The way back is to load the model
    again.

    Raises DarkroomError for a network that has adapters on it or lies elsewhere than in main memory, and
    UnknownName for another kind; nothing has changed then.
    """
    if kind not in KINDS:
        raise UnknownName("kind of quantisation", kind, KINDS)
    wanted = choose or (busy if kind == "int8" else large)
    layers = {name: layer for name, layer in network.named_modules() if is_layer(layer)}
    chosen = {name: layer for name, layer in layers.items() if can_be(layer) and wanted(name, layer)}
    for name, layer in chosen.items():
        check(name, layer, kind)
    before, kept = weight_bytes(network), tuple(name for name in layers if name not in chosen)
    names = tuple(chosen)
    layers.clear()  # so that each layer's memory is free once it is replaced
    for name in names:
        put(network, name, made(chosen.pop(name), kind))
    return Report(kind, names, kept, before, weight_bytes(network))


def is_layer(layer: nn.Module) -> TypeGuard[nn.Linear | nn.Conv2d]:
    """Torch's own, packed or not; other classes derived from them are used in other ways."""
    return type(layer) in (nn.Linear, nn.Conv2d, PackedLinear, PackedConv2d)


def can_be(layer: nn.Linear | nn.Conv2d) -> bool:
    """Whether there is one of 8 bits that does the same."""
    if isinstance(layer, nn.Linear):
        return True
    plain = layer.groups == 1 and layer.dilation == (1, 1) and layer.padding_mode == "zeros"
    return plain and not isinstance(layer.padding, str)


def busy(name: str, layer: nn.Module) -> bool:
    """Whether a layer has work that integers make shorter."""
    return large(name, layer) and not any(word in name for word in TOLD)


def large(name: str, layer: nn.Module) -> bool:
    """Whether a layer has many weights."""
    return is_layer(layer) and min(layer.weight.shape[:2]) >= NARROW


def check(name: str, layer: nn.Linear | nn.Conv2d, kind: str) -> None:
    """Raise DarkroomError for what would be lost or could not run."""
    noted = set(vars(layer.weight)) - {"origin"}  # a weight may know the file that it came from
    if noted or layer._forward_hooks or layer._forward_pre_hooks:
        raise DarkroomError(
            f"something hangs on the layer '{name}', an adapter perhaps; "
            "take it off, quantise, and attach it again."
        )
    if kind == "int8" and layer.weight.device.type != "cpu":
        raise DarkroomError(
            f"the layer '{name}' lies on {layer.weight.device} and int8 is for processors; "
            "use 'int8-weights' there."
        )


def made(layer: nn.Linear | nn.Conv2d, kind: str) -> EightBits:
    """The layer of 8 bits in place of one."""
    linear, convolution = KINDS[kind]
    new = (linear if isinstance(layer, nn.Linear) else convolution)(layer)
    return new.train(layer.training)


def put(network: nn.Module, name: str, layer: nn.Module) -> None:
    """Put a layer in the place of that name."""
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, layer)


def weight_bytes(network: nn.Module) -> int:
    """Bytes of all parameters and buffers."""
    tensors = [*network.parameters(), *network.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
