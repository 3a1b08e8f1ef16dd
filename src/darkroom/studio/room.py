"""Darkroom from Python: a model, and pictures from it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from darkroom.studio.develop import develop_many, how_loaded
from darkroom.studio.expanding import expanded, gathered
from darkroom.studio.models import open_model
from darkroom.studio.request import Progress, Request, Result


class Room:
    """A model that is loaded once. Raises DarkroomError when it cannot be."""

    def __init__(self, model: str) -> None:
        self.model = model
        open_model(*how_loaded(Request(prompt="a picture", model=model)))

    def generate(
        self,
        prompt: str,
        progress: Callable[[Progress], None] | None = None,
        *,
        styles: Sequence[str] = (),
        styles_file: Path | None = None,
        memory: str = "auto",
        **settings: Any,
    ) -> Result:
        """Pictures of a prompt; ``settings`` are the other fields of :class:`Request`, such as ``seed``.

        Choices in the prompt, ``styles`` and ``memory`` are as ``darkroom generate`` has them. ``progress``
        hears of each step and may raise to stop. Raises DarkroomError for what cannot be had.
        """
        request = Request(prompt=prompt, model=self.model, **settings)
        return gathered(develop_many(expanded(request, styles, styles_file), progress, memory))
