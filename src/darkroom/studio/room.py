"""Darkroom from Python: a model, and pictures from it."""

from collections.abc import Callable
from typing import Any

from darkroom.studio.develop import develop
from darkroom.studio.models import load_model
from darkroom.studio.request import Progress, Request, Result


class Room:
    """A model that is loaded once. Raises DarkroomError when it cannot be."""

    def __init__(self, model: str) -> None:
        self.model = model
        load_model(model)

    def generate(
        self, prompt: str, progress: Callable[[Progress], None] | None = None, **settings: Any
    ) -> Result:
        """Pictures of a prompt; ``settings`` are the other fields of :class:`Request`, such as ``seed``.

        ``progress`` hears of each step and may raise to stop. Raises DarkroomError for what cannot be had.
        """
        return develop(Request(prompt=prompt, model=self.model, **settings), progress)
