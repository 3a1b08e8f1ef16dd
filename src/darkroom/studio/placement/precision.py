"""What a network computes in: by name, and which is best on a machine."""

import torch

from darkroom.studio.placement.machine import Machine, found

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.bfloat16}
"""What signals, and weights that are not of 8 bits, are kept in."""


def precision_for(machine: Machine) -> tuple[str, str]:
    """What to compute in where nobody says, and why."""
    if machine.has("amx"):
        return "bfloat16", "the processor multiplies tiles of it (AMX)"
    if machine.has("bf16"):
        return "bfloat16", "the processor multiplies it, at several times the rate of single precision"
    return "float32", "the processor has no instructions for bfloat16, which it would be far slower in"


def default_precision() -> str:
    """What this machine computes in where nobody says."""
    return precision_for(found())[0]
