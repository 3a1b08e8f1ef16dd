"""What is chosen for a model on a machine, and why: pure functions of both."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from darkroom.studio.placement.machine import Machine
from darkroom.studio.placement.precision import precision_for

LARGE = 100e6
"""Parameters from which a step is long enough that a kernel is worth two seconds of building."""


@dataclass(frozen=True)
class Needs:
    """What of a model matters here: the parameters of its network."""

    parameters: int

    @property
    def large(self) -> bool:
        """Whether it is worth some seconds of preparation."""
        return self.parameters >= LARGE


@dataclass(frozen=True)
class Placement:
    """How a model runs. ``why`` says of each field, by its name, why it is so."""

    precision: str
    threads: int
    channels_last: bool
    packed: bool
    attention: str
    compiled: bool = False
    why: Mapping[str, str] = field(default_factory=dict, compare=False)


def choose(machine: Machine, needs: Needs, precision: str | None = None) -> Placement:
    """The placement of a model; ``precision`` is what was asked for, if anything was."""
    best, reason = precision_for(machine)
    precision = precision or best
    why = {"precision": reason if precision == best else "it was asked for"}
    why["threads"] = "one for each core that this process may use"
    packed, why["packed"] = packing(machine, precision)
    channels_last, why["channels_last"] = layout(packed)
    attention, why["attention"] = attention_for(machine, needs, precision)
    why["compiled"] = "on a processor it saves less of a picture than the compiler takes"
    return Placement(precision, machine.cores, channels_last, packed, attention, why=why)


def layout(packed: bool) -> tuple[bool, str]:
    """Whether the channels of a position lie together in memory, where a packed convolution reads them."""
    if packed:
        return True, "packed convolutions read it without turning it over"
    return False, "it gains nothing without packed weights"


def packing(machine: Machine, precision: str) -> tuple[bool, str]:
    """Whether weights are kept in the processor's own blocks, beside the model's."""
    if precision == "float32":
        return (
            False,
            "in single precision torch's own layers are as quick, and equal others' to the last digits",
        )
    if not machine.has("onednn"):
        return False, "this torch has no oneDNN"
    if not (machine.has("avx512") or machine.has("bf16")):
        return False, "oneDNN has blocks for bfloat16 only on processors with AVX-512 or with bfloat16"
    return True, "weights are brought into the processor's blocks once, not at each call, where memory allows"


def attention_for(machine: Machine, needs: Needs, precision: str) -> tuple[str, str]:
    """Whose attention, ``ours`` or ``torch``."""
    if precision == "float32" or machine.has("amx") or not machine.has("bf16"):
        return "torch", "ours is for bfloat16 on processors with AVX-512 BF16 and no AMX"
    if not needs.large:
        return "torch", "the model is small: building ours would take longer than it saves"
    if not machine.has("compiler"):
        return "torch", "ours is built at first use, and there is no C++ compiler (install g++)"
    return "ours", "it is over twice as fast as torch's on this processor"
