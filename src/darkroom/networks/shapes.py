"""What the names and shapes of a network's tensors say of it, where there is no config.json."""

from collections.abc import Mapping

from darkroom.errors import DarkroomError

Shapes = Mapping[str, tuple[int, ...]]
"""The name of each tensor and its shape."""


def shape(shapes: Shapes, name: str) -> tuple[int, ...]:
    """The shape of a tensor that must be there. Raises DarkroomError when it is not."""
    if name not in shapes:
        raise DarkroomError(f"the tensor '{name}' is missing; give the whole model's file, not a part of it.")
    return shapes[name]


def count(shapes: Shapes, name: str) -> int:
    """How many numbered parts a list has, such as ``blocks.0`` and ``blocks.1`` under the name ``blocks``."""
    start = name + "."
    numbers = {key.removeprefix(start).split(".")[0] for key in shapes if key.startswith(start)}
    return sum(number.isdecimal() for number in numbers)
