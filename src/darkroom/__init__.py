"""Darkroom: train, run, steer and trust models that develop pictures out of noise.

import darkroom

darkroom.open().generate("a red cube on top of a blue sphere", seed=7)[0].save("cube.png")
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from darkroom.studio.room import Room

__version__ = "0.1.0"


def open(model: str = "starter") -> "Room":
    """A room with a model in it, by its name or its file; torch is imported only now.

    Raises DarkroomError when there is no such model or its file is damaged.
    """
    from darkroom.studio.room import Room

    return Room(model)
