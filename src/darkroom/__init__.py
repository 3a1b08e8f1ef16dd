"""Darkroom: train, run, steer and trust models that develop pictures out of noise.

import darkroom

darkroom.open().generate("a red cube on top of a blue sphere", seed=7)[0].save("cube.png")
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from darkroom.studio.remote import RemoteRoom
    from darkroom.studio.room import Room

__version__ = "0.1.0"


def open(model: str = "starter") -> "Room":
    """A room with a model in it, by its name or its file; torch is imported only now.

    Raises DarkroomError when there is no such model or its file is damaged.
    """
    from darkroom.studio.room import Room

    return Room(model)


def connect(url: str, token: str | None = None, model: str | None = None) -> "RemoteRoom":
    """The same on a server that ``darkroom serve`` started: ``connect("http://127.0.0.1:7860").generate(...)``.

    ``model`` is one that the server has; None is its own choice. Nothing heavy is imported.
    Raises DarkroomError where nobody answers, or the token is wrong.
    """
    from darkroom.studio.remote import RemoteRoom

    return RemoteRoom(url, token, model)
